//! One load level held for a time: what the search asks for, and what came of it.

use serde::Serialize;

use super::watch::Abort;
pub use crate::measure::attainment::{Count, Failures};

/// A load level to hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Trial {
    /// Times the captured users.
    pub multiple: f64,
    /// Planned sending, ramp included.
    pub length_s: u64,
    /// The load grows evenly from nothing to the multiple in this time; it is never a step, which would measure how
    /// connections are set up.
    pub ramp_s: u64,
    pub seed: u64,
    pub purpose: Purpose,
}

/// Why a trial is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Fills pools and caches; its result counts for nothing.
    WarmUp,
    /// A short trial that looks for a load that fails. May prove an upper bound, never a lower one.
    Bracket,
    /// A full-length trial between the bounds.
    Refine,
    /// The lower bound once more, before it is believed.
    Verify,
    /// A full-length trial near the estimate, for its interval.
    Interval,
    /// The smallest failing load once more, so that what follows comes after an overload.
    Overload,
    /// A light load directly after an overload: does the target come back, and when?
    Recovery,
    /// The lower bound after an overload: does it still pass?
    Rerun,
    /// A rung of `--steps`.
    Step,
}

/// What a trial showed, second by second. `seconds[i]` is the second from i to i + 1 after the start of sending; they go
/// on after `sending_s` until the last request has ended or was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Planned requests a second that 1× means.
    pub unit_per_s: f64,
    /// How long was sent, ramp included; shorter than asked when the trial was aborted.
    pub sending_s: u64,
    /// From then on the planned load is what the multiple means.
    pub ramp_s: u64,
    /// How long there was no load before this trial's first second.
    pub rest_s: u64,
    pub seconds: Vec<Tick>,
    /// Failed gates of validity, in sentences. With one of them the trial says nothing about the load.
    pub invalid: Vec<String>,
    pub aborted: Option<Abort>,
}

/// One second. What is counted by *planned* second belongs to the requests intended for it, whatever became of them and
/// whenever; what is counted by *clock* second happened in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tick {
    /// Planned: requests intended for this second.
    pub planned: u64,
    /// Planned: for each criterion of the SLO, in its order, how many it asks about and how many of them were bad.
    /// For throughput both stay 0.
    pub criteria: Vec<Count>,
    /// Planned: what failed, by kind.
    pub failures: Failures,
    /// Clock: requests sent.
    pub sent: u64,
    /// Clock: complete answers, refusals left out.
    pub done: u64,
    /// Clock: without an end at this second's end, counted from their intended instants on.
    pub in_flight: u64,
    /// Clock: latency of what ended in this second.
    pub latency_ms_p50: Option<f64>,
    pub latency_ms_p95: Option<f64>,
}

impl Purpose {
    /// Whether a pass may be a lower bound.
    pub fn is_full_length(self) -> bool {
        matches!(self, Self::Refine | Self::Verify | Self::Interval | Self::Rerun | Self::Step)
    }

    /// Whether the trial says something about its load.
    pub fn classifies(self) -> bool {
        !matches!(self, Self::WarmUp | Self::Recovery)
    }
}
