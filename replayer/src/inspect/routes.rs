//! The summary of each route, the busiest first.

use std::collections::BTreeMap;

use kingtide_common::stages::Stage;
use serde::Serialize;

use super::Summary;
use super::distribution::{Distribution, Sizes, StageTimes};
use super::tally::RouteTally;
use super::values::Values;

/// Exchanges of one method and path template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteSummary {
    /// `POST /api/students/upload-recording`; what differs between users stands as a name in braces.
    pub route: String,
    pub count: u64,
    /// By status; `none` for exchanges that got no answer.
    pub statuses: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// File parts of multipart requests.
    pub upload_bytes: Sizes,
    pub stages: BTreeMap<String, StageTimes>,
    pub stages_inner: BTreeMap<String, StageTimes>,
}

impl RouteSummary {
    /// From the first byte of the request to the last of the answer.
    pub fn total(&self) -> StageTimes {
        self.stages.get(Stage::Total.name()).copied().unwrap_or_default()
    }
}

impl Summary {
    /// The slowest route first; what has no p95 comes last.
    pub fn routes_by_p95(&self) -> Vec<&RouteSummary> {
        let mut routes: Vec<&RouteSummary> = self.routes.iter().collect();
        let p95 = |route: &RouteSummary| route.total().p95.unwrap_or_default();
        routes.sort_by(|a, b| p95(b).total_cmp(&p95(a)));
        routes
    }
}

pub(super) fn summarise(routes: BTreeMap<String, RouteTally>) -> Vec<RouteSummary> {
    let mut routes: Vec<_> = routes.into_iter().map(|(name, tally)| summary_of(name, tally)).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.count));
    routes
}

fn summary_of(route: String, tally: RouteTally) -> RouteSummary {
    let stages = Stage::ALL.into_iter().zip(tally.stages_us).filter(|(_, times_us)| !times_us.is_empty());
    RouteSummary {
        route,
        count: tally.count,
        statuses: named_statuses(&tally.statuses),
        body_bytes: tally.body_bytes,
        upload_bytes: Distribution::of(tally.file_bytes.into()).sizes(),
        stages: stages
            .map(|(stage, times_us)| (stage.name().to_owned(), StageTimes::of(times_us.into())))
            .collect(),
        stages_inner: times_of(tally.inner_us),
    }
}

/// All stages over all routes; those that never ran have no percentiles.
pub(super) fn stages(routes: &BTreeMap<String, RouteTally>) -> BTreeMap<String, StageTimes> {
    let times = |at: usize| {
        let over_all = routes.values().map(|tally| &tally.stages_us[at]);
        StageTimes::of(Values::of_all(over_all))
    };
    Stage::ALL.into_iter().enumerate().map(|(at, stage)| (stage.name().to_owned(), times(at))).collect()
}

/// All inner stages over all routes.
pub(super) fn inner_stages(routes: &BTreeMap<String, RouteTally>) -> BTreeMap<String, StageTimes> {
    let mut merged: BTreeMap<&str, Vec<&Values>> = BTreeMap::new();
    for (name, times_us) in routes.values().flat_map(|tally| &tally.inner_us) {
        merged.entry(name).or_default().push(times_us);
    }
    let times = |many: Vec<&Values>| StageTimes::of(Values::of_all(many));
    merged.into_iter().map(|(name, many)| (name.to_owned(), times(many))).collect()
}

fn times_of(by_name: BTreeMap<String, Values>) -> BTreeMap<String, StageTimes> {
    by_name.into_iter().map(|(name, times_us)| (name, StageTimes::of(times_us.into()))).collect()
}

/// Counts over all routes.
pub(super) fn statuses(routes: &BTreeMap<String, RouteTally>) -> BTreeMap<String, u64> {
    let mut all: BTreeMap<Option<u16>, u64> = BTreeMap::new();
    for (status, count) in routes.values().flat_map(|tally| &tally.statuses) {
        *all.entry(*status).or_default() += count;
    }
    named_statuses(&all)
}

fn named_statuses(counts: &BTreeMap<Option<u16>, u64>) -> BTreeMap<String, u64> {
    let name = |status: &Option<u16>| status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    counts.iter().map(|(status, count)| (name(status), *count)).collect()
}
