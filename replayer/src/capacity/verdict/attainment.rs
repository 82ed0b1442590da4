//! Whether the SLO was met: of the planned requests, how many were bad, and how sure that is.

use std::cmp::Ordering;

use super::{Share, Window};
use crate::capacity::slo::{Criterion, Slo};
use crate::capacity::trial::{Count, Observation};
use crate::capacity::wilson;

/// Long enough to hold what a burst does, short enough that a trial has a dozen.
const BATCH_S: usize = 5;
/// However much its batches differ, a trial is not worth nothing.
const N_EFFECTIVE_MIN: f64 = 4.0;

/// One per criterion that is a share, in the SLO's order.
pub(super) fn shares(slo: &Slo, observed: &Observation, window: Window) -> Vec<Share> {
    let with_limit =
        |(at, criterion): (usize, &Criterion)| Some((at, criterion.to_string(), criterion.ask.share()?));
    let asked = slo.criteria.iter().enumerate().filter_map(with_limit);
    asked.map(|(at, criterion, limit)| share(criterion, limit, &counts(observed, window, at))).collect()
}

fn counts(observed: &Observation, window: Window, at: usize) -> Vec<Count> {
    let seconds = &observed.seconds[window.from_s..window.to_s];
    seconds.iter().map(|tick| tick.criteria.get(at).copied().unwrap_or_default()).collect()
}

fn share(criterion: String, limit: f64, seconds: &[Count]) -> Share {
    let total = sum(seconds);
    let share = total.share().unwrap_or(0.0);
    let n_effective = n_effective(total, seconds);
    let (low, high) = wilson::interval(share, n_effective, wilson::Z_95);
    Share { criterion, asked: total.asked, bad: total.bad, limit, share, low, high, n_effective }
}

/// How many independent requests the asked ones are worth: as many as would give the share the variance that it has by
/// its batches. Neighbours share their fate, inside a second even more than from one second to the next, so that the
/// autocorrelation of one-second batches alone promises too much at more than a few requests a second.
fn n_effective(total: Count, seconds: &[Count]) -> f64 {
    let share = total.share().unwrap_or(0.0);
    let batches = seconds.chunks(BATCH_S).filter_map(|batch| sum(batch).share());
    let variance = wilson::variance_of_mean(&batches.collect::<Vec<_>>());
    let n = total.asked as f64;
    if variance > 0.0 { (share * (1.0 - share) / variance).clamp(N_EFFECTIVE_MIN.min(n), n) } else { n }
}

fn sum(seconds: &[Count]) -> Count {
    let add = |a: Count, b: &Count| Count { asked: a.asked + b.asked, bad: a.bad + b.bad };
    seconds.iter().fold(Count::default(), add)
}

impl Share {
    /// The whole interval is within the limit.
    pub(super) fn is_surely_met(&self) -> bool {
        self.high <= self.limit
    }

    /// The whole interval is beyond it.
    pub(super) fn is_surely_missed(&self) -> bool {
        self.low > self.limit
    }

    /// By the share alone, sure or not.
    pub(super) fn leans(&self) -> Ordering {
        self.share.total_cmp(&self.limit)
    }
}
