//! What a monitor brings back from one look.

use std::fmt;

use super::timeline::EventKind;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Look {
    /// By the metric's name without the monitor's. `None`: this one could not be seen now.
    pub(super) values: Vec<(String, Option<f64>)>,
    /// What goes on now.
    pub(super) incidents: Vec<Incident>,
    /// Said once, however often they are brought.
    pub(super) notes: Vec<String>,
}

/// Something that lasts: at the next look it is the same one if its key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) kind: EventKind,
    pub(super) key: String,
    pub(super) text: String,
}

/// Why a monitor could not look, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blind(pub(super) String);

impl Look {
    pub(super) fn value(&mut self, name: impl Into<String>, value: impl Into<Option<f64>>) {
        self.values.push((name.into(), value.into()));
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Blind {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}
