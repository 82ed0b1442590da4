//! What a scenario says of its run: a part of `run.json`.

use serde::{Deserialize, Serialize};

use super::Load;
use crate::guard::abort::Aborted;

/// Of one criterion, and of all: PASS and FAIL as everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Standing {
    Pass,
    Fail,
    /// The run was too short, or nothing looked.
    Undecided,
}

/// How a criterion was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    pub criterion: String,
    pub standing: Standing,
    /// What was seen: a share of requests, answers a second, or the worst value of a metric.
    pub value: Option<f64>,
    /// Its 95 % interval; of a metric none.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// What the value is held against.
    pub limit: f64,
    /// In a sentence.
    pub text: String,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioReport {
    pub name: String,
    pub about: String,
    pub standing: Standing,
    pub criteria: Vec<Judged>,
    pub unit: Unit,
    pub peak: f64,
    /// Of sending, as the scenario has it.
    pub planned_s: f64,
    /// The curve.
    pub shape: Vec<Corner>,
    pub rate: Rate,
    /// Where it was ended by a rule.
    pub ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Users,
    Multiples,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Corner {
    pub at_s: f64,
    pub level: f64,
}

/// Requests a second while the load was at its peak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub from_s: f64,
    pub to_s: f64,
    /// As the file says.
    pub expected_per_s: Option<f64>,
    /// N / (R + Z): what so many users ask for who think and whose answers take what the model says.
    pub users_ask_per_s: Option<f64>,
    /// Sent.
    pub reached_per_s: Option<f64>,
    /// Good answers.
    pub good_per_s: Option<f64>,
}

/// A run that was ended before its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    #[serde(flatten)]
    pub by: Aborted,
    /// Users, or times the capture, at that instant.
    pub level: f64,
}

impl Unit {
    pub fn of(load: &Load) -> Self {
        match load {
            Load::Users(_) => Self::Users,
            Load::Multiples(_) | Load::Whole(_) => Self::Multiples,
        }
    }

    /// `50 users`, `2×`.
    pub fn tell(self, level: f64) -> String {
        match self {
            Self::Users => crate::report::format::counted(whole(level), "user"),
            Self::Multiples => crate::report::format::multiple(level),
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a level is not negative
fn whole(level: f64) -> u64 {
    level.ceil() as u64
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Undecided => "UNDECIDED",
        }
    }
}

impl Rate {
    /// `expected ~10/s; 20 users who think ask for 5.9/s; reached 5.7/s`
    pub fn sentence(&self) -> Option<String> {
        let told = |what: &str, per_s: Option<f64>| per_s.map(|per_s| format!("{what} {per_s:.1}/s"));
        let parts = [
            told("the file expects", self.expected_per_s),
            told("the users ask for", self.users_ask_per_s),
            told("reached were", self.reached_per_s),
            told("good answers were", self.good_per_s),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| {
            format!(
                "rate while the load was full ({:.0} to {:.0} s): {}",
                self.from_s,
                self.to_s,
                parts.join(", ")
            )
        })
    }
}
