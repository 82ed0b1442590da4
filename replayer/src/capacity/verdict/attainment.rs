//! Whether the SLO was met: of the planned requests, how many were bad, and how sure that is.

use super::{Share, Window};
use crate::capacity::slo::{Ask, Criterion, Slo};
use crate::capacity::trial::{Count, Observation};
use crate::statistics::{autocorrelation, wilson};

/// Long enough to hold what a burst does, short enough that a trial has a dozen.
const BATCH_S: usize = 5;
/// However much its batches differ, a trial is not worth nothing.
const N_EFFECTIVE_MIN: f64 = 4.0;

/// One per criterion that is a share, in the SLO's order.
pub(super) fn shares(slo: &Slo, observed: &Observation, window: Window) -> Vec<Share> {
    let criteria = slo.criteria.iter().enumerate();
    criteria.filter_map(|(at, criterion)| attained(criterion, &counts(observed, window, at))).collect()
}

/// Of one criterion, by what was asked and found bad in each second; `None` for throughput.
pub(crate) fn attained(criterion: &Criterion, seconds: &[Count]) -> Option<Share> {
    let limit = criterion.ask.share()?;
    Some(Measured::new(seconds).against(criterion.to_string(), limit, leaning(criterion.ask)))
}

fn counts(observed: &Observation, window: Window, at: usize) -> Vec<Count> {
    let seconds = &observed.seconds[window.from_s..window.to_s];
    seconds.iter().map(|tick| tick.criteria.get(at).copied().unwrap_or_default()).collect()
}

/// A share of bad requests, before it is compared with anything.
struct Measured {
    total: Count,
    share: f64,
    n_effective: f64,
}

/// What is taken for the share of a trial whose interval holds the limit.
type Leaning = fn(share: f64, low: f64, high: f64) -> f64;

impl Measured {
    fn new(seconds: &[Count]) -> Self {
        let total = sum(seconds);
        Self { total, share: total.share().unwrap_or(0.0), n_effective: n_effective(total, seconds) }
    }

    fn against(&self, criterion: String, limit: f64, leaning: Leaning) -> Share {
        let (low, high) = wilson::interval(self.share, self.n_effective, wilson::Z_95);
        Share {
            criterion,
            asked: self.total.asked,
            bad: self.total.bad,
            limit,
            share: self.share,
            low,
            high,
            n_effective: self.n_effective,
            leans_high: leaning(self.share, low, high) > limit,
        }
    }
}

/// Refusals come evenly: their share is what it is. Lateness near the capacity comes in rare long spells, so that most
/// trials show less of it than there is in the long run and a few show far more: there the middle of the interval is
/// taken, which is the higher the fewer spells were seen, up to twice what was seen.
fn leaning(ask: Ask) -> Leaning {
    match ask {
        Ask::Latency { .. } => |share, low, high| f64::midpoint(low, high).min(2.0 * share),
        Ask::Errors { .. } | Ask::Throughput { .. } => |share, _, _| share,
    }
}

/// How many independent requests the asked ones are worth: as many as would give the share the variance that it has by
/// its batches. Neighbours share their fate, inside a second even more than from one second to the next, so that the
/// autocorrelation of one-second batches alone promises too much at more than a few requests a second.
fn n_effective(total: Count, seconds: &[Count]) -> f64 {
    let share = total.share().unwrap_or(0.0);
    let batches = seconds.chunks(BATCH_S).filter_map(|batch| sum(batch).share());
    let variance = autocorrelation::variance_of_mean(&batches.collect::<Vec<_>>());
    let n = total.asked as f64;
    if variance > 0.0 { (share * (1.0 - share) / variance).clamp(N_EFFECTIVE_MIN.min(n), n) } else { n }
}

fn sum(seconds: &[Count]) -> Count {
    let add = |a: Count, b: &Count| Count { asked: a.asked + b.asked, bad: a.bad + b.bad };
    seconds.iter().fold(Count::default(), add)
}

impl Share {
    /// The whole interval is within the limit.
    pub(crate) fn is_surely_met(&self) -> bool {
        self.high <= self.limit
    }

    /// The whole interval is beyond it.
    pub(crate) fn is_surely_missed(&self) -> bool {
        self.low > self.limit
    }
}
