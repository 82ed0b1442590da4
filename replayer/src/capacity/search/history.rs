//! What the trials so far say together: pure questions about a list.
//!
//! Loads are grouped by the multiple that was asked for. Which side a load is on follows MLRsearch (draft-ietf-bmwg-
//! mlrsearch): by the sum of its trials' lengths with an exceed ratio of one half; a short trial may prove an upper
//! bound, never a lower one; the lower bound that counts is the largest passing load below the smallest failing one.

use super::super::finding::TrialRecord;
use super::super::trial::Purpose;
use super::super::verdict::{FailureMode, Verdict};

/// More than this share of a load's trial time must have failed to make it an upper bound.
const EXCEED_RATIO: f64 = 0.5;

#[derive(Debug, Clone, Copy)]
pub(in crate::capacity) struct History<'a>(pub(in crate::capacity) &'a [TrialRecord]);

/// What is known of one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::capacity) struct Load {
    pub(in crate::capacity) multiple: f64,
    pub(in crate::capacity) is_high: bool,
    /// By its full-length trials, not by short ones.
    pub(in crate::capacity) is_full: bool,
    /// Full-length trials that count.
    pub(in crate::capacity) trials: usize,
    /// None of them was sure.
    pub(in crate::capacity) is_unsure: bool,
}

impl<'a> History<'a> {
    /// Trials that say something about their load, and say it before the search looked at recovery.
    pub(in crate::capacity) fn classifying(self) -> impl Iterator<Item = &'a TrialRecord> + Clone {
        let counts = |record: &&TrialRecord| {
            let purpose = record.trial.purpose;
            purpose.classifies()
                && !matches!(purpose, Purpose::Rerun | Purpose::Overload)
                && record.judged.verdict != Verdict::Invalid
        };
        self.0.iter().filter(counts)
    }

    pub(in crate::capacity) fn full_length(self) -> impl Iterator<Item = &'a TrialRecord> + Clone {
        self.classifying().filter(|record| record.trial.purpose.is_full_length())
    }

    /// Those that move the bounds. Trials of the interval lie between them and only make the number sharper.
    fn bounding(self) -> impl Iterator<Item = &'a TrialRecord> + Clone {
        self.classifying().filter(|record| record.trial.purpose != Purpose::Interval)
    }

    /// From the smallest to the largest.
    pub(in crate::capacity) fn loads(self) -> Vec<Load> {
        let mut multiples: Vec<f64> = self.bounding().map(|record| record.trial.multiple).collect();
        multiples.sort_by(f64::total_cmp);
        multiples.dedup();
        multiples.into_iter().map(|multiple| self.load(multiple)).collect()
    }

    fn load(self, multiple: f64) -> Load {
        let at = || self.bounding().filter(move |record| same(record.trial.multiple, multiple));
        let full: Vec<&TrialRecord> = at().filter(|record| record.trial.purpose.is_full_length()).collect();
        let counted: Vec<&TrialRecord> = if full.is_empty() { at().collect() } else { full.clone() };
        let sum = |records: &[&TrialRecord], high: bool| {
            let side = records.iter().filter(|record| !high || is_high(record));
            side.map(|record| record.trial.length_s).sum::<u64>() as f64
        };
        Load {
            multiple,
            is_high: sum(&counted, true) > EXCEED_RATIO * sum(&counted, false),
            is_full: !full.is_empty(),
            trials: full.len(),
            is_unsure: counted.iter().all(|record| record.judged.verdict == Verdict::Undecided),
        }
    }

    /// The smallest load that is too high.
    pub(in crate::capacity) fn upper(self) -> Option<Load> {
        self.loads().into_iter().find(|load| load.is_high)
    }

    /// The largest load below the upper bound that is not too high, proven by full-length trials or not.
    pub(in crate::capacity) fn passed(self) -> Option<Load> {
        let below = self.upper().map_or(f64::INFINITY, |upper| upper.multiple);
        self.loads().into_iter().rev().find(|load| !load.is_high && load.multiple < below)
    }

    /// The largest load below the upper bound with a trial that does not even lean to too high.
    pub(in crate::capacity) fn clearly_passed(self) -> Option<f64> {
        let below = self.upper().map_or(f64::INFINITY, |upper| upper.multiple);
        let clear = self.bounding().filter(|record| !record.judged.is_high());
        let multiples = clear.map(|record| record.trial.multiple).filter(|multiple| *multiple < below);
        multiples.reduce(f64::max)
    }

    /// What [`Self::passed`] is by full-length trials.
    pub(in crate::capacity) fn lower(self) -> Option<Load> {
        let below = self.upper().map_or(f64::INFINITY, |upper| upper.multiple);
        self.loads().into_iter().rev().find(|load| !load.is_high && load.is_full && load.multiple < below)
    }

    /// The smallest load that could not be generated twice, above everything that could.
    pub(in crate::capacity) fn ungenerable(self) -> Option<f64> {
        let valid = self.classifying().map(|record| record.trial.multiple).fold(0.0, f64::max);
        let counts = |record: &&TrialRecord| record.trial.purpose != Purpose::WarmUp;
        let invalid = self.0.iter().filter(counts).filter(|record| record.judged.verdict == Verdict::Invalid);
        let above: Vec<f64> =
            invalid.map(|record| record.trial.multiple).filter(|load| *load > valid).collect();
        let twice = |load: &&f64| above.iter().filter(|other| same(**load, **other)).count() >= 2;
        above.iter().filter(twice).copied().min_by(f64::total_cmp)
    }

    pub(in crate::capacity) fn count(self, purpose: Purpose) -> usize {
        self.0.iter().filter(|record| record.trial.purpose == purpose).count()
    }

    pub(in crate::capacity) fn last(self) -> Option<&'a TrialRecord> {
        self.0.last()
    }

    pub(in crate::capacity) fn has_hung(self) -> bool {
        self.0.iter().any(|record| record.judged.mode() == Some(FailureMode::Hang))
    }

    /// Sure full-length verdicts against each other: passes at 1.15 times a failing load, which no luck of the draw
    /// explains, and loads that passed and failed, which happens at the border itself but not all around it.
    pub(in crate::capacity) fn contradictions(self) -> usize {
        let failed: Vec<&TrialRecord> =
            self.full_length().filter(|record| record.judged.has_failed()).collect();
        let passed = || self.full_length().filter(|record| record.judged.verdict == Verdict::Pass);
        let is_beyond = |pass: &&TrialRecord| {
            failed.iter().any(|fail| pass.judged.multiple > fail.judged.multiple * CONTRADICTION)
        };
        let mut both: Vec<f64> = passed().map(|record| record.trial.multiple).collect();
        both.retain(|multiple| failed.iter().any(|fail| same(fail.trial.multiple, *multiple)));
        both.sort_by(f64::total_cmp);
        both.dedup();
        passed().filter(is_beyond).count() + both.len()
    }
}

const CONTRADICTION: f64 = 1.15;

/// A short trial proves an upper bound only with a sure verdict: so few requests lean anywhere.
fn is_high(record: &TrialRecord) -> bool {
    if record.trial.purpose.is_full_length() { record.judged.is_high() } else { record.judged.has_failed() }
}

/// Multiples that were asked for are compared as such.
pub(in crate::capacity) fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}
