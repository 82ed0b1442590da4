//! What the target answers a second when more is asked of it.
//!
//! MLRsearch reports what was forwarded, not what was offered, and for a loose SLO that is what keeps the number honest:
//! a trial too short to show an overload of 3 % passes, while the answers that it and its neighbours got say 100 %.

use super::super::finding::{Retrograde, TrialRecord};
use super::super::student;
use super::super::verdict::{FailureMode, Verdict, median};

/// In multiples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plateau {
    pub(super) multiple: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Trials further above tell of a target that is overrun, not of its capacity.
const NEAR: f64 = 2.0;

/// Over the trials that fail because answers lag behind: the median of what was answered, and where trials far enough
/// above use the target up, no more than they got less what must be to spare for waits as short as the SLO asks; with
/// Student's interval of their mean. What is refused is answered, only not as wished: a target that sheds has no such
/// plateau. `spare_per_s` is that of [`crate::capacity::slo::Slo`]; how variable arrivals and answers are was measured.
pub(super) fn plateau<'a>(
    full: impl Iterator<Item = &'a TrialRecord>,
    near: f64,
    spare_per_s: f64,
) -> Option<Plateau> {
    let lags = |record: &&TrialRecord| {
        matches!(record.judged.verdict, Verdict::Fail(FailureMode::Drift | FailureMode::Latency))
    };
    let is_near = |record: &&TrialRecord| record.judged.multiple < near * NEAR;
    let records: Vec<&TrialRecord> = full.filter(lags).filter(is_near).collect();
    let answers: Vec<f64> = records.iter().map(|record| answered(record)).collect();
    let median = median(answers.iter().copied())?;
    let spared = spared(&records, near, spare_per_s);
    let multiple = spared.map_or(median, |(multiple, _)| multiple.min(median));
    let half = half_width(&answers);
    let low = multiple - half.hypot(spared.map_or(0.0, |(_, spare)| spare * SPARE_ERROR));
    // Upwards it is sure only that no more than all was answered.
    Some(Plateau { multiple, low: low.max(multiple / 2.0), high: median + half })
}

/// What a target that is used up answers, less what must be to spare; and that.
fn spared(records: &[&TrialRecord], near: f64, spare_per_s: f64) -> Option<(f64, f64)> {
    let is_used_up = |record: &&&TrialRecord| {
        record.judged.multiple > near * USED_UP && record.judged.window.length_s() >= PROOF_S
    };
    let used_up: Vec<&&TrialRecord> = records.iter().filter(is_used_up).collect();
    let length_s: f64 = used_up.iter().map(|record| record.judged.window.length_s()).sum();
    let mean = |value: &dyn Fn(&TrialRecord) -> f64| {
        used_up.iter().map(|record| value(record) * record.judged.window.length_s()).sum::<f64>() / length_s
    };
    let most = mean(&answered);
    let spare = mean(&|record| spare(record, spare_per_s)).min(most * SPARE_SHARE_MAX);
    (!used_up.is_empty()).then_some((most - spare, spare))
}

/// Farther above the border nothing waits for requests to come.
const USED_UP: f64 = 1.05;
/// Farther below its plateau a target is not in heavy traffic, and the law asks for too much: there the verdicts decide.
const SPARE_SHARE_MAX: f64 = 0.08;
/// What is to spare is known to about so much of it: the variability is that of a few minutes.
const SPARE_ERROR: f64 = 0.5;

/// In multiples.
fn spare(record: &TrialRecord, spare_per_s: f64) -> f64 {
    let unit_per_s = record.judged.planned_per_s / record.judged.multiple;
    spare_per_s * record.judged.dispersion / unit_per_s
}

fn answered(record: &TrialRecord) -> f64 {
    let judged = &record.judged;
    judged.multiple * judged.completed_per_s / judged.planned_per_s
}

fn half_width(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    if values.len() < 2 { ALONE * mean } else { student::t_95(values.len() - 1) * (variance / n).sqrt() }
}

/// Of one trial alone nothing is known but that it is about this good.
const ALONE: f64 = 0.05;

/// More load, fewer answers: the largest failing load, when it got less than this share of what a passing load got.
const RETROGRADE_SHARE: f64 = 0.85;
/// The next smaller failing load must show it too: one short trial is not enough.
const RETROGRADE_SHARE_NEXT: f64 = 0.92;
/// Standard deviations of the difference of two Poisson rates; bursts make them more than they are.
const RETROGRADE_SIGMAS: f64 = 4.0;

pub(in crate::capacity) fn retrograde<'a>(
    classifying: impl Iterator<Item = &'a TrialRecord> + Clone,
) -> Option<Retrograde> {
    let passed = classifying.clone().filter(|record| !record.judged.is_high());
    let most = passed.map(|record| record.judged.completed_per_s).fold(0.0, f64::max);
    let mut failed: Vec<&TrialRecord> = classifying.filter(|record| record.judged.has_failed()).collect();
    failed.sort_by(|a, b| b.judged.multiple.total_cmp(&a.judged.multiple));
    let highest = failed.first()?;
    let completed_per_s = highest.judged.completed_per_s;
    let luck = RETROGRADE_SIGMAS * (2.0 * most / highest.judged.window.length_s()).sqrt();
    let is_less = completed_per_s < RETROGRADE_SHARE * most && completed_per_s + luck < most;
    let next = failed.get(1).map_or(0.0, |record| record.judged.completed_per_s);
    (is_less && next < RETROGRADE_SHARE_NEXT * most).then_some(Retrograde {
        at_multiple: highest.judged.multiple,
        completed_per_s,
        completed_per_s_max: most,
    })
}

/// Trials this far above the capacity use the target up.
const OVERRUN: f64 = 1.1;
/// A target that answers this much more than its capacity when it is overrun is not used up at its capacity.
const ROOM: f64 = 1.08;
/// What is answered in less time may be what stood ready: free slots, empty queues.
const PROOF_S: f64 = 20.0;

/// Whether more would be answered a second than `capacity`, only not in time; `None` when the trials far enough above it
/// do not say. A backlog grows for ever only where it would not. One full-length trial that surely got more proves it; that
/// all trials got no more, short ones that found free slots with them, proves the contrary.
pub(in crate::capacity) fn has_room<'a>(
    classifying: impl Iterator<Item = &'a TrialRecord>,
    capacity: f64,
) -> Option<bool> {
    let overrun =
        |record: &&TrialRecord| record.judged.has_failed() && record.judged.multiple > capacity * OVERRUN;
    let records: Vec<&TrialRecord> = classifying.filter(overrun).collect();
    let surely =
        |record: &&TrialRecord| answered(record) * (1.0 - 1.0 / record.judged.answers().max(1.0).sqrt());
    let is_proof = |record: &&&TrialRecord| {
        record.trial.purpose.is_full_length() && record.judged.window.length_s() >= PROOF_S
    };
    let most = records.iter().filter(is_proof).map(surely).fold(0.0, f64::max);
    let length_s: f64 = records.iter().map(|record| record.judged.window.length_s()).sum();
    let mean = records.iter().map(|record| answered(record) * record.judged.window.length_s()).sum::<f64>()
        / length_s;
    match (most > capacity * ROOM, mean <= capacity * ROOM) {
        (true, _) => Some(true),
        (false, true) if !records.is_empty() => Some(false),
        (false, _) => None,
    }
}
