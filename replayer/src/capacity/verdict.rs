//! What a trial says about its load: a pure rule over planned requests.
//!
//! See [`judge`]. The parts have a place each: [`warm_up`] cuts the beginning off, [`attainment`] asks the SLO,
//! [`drift`] asks whether the target keeps up, and [`mode`] names how it failed.

mod attainment;
mod drift;
mod mode;
mod warm_up;

pub(crate) use attainment::attained;
use serde::Serialize;

use super::slo::Slo;
use super::trial::{Failures, Observation};
use super::watch::AbortCause;
use crate::statistics::median;

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

impl FailureMode {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Drift => "drift",
            Self::Shed => "shedding",
            Self::Error => "errors",
            Self::Timeout => "timeouts",
            Self::Connect => "refused connections",
            Self::Plateau => "plateau",
            Self::Retrograde => "retrograde throughput",
            Self::Hang => "hang",
            Self::Recovery => "not recovering",
        }
    }
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
    /// Mean of the indices of dispersion of what was planned and of what was answered, in five seconds each: 1 when both
    /// are Poisson. For a target that is used up, the variability that heavy-traffic theory asks for.
    #[serde(skip)]
    pub(super) dispersion: f64,
    /// Means over the window.
    pub in_flight: f64,
    pub latency_ms_p50: Option<f64>,
    pub latency_ms_p95: Option<f64>,
    /// How it would fail, where it leans to that.
    #[serde(skip)]
    leaning_mode: Option<FailureMode>,
    /// In sentences a person can act on.
    pub reasons: Vec<String>,
}

/// The seconds that are judged, `from_s` inclusive, `to_s` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Window {
    pub from_s: usize,
    pub to_s: usize,
}

impl Window {
    pub(super) fn length_s(self) -> f64 {
        (self.to_s - self.from_s).max(1) as f64
    }
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
    /// On which side of the limit it counts where the interval holds the limit.
    #[serde(skip)]
    pub leans_high: bool,
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

/// A wait nobody sits out, where the SLO has no criterion of latency.
const WAIT_S_DEFAULT: f64 = 60.0;

/// The verdict on one trial by itself, by the first of these that holds:
///
/// | INVALID | a gate of validity failed: it says nothing about the load |
/// | FAIL | it was stopped to protect the target |
/// | FAIL(drift) | what is in flight grows, see [`drift`] |
/// | FAIL | a share of bad requests is surely beyond its limit; fewer answers a second than asked for |
/// | UNDECIDED | a share may be on either side of its limit, or there is no steady part |
/// | PASS | all shares are surely within their limits |
pub fn judge(slo: &Slo, observed: &Observation) -> Judged {
    let discarded = warm_up::discard(observed);
    let completed_per_s = per_s(discarded, |at| observed.seconds[at].done);
    let drift = drift::drift(observed, discarded, completed_per_s);
    let steady = warm_up::steady(observed, discarded);
    let mut judged = measured(slo, observed, steady.unwrap_or(discarded), drift);
    let (verdict, reasons) = decide(slo, observed, &judged, steady.is_some());
    judged.verdict = verdict;
    judged.leaning_mode = judged.is_high().then(|| missing_mode(observed, &judged, |share| share.leans_high));
    judged.reasons = reasons;
    judged
}

impl Judged {
    /// Whether the load counts as too high: as the verdict says, and where that is undecided by the shares as they are.
    pub fn is_high(&self) -> bool {
        match self.verdict {
            Verdict::Fail(_) => true,
            Verdict::Undecided => self.shares.iter().any(|share| share.leans_high),
            Verdict::Pass | Verdict::Invalid => false,
        }
    }

    /// How the load is too high, where it is.
    pub fn mode(&self) -> Option<FailureMode> {
        match self.verdict {
            Verdict::Fail(mode) => Some(mode),
            _ => self.leaning_mode,
        }
    }

    /// Complete answers in the window.
    pub(super) fn answers(&self) -> f64 {
        self.completed_per_s * self.window.length_s()
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Fail(_))
    }
}

fn measured(slo: &Slo, observed: &Observation, window: Window, drift: Option<Drift>) -> Judged {
    let seconds = &observed.seconds[window.from_s..window.to_s];
    let planned_per_s = per_s(window, |at| observed.seconds[at].planned);
    Judged {
        verdict: Verdict::Undecided,
        multiple: planned_per_s / observed.unit_per_s,
        planned_per_s,
        completed_per_s: per_s(window, |at| observed.seconds[at].done),
        window,
        shares: attainment::shares(slo, observed, window),
        drift,
        dispersion: f64::midpoint(
            dispersion(seconds.iter().map(|tick| tick.planned)),
            dispersion(seconds.iter().map(|tick| tick.done)),
        ),
        in_flight: per_s(window, |at| observed.seconds[at].in_flight),
        latency_ms_p50: median(seconds.iter().filter_map(|tick| tick.latency_ms_p50)),
        latency_ms_p95: median(seconds.iter().filter_map(|tick| tick.latency_ms_p95)),
        leaning_mode: None,
        reasons: Vec::new(),
    }
}

fn per_s(window: Window, count: impl Fn(usize) -> u64) -> f64 {
    let sum: u64 = (window.from_s..window.to_s).map(count).sum();
    sum as f64 / (window.to_s - window.from_s).max(1) as f64
}

const DISPERSION_S: usize = 5;

/// Variance of the counts of batches over their mean.
fn dispersion(counts: impl Iterator<Item = u64>) -> f64 {
    let counts: Vec<u64> = counts.collect();
    let batches: Vec<f64> =
        counts.chunks_exact(DISPERSION_S).map(|batch| batch.iter().sum::<u64>() as f64).collect();
    let n = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / n;
    let variance = batches.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / (n - 1.0);
    if batches.len() < 2 || mean == 0.0 { 1.0 } else { variance / mean }
}

fn decide(slo: &Slo, observed: &Observation, judged: &Judged, is_steady: bool) -> (Verdict, Vec<String>) {
    if !observed.invalid.is_empty() {
        return (Verdict::Invalid, observed.invalid.clone());
    }
    if judged.planned_per_s == 0.0 {
        return (Verdict::Invalid, vec!["nothing was planned in the measured seconds".to_owned()]);
    }
    if let Some(unasked) = judged.shares.iter().find(|share| share.asked == 0)
        && observed.aborted.is_none()
    {
        let reason =
            format!("no request of {} was planned in the measured seconds: longer trials", unasked.criterion);
        return (Verdict::Invalid, vec![reason]);
    }
    let failed = aborted(observed, judged)
        .or_else(|| drifted(slo, judged))
        .or_else(|| missed(observed, judged))
        .or_else(|| fell_short(slo, judged));
    if let Some((mode, reason)) = failed {
        return (Verdict::Fail(mode), vec![format!("{}: {reason}", mode::words(mode))]);
    }
    let doubts = doubts(judged, is_steady);
    (if doubts.is_empty() { Verdict::Pass } else { Verdict::Undecided }, doubts)
}

fn aborted(observed: &Observation, judged: &Judged) -> Option<(FailureMode, String)> {
    let abort = observed.aborted.as_ref()?;
    let grows = judged.drift.is_some_and(|drift| drift.per_s_low > 0.0);
    let mode = match abort.cause {
        AbortCause::Hang => FailureMode::Hang,
        AbortCause::Errors => mode::of_failures(&failures(observed, whole(observed))),
        AbortCause::Backlog => FailureMode::Drift,
        AbortCause::Latency if grows => FailureMode::Drift,
        AbortCause::Latency => FailureMode::Latency,
    };
    Some((mode, format!("{}; stopped after {} s", abort.reason, abort.at_s)))
}

fn drifted(slo: &Slo, judged: &Judged) -> Option<(FailureMode, String)> {
    let limit_s = slo.loosest_latency().map_or(WAIT_S_DEFAULT, |(limit, _)| limit.as_secs_f64());
    let drift = judged.drift.filter(|drift| drift.is_failure(limit_s))?;
    let text = format!(
        "{:.2} requests more in flight each second (at least {:.2}); after half an hour of it the wait would be {:.0} s",
        drift.per_s, drift.per_s_low, drift.projected_wait_s
    );
    Some((FailureMode::Drift, text))
}

fn missed(observed: &Observation, judged: &Judged) -> Option<(FailureMode, String)> {
    let first = judged.shares.iter().find(|share| share.is_surely_missed())?;
    Some((missing_mode(observed, judged, Share::is_surely_missed), first.to_string()))
}

/// A failed request is late too: the failures are the cause where at least half of the bad requests failed.
fn missing_mode(observed: &Observation, judged: &Judged, is_missed: fn(&Share) -> bool) -> FailureMode {
    let failures = failures(observed, judged.window);
    let bad = judged.shares.iter().filter(|share| is_missed(share)).map(|share| share.bad).min();
    let is_failures = bad.is_some_and(|bad| 2 * failures.sum() >= bad);
    if is_failures { mode::of_failures(&failures) } else { FailureMode::Latency }
}

fn fell_short(slo: &Slo, judged: &Judged) -> Option<(FailureMode, String)> {
    let per_s = slo.throughput_per_s().filter(|per_s| judged.planned_per_s >= *per_s)?;
    // Two standard deviations of a Poisson count: at exactly the rate asked for half of all trials have fewer.
    let luck = 2.0 * (per_s / judged.window.length_s()).sqrt();
    (judged.completed_per_s + luck < per_s).then(|| {
        let text = format!(
            "{:.1} a second of {:.1} planned, asked for: {per_s}",
            judged.completed_per_s, judged.planned_per_s
        );
        (FailureMode::Plateau, text)
    })
}

fn doubts(judged: &Judged, is_steady: bool) -> Vec<String> {
    let unsteady = "the trial has no steady part (MSER-5 cuts off more than half)".to_owned();
    let unsure = judged.shares.iter().filter(|share| !share.is_surely_met()).map(ToString::to_string);
    (!is_steady).then_some(unsteady).into_iter().chain(unsure).collect()
}

fn whole(observed: &Observation) -> Window {
    Window { from_s: 0, to_s: observed.seconds.len() }
}

fn failures(observed: &Observation, window: Window) -> Failures {
    let mut sum = Failures::default();
    observed.seconds[window.from_s..window.to_s].iter().for_each(|tick| sum.add(tick.failures));
    sum
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {:.2} % of {} requests miss it, 95 % interval {:.2} to {:.2} % (allowed: {:.2} %)",
            self.criterion,
            self.share * 100.0,
            self.asked,
            self.low * 100.0,
            self.high * 100.0,
            self.limit * 100.0
        )
    }
}

#[cfg(test)]
mod tests;
