//! Whether a target comes back after an overload, and when.
//!
//! It is back when three windows of five seconds in a row look like a load that it carried before: p95 and what is in
//! flight at most 1.2 times as high. The load to compare with is the smallest passing one that is not lighter than the
//! load of recovery.

use super::history::{History, same};
use crate::capacity::trial::{Observation, Tick};
use crate::capacity::verdict::Verdict;
use crate::statistics::median;

const WINDOW_S: usize = 5;
const WINDOWS: usize = 3;
const MARGIN: f64 = 1.2;
/// The windows, and as long again for what was left over.
pub(super) const LENGTH_S_MIN: u64 = 2 * (WINDOW_S * WINDOWS) as u64;

/// A target in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Baseline {
    pub(super) latency_ms_p95: f64,
    pub(super) in_flight: f64,
}

/// `None` when no load as high passed.
pub(super) fn baseline(history: History<'_>, multiple: f64) -> Option<Baseline> {
    let passed = history.classifying().filter(|record| {
        let at_least = record.trial.multiple >= multiple || same(record.trial.multiple, multiple);
        at_least && matches!(record.judged.verdict, Verdict::Pass | Verdict::Undecided)
    });
    let nearest = passed.min_by(|a, b| a.trial.multiple.total_cmp(&b.trial.multiple))?;
    let judged = &nearest.judged;
    Some(Baseline { latency_ms_p95: judged.latency_ms_p95?, in_flight: judged.in_flight })
}

/// The second at which it was back: the beginning of the first three windows in order.
pub(super) fn back_at_s(baseline: &Baseline, observed: &Observation) -> Option<u64> {
    let sending = usize::try_from(observed.sending_s).unwrap_or(usize::MAX).min(observed.seconds.len());
    let in_order: Vec<bool> = observed.seconds[..sending]
        .chunks_exact(WINDOW_S)
        .map(|window| is_in_order(baseline, window))
        .collect();
    let has_answer = |at: usize| {
        let seconds = &observed.seconds[at * WINDOW_S..(at + WINDOWS) * WINDOW_S];
        seconds.iter().any(|tick| tick.latency_ms_p95.is_some())
    };
    let back = in_order.windows(WINDOWS).enumerate().find(|(at, windows)| {
        // Silence alone is no sign of life.
        windows.iter().all(|in_order| *in_order) && has_answer(*at)
    });
    let (first, _) = back?;
    Some((first * WINDOW_S) as u64)
}

/// A window in which nothing ended is in order only when nothing is in flight either.
fn is_in_order(baseline: &Baseline, window: &[Tick]) -> bool {
    let in_flight = window.iter().map(|tick| tick.in_flight as f64).sum::<f64>() / window.len() as f64;
    let latency = median(window.iter().filter_map(|tick| tick.latency_ms_p95));
    let is_fast = latency.map_or(in_flight < 1.0, |ms| ms <= MARGIN * baseline.latency_ms_p95);
    // One more in flight is nothing at a light load.
    is_fast && in_flight <= MARGIN * baseline.in_flight + 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: Baseline = Baseline { latency_ms_p95: 300.0, in_flight: 10.0 };

    fn observed(ms: impl Fn(usize) -> Option<f64>, in_flight: impl Fn(usize) -> u64) -> Observation {
        let tick = |at| Tick { latency_ms_p95: ms(at), in_flight: in_flight(at), ..Tick::default() };
        let seconds = (0..60).map(tick).collect();
        Observation {
            unit_per_s: 1.0,
            sending_s: 60,
            ramp_s: 0,
            rest_s: 0,
            seconds,
            invalid: Vec::new(),
            aborted: None,
        }
    }

    #[test]
    fn it_is_back_when_latency_and_in_flight_stay_back() {
        assert_eq!(back_at_s(&BASELINE, &observed(|_| Some(310.0), |_| 11)), Some(0));
        assert_eq!(
            back_at_s(&BASELINE, &observed(|at| Some(if at < 17 { 900.0 } else { 310.0 }), |_| 9)),
            Some(15)
        );
        // Good for ten seconds, and bad again.
        assert_eq!(
            back_at_s(&BASELINE, &observed(|at| Some(if at % 15 < 10 { 310.0 } else { 900.0 }), |_| 9)),
            None
        );
        assert_eq!(back_at_s(&BASELINE, &observed(|_| Some(310.0), |_| 40)), None);
    }

    #[test]
    fn silence_is_in_order_only_when_nothing_waits() {
        assert_eq!(back_at_s(&BASELINE, &observed(|_| None, |_| 5)), None);
        assert_eq!(back_at_s(&BASELINE, &observed(|_| None, |_| 0)), None, "nobody was answered");
        let rare = |at| (at == 12).then_some(310.0);
        assert_eq!(back_at_s(&BASELINE, &observed(rare, |_| 0)), Some(0), "few requests, one answer");
    }
}
