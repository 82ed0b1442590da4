//! The report of one run: the contract that scripts and the HTML page read.
//!
//! Times are milliseconds, sizes bytes, shares 0 to 1. A percentile that nothing was measured for is
//! `null`, never 0.

use std::collections::BTreeMap;

use kingtide_common::latency::LatencyRecorder;
use serde::{Deserialize, Serialize};

use super::achieved::Achieved;
use super::attempts::Attempts;
use super::clients::Clients;
use super::created::CreatedCounts;
use super::distinct::DistinctReport;
pub use super::gate::{Gate, GateKind};
use super::held::HeldCounts;
use super::http::HttpCounts;
use super::in_flight::InFlight;
use super::raw::SampleCounts;
use super::{ClientStage, ErrorClass};
use crate::drive::Uplink;
use crate::guard::abort::Aborted;
use crate::headroom::Headroom;
use crate::preflight::Preflight;
use crate::scenario::report::{ScenarioReport, Unit};

/// What a run may claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    Pass,
    /// The target failed its criteria.
    Fail,
    /// Valid, and too few requests to say whether a scenario's criteria were met.
    Undecided,
    /// The run cannot speak about the target: the generator was late, or a fidelity gate failed.
    Invalid,
}

/// Percentiles of one distribution, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

impl Percentiles {
    pub fn of(recorder: &LatencyRecorder) -> Self {
        Self {
            count: recorder.count(),
            p50: recorder.quantile_ms(0.5),
            p95: recorder.quantile_ms(0.95),
            p99: recorder.quantile_ms(0.99),
            p999: recorder.quantile_ms(0.999),
            max: recorder.max_ms(),
        }
    }
}

/// More of a distribution, for spreadsheets; milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub mean: Option<f64>,
    pub min: Option<f64>,
    pub p66: Option<f64>,
    pub p75: Option<f64>,
    pub p80: Option<f64>,
    pub p90: Option<f64>,
    pub p98: Option<f64>,
    pub p9999: Option<f64>,
}

impl Quantiles {
    pub fn of(recorder: &LatencyRecorder) -> Self {
        let at = |quantile| recorder.quantile_ms(quantile);
        Self {
            mean: recorder.mean_ms(),
            min: recorder.min_ms(),
            p66: at(0.66),
            p75: at(0.75),
            p80: at(0.8),
            p90: at(0.9),
            p98: at(0.98),
            p9999: at(0.9999),
        }
    }
}

/// Why requests went out later than intended; of each request the parts add up to sent − intended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LagPartsReport {
    /// The generator was late, with the connect or with the request: the lag.
    pub pacer: Percentiles,
    /// Their connections were slow to open.
    pub connect: Percentiles,
    /// They waited for values or for their turn on the connection.
    pub dependency: Percentiles,
}

/// Resolved and unresolved values of all sent requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingCounts {
    pub resolved: u64,
    pub unresolved: u64,
}

/// Planned requests without a complete answer, by what went wrong and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    pub class: ErrorClass,
    /// `null` for what never got as far as a connection.
    pub stage: Option<ClientStage>,
    pub count: u64,
}

/// Counts and distributions of one route (`POST /api/students/upload-recording`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RouteReport {
    pub route: String,
    pub planned: u64,
    pub sent: u64,
    pub done: u64,
    pub failed: u64,
    pub statuses: BTreeMap<String, u64>,
    /// Failed requests by what went wrong: a class of errors, or `status 503` for an answer worse than the captured one.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// Request bodies and the file parts within them that were handed to the socket whole. What a target that
    /// broke off had read of them nobody knows.
    pub body_bytes: u64,
    pub files: u64,
    pub file_bytes: u64,
    /// On the connections, heads and what failed included, TLS not.
    #[serde(default)]
    pub sent_bytes: u64,
    #[serde(default)]
    pub received_bytes: u64,
    pub latency_ms: Percentiles,
    #[serde(default)]
    pub latency_quantiles_ms: Quantiles,
    pub service_ms: Percentiles,
    /// Client stages: connect, send, wait, receive.
    #[serde(default)]
    pub stages_ms: BTreeMap<String, Percentiles>,
}

/// One second of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the start of the run.
    pub at_s: u64,
    /// Requests that the plan has in it, whenever they went out and whatever became of them. Under the `think`
    /// clock too it is the plan's instant, not the person's.
    pub planned: u64,
    pub sent: u64,
    pub done: u64,
    pub failed: u64,
    /// Whatever ended in it: complete answers, and what failed without one.
    #[serde(default)]
    pub ended: u64,
    /// Requests in flight at the end of the second.
    pub in_flight: u64,
    /// Users under way at the end of the second: their first request is due, their last answer has not come.
    #[serde(default)]
    pub users: u64,
    pub latency_ms_p50: Option<f64>,
    pub latency_ms_p95: Option<f64>,
    #[serde(default)]
    pub latency_ms_p99: Option<f64>,
    pub sent_bytes: u64,
    #[serde(default)]
    pub received_bytes: u64,
}

/// A point of a percentile curve: `share` of the samples took at most `ms`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub share: f64,
    pub ms: f64,
}

/// The report of one run.
///
/// Every planned request is in exactly one of `done`, `errors`, `withheld` and `attempts.retry_not_needed`; `failed` is `errors` and those
/// of `done` that were worse than captured. Of users who stay for a time (a scenario's) what they had time for counts as planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    pub kingtide_version: String,
    pub capture: String,
    pub target: String,
    pub multiple: f64,
    pub mode: String,
    /// `offsets` or `think`.
    pub clock: String,
    /// How request bodies were paced: `recorded`, `unpaced`, or a speed (`200kbps`).
    #[serde(default = "recorded")]
    pub uplink: String,
    pub seed: u64,
    /// Start of the run, RFC 3339 UTC.
    pub started: String,
    /// What this machine had against what the plan needs, before the first request.
    #[serde(default)]
    pub preflight: Preflight,
    /// `null` when it was not asked for.
    #[serde(default)]
    pub headroom: Option<Headroom>,
    pub duration_s: f64,
    pub sessions_captured: u64,
    pub sessions_planned: u64,
    /// Different identities that clones logged in with.
    pub identities_distinct: u64,
    /// Whether the clones were different users; gates `shared_*`.
    #[serde(default)]
    pub distinct: DistinctReport,
    /// Addresses and TLS handshakes of the clones.
    #[serde(default)]
    pub clients: Clients,
    /// Which HTTP the connections spoke.
    #[serde(default)]
    pub http: HttpCounts,
    pub planned: u64,
    pub sent: u64,
    /// Requests that got a complete answer.
    pub done: u64,
    /// Requests without an answer when the run ended; failures, whatever else they are.
    pub unfinished: u64,
    /// Age of the oldest unfinished request, seconds from its intended instant.
    pub unfinished_oldest_s: Option<f64>,
    /// Failures of any kind: errors, unfinished, and answers worse than the captured ones.
    pub failed: u64,
    pub errors: BTreeMap<String, u64>,
    /// The same with their stages.
    pub failures: Vec<FailureCount>,
    /// Planned requests that the user's stop or the in-flight cap kept back.
    pub withheld: u64,
    /// Kept connections that the target had closed and that were opened again.
    pub reconnects: u64,
    #[serde(default)]
    pub attempts: Attempts,
    #[serde(default)]
    pub in_flight: InFlight,
    /// Requests sent with filler of the captured size, because the capture does not hold their bodies. An
    /// answer of 4xx to one of these is not worse than captured.
    pub approximated: u64,
    pub statuses: BTreeMap<String, u64>,
    pub files: u64,
    pub file_bytes: u64,
    pub body_bytes: u64,
    /// On the connections, heads and what failed included, TLS not.
    #[serde(default)]
    pub sent_bytes: u64,
    #[serde(default)]
    pub received_bytes: u64,
    /// done − intended; unfinished requests count with the age they had reached.
    pub latency_ms: Percentiles,
    #[serde(default)]
    pub latency_quantiles_ms: Quantiles,
    /// Latencies over a day, which count as a day.
    pub latency_clamped: u64,
    /// done − sent.
    pub service_ms: Percentiles,
    /// sent − intended, without what waiting for a value took.
    pub lag_ms: Percentiles,
    /// sent − intended by what caused it; the pacer's is the lag.
    #[serde(default)]
    pub lag_parts_ms: LagPartsReport,
    /// Share of the sends that waited for a late answer.
    pub dependency_delayed_share: f64,
    /// Client stages: connect, send, wait, receive.
    pub stages_ms: BTreeMap<String, Percentiles>,
    /// What was still on its way when `send` ended.
    #[serde(default)]
    pub held_at_send_end: HeldCounts,
    pub bindings: BindingCounts,
    /// Index of dispersion of the planned releases by window in seconds, captured and amplified.
    pub dispersion_captured: BTreeMap<String, f64>,
    pub dispersion_planned: BTreeMap<String, f64>,
    /// What that should be: the captured one at this multiple (`plan::dispersion::targets`).
    #[serde(default)]
    pub dispersion_target: BTreeMap<String, f64>,
    /// What was sent, beside what was captured and planned.
    #[serde(default)]
    pub achieved: Achieved,
    pub fidelity: BTreeMap<String, Gate>,
    pub routes: Vec<RouteReport>,
    pub series: Vec<Second>,
    pub latency_curve: Vec<CurvePoint>,
    pub service_curve: Vec<CurvePoint>,
    /// The file of raw samples; `null` when none was asked for.
    #[serde(default)]
    pub samples: Option<SampleCounts>,
    /// What `created.csv` lists; `null` when nothing was asked about it.
    #[serde(default)]
    pub created: Option<CreatedCounts>,
    /// What the scenario that was run says of it.
    #[serde(default)]
    pub scenario: Option<ScenarioReport>,
    /// The user stopped it before everything was sent and answered.
    pub interrupted: bool,
    /// A rule or a kill file ended it before everything was sent; `null` when none did.
    #[serde(default)]
    pub aborted: Option<Aborted>,
    pub verdict: Verdict,
    /// Why, in sentences a person can act on.
    pub reasons: Vec<String>,
}

impl RunReport {
    /// Its users came and left by a scenario's shape: nothing was captured that it should be like.
    pub fn has_stays(&self) -> bool {
        self.scenario.as_ref().is_some_and(|scenario| scenario.unit == Unit::Users)
    }
}

/// What runs did that are older than the field.
fn recorded() -> String {
    Uplink::Recorded.to_string()
}
