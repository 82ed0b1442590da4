//! A target that had been idle and had to wake up: its first answers take far longer than all that follow. Pure.

use super::timeline::{Event, EventKind};
use crate::measure::run::Second;
use crate::report::format::{ms, seconds};
use crate::statistics::median;

/// So long nothing was sent or under way: before, a target is taken to be awake.
const IDLE_S: u64 = 60;
/// How many times the usual answer, and how much longer than it, the first ones take.
const TIMES: f64 = 5.0;
const LONGER_MS: f64 = 1_000.0;
/// Seconds with answers that there must be to know what is usual.
const USUAL_MIN: usize = 5;

/// Those of a run; what was before the run is not known and counts as idle.
pub fn cold_starts(series: &[Second]) -> Vec<Event> {
    let Some(usual_ms) = usual_ms(series) else { return Vec::new() };
    let mut awake_s: Option<u64> = None;
    let mut found = Vec::new();
    for second in series {
        let idle_s = awake_s.map(|awake_s| second.at_s.saturating_sub(awake_s));
        let was_idle = idle_s.is_none_or(|idle_s| idle_s >= IDLE_S);
        let first_ms = second.latency_ms_p95.filter(|_| was_idle && second.done > 0);
        if let Some(first_ms) = first_ms.filter(|first_ms| is_cold(*first_ms, usual_ms)) {
            found.push(event(second.at_s, idle_s, first_ms, usual_ms));
        }
        // A request that is under way keeps it from sleeping, once it has answered one.
        if second.done > 0 || (awake_s.is_some() && second.in_flight > 0) {
            awake_s = Some(second.at_s);
        }
    }
    found
}

/// A first answer that is far above what is usual.
pub fn is_cold(first_ms: f64, usual_ms: f64) -> bool {
    first_ms > usual_ms * TIMES && first_ms > usual_ms + LONGER_MS
}

/// Median over the seconds of their medians.
fn usual_ms(series: &[Second]) -> Option<f64> {
    let medians: Vec<f64> = series.iter().filter_map(|second| second.latency_ms_p50).collect();
    median(medians.iter().copied()).filter(|_| medians.len() >= USUAL_MIN)
}

fn event(at_s: u64, idle_s: Option<u64>, first_ms: f64, usual_ms: f64) -> Event {
    let after = idle_s
        .map_or_else(String::new, |idle_s| format!(" after {} of silence", seconds(Some(idle_s as f64))));
    Event {
        at_s: at_s as f64,
        monitor: "target".to_owned(),
        kind: EventKind::ColdStart,
        text: format!(
            "the first answers{after} took {} (p95), in the median they take {}: it may have been asleep",
            ms(Some(first_ms)),
            ms(Some(usual_ms))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at_s: u64, latency_ms: f64) -> Second {
        Second {
            at_s,
            done: 1,
            latency_ms_p50: Some(latency_ms),
            latency_ms_p95: Some(latency_ms),
            ..Second::default()
        }
    }

    fn at_s(series: &[Second]) -> Vec<f64> {
        cold_starts(series).iter().map(|event| event.at_s).collect()
    }

    #[test]
    fn first_answers_far_above_the_rest_are_a_cold_start() {
        let warm = |from: u64| (from..from + 20).map(|at_s| second(at_s, 200.0));
        let cold: Vec<Second> = [second(0, 8_000.0)].into_iter().chain(warm(1)).collect();
        assert_eq!(at_s(&cold), [0.0]);
        let text = &cold_starts(&cold)[0].text;
        assert!(
            text.starts_with("the first answers took 8.0 s (p95), in the median they take 200 ms"),
            "{text}"
        );
        let again: Vec<Second> = warm(0).chain([second(100, 3_000.0)]).chain(warm(101)).collect();
        assert_eq!(at_s(&again), [100.0]);
    }

    #[test]
    fn what_is_slow_otherwise_is_none() {
        let all = |ms: &[f64]| ms.iter().zip(0..).map(|(ms, at_s)| second(at_s, *ms)).collect::<Vec<_>>();
        for latencies in [
            vec![8_000.0; 20],
            vec![900.0, 200.0, 200.0, 200.0, 200.0, 200.0],
            vec![200.0, 200.0, 200.0, 8_000.0, 200.0, 200.0],
            vec![8_000.0, 200.0],
            vec![],
        ] {
            assert_eq!(at_s(&all(&latencies)), Vec::<f64>::new(), "{latencies:?}");
        }
        let waiting = Second { at_s: 50, in_flight: 1, ..Second::default() };
        let mut busy: Vec<Second> = (0..20).map(|at_s| second(at_s, 200.0)).collect();
        busy.extend([waiting, second(100, 50_000.0)]);
        assert_eq!(at_s(&busy), Vec::<f64>::new(), "a slow answer is no sleep");
    }
}
