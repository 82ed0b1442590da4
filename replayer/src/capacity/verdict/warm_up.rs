//! Where a trial's steady part begins: MSER-5 (White 1997).
//!
//! The ramp and a fifth of the trial are left out in any case. From there the rule cuts off as many batches of five
//! seconds as make the rest's standard error smallest: the d with the least Σ_{i>d}(Zᵢ − Z̄)²/(k − d)². A minimum in the
//! second half says that there is no steady part (Hoad, Robinson, Davies 2010), and the window stays as it was.

use super::Window;
use crate::capacity::trial::Observation;

const BATCH_S: usize = 5;
/// Fewer seconds are no window.
const SECONDS_MIN: usize = 5;
/// Of the whole trial.
const DISCARDED: f64 = 0.2;

/// The seconds that may be judged, before any look at what happened in them.
pub(super) fn discard(observed: &Observation) -> Window {
    let to_s = whole(observed.sending_s).min(observed.seconds.len());
    let fifth = (to_s as f64 * DISCARDED).ceil();
    // A tenth after the ramp, which is a tenth itself: also where the ramp is longer.
    let ramp = observed.ramp_s as f64 + to_s as f64 * DISCARDED / 2.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of seconds")]
    let from_s = fifth.max(ramp.floor()) as usize;
    // Stopped during the ramp: what was sent last is the load that it could not take.
    Window { from_s: if from_s + SECONDS_MIN > to_s { to_s / 2 } else { from_s }, to_s }
}

/// The steady part of `window` by what is in flight and by the median latency; `None` when one of them has none.
pub(super) fn steady(observed: &Observation, window: Window) -> Option<Window> {
    let seconds = &observed.seconds[window.from_s..window.to_s];
    let in_flight: Vec<f64> = seconds.iter().map(|tick| tick.in_flight as f64).collect();
    let latency = held(seconds.iter().map(|tick| tick.latency_ms_p50));
    let cut = truncation(&in_flight)?.max(truncation(&latency)?);
    Some(Window { from_s: window.from_s + cut, ..window })
}

/// How many values belong to the beginning; `None` when it does not end in the first half.
fn truncation(series: &[f64]) -> Option<usize> {
    let batches: Vec<f64> = series.chunks_exact(BATCH_S).map(mean).collect();
    let spread = |cut: usize| {
        let rest = &batches[cut..];
        let middle = mean(rest);
        rest.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (rest.len() as f64).powi(2)
    };
    // The last batches are left out: of a few equal ones the spread is 0 by chance.
    let cuts = 0..batches.len().saturating_sub(BATCH_S).max(1);
    let best = cuts.min_by(|a, b| spread(*a).total_cmp(&spread(*b)))?;
    (best <= batches.len() / 2).then_some(best * BATCH_S)
}

/// A second in which nothing ended keeps the latency of the one before.
fn held(values: impl Iterator<Item = Option<f64>>) -> Vec<f64> {
    let mut last = None;
    let known: Vec<Option<f64>> = values
        .map(|value| {
            last = value.or(last);
            last
        })
        .collect();
    let first = known.iter().flatten().next().copied().unwrap_or(0.0);
    known.into_iter().map(|value| value.unwrap_or(first)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn whole(seconds: u64) -> usize {
    usize::try_from(seconds).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize) -> impl Iterator<Item = f64> {
        (0..count).map(|i| [3.0, -1.0, 2.0, -3.0, -1.0, 4.0, -4.0][i % 7])
    }

    #[test]
    fn a_beginning_is_cut_and_a_steady_series_is_not() {
        let steady: Vec<f64> = noise(100).collect();
        assert!(truncation(&steady).unwrap() <= 10, "{:?}", truncation(&steady));
        let warm: Vec<f64> =
            noise(100).enumerate().map(|(i, x)| x + 100.0 * (-(i as f64) / 6.0).exp()).collect();
        let cut = truncation(&warm).unwrap();
        assert!((15..=40).contains(&cut), "{cut}");
    }

    #[test]
    fn a_series_that_settles_late_has_no_steady_part() {
        let late: Vec<f64> =
            noise(100).enumerate().map(|(i, x)| if i < 65 { x + i as f64 } else { x }).collect();
        assert_eq!(truncation(&late), None);
    }

    #[test]
    fn seconds_without_an_answer_keep_the_last_latency() {
        let values = [None, Some(4.0), None, Some(5.0)];
        assert_eq!(held(values.into_iter()), [4.0, 4.0, 4.0, 5.0]);
    }

    #[test]
    fn the_ramp_and_a_fifth_are_left_out() {
        let observed = |sending_s, ramp_s| Observation {
            unit_per_s: 1.0,
            sending_s,
            ramp_s,
            rest_s: 0,
            seconds: vec![crate::capacity::trial::Tick::default(); 130],
            invalid: Vec::new(),
            aborted: None,
        };
        assert_eq!(discard(&observed(100, 10)), Window { from_s: 20, to_s: 100 });
        assert_eq!(discard(&observed(100, 40)), Window { from_s: 50, to_s: 100 });
        assert_eq!(discard(&observed(1000, 10)), Window { from_s: 26, to_s: 130 });
        assert_eq!(discard(&observed(10, 10)), Window { from_s: 5, to_s: 10 });
    }
}
