//! Whether the target was asleep: the first answer after idleness far above all that come later.
//!
//! The warm-up keeps a cold start out of every verdict, and would keep it from the user too. So its samples are asked: of
//! each route the first request against those that were sent after its answer.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::kept::KeptSample;
use crate::measure::{Outcome, Sample};
use crate::monitor::cold_start::is_cold;
use crate::report::format::ms;
use crate::statistics::median;

/// Fewer later ones tell nothing of what is usual.
const LATER_MIN: usize = 10;

/// Of the route on which it cost most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColdStart {
    pub route: String,
    /// Service time of the first request.
    pub first_ms: f64,
    /// Median of those sent after its answer.
    pub usual_ms: f64,
}

/// Of a trial that came after idleness; routes are numbered as `labels` are.
pub fn cold_start<'a>(samples: impl Iterator<Item = &'a KeptSample>, labels: &[String]) -> Option<ColdStart> {
    let mut routes: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
    for kept in samples {
        routes.entry(kept.sample.route).or_default().extend(answered(&kept.sample));
    }
    let found = routes.into_iter().filter_map(|(route, mut answered)| {
        answered.sort_unstable();
        of_route(labels.get(route)?, &answered)
    });
    found.max_by(|a, b| (a.first_ms - a.usual_ms).total_cmp(&(b.first_ms - b.usual_ms)))
}

/// When it was sent and when its answer ended.
fn answered(sample: &Sample) -> Option<(u64, u64)> {
    matches!(sample.outcome, Outcome::Answered { worse: false, .. })
        .then_some((sample.sent_ns?, sample.ended_ns))
}

/// Of pairs in the order of sending.
fn of_route(label: &str, answered: &[(u64, u64)]) -> Option<ColdStart> {
    let took_ms = |(sent_ns, ended_ns): (u64, u64)| ended_ns.saturating_sub(sent_ns) as f64 / 1e6;
    let first = *answered.first()?;
    let later: Vec<f64> =
        answered.iter().filter(|(sent, _)| *sent > first.1).map(|pair| took_ms(*pair)).collect();
    let (first_ms, usual_ms) = (took_ms(first), median(later.iter().copied())?);
    // Longer than any later one too: else it was one slow answer of several.
    let is_first = later.len() >= LATER_MIN && later.iter().all(|later_ms| *later_ms < first_ms);
    (is_first && is_cold(first_ms, usual_ms)).then(|| ColdStart {
        route: label.to_owned(),
        first_ms,
        usual_ms,
    })
}

impl ColdStart {
    pub fn sentence(&self) -> String {
        format!(
            "cold start: the first {} took {}, later ones {}. The verdicts are those of a warm target; keep it warm (minimum \
             instances, a health check that runs the path) or let the first user wait",
            self.route,
            ms(Some(self.first_ms)),
            ms(Some(self.usual_ms))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// The first took so long; a second one was sent meanwhile, and then one every 100 ms.
    fn pairs(first_ms: u64, later_ms: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
        let meanwhile = [(0, first_ms * MS), (100 * MS, (first_ms + 5) * MS)];
        let later = (0..30).map(|at| {
            let sent = (first_ms + 10 + at * 100) * MS;
            (sent, sent + later_ms(at) * MS)
        });
        meanwhile.into_iter().chain(later).collect()
    }

    #[test]
    fn a_first_answer_far_above_all_later_ones_is_a_cold_start() {
        let found = of_route("POST /upload", &pairs(3300, |_| 310)).unwrap();
        assert_eq!((found.first_ms, found.usual_ms), (3300.0, 310.0));
        assert!(found.sentence().contains("the first POST /upload took 3.3 s"), "{}", found.sentence());
    }

    #[test]
    fn what_later_ones_take_too_is_none() {
        assert_eq!(
            of_route("r", &pairs(3300, |at| if at == 20 { 4000 } else { 310 })),
            None,
            "a slow one later"
        );
        assert_eq!(of_route("r", &pairs(500, |_| 310)), None, "not far above");
        assert_eq!(of_route("r", &pairs(40, |_| 2)), None, "nobody feels 40 ms");
        assert_eq!(of_route("r", &pairs(3300, |_| 310)[..8]), None, "too few to know what is usual");
        assert_eq!(of_route("r", &[]), None);
    }
}
