//! A load's time by stage: means per route, of all requests and of the slowest.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::split::{CLIENT, Split, split};
use crate::measure::Outcome;
use crate::measure::kept::KeptSample;

/// The part that counts as the slowest.
const TAIL_SHARE: f64 = 0.05;
/// The part that was sent while the fewest others were in flight.
const QUIET_SHARE: f64 = 0.25;
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
    /// Of the requests of all routes that were planned in the window.
    pub request_share: f64,
    /// Of the answers of all routes that ended in it: where one route waits its share of the answers is smaller.
    pub answer_share: f64,
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
    /// Mean over the quarter of the requests that were sent while the fewest others were in flight: who comes to an empty
    /// house waits for nobody, so at a light load this is the stage without its queue.
    pub quiet_mean_ms: f64,
}

/// One request: where its time went, and how many others were in flight when it was sent.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    split: Split,
    others: usize,
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
        let samples: Vec<&KeptSample> = samples.collect();
        let in_flight = InFlight::of(&samples);
        let mut seen: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
        for kept in samples.iter().filter(|kept| seconds.contains(&(kept.sample.intended_ns / NS_PER_S))) {
            let label = labels.get(kept.sample.route).cloned().unwrap_or_default();
            let others = in_flight.at(kept.sample.sent_ns.unwrap_or(kept.sample.ended_ns));
            seen.entry(label).or_default().extend(split(kept).map(|split| Seen { split, others }));
        }
        let all: usize = seen.values().map(Vec::len).sum();
        let answers = answers(&samples, seconds);
        let answered: usize = answers.values().sum();
        let label_of = |route: &usize| labels.get(*route).cloned().unwrap_or_default();
        let answers: BTreeMap<String, usize> =
            answers.iter().map(|(route, n)| (label_of(route), *n)).collect();
        let routes = seen.into_iter().filter(|(_, seen)| !seen.is_empty());
        let of = |(label, seen): (String, Vec<Seen>)| {
            let answer_share = answers.get(&label).map_or(0.0, |n| *n as f64 / answered.max(1) as f64);
            (label, RouteProfile { answer_share, ..RouteProfile::of(seen, all) })
        };
        let routes = routes.map(of).collect();
        Self { multiple, is_failing, completed_per_s, routes }
    }
}

impl RouteProfile {
    fn of(seen: Vec<Seen>, all: usize) -> Self {
        let requests = seen.len();
        let mut seen = telling(seen);
        seen.sort_by(|a, b| a.split.total_ms.total_cmp(&b.split.total_ms));
        let quiet = quiet(&seen);
        let totals: Vec<f64> = seen.iter().map(|seen| seen.split.total_ms).collect();
        let stage = |name: String| {
            let values: Vec<f64> = seen.iter().map(|seen| seen.split.ms(&name)).collect();
            (name, Times::of(&values, &quiet))
        };
        Self {
            requests,
            request_share: requests as f64 / all.max(1) as f64,
            answer_share: 0.0,
            total: Times::of(&totals, &quiet),
            stages: names(&seen).into_iter().map(stage).collect(),
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

/// How many requests of each route were answered in these seconds, as well as when they were captured.
fn answers(samples: &[&KeptSample], seconds: &Range<u64>) -> BTreeMap<usize, usize> {
    let mut answers = BTreeMap::new();
    let is_answered =
        |kept: &&&KeptSample| matches!(kept.sample.outcome, Outcome::Answered { worse: false, .. });
    for kept in samples.iter().filter(is_answered) {
        if seconds.contains(&(kept.sample.ended_ns / NS_PER_S)) {
            *answers.entry(kept.sample.route).or_default() += 1;
        }
    }
    answers
}

/// Instants at which requests were sent, and at which they ended, each in order.
struct InFlight {
    sent_ns: Vec<u64>,
    ended_ns: Vec<u64>,
}

impl InFlight {
    /// Of a part of all requests it is that part of them.
    fn of(samples: &[&KeptSample]) -> Self {
        let sent = samples.iter().filter_map(|kept| Some((kept.sample.sent_ns?, kept.sample.ended_ns)));
        let (mut sent_ns, mut ended_ns): (Vec<u64>, Vec<u64>) = sent.unzip();
        sent_ns.sort_unstable();
        ended_ns.sort_unstable();
        Self { sent_ns, ended_ns }
    }

    fn at(&self, ns: u64) -> usize {
        let before = |instants: &[u64]| instants.partition_point(|at| *at < ns);
        before(&self.sent_ns).saturating_sub(before(&self.ended_ns))
    }
}

/// Where answers tell the target's own stages, what has no answer would count all of its wait as nobody's: it is left out.
fn telling(seen: Vec<Seen>) -> Vec<Seen> {
    let tells = |seen: &Seen| seen.split.stages.iter().any(|(name, _)| !CLIENT.contains(&name.as_str()));
    if !seen.iter().any(tells) {
        return seen;
    }
    seen.into_iter().filter(|seen| !seen.split.is_given_up).collect()
}

/// Places of the quarter that was sent while the fewest others were in flight.
fn quiet(seen: &[Seen]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..seen.len()).collect();
    places.sort_by_key(|at| seen[*at].others);
    // Who met as few counts as well: places are in the order of the totals, and the quick half of them is no fair choice.
    let most = part(seen.len(), QUIET_SHARE).checked_sub(1).map_or(0, |last| seen[places[last]].others);
    places.retain(|at| seen[*at].others <= most);
    places
}

/// At least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a part of a length
fn part(length: usize, share: f64) -> usize {
    ((length as f64 * share).ceil() as usize).clamp(1, length.max(1))
}

/// Every name once, in the order in which requests met them: each split lists its own in order.
fn names(seen: &[Seen]) -> Vec<String> {
    let mut rank: HashMap<&str, usize> = HashMap::new();
    for seen in seen {
        for (place, (name, _)) in seen.split.stages.iter().enumerate() {
            let seen = rank.entry(name).or_default();
            *seen = place.max(*seen);
        }
    }
    let mut names: Vec<(usize, &str)> = rank.into_iter().map(|(name, place)| (place, name)).collect();
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name.to_owned()).collect()
}

impl Times {
    /// Of values in the order of their requests' totals, and where the quiet ones stand among them.
    fn of(by_total: &[f64], quiet: &[usize]) -> Self {
        let tail = part(by_total.len(), TAIL_SHARE);
        let mut sorted = by_total.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quiet: Vec<f64> = quiet.iter().map(|at| by_total[*at]).collect();
        Self {
            mean_ms: mean(by_total),
            tail_mean_ms: mean(&by_total[by_total.len().saturating_sub(tail)..]),
            p95_ms: sorted.len().checked_sub(tail).and_then(|at| sorted.get(at)).copied().unwrap_or_default(),
            quiet_mean_ms: mean(&quiet),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(is_given_up: bool, stages: &[(&str, f64)]) -> Seen {
        let stages: Vec<(String, f64)> = stages.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
        let total_ms = stages.iter().map(|(_, ms)| ms).sum();
        Seen { split: Split { total_ms, is_given_up, stages }, others: 0 }
    }

    #[test]
    fn what_has_no_answer_counts_unless_answers_tell_more() {
        let given_up = seen(true, &[("wait", 9_000.0)]);
        let plain = RouteProfile::of(vec![seen(false, &[("wait", 1_000.0)]), given_up.clone()], 2);
        assert!((plain.stage("wait").mean_ms - 5_000.0).abs() < 1e-9);
        let told = seen(false, &[("auth", 900.0), ("wait", 100.0)]);
        let telling = RouteProfile::of(vec![told, given_up], 2);
        assert_eq!((telling.requests, telling.stage("wait").mean_ms), (2, 100.0));
        assert!((telling.stage("auth").mean_ms - 900.0).abs() < 1e-9);
    }

    #[test]
    fn who_meets_few_others_tells_the_time_without_the_queue() {
        // Who meets k others waits for them: 100 ms each.
        let met = |others: usize| Seen { others, ..seen(false, &[("store", 100.0 * (others + 1) as f64)]) };
        let profile = RouteProfile::of([5, 0, 3, 1, 0, 2, 4, 6].map(met).to_vec(), 8);
        let store = profile.stage("store");
        assert!((store.quiet_mean_ms - 100.0).abs() < 1e-9, "{store:?}");
        assert!(store.mean_ms > 300.0, "{store:?}");
    }

    #[test]
    fn all_who_met_as_few_count() {
        let at = |ms: f64| seen(false, &[("store", ms)]);
        let store = RouteProfile::of([100.0, 200.0, 300.0, 400.0].map(at).to_vec(), 4).stage("store");
        assert!((store.quiet_mean_ms - 250.0).abs() < 1e-9, "not the quickest quarter: {store:?}");
    }

    #[test]
    fn answers_count_where_they_ended() {
        let kept = |route, ended_s: u64| {
            let sample = crate::measure::recorder::tests::answered(200, false);
            let sample = crate::measure::Sample { route, ended_ns: ended_s * NS_PER_S, ..sample };
            KeptSample { sample, server: Vec::new() }
        };
        let all = [kept(0, 4), kept(0, 5), kept(1, 5), kept(1, 6), kept(1, 9), kept(1, 10)];
        let found = answers(&all.iter().collect::<Vec<_>>(), &(5..10));
        assert_eq!(found, BTreeMap::from([(0, 1), (1, 3)]));
    }

    #[test]
    fn in_flight_is_what_was_sent_before_and_has_not_ended() {
        let in_flight = InFlight { sent_ns: vec![0, 10, 20, 30], ended_ns: vec![15, 25, 40, 50] };
        assert_eq!([0, 5, 12, 20, 30, 45, 60].map(|ns| in_flight.at(ns)), [0, 1, 2, 1, 1, 1, 0]);
    }
}
