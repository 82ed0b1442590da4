//! What the target answers a second when more is asked of it.
//!
//! MLRsearch reports what was forwarded, not what was offered, and for a loose SLO that is what keeps the number honest:
//! a trial too short to show an overload of 3 % passes, while the answers that it and its neighbours got say 100 %.

use super::super::finding::TrialRecord;
use super::super::verdict::{FailureMode, Verdict};
use super::PROOF_S;
use crate::statistics::median;
use crate::statistics::spread::Spread;

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
    let half = half_width(answers);
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

pub(super) fn answered(record: &TrialRecord) -> f64 {
    let judged = &record.judged;
    judged.multiple * judged.completed_per_s / judged.planned_per_s
}

/// Student's, of the mean.
fn half_width(values: Vec<f64>) -> f64 {
    let spread = Spread::of(values, &(0.0..=f64::INFINITY));
    spread.map_or(0.0, |spread| spread.relative_half_width().unwrap_or(ALONE) * spread.mean)
}

/// Of one trial alone nothing is known but that it is about this good.
const ALONE: f64 = 0.05;
