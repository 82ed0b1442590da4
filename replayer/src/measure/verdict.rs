//! What a run may claim: a pure rule over its counts.
//!
//! | the run, first match                      | verdict |
//! |-------------------------------------------|---------|
//! | the generator was late or fell short, values had no source, the user stopped it | INVALID |
//! | a kill file ended it                      | INVALID |
//! | a rule ended it for the target's sake     | FAIL    |
//! | requests hang (timed out or unfinished)   | FAIL    |
//! | more failed than `max_failed_share`       | FAIL    |
//! | else                                      | PASS    |
//!
//! INVALID says nothing about the load; what hung is named first all the same. Nothing that a target does can
//! fail a validity gate, so that a target cannot hide behind one.

use super::gates::Gates;
use super::run::Verdict;
use crate::guard::abort::Aborted;
use crate::plan::Mode;

/// The counts that decide.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Evidence<'a> {
    pub planned: u64,
    pub failed: u64,
    /// Without an answer: timed out, or unfinished when the run ended.
    pub hung: u64,
    /// Age of the oldest of them, seconds.
    pub hung_oldest_s: Option<f64>,
    /// Failures by class, for the sentence that explains them.
    pub errors: &'a [(&'static str, u64)],
    /// Answers worse than the captured ones, by status.
    pub worse_statuses: u64,
    /// The user's stop kept requests back or cut them off.
    pub interrupted: bool,
    pub aborted: Option<&'a Aborted>,
    pub mode: Mode,
}

/// A verdict and its reasons, in sentences a person can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

/// See the module. A failed gate of `validity` makes the run invalid, one of `likeness` is only named.
pub fn judge(
    evidence: &Evidence<'_>,
    validity: &Gates,
    likeness: &Gates,
    max_failed_share: f64,
) -> Judgement {
    let hung = hang_reason(evidence);
    let too_many = failure_reason(evidence, max_failed_share);
    let invalid = invalid_reasons(evidence, validity);
    let ended = evidence.aborted.filter(|aborted| aborted.cause.is_the_targets()).map(ended_reason);
    let is_bad = ended.is_some() || hung.is_some() || too_many.is_some();
    let verdict = match (invalid.is_empty(), is_bad) {
        (false, _) => Verdict::Invalid,
        (true, true) => Verdict::Fail,
        (true, false) => Verdict::Pass,
    };
    let unlike = unlike_reasons(evidence.mode, likeness);
    let reasons = ended.into_iter().chain(hung).chain(too_many).chain(invalid).chain(unlike).collect();
    Judgement { verdict, reasons }
}

fn ended_reason(aborted: &Aborted) -> String {
    let Aborted { rule, at_s, reason, .. } = aborted;
    format!("ended after {at_s} s by {rule}: {reason}")
}

fn hang_reason(evidence: &Evidence<'_>) -> Option<String> {
    let oldest = evidence.hung_oldest_s.map(|age_s| format!("; the oldest waited {age_s:.1} s"));
    let requests = requests(evidence.hung);
    (evidence.hung > 0).then(|| format!("{requests} got no answer{}", oldest.unwrap_or_default()))
}

fn failure_reason(evidence: &Evidence<'_>, max_failed_share: f64) -> Option<String> {
    let share = evidence.failed as f64 / evidence.planned.max(1) as f64;
    let by_class = evidence.errors.iter().map(|(class, count)| format!("{class} {count}"));
    let worse = (evidence.worse_statuses > 0)
        .then(|| format!("{} answered worse than captured", evidence.worse_statuses));
    let parts: Vec<String> = by_class.chain(worse).collect();
    (evidence.failed > 0 && share > max_failed_share).then(|| {
        format!(
            "{:.2} % of {} failed (allowed: {:.2} %): {}",
            share * 100.0,
            requests(evidence.planned),
            max_failed_share * 100.0,
            parts.join(", ")
        )
    })
}

fn invalid_reasons(evidence: &Evidence<'_>, validity: &Gates) -> Vec<String> {
    let interrupted = evidence.interrupted.then(|| {
        "stopped before the plan was sent; what was not released says nothing about the target".into()
    });
    let killed = evidence.aborted.filter(|aborted| !aborted.cause.is_the_targets()).map(ended_reason);
    interrupted.into_iter().chain(killed).chain(failed_gates(validity)).collect()
}

/// A mode that changes the rhythm by design says so before its gates do.
fn unlike_reasons(mode: Mode, likeness: &Gates) -> Vec<String> {
    let failed: Vec<String> = failed_gates(likeness).collect();
    let changes = mode.changes().filter(|_| !failed.is_empty());
    let changed = changes.map(|changes| {
        format!("{changes}: what the target did is not what it does under N times the captured users")
    });
    let unlike = failed.iter().map(|gate| format!("the plan differs from N times the capture: {gate}"));
    changed.into_iter().chain(unlike).collect()
}

fn failed_gates(gates: &Gates) -> impl Iterator<Item = String> {
    let failed = gates.iter().filter(|(_, gate)| !gate.pass);
    failed.map(|(name, gate)| gate.failure(name))
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

#[cfg(test)]
mod tests {
    use super::super::run::Gate;
    use super::*;

    fn gates(pass: bool) -> Gates {
        let gate = Gate::at_most(23.4, 10.0, "lag in ms");
        Gates::from([("lag_p99_ms".to_owned(), Gate { pass, ..gate })])
    }

    #[test]
    fn the_table() {
        let quiet = Evidence { planned: 1000, ..Evidence::default() };
        let hung = Evidence { hung: 37, hung_oldest_s: Some(45.24), failed: 37, ..quiet };
        let failing = Evidence { failed: 11, errors: &[("reset", 11)], ..quiet };
        let tolerable = Evidence { failed: 10, ..failing };
        let stopped = Evidence { interrupted: true, ..quiet };
        let table = [
            ("all answered", quiet, true, Verdict::Pass),
            ("failures within the budget", tolerable, true, Verdict::Pass),
            ("failures over the budget", failing, true, Verdict::Fail),
            ("a late generator", quiet, false, Verdict::Invalid),
            ("a late generator may have caused the failures", failing, false, Verdict::Invalid),
            ("one hang is enough", Evidence { hung: 1, failed: 1, ..quiet }, true, Verdict::Fail),
            ("a hang, and a late generator", hung, false, Verdict::Invalid),
            ("stopped by the user", stopped, true, Verdict::Invalid),
            (
                "stopped by the user, with hangs",
                Evidence { interrupted: true, ..hung },
                true,
                Verdict::Invalid,
            ),
        ];
        for (case, evidence, on_time, verdict) in table {
            assert_eq!(judge(&evidence, &gates(on_time), &gates(false), 0.01).verdict, verdict, "{case}");
        }
    }

    #[test]
    fn reasons_are_sentences() {
        let evidence = Evidence {
            planned: 1000,
            failed: 60,
            hung: 37,
            hung_oldest_s: Some(45.24),
            errors: &[("reset", 3), ("timeout", 37)],
            worse_statuses: 20,
            ..Evidence::default()
        };
        let reasons = judge(&evidence, &gates(false), &gates(false), 0.01).reasons;
        assert_eq!(
            reasons,
            [
                "37 requests got no answer; the oldest waited 45.2 s",
                "6.00 % of 1000 requests failed (allowed: 1.00 %): reset 3, timeout 37, 20 answered worse than captured",
                "gate lag_p99_ms: 23.4 (lag in ms, at most 10)",
                "the plan differs from N times the capture: gate lag_p99_ms: 23.4 (lag in ms, at most 10)",
            ]
        );
        let quiet = Evidence { planned: 5, ..Evidence::default() };
        assert!(judge(&quiet, &gates(true), &gates(true), 0.01).reasons.is_empty());
    }

    #[test]
    fn a_mode_that_changes_the_rhythm_says_so_and_a_gate_without_a_value_says_why() {
        let evidence = Evidence { planned: 5, mode: Mode::Tempo, ..Evidence::default() };
        let gate = Gate::at_most(0.0, 0.15, "deviation").without_value("the plan lasts 12 s");
        let likeness = Gates::from([("dispersion_60s".to_owned(), Gate { pass: false, ..gate })]);
        let judgement = judge(&evidence, &gates(true), &likeness, 0.01);
        assert_eq!(judgement.verdict, Verdict::Pass, "likeness does not change the verdict");
        assert_eq!(
            judgement.reasons,
            [
                "tempo drains the capture faster, not a capacity test: what the target did is not what it does \
                 under N times the captured users",
                "the plan differs from N times the capture: gate dispersion_60s: the plan lasts 12 s",
            ]
        );
        assert!(judge(&evidence, &gates(true), &gates(true), 0.01).reasons.is_empty());
    }
}
