//! What a search found, as `kingtide capacity --json` says it.

use serde::{Deserialize, Serialize};

use super::trial::Trial;
use super::verdict::{FailureMode, Judged};

/// The end of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    pub verdict: Outcome,
    pub slo: String,
    /// `None` when not even a bound is known.
    pub capacity: Option<Capacity>,
    pub safe: Option<Safe>,
    /// How the smallest failing loads fail.
    pub failure_mode: Option<FailureMode>,
    /// From the end of the overload until latency and what is in flight were back; the slowest of several.
    pub recovery_s: Option<u64>,
    /// `None` when no recovery was looked for.
    pub recovered: Option<bool>,
    /// What still passes after an overload, where that is less than before it.
    pub after_overload_multiple: Option<f64>,
    /// More load, fewer answers: to what rate they fell.
    pub retrograde: Option<Retrograde>,
    pub trials: Vec<TrialRecord>,
    /// Sentences for people: why the search ended, and what to doubt.
    pub reasons: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A capacity, bracketed by trials.
    Found,
    /// The largest load asked for passed.
    MaximumReached,
    /// Larger loads could not be generated.
    GeneratorLimited,
    /// The smallest load fails already.
    FailsAtSmallest,
    /// Time or requests ran out before the bounds were close enough.
    BudgetExhausted,
    /// The user ended it.
    Interrupted,
    /// Trials at the same load contradict one another.
    Unstable,
    /// The target stopped answering.
    Hang,
    /// The target did not come back after an overload.
    Metastable,
    /// No valid trial.
    Invalid,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    pub multiple: f64,
    /// 95 % interval, conditional on the trials' length.
    pub low: f64,
    pub high: f64,
    pub bound: Bound,
    pub requests_per_s: f64,
    /// Filled by who knows the capture.
    pub bytes_per_s: Option<f64>,
    pub users: Option<f64>,
    /// Length of the trials it rests on.
    pub trial_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Estimate,
    /// "≥": no larger load was seen to fail.
    AtLeast,
    /// "≤": no load was seen to pass.
    AtMost,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Safe {
    pub multiple: f64,
    /// Of the capacity.
    pub share: f64,
    pub requests_per_s: f64,
    /// Filled by who knows the capture.
    pub bytes_per_s: Option<f64>,
    pub users: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Retrograde {
    pub at_multiple: f64,
    pub completed_per_s: f64,
    /// The most that was ever completed.
    pub completed_per_s_max: f64,
}

/// A trial and what it showed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialRecord {
    pub trial: Trial,
    /// How long was sent: less than planned when it was stopped.
    pub sending_s: u64,
    /// Of a recovery trial: from the end of the overload until the target was back.
    pub recovered_after_s: Option<u64>,
    pub judged: Judged,
}
