//! All requests of the valid runs together: histograms merged exactly.

use std::collections::BTreeMap;

use kingtide_common::latency::LatencyRecorder;
use serde::Serialize;

use crate::measure::Recorder;
use crate::measure::recorder::RouteCounts;
use crate::measure::run::Percentiles;

/// Collects them run by run. Runs of a model may number the same routes differently, so they merge by name.
#[derive(Debug, Default)]
pub struct Merging {
    routes: BTreeMap<String, RouteCounts>,
    lag: LatencyRecorder,
}

/// Of all requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merged {
    #[serde(flatten)]
    pub all: Counts,
    pub lag_ms: Percentiles,
    pub routes: BTreeMap<String, Counts>,
}

/// Of all requests, or those of a route.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Counts {
    pub sent: u64,
    pub done: u64,
    pub failed: u64,
    pub latency_ms: Percentiles,
    pub service_ms: Percentiles,
}

impl Merging {
    /// Routes are named by their numbers in the recorder.
    pub fn add(&mut self, routes: &[String], recorder: &Recorder) {
        let routes = routes.iter().zip(&recorder.routes);
        routes.for_each(|(label, counts)| self.routes.entry(label.clone()).or_default().merge(counts));
        self.lag.merge(&recorder.lag.pacer);
    }

    pub fn merged(&self) -> Merged {
        let mut all = RouteCounts::default();
        self.routes.values().for_each(|route| all.merge(route));
        Merged {
            all: Counts::of(&all),
            lag_ms: Percentiles::of(&self.lag),
            routes: self.routes.iter().map(|(label, counts)| (label.clone(), Counts::of(counts))).collect(),
        }
    }
}

impl Counts {
    fn of(counts: &RouteCounts) -> Self {
        Self {
            sent: counts.sent,
            done: counts.done,
            failed: counts.failed,
            latency_ms: Percentiles::of(&counts.latency),
            service_ms: Percentiles::of(&counts.service),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use crate::measure::recorder::tests::answered;

    #[test]
    fn the_p95_of_all_is_none_of_the_runs_and_no_mean_of_them() {
        // 100 requests of 10 to 109 ms, and 300 of 1,010 to 1,309 ms; the routes are numbered the other way round.
        let recorder = |count: u64, from_ms: u64, route: usize| {
            let mut recorder = Recorder::new(2);
            for ms in from_ms..from_ms + count {
                recorder.ended(&Sample { route, ended_ns: (ms + 10) * 1_000_000, ..answered(200, false) });
            }
            recorder
        };
        let mut merging = Merging::default();
        merging.add(&["a", "b"].map(str::to_owned), &recorder(100, 10, 0));
        merging.add(&["b", "a"].map(str::to_owned), &recorder(300, 1_010, 1));
        let Merged { all, routes, lag_ms } = merging.merged();
        let near = |value: Option<f64>, ms: f64| (value.unwrap() - ms).abs() < 1.0;
        assert_eq!((all.sent, all.latency_ms.count, lag_ms.count), (400, 400, 400));
        // The 380th of 400; the mean of both p95 would be 699 ms.
        assert!(near(all.latency_ms.p95, 1_289.0), "{all:?}");
        assert_eq!((routes["a"].sent, routes["b"].sent), (400, 0));
        assert!(near(routes["a"].latency_ms.p50, 1_109.0), "{routes:?}");
    }
}
