//! Whether a scenario's criteria were met: a pure rule over what was counted.
//!
//! | criterion | PASS | FAIL | else UNDECIDED |
//! |---|---|---|---|
//! | share of requests (percentiles, errors) | the whole 95 % interval of the share of bad ones (Wilson) is within the limit | it is beyond it | |
//! | throughput | the whole interval of the mean rate at the peak (Student, batches of 5 s) is at least the rate | it is below | |
//! | limit of a count | it holds | it does not | |
//! | limit of a metric | every value seen is within it | one is not | nothing was seen |
//!
//! Over all requests that were planned, by their planned instants, ramps included. One FAIL is a FAIL, one UNDECIDED without one
//! is UNDECIDED.

use super::criterion::{Bound, Criteria, Demand, Limit};
use super::report::{Judged, Standing};
use crate::capacity::slo::{Ask, Criterion};
use crate::capacity::verdict::{Share, attained};
use crate::measure::attainment::{Count, PlannedSecond};
use crate::monitor::timeline::Timeline;
use crate::statistics::{Interval, Spread};

/// As for shares.
const BATCH_S: usize = 5;
/// Fewer batches have no variance to speak of.
const BATCHES_MIN: usize = 3;

/// What is known of a run.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// With a share for each criterion of requests, in their order.
    pub planned: &'a [PlannedSecond],
    /// Good answers of the seconds in which the load was at its peak.
    pub good_at_peak: &'a [u64],
    pub failed: u64,
    pub hung: u64,
    pub timeline: Option<&'a Timeline>,
}

/// See the module; in the order of the criteria.
pub fn judge(criteria: &Criteria, evidence: &Evidence<'_>) -> Vec<Judged> {
    let mut of_requests = 0;
    let judged = criteria.0.iter().map(|demand| match demand {
        Demand::Slo(criterion) => {
            of_requests += 1;
            of_slo(criterion, of_requests - 1, evidence)
        }
        Demand::Limit(limit) => of_limit(limit, evidence),
    });
    judged.collect()
}

/// Of all together.
pub fn standing(judged: &[Judged]) -> Standing {
    let has = |standing| judged.iter().any(|judged| judged.standing == standing);
    match (has(Standing::Fail), has(Standing::Undecided)) {
        (true, _) => Standing::Fail,
        (false, true) => Standing::Undecided,
        (false, false) => Standing::Pass,
    }
}

fn of_slo(criterion: &Criterion, number: usize, evidence: &Evidence<'_>) -> Judged {
    if let Ask::Throughput { per_s } = criterion.ask {
        return of_throughput(criterion, per_s, evidence.good_at_peak);
    }
    let counts = evidence.planned.iter().map(|second| second.shares.get(number).copied().unwrap_or_default());
    let counts: Vec<Count> = counts.collect();
    match attained(criterion, &counts) {
        Some(share) if share.asked > 0 => of_share(&share),
        _ => undecided(
            criterion.to_string(),
            criterion.ask.share().unwrap_or_default(),
            "no request of it was planned",
        ),
    }
}

fn of_share(share: &Share) -> Judged {
    let standing = match (share.is_surely_met(), share.is_surely_missed()) {
        (true, _) => Standing::Pass,
        (_, true) => Standing::Fail,
        _ => Standing::Undecided,
    };
    Judged {
        criterion: share.criterion.clone(),
        standing,
        value: Some(share.share),
        low: Some(share.low),
        high: Some(share.high),
        limit: share.limit,
        text: share.to_string(),
    }
}

fn of_throughput(criterion: &Criterion, per_s: f64, good: &[u64]) -> Judged {
    let criterion = criterion.to_string();
    let batches: Vec<f64> =
        good.chunks_exact(BATCH_S).map(|batch| batch.iter().sum::<u64>() as f64 / BATCH_S as f64).collect();
    if batches.len() < BATCHES_MIN {
        return undecided(criterion, per_s, "the load was at its peak for less than 15 s");
    }
    let spread = Spread::of(batches, &(0.0..=f64::INFINITY));
    let Some((mean, Interval { low, high })) =
        spread.and_then(|spread| Some((spread.mean, spread.interval?)))
    else {
        return undecided(criterion, per_s, "nothing was counted");
    };
    let standing = match (low >= per_s, high < per_s) {
        (true, _) => Standing::Pass,
        (_, true) => Standing::Fail,
        _ => Standing::Undecided,
    };
    let text = format!(
        "{criterion}: {mean:.2} good answers a second at the peak, 95 % interval {low:.2} to {high:.2}"
    );
    let (value, low, high) = (Some(mean), Some(low), Some(high));
    Judged { criterion, standing, value, low, high, limit: per_s, text }
}

fn of_limit(limit: &Limit, evidence: &Evidence<'_>) -> Judged {
    let worst = match limit.metric.as_str() {
        "requests.failed" => Some(evidence.failed as f64),
        "requests.hung" => Some(evidence.hung as f64),
        metric => evidence.timeline.and_then(|timeline| worst(limit.is, timeline, metric)),
    };
    let criterion = limit.to_string();
    let Some(value) = worst else {
        let why = "nothing looked at it: name a monitor of it in the environment";
        return undecided(criterion, limit.value, why);
    };
    let blind = evidence.timeline.map_or(0, |timeline| blind_looks(timeline, &limit.metric));
    if limit.holds(value) && blind > 0 {
        let why = format!("{value} seen, and {blind} looks saw nothing: what it was then nobody knows");
        return undecided(criterion, limit.value, &why);
    }
    let standing = if limit.holds(value) { Standing::Pass } else { Standing::Fail };
    let most = if limit.is == Bound::AtMost { "at most" } else { "at least" };
    let text = format!("{criterion}: {value} seen, {most} {} allowed", limit.value);
    Judged { criterion, standing, value: Some(value), low: None, high: None, limit: limit.value, text }
}

fn blind_looks(timeline: &Timeline, metric: &str) -> usize {
    let points = timeline.series.get(metric).map(Vec::as_slice).unwrap_or_default();
    points.iter().filter(|point| point.value.is_none()).count()
}

fn worst(is: Bound, timeline: &Timeline, metric: &str) -> Option<f64> {
    let values = timeline.values(metric).map(|(_, value)| value);
    match is {
        Bound::AtMost => values.max_by(f64::total_cmp),
        Bound::AtLeast => values.min_by(f64::total_cmp),
    }
}

fn undecided(criterion: String, limit: f64, why: &str) -> Judged {
    let text = format!("{criterion}: {why}");
    Judged { criterion, standing: Standing::Undecided, value: None, low: None, high: None, limit, text }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::monitor::timeline::Point;

    fn criteria(texts: &[&str]) -> Criteria {
        Criteria(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    /// `bad` of 10 requests in each second.
    fn seconds(count: usize, bad: impl Fn(usize) -> u64) -> Vec<PlannedSecond> {
        let second = |at| PlannedSecond {
            planned: 10,
            shares: vec![Count { asked: 10, bad: bad(at) }],
            ..PlannedSecond::default()
        };
        (0..count).map(second).collect()
    }

    fn evidence(planned: &[PlannedSecond]) -> Evidence<'_> {
        Evidence { planned, good_at_peak: &[], failed: 0, hung: 0, timeline: None }
    }

    fn one(text: &str, evidence: &Evidence<'_>) -> Standing {
        judge(&criteria(&[text]), evidence)[0].standing
    }

    #[test]
    fn shares_are_judged_by_their_whole_interval() {
        let cases = [
            ("none bad of 1,000", seconds(100, |_| 0), Standing::Pass),
            ("none bad of 30: up to 11 % may be", seconds(3, |_| 0), Standing::Undecided),
            ("a tenth bad of 1,000", seconds(100, |_| 1), Standing::Fail),
            (
                "one in twenty bad, the limit itself",
                seconds(100, |at| u64::from(at % 2 == 0)),
                Standing::Undecided,
            ),
            ("nothing planned", Vec::new(), Standing::Undecided),
        ];
        for (case, planned, expected) in cases {
            assert_eq!(one("errors<5%", &evidence(&planned)), expected, "{case}");
        }
    }

    #[test]
    fn a_rate_is_judged_by_its_whole_interval() {
        let at = |good: Vec<u64>| {
            let evidence = Evidence { good_at_peak: &good, ..evidence(&[]) };
            one("throughput>8/s", &evidence)
        };
        assert_eq!(at(vec![10; 60]), Standing::Pass);
        assert_eq!(at(vec![5; 60]), Standing::Fail);
        assert_eq!(at((0..60).map(|at| if at % 10 < 5 { 6 } else { 11 }).collect()), Standing::Undecided);
        assert_eq!(at(vec![10; 14]), Standing::Undecided, "two batches tell no variance");
    }

    #[test]
    fn a_limit_is_not_to_be_passed_once_and_needs_somebody_who_looks() {
        let points = [12.0, 21.0, 9.0].map(|value| Point { at_s: 0.0, value: Some(value) });
        let series = BTreeMap::from([("postgres.total".to_owned(), points.to_vec())]);
        let timeline = Timeline { series, events: Vec::new() };
        let seen = Evidence { timeline: Some(&timeline), failed: 1, ..evidence(&[]) };
        for (text, expected) in [
            ("postgres.total<=20", Standing::Fail),
            ("postgres.total<=21", Standing::Pass),
            ("postgres.total>=10", Standing::Fail),
            ("postgres.active<=20", Standing::Undecided),
            ("requests.failed<=0", Standing::Fail),
            ("requests.hung<=0", Standing::Pass),
        ] {
            assert_eq!(one(text, &seen), expected, "{text}");
        }
    }

    #[test]
    fn a_monitor_that_was_blind_proves_no_limit() {
        let points = [Some(12.0), None, Some(9.0)].map(|value| Point { at_s: 0.0, value });
        let series = BTreeMap::from([("postgres.total".to_owned(), points.to_vec())]);
        let timeline = Timeline { series, events: Vec::new() };
        let seen = Evidence { timeline: Some(&timeline), ..evidence(&[]) };
        assert_eq!(one("postgres.total<=20", &seen), Standing::Undecided);
        assert_eq!(one("postgres.total<=10", &seen), Standing::Fail, "what was seen is enough to fail");
    }

    #[test]
    fn one_failure_decides_and_one_doubt_is_kept() {
        let planned = seconds(100, |_| 0);
        let all = |texts: &[&str]| standing(&judge(&criteria(texts), &evidence(&planned)));
        assert_eq!(all(&["errors<5%", "requests.failed<=0"]), Standing::Pass);
        assert_eq!(all(&["errors<5%", "postgres.total<=20"]), Standing::Undecided);
        assert_eq!(all(&[]), Standing::Pass);
        let failed = Evidence { failed: 3, ..evidence(&planned) };
        let criteria = criteria(&["requests.failed<=0", "postgres.total<=20"]);
        assert_eq!(standing(&judge(&criteria, &failed)), Standing::Fail);
    }
}
