//! Stage times of all exchanges, gathered by route in one pass.

use std::collections::{BTreeMap, HashMap};

use kingtide_common::exchange::Exchange;
use kingtide_common::stages::Stage;

use super::distribution::{Distribution, StageTimes};
use crate::sessions::route;

/// Durations by stage, microseconds.
#[derive(Debug, Default)]
pub(super) struct Durations<'a> {
    outer: [Vec<u64>; Stage::ALL.len()],
    inner: BTreeMap<&'a str, Vec<u64>>,
}

/// The exchanges of one route and what their stages took.
#[derive(Debug, Default)]
pub(super) struct RouteTable<'a> {
    pub(super) exchanges: Vec<&'a Exchange>,
    pub(super) durations: Durations<'a>,
}

/// By route (`POST /api/students/upload-recording`).
#[derive(Debug, Default)]
pub(super) struct Tables<'a> {
    pub(super) routes: BTreeMap<String, RouteTable<'a>>,
}

/// Puts every exchange into the table of its route. Templates are looked up once per different path.
pub(super) fn collect<'a>(exchanges: &[&'a Exchange]) -> Tables<'a> {
    let mut names: HashMap<(&str, &str), String> = HashMap::new();
    let mut tables = Tables::default();
    for &exchange in exchanges {
        let key = (exchange.method.as_str(), exchange.path());
        let name = names.entry(key).or_insert_with(|| route::template(&exchange.method, &exchange.target));
        if !tables.routes.contains_key(name) {
            tables.routes.insert(name.clone(), RouteTable::default());
        }
        tables.routes.get_mut(name).expect("inserted above").add(exchange);
    }
    tables
}

impl<'a> RouteTable<'a> {
    fn add(&mut self, exchange: &'a Exchange) {
        self.exchanges.push(exchange);
        for (stage, times_us) in Stage::ALL.into_iter().zip(&mut self.durations.outer) {
            times_us.extend(stage_us(exchange, stage));
        }
        for timing in &exchange.server_timing {
            self.durations.inner.entry(&timing.name).or_default().push(timing.duration_us);
        }
    }
}

fn stage_us(exchange: &Exchange, stage: Stage) -> Option<u64> {
    if stage == Stage::Tls { exchange.tls_us } else { exchange.instants.stage_us(stage) }
}

impl Tables<'_> {
    /// All stages over all routes; those that never ran have no percentiles.
    pub(super) fn outer_times(&self) -> BTreeMap<String, StageTimes> {
        let over_all = |at: usize| self.routes.values().flat_map(move |table| &table.durations.outer[at]);
        let times = |at| Distribution::of(over_all(at).copied().collect()).stage_times();
        Stage::ALL.into_iter().enumerate().map(|(at, stage)| (stage.name().to_owned(), times(at))).collect()
    }

    /// All inner stages over all routes.
    pub(super) fn inner_times(&self) -> BTreeMap<String, StageTimes> {
        let mut merged: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (name, times_us) in self.routes.values().flat_map(|table| &table.durations.inner) {
            merged.entry(name).or_default().extend(times_us);
        }
        inner_times(merged)
    }
}

impl Durations<'_> {
    /// The stages that ran, with their percentiles: outer and inner.
    pub(super) fn into_times(self) -> (BTreeMap<String, StageTimes>, BTreeMap<String, StageTimes>) {
        let named = Stage::ALL.into_iter().zip(self.outer).filter(|(_, times_us)| !times_us.is_empty());
        let outer =
            named.map(|(stage, times)| (stage.name().to_owned(), Distribution::of(times).stage_times()));
        (outer.collect(), inner_times(self.inner))
    }
}

fn inner_times(by_name: BTreeMap<&str, Vec<u64>>) -> BTreeMap<String, StageTimes> {
    let named = by_name.into_iter();
    named.map(|(name, times_us)| (name.to_owned(), Distribution::of(times_us).stage_times())).collect()
}
