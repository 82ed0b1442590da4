//! What a summary tells of exchanges by themselves, whoever sent them.
//!
//! It needs no sessions, so it is made while these are still being found.

use std::collections::BTreeMap;

use kingtide_common::exchange::Gap;

use super::distribution::{Distribution, Sizes, Speeds, StageTimes};
use super::shape::Arrivals;
use super::synthesised::Synthesised;
use super::tally::Tally;
use super::uploads::{self, SizeBin};
use super::values::Values;
use super::{Amount, LimitSummary, RouteSummary, limits, routes};
use crate::plan;

/// The parts of [`super::Summary`] of the same names.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) exchanges: u64,
    pub(super) arrivals: Arrivals,
    pub(super) dispersion: BTreeMap<String, Option<f64>>,
    pub(super) statuses: BTreeMap<String, u64>,
    pub(super) ends: BTreeMap<String, u64>,
    pub(super) limits: BTreeMap<String, LimitSummary>,
    pub(super) routes: Vec<RouteSummary>,
    pub(super) stages: BTreeMap<String, StageTimes>,
    pub(super) stages_inner: BTreeMap<String, StageTimes>,
    pub(super) upload_bytes: Sizes,
    pub(super) upload_histogram: Vec<SizeBin>,
    pub(super) uplink_bytes_per_s: Speeds,
    pub(super) body_bytes: Amount,
    pub(super) unread_bodies: u64,
    pub(super) synthesised: Option<Synthesised>,
    pub(super) gaps: Vec<Gap>,
}

impl Counts {
    /// Of exchanges that began at these instants, nanoseconds UTC, in any order.
    pub(super) fn of(tally: Tally, starts_ns: &[i64]) -> Self {
        let starts_us = since_first_us(starts_ns);
        let uploads = Distribution::of(Values::of_all(tally.routes.values().map(|tally| &tally.file_bytes)));
        Self {
            exchanges: starts_ns.len() as u64,
            arrivals: Arrivals::of(&starts_us),
            dispersion: dispersion(&starts_us),
            statuses: routes::statuses(&tally.routes),
            ends: tally.ends,
            limits: limits::summarise(&tally.routes),
            stages: routes::stages(&tally.routes),
            stages_inner: routes::inner_stages(&tally.routes),
            routes: routes::summarise(tally.routes),
            upload_histogram: uploads::histogram(uploads.values()),
            upload_bytes: uploads.sizes(),
            uplink_bytes_per_s: Distribution::of(tally.uplinks.into()).speeds(),
            body_bytes: tally.bodies,
            unread_bodies: tally.unread_bodies,
            synthesised: tally.synthesised.any(),
            gaps: tally.gaps,
        }
    }
}

fn since_first_us(starts_ns: &[i64]) -> Vec<u64> {
    let first_ns = starts_ns.iter().min().copied().unwrap_or_default();
    starts_ns.iter().map(|start_ns| start_ns.abs_diff(first_ns) / 1000).collect()
}

fn dispersion(starts_us: &[u64]) -> BTreeMap<String, Option<f64>> {
    let span_us = starts_us.iter().max().map_or(0, |last_us| last_us + 1);
    let windows = plan::dispersion::WINDOWS_S.into_iter();
    let index = |window_s| plan::dispersion::dispersion(starts_us, window_s, span_us);
    windows.map(|window_s| (plan::dispersion::label(window_s), index(window_s))).collect()
}
