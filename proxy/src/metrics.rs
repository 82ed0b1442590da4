//! What is counted about exchanges, by route: times of stages, outcomes, sizes, limits.
//!
//! Each worker has a [`Meter`] of its own, so that its lock is free whenever the worker wants it; who asks
//! ([`Metrics::snapshot`]) merges them, a route at a time so that no worker waits longer than the merge of
//! one route takes. Histograms merge exactly and percentiles are never averaged.
//!
//! Memory is bounded: [`ROUTES_MAX`] routes by name, then one for all others; a distribution grows with the
//! largest value it holds and takes 14 KB for a second, 20 KB for a minute, 27 KB at most, and only stages
//! that were seen have one. A route of an upload service (9 stages, sizes, 3 timings of its backend) takes
//! about 0.2 MB a worker; 65 routes with all there can be, 32 MB.

mod distribution;
mod exposition;
mod gauges;
mod outcome;
mod tally;
mod totals;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use distribution::Distribution;
pub(crate) use exposition::exposition;
pub(crate) use gauges::{Gauge, Gauges, ListenerGauges, Raised};
pub(crate) use outcome::answered_by_name;
pub(crate) use totals::RouteTotals;

use crate::passage::Passage;

/// Routes counted by name.
const ROUTES_MAX: usize = 64;
/// All further routes.
const OTHER: &str = "(other)";
/// Requests for which no route was found: their heads never came, or none matched.
const NO_ROUTE: &str = "(none)";

/// The meters of all workers, and the gauges.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    meters: Mutex<Vec<Arc<Meter>>>,
    pub(crate) gauges: Gauges,
}

/// The counts of one worker.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Routes>);

#[derive(Debug, Default)]
struct Routes {
    positions: HashMap<Arc<str>, usize>,
    /// Never shrinks, so that a snapshot may go through it by position.
    totals: Vec<(Arc<str>, RouteTotals)>,
}

/// The counts of all workers at one time, by route.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) routes: BTreeMap<Arc<str>, RouteTotals>,
}

impl Metrics {
    /// A meter for a worker. What it counted stays when the worker is gone.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        let meter = Arc::<Meter>::default();
        self.meters.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&meter));
        meter
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut snapshot = Snapshot::default();
        for meter in meters {
            let merged = (0..).map_while(|position| meter.merge_route(position, &mut snapshot));
            merged.for_each(drop);
        }
        snapshot
    }
}

impl Meter {
    /// Counts an exchange that is over.
    pub(crate) fn exchange(&self, passage: &Passage) {
        self.lock().of(&passage.route).exchange(passage);
    }

    /// `None` after the last route.
    fn merge_route(&self, position: usize, snapshot: &mut Snapshot) -> Option<()> {
        let routes = self.lock();
        let (name, totals) = routes.totals.get(position)?;
        snapshot.routes.entry(Arc::clone(name)).or_default().merge(totals);
        Some(())
    }

    /// Counts are counts even after a panic in the middle of one.
    fn lock(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes {
    fn of(&mut self, route: &Arc<str>) -> &mut RouteTotals {
        let position = match self.positions.get(route) {
            Some(position) => *position,
            None => self.add(route),
        };
        &mut self.totals[position].1
    }

    /// The position of a route that is new.
    fn add(&mut self, route: &Arc<str>) -> usize {
        let is_full = self.positions.len() >= ROUTES_MAX;
        let shown = if route.is_empty() { NO_ROUTE.into() } else { Arc::clone(route) };
        let shown = if is_full { OTHER.into() } else { shown };
        let known = self.totals.iter().position(|(name, _)| *name == shown);
        let position = known.unwrap_or(self.totals.len());
        if known.is_none() {
            self.totals.push((shown, RouteTotals::default()));
        }
        if !is_full {
            self.positions.insert(Arc::clone(route), position);
        }
        position
    }
}

#[cfg(test)]
impl Snapshot {
    /// Exchanges over, all routes together.
    pub(crate) fn requests(&self) -> u64 {
        self.routes.values().map(RouteTotals::requests).sum()
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::stages::Stage;

    use super::*;
    use crate::sample;

    fn on_route(name: &str) -> Passage {
        Passage { route: name.into(), ..sample::upload() }
    }

    #[test]
    fn workers_merge_exactly() {
        let (apart, together) = (Metrics::default(), Metrics::default());
        let (left, right, both) = (apart.meter(), apart.meter(), together.meter());
        for ms in 1..=500 {
            let mut passage = on_route("uploads");
            passage.marks.done_ns = Some(passage.marks.started_ns + ms * sample::MS);
            if ms % 3 == 0 {
                left.exchange(&passage);
            } else {
                right.exchange(&passage);
            }
            both.exchange(&passage);
        }
        let (apart, together) = (apart.snapshot(), together.snapshot());
        let total = |snapshot: &Snapshot| snapshot.routes["uploads"].stage(Stage::Total).unwrap().clone();
        assert_eq!(total(&apart), total(&together));
        assert_eq!(apart.requests(), 500);
    }

    #[test]
    fn routes_beyond_the_bound_are_counted_together() {
        let metrics = Metrics::default();
        let meter = metrics.meter();
        for number in 0..ROUTES_MAX + 10 {
            meter.exchange(&on_route(&format!("route {number}")));
        }
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.routes.len(), ROUTES_MAX + 1);
        assert_eq!(snapshot.routes[OTHER].requests(), 10);
        assert_eq!(snapshot.requests(), ROUTES_MAX as u64 + 10);
    }

    #[test]
    fn a_request_without_a_route_has_a_name_too() {
        let metrics = Metrics::default();
        metrics.meter().exchange(&sample::silent_client());
        assert_eq!(metrics.snapshot().routes[NO_ROUTE].requests(), 1);
    }
}
