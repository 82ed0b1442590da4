//! What the report says of it: `achieved` in run.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was sent, beside what was captured and planned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Achieved {
    /// Index of dispersion by window in seconds.
    pub dispersion: BTreeMap<String, Rhythm>,
    /// Request bodies on their way at once, mean over the run.
    pub uploads_in_flight: Level,
    /// Connections in use at once, pauses between their requests included.
    pub connections_open: Level,
    pub session_duration_ms: Durations,
    pub think_time_ms: Durations,
    /// Total variation distance of the shares of routes, sent and captured.
    pub route_mix: Option<f64>,
    /// What chance explains of it, at least 2 %.
    pub route_mix_limit: f64,
    /// Stages as the client sees them, beside the captured ones; over all routes.
    pub stages: BTreeMap<String, Durations>,
    /// The same of each route.
    pub route_stages: Vec<RouteStages>,
}

/// A dispersion on its way from the plan to the target. `null` where three such windows do not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    pub planned: Option<f64>,
    /// Had this generator been on time.
    pub ready: Option<f64>,
    pub sent: Option<f64>,
}

/// A mean number of something over time (Little: the sum of its durations over the time of the run).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    pub captured: f64,
    /// Of N times the users.
    pub expected: f64,
    /// Of this plan, which may draw users with more or less; `null` where only a run can tell.
    pub planned: Option<f64>,
    pub achieved: f64,
    /// Share by which it misses what is expected; `null` where nothing is.
    pub deviation: Option<f64>,
    /// Share by which it may: 15 %, or what chance explains.
    pub limit: f64,
    pub pass: bool,
    /// False when there is too little to tell.
    pub decided: bool,
}

/// Two distributions of durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    pub count_captured: u64,
    pub count_achieved: u64,
    pub p50_captured: Option<f64>,
    pub p50_achieved: Option<f64>,
    pub p95_captured: Option<f64>,
    pub p95_achieved: Option<f64>,
    /// Kolmogorov–Smirnov distance.
    pub ks: Option<f64>,
    /// The same, blind to differences of under 2 ms or a tenth: what is judged.
    pub apart: Option<f64>,
    pub limit: f64,
    pub pass: bool,
    /// False when there is too little to tell.
    pub decided: bool,
}

/// Of one route (`POST /api/students/upload-recording`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteStages {
    pub route: String,
    pub stages: BTreeMap<String, Durations>,
}

impl Rhythm {
    /// How far what was sent is from what was planned.
    pub fn deviation(&self) -> Option<f64> {
        Some(deviation(self.sent?, self.planned?))
    }

    /// How much of it is this generator's doing.
    pub fn generators(&self) -> Option<f64> {
        Some(deviation(self.sent?, self.ready?))
    }
}

/// Relative to what it should be, or to random arrivals where that is below them: what is more regular than chance
/// does not become bursts by moving a little.
fn deviation(index: f64, wanted: f64) -> f64 {
    (index - wanted).abs() / wanted.max(1.0)
}
