//! Counts while the students visit, so that a report can be made at any moment, also of an interrupted visit.
//!
//! Latencies go into histograms (3 digits): memory does not grow with the visit.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::StudentsConfig;
use super::plan::PlannedStudent;
use super::report::{LatencyMs, Outcome, Report, Route, RouteReport, UploadReport};

/// Largest latency told apart, microseconds (one hour).
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Counts while the students visit.
#[derive(Debug)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug)]
struct RouteCounts {
    planned: u64,
    sent: u64,
    done: u64,
    ok: u64,
    statuses: BTreeMap<u16, u64>,
    latency_us: Histogram<u64>,
}

#[derive(Debug)]
struct Counts {
    students: u64,
    arrived: u64,
    left: u64,
    routes: BTreeMap<Route, RouteCounts>,
    errors: BTreeMap<String, u64>,
    uploads_sent: UploadReport,
    uploads: UploadReport,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("these bounds and digits are allowed")
}

impl RouteCounts {
    fn new(planned: u64) -> Self {
        Self { planned, sent: 0, done: 0, ok: 0, statuses: BTreeMap::new(), latency_us: histogram() }
    }

    fn report(&self) -> RouteReport {
        RouteReport {
            planned: self.planned,
            sent: self.sent,
            done: self.done,
            ok: self.ok,
            statuses: self.statuses.clone(),
            latency_ms: percentiles(&self.latency_us),
        }
    }
}

fn percentiles(latency_us: &Histogram<u64>) -> LatencyMs {
    let at = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1000.0;
    LatencyMs { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: latency_us.max() as f64 / 1000.0 }
}

impl UploadReport {
    fn add(&mut self, file_bytes: u64, body_bytes: u64) {
        self.count += 1;
        self.file_bytes += file_bytes;
        self.body_bytes += body_bytes;
    }
}

impl Tally {
    pub(crate) fn new(planned: &[PlannedStudent]) -> Self {
        let students = planned.len() as u64;
        let uploads = planned.iter().map(|student| student.uploads.len() as u64).sum();
        let count = |route| if route == Route::Upload { uploads } else { students };
        Self(Mutex::new(Counts {
            students,
            arrived: 0,
            left: 0,
            routes: Route::ALL.map(|route| (route, RouteCounts::new(count(route)))).into(),
            errors: BTreeMap::new(),
            uploads_sent: UploadReport::default(),
            uploads: UploadReport::default(),
        }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arrive(&self) {
        self.counts().arrived += 1;
    }

    pub(crate) fn leave(&self) {
        self.counts().left += 1;
    }

    pub(crate) fn send(&self, route: Route) {
        self.counts().route(route).sent += 1;
    }

    pub(crate) fn finish(&self, route: Route, outcome: &Outcome) {
        let mut counts = self.counts();
        counts.route(route).finish(outcome);
        if let Some(class) = outcome.error {
            let class = outcome.status.filter(|_| class == "status").map(|status| format!("status_{status}"));
            let class = class.unwrap_or_else(|| outcome.error.unwrap_or_default().to_owned());
            *counts.errors.entry(class).or_default() += 1;
        }
    }

    pub(crate) fn start_upload(&self, file_bytes: u64, body_bytes: u64) {
        self.counts().uploads_sent.add(file_bytes, body_bytes);
    }

    pub(crate) fn keep_upload(&self, file_bytes: u64, body_bytes: u64) {
        self.counts().uploads.add(file_bytes, body_bytes);
    }

    /// One line for stderr.
    pub(crate) fn progress(&self, elapsed: Duration) -> String {
        let counts = self.counts();
        let errors: u64 = counts.errors.values().sum();
        format!(
            "{:>4.0} s: {} of {} here, {} gone; {} uploads kept ({:.1} MB), {errors} errors",
            elapsed.as_secs_f64(),
            counts.arrived - counts.left,
            counts.students,
            counts.left,
            counts.uploads.count,
            counts.uploads.file_bytes as f64 / 1e6,
        )
    }

    pub(crate) fn report(&self, config: &StudentsConfig, elapsed: Duration, interrupted: bool) -> Report {
        let counts = self.counts();
        let sum = |field: fn(&RouteCounts) -> u64| counts.routes.values().map(field).sum::<u64>();
        let (planned, sent, done) = (sum(|r| r.planned), sum(|r| r.sent), sum(|r| r.done));
        Report {
            seed: config.plan.seed,
            students: counts.students,
            finished_students: counts.left,
            elapsed_s: elapsed.as_secs_f64(),
            interrupted,
            planned,
            sent,
            done,
            ok: sum(|route| route.ok),
            unfinished: sent - done,
            unsent: planned - sent,
            statuses: counts.statuses(),
            errors: counts.errors.clone(),
            latency_ms: percentiles(&counts.latency_us()),
            routes: counts.routes.iter().map(|(route, counts)| (route.name(), counts.report())).collect(),
            uploads_sent: counts.uploads_sent,
            uploads: counts.uploads,
        }
    }
}

impl RouteCounts {
    fn finish(&mut self, outcome: &Outcome) {
        self.done += 1;
        self.ok += u64::from(outcome.error.is_none());
        if let Some(status) = outcome.status {
            *self.statuses.entry(status).or_default() += 1;
            let latency_us = u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX);
            self.latency_us.saturating_record(latency_us);
        }
    }
}

impl Counts {
    fn route(&mut self, route: Route) -> &mut RouteCounts {
        self.routes.get_mut(&route).expect("every route was entered at the start")
    }

    fn statuses(&self) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        for (status, count) in self.routes.values().flat_map(|route| &route.statuses) {
            *all.entry(*status).or_default() += count;
        }
        all
    }

    fn latency_us(&self) -> Histogram<u64> {
        let mut all = histogram();
        for route in self.routes.values() {
            all.add(&route.latency_us).expect("all histograms here have the same bounds");
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::students::plan::{PlanConfig, plan};

    fn outcome(status: Option<u16>, error: Option<&'static str>) -> Outcome {
        Outcome { status, error, latency: Duration::from_millis(20) }
    }

    fn config(plan: PlanConfig) -> StudentsConfig {
        StudentsConfig {
            target: "http://127.0.0.1:1".parse().unwrap(),
            plan,
            timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
            json: None,
        }
    }

    #[test]
    fn everything_planned_is_accounted_for() {
        let config = config(PlanConfig { count: 1, uploads: (2, 2), ..PlanConfig::default() });
        let tally = Tally::new(&plan(&config.plan));
        tally.send(Route::Login);
        tally.finish(Route::Login, &outcome(Some(200), None));
        tally.send(Route::Upload);
        tally.finish(Route::Upload, &outcome(Some(503), Some("status")));
        tally.send(Route::Upload);
        let report = tally.report(&config, Duration::from_secs(1), false);
        assert_eq!((report.planned, report.sent, report.done, report.ok), (6, 3, 2, 1));
        assert_eq!((report.unfinished, report.unsent), (1, 3));
        assert_eq!(report.errors, BTreeMap::from([("status_503".to_owned(), 1)]));
        assert!(!report.is_ok());
        assert!(report.to_string().contains("status_503 1 (unfinished 1, unsent 3)"));
    }
}
