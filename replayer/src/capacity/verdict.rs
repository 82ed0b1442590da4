//! What a trial says about its load: a pure rule over planned requests.
//!
//! See [`judge`]. The parts have a place each: [`warm_up`] cuts the beginning off, [`attainment`] asks the SLO,
//! [`drift`] asks whether the target keeps up, and [`mode`] names how it failed.

use serde::Serialize;

use super::slo::Slo;
use super::trial::{Observation, Trial};

/// PASS, FAIL and INVALID as everywhere; UNDECIDED asks for a longer trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail(FailureMode),
    Undecided,
    Invalid,
}

/// How a target gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureMode {
    /// Answers come too late, at a backlog that does not grow.
    Latency,
    /// The backlog grows: more comes than is answered.
    Drift,
    /// Refused for load: 429 and 503.
    Shed,
    Error,
    Timeout,
    Connect,
    /// Fewer answers a second than the SLO asks for.
    Plateau,
    /// More load, fewer answers.
    Retrograde,
    /// Nothing ends any more.
    Hang,
    /// What passed before an overload does not pass after it.
    Recovery,
}

/// A verdict with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    pub verdict: Verdict,
    /// Planned requests a second in the window, in units of 1×: what the load was, after the luck of the draw.
    pub multiple: f64,
    pub planned_per_s: f64,
    /// Complete answers a second in the window.
    pub completed_per_s: f64,
    pub window: Window,
    /// One per criterion of latency or errors, in the SLO's order.
    pub shares: Vec<Share>,
    pub drift: Option<Drift>,
    /// Means over the window.
    pub in_flight: f64,
    pub latency_ms_p50: Option<f64>,
    pub latency_ms_p95: Option<f64>,
    /// In sentences a person can act on.
    pub reasons: Vec<String>,
}

/// The seconds that are judged, `from_s` inclusive, `to_s` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Window {
    pub from_s: usize,
    pub to_s: usize,
}

/// How a criterion was met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    pub criterion: String,
    pub asked: u64,
    pub bad: u64,
    /// Largest share of bad ones.
    pub limit: f64,
    pub share: f64,
    /// 95 % interval of the share.
    pub low: f64,
    pub high: f64,
    /// Independent requests that the asked ones are worth.
    pub n_effective: f64,
}

/// How what is in flight changes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// Requests in flight more, each second.
    pub per_s: f64,
    /// Its lower 95 % limit.
    pub per_s_low: f64,
    pub in_flight_end: f64,
    /// How long a request will wait after half an hour of this.
    pub projected_wait_s: f64,
}

/// The verdict on one trial by itself.
pub fn judge(slo: &Slo, trial: &Trial, observed: &Observation) -> Judged {
    let _ = (slo, trial, observed);
    unimplemented!("stub of the interface")
}
