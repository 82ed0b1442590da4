//! A load's time by stage: means per route, of all requests and of the slowest.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::split::{CLIENT, Split, split};
use crate::measure::kept::KeptSample;

/// The part that counts as the slowest.
const TAIL_SHARE: f64 = 0.05;
const NS_PER_S: u64 = 1_000_000_000;

/// One trial, as the diagnosis sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    pub multiple: f64,
    /// The trial failed: nothing more got through.
    pub is_failing: bool,
    /// Complete answers a second, of all routes.
    pub completed_per_s: f64,
    pub routes: BTreeMap<String, RouteProfile>,
}

/// One route's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouteProfile {
    pub requests: usize,
    /// Of the requests of all routes.
    pub request_share: f64,
    pub total: Times,
    /// By name, in the order in which requests pass through them.
    pub stages: Vec<(String, Times)>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Times {
    pub mean_ms: f64,
    /// Mean over the requests whose total is among the slowest 5 %.
    pub tail_mean_ms: f64,
    pub p95_ms: f64,
}

impl Profile {
    /// Of the samples planned in these seconds; routes are numbered as `labels` are.
    pub fn of<'a>(
        samples: impl Iterator<Item = &'a KeptSample>,
        labels: &[String],
        seconds: &Range<u64>,
        multiple: f64,
        completed_per_s: f64,
        is_failing: bool,
    ) -> Self {
        let mut splits: BTreeMap<String, Vec<Split>> = BTreeMap::new();
        for kept in samples.filter(|kept| seconds.contains(&(kept.sample.intended_ns / NS_PER_S))) {
            let label = labels.get(kept.sample.route).cloned().unwrap_or_default();
            splits.entry(label).or_default().extend(split(kept));
        }
        let all: usize = splits.values().map(Vec::len).sum();
        let routes = splits.into_iter().filter(|(_, splits)| !splits.is_empty());
        let routes = routes.map(|(label, splits)| (label, RouteProfile::of(splits, all))).collect();
        Self { multiple, is_failing, completed_per_s, routes }
    }
}

impl RouteProfile {
    fn of(splits: Vec<Split>, all: usize) -> Self {
        let requests = splits.len();
        let mut splits = telling(splits);
        splits.sort_by(|a, b| a.total_ms.total_cmp(&b.total_ms));
        let names = names(&splits);
        let totals: Vec<f64> = splits.iter().map(|split| split.total_ms).collect();
        let stage = |name: String| {
            let values: Vec<f64> = splits.iter().map(|split| split.ms(&name)).collect();
            (name, Times::of(&values))
        };
        Self {
            requests,
            request_share: requests as f64 / all.max(1) as f64,
            total: Times::of(&totals),
            stages: names.into_iter().map(stage).collect(),
        }
    }

    pub fn stage(&self, name: &str) -> Times {
        self.stages.iter().find(|(stage, _)| stage == name).map(|(_, times)| *times).unwrap_or_default()
    }
}

impl Split {
    fn ms(&self, name: &str) -> f64 {
        self.stages.iter().filter(|(stage, _)| stage == name).map(|(_, ms)| ms).sum()
    }
}

/// Where answers tell the target's own stages, what has no answer would count all of its wait as nobody's: it is left out.
fn telling(splits: Vec<Split>) -> Vec<Split> {
    let tells = |split: &Split| split.stages.iter().any(|(name, _)| !CLIENT.contains(&name.as_str()));
    if !splits.iter().any(tells) {
        return splits;
    }
    splits.into_iter().filter(|split| !split.is_given_up).collect()
}

/// Every name once, in the order in which requests met them: each split lists its own in order.
fn names(splits: &[Split]) -> Vec<String> {
    let mut rank: HashMap<&str, usize> = HashMap::new();
    for split in splits {
        for (place, (name, _)) in split.stages.iter().enumerate() {
            let seen = rank.entry(name).or_default();
            *seen = place.max(*seen);
        }
    }
    let mut names: Vec<(usize, &str)> = rank.into_iter().map(|(name, place)| (place, name)).collect();
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name.to_owned()).collect()
}

impl Times {
    /// Of values in the order of their requests' totals.
    fn of(by_total: &[f64]) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a part of a length
        let tail = ((by_total.len() as f64 * TAIL_SHARE).ceil() as usize).clamp(1, by_total.len().max(1));
        let mut sorted = by_total.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            mean_ms: mean(by_total),
            tail_mean_ms: mean(&by_total[by_total.len().saturating_sub(tail)..]),
            p95_ms: sorted.len().checked_sub(tail).and_then(|at| sorted.get(at)).copied().unwrap_or_default(),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(is_given_up: bool, stages: &[(&str, f64)]) -> Split {
        let stages: Vec<(String, f64)> = stages.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
        Split { total_ms: stages.iter().map(|(_, ms)| ms).sum(), is_given_up, stages }
    }

    #[test]
    fn what_has_no_answer_counts_unless_answers_tell_more() {
        let given_up = split(true, &[("wait", 9_000.0)]);
        let plain = RouteProfile::of(vec![split(false, &[("wait", 1_000.0)]), given_up.clone()], 2);
        assert!((plain.stage("wait").mean_ms - 5_000.0).abs() < 1e-9);
        let told = split(false, &[("auth", 900.0), ("wait", 100.0)]);
        let telling = RouteProfile::of(vec![told, given_up], 2);
        assert_eq!((telling.requests, telling.stage("wait").mean_ms), (2, 100.0));
        assert!((telling.stage("auth").mean_ms - 900.0).abs() < 1e-9);
    }
}
