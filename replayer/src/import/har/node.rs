//! A place in a HAR entry that may not be there, or be of another type than the specification says.

use serde_json::Value;

#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a>(Option<&'a Value>);

impl<'a> Node<'a> {
    pub(super) fn of(value: &'a Value) -> Self {
        Self(Some(value))
    }

    pub(super) fn get(self, key: &str) -> Self {
        Self(self.0.and_then(|value| value.get(key)))
    }

    /// A text that is not empty.
    pub(super) fn text(self) -> Option<&'a str> {
        self.0?.as_str().filter(|text| !text.is_empty())
    }

    /// A number, also where it is written as a text.
    pub(super) fn number(self) -> Option<f64> {
        self.0?.as_f64().or_else(|| self.text()?.trim().parse().ok())
    }

    /// A number of bytes; -1 (not known) is none.
    pub(super) fn bytes(self) -> Option<u64> {
        const BYTES_MAX: f64 = (1_u64 << 50) as f64;
        let number = self.number()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        (0.0..=BYTES_MAX).contains(&number).then_some(number as u64)
    }

    /// `true`, or a text such as `"memory"`.
    pub(super) fn is_set(self) -> bool {
        self.text().is_some() || self.0.and_then(Value::as_bool) == Some(true)
    }

    pub(super) fn list(self) -> impl Iterator<Item = Node<'a>> {
        self.0.and_then(Value::as_array).into_iter().flatten().map(Self::of)
    }
}
