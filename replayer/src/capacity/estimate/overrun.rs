//! What the trials far above the capacity say: fewer answers, or more, only too late.

use super::PROOF_S;
use super::plateau::answered;
use crate::capacity::finding::{Retrograde, TrialRecord};

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
