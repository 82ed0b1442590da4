//! A gate: a value, what it is held against, and what that says.

use serde::{Deserialize, Serialize};

/// What a gate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// Whether the run may speak about the target: a failure makes it invalid.
    Validity,
    /// How like N times the captured users it was: a failure is a caution.
    Likeness,
}

/// One check of the run against what it was meant to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Absent in reports older than the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<GateKind>,
    /// `null` when there was nothing to measure it on.
    pub value: Option<f64>,
    pub limit: f64,
    pub pass: bool,
    /// False when what there is does not suffice to tell; it then passes, and proves nothing.
    #[serde(default = "is_decided")]
    pub decided: bool,
    /// What the value is and when it passes, in one line.
    pub meaning: String,
    /// Why there is no value, or why nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Older reports knew no other.
fn is_decided() -> bool {
    true
}

impl Gate {
    pub(super) fn at_most(value: f64, limit: f64, meaning: &str) -> Self {
        let meaning = format!("{meaning}, at most");
        Self { pass: value <= limit, ..Self::of(value, limit, meaning) }
    }

    pub(super) fn at_least(value: f64, limit: f64, meaning: &str) -> Self {
        let meaning = format!("{meaning}, at least");
        Self { pass: value >= limit, ..Self::of(value, limit, meaning) }
    }

    fn of(value: f64, limit: f64, meaning: String) -> Self {
        Self { kind: None, value: Some(value), limit, pass: true, decided: true, meaning, reason: None }
    }

    /// Without a value: it neither passed nor failed.
    pub(super) fn without_value(self, reason: &str) -> Self {
        Self { value: None, pass: true, decided: false, reason: Some(reason.to_owned()), ..self }
    }

    /// What fails, for the reasons of a verdict.
    pub(crate) fn failure(&self, name: &str) -> String {
        let said = format!("{} {}", self.meaning, round(self.limit));
        let value = self.value.map(|value| format!("{} ({said})", round(value)));
        let reason = self.reason.clone().unwrap_or(said);
        format!("gate {name}: {}", value.unwrap_or(reason))
    }

    /// The same without what it means, for lists.
    pub(super) fn beyond(&self, name: &str) -> String {
        let value = self.value.map_or_else(|| "no value".to_owned(), |value| round(value).to_string());
        format!("{name} {value}, beyond {}", round(self.limit))
    }

    /// Failures first, those that make a run invalid before cautions, then what nobody can tell.
    pub fn rank(&self) -> (bool, bool, bool) {
        (self.pass, self.decided, self.kind == Some(GateKind::Likeness))
    }

    /// It passes, and that says something.
    pub fn is_ok(&self) -> bool {
        self.pass && self.decided
    }

    /// In a word or two. What fails without making the run invalid is a caution.
    pub fn standing(&self) -> &'static str {
        match (self.pass, self.decided, self.value) {
            (false, ..) if self.kind == Some(GateKind::Likeness) => "CAUTION",
            (false, ..) => "FAILS",
            (true, true, _) => "ok",
            (true, false, Some(_)) => "too short to tell",
            (true, false, None) => "cannot tell",
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
