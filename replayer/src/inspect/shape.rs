//! The shape of the traffic: sessions, think times, and when requests and sessions began.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::distribution::{Distribution, Sizes, StageTimes};
use super::histogram::{Bin, binned};
use crate::sessions::users::Group;

/// Columns that arrivals are shown in, at most.
const ARRIVAL_BINS_MAX: u64 = 60;

/// What the sessions are like.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SessionShape {
    /// Requests of each session.
    pub requests: Sizes,
    /// Connections of each session.
    pub connections: Sizes,
    /// From the first request to the end of the last answer, milliseconds.
    pub duration: StageTimes,
    /// From the end of all earlier answers to the next request, milliseconds; requests that overlap have none.
    pub think: StageTimes,
    /// Think times, milliseconds; from the shortest to the longest without holes.
    pub think_histogram: Vec<Bin>,
    /// Requests that began before an earlier one of their session was answered.
    pub overlapping: u64,
    /// The most sessions that were under way at a time.
    pub at_once_max: u64,
}

/// When requests began.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Arrivals {
    /// Length of each bin.
    pub bin_s: f64,
    /// Requests that began in it, from the first request on.
    pub counts: Vec<u64>,
    pub mean_per_s: Option<f64>,
    /// In the busiest second.
    pub peak_per_s: Option<u64>,
}

impl SessionShape {
    pub(super) fn of(groups: &[Group]) -> Self {
        let silences = || groups.iter().flat_map(Group::silences_ns);
        let think_us: Vec<u64> = silences().filter_map(|ns| u64::try_from(ns / 1000).ok()).collect();
        let duration_us = |group: &Group| (group.end_ns() - group.start_ns()).unsigned_abs() / 1000;
        Self {
            requests: sizes(groups.iter().map(|group| group.rows.len() as u64)),
            connections: sizes(groups.iter().map(connections)),
            duration: StageTimes::of(groups.iter().map(duration_us).collect()),
            think_histogram: binned(think_us.iter().map(|us| us / 1000)),
            overlapping: silences().filter(|ns| *ns < 0).count() as u64,
            think: StageTimes::of(think_us),
            at_once_max: at_once_max(groups),
        }
    }
}

fn sizes(values: impl Iterator<Item = u64>) -> Sizes {
    Distribution::of(values.collect()).sizes()
}

fn connections(group: &Group) -> u64 {
    let mut connections: Vec<u64> = group.rows.iter().map(|row| row.connection).collect();
    connections.sort_unstable();
    connections.dedup();
    connections.len() as u64
}

fn at_once_max(groups: &[Group]) -> u64 {
    let starts = groups.iter().map(|group| (group.start_ns(), 1));
    let mut changes: Vec<(i64, i64)> =
        starts.chain(groups.iter().map(|group| (group.end_ns().saturating_add(1), -1))).collect();
    changes.sort_unstable();
    let at_once = changes.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    at_once.max().unwrap_or_default().unsigned_abs()
}

impl Arrivals {
    /// Of starts in microseconds since the first.
    pub(super) fn of(starts_us: &[u64]) -> Self {
        let Some(last_us) = starts_us.iter().max() else { return Self::default() };
        let bin_us = round_bin_us(last_us / ARRIVAL_BINS_MAX + 1);
        let mut counts = vec![0; usize::try_from(last_us / bin_us).unwrap_or_default() + 1];
        for start_us in starts_us {
            counts[usize::try_from(start_us / bin_us).unwrap_or_default()] += 1;
        }
        let span_s = (last_us + 1) as f64 / 1e6;
        Self {
            bin_s: bin_us as f64 / 1e6,
            counts,
            mean_per_s: (*last_us > 0).then(|| starts_us.len() as f64 / span_s),
            peak_per_s: Some(busiest_second(starts_us)),
        }
    }
}

fn busiest_second(starts_us: &[u64]) -> u64 {
    let mut counts: FxHashMap<u64, u64> = FxHashMap::default();
    for start_us in starts_us {
        *counts.entry(start_us / 1_000_000).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

/// The next of 1, 2, 5 · 10ⁿ ms, then whole minutes and hours in steps that people count in.
fn round_bin_us(least_us: u64) -> u64 {
    const STEPS_S: [u64; 16] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
    let below_a_second = (3..6).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let steps_us = below_a_second.chain(STEPS_S.map(|s| s * 1_000_000));
    let days_us = 86_400_000_000;
    steps_us.into_iter().find(|step| *step >= least_us).unwrap_or(least_us.div_ceil(days_us) * days_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_fit_into_a_line() {
        for last_us in [0, 1, 59_999, 60_000, 5_000_000, 86_400_000_000, 86_400_000_000 * 4000] {
            let arrivals = Arrivals::of(&[0, last_us]);
            assert!(arrivals.counts.len() <= 61, "{last_us}: {}", arrivals.counts.len());
            assert_eq!(arrivals.counts.iter().sum::<u64>(), 2);
        }
        assert_eq!(Arrivals::of(&[]), Arrivals::default());
        let busy = Arrivals::of(&[0, 10, 20, 5_500_000]);
        assert_eq!((busy.bin_s, busy.peak_per_s), (0.1, Some(3)));
    }
}
