//! The summary of each route, the busiest first.

use std::collections::BTreeMap;

use kingtide_common::exchange::Exchange;
use kingtide_common::stages::Stage;
use serde::Serialize;

use super::distribution::{Sizes, StageTimes};
use super::stages::{RouteTable, Tables};
use super::{Summary, statuses_of, uploads};

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

pub(super) fn summarise(tables: Tables<'_>) -> Vec<RouteSummary> {
    let mut routes: Vec<_> = tables.routes.into_iter().map(|(name, table)| summary_of(name, table)).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.count));
    routes
}

fn summary_of(route: String, table: RouteTable<'_>) -> RouteSummary {
    let exchanges = || table.exchanges.iter().copied();
    let body_bytes = exchanges().map(|exchange: &Exchange| exchange.request_body_bytes).sum();
    let count = table.exchanges.len() as u64;
    let statuses = statuses_of(exchanges());
    let upload_bytes = uploads::sizes(exchanges()).sizes();
    let (stages, stages_inner) = table.durations.into_times();
    RouteSummary { route, count, statuses, body_bytes, upload_bytes, stages, stages_inner }
}
