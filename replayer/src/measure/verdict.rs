//! What a run may claim: a pure rule over its counts.
//!
//! | the run                                   | verdict |
//! |-------------------------------------------|---------|
//! | requests hang (timed out or unfinished)   | FAIL, even when the generator was late: a hang is a hang |
//! | the generator was late or fell short, a fidelity gate failed, the user stopped it | INVALID |
//! | more failed than `max_failed_share`       | FAIL    |
//! | else                                      | PASS    |

use std::collections::BTreeMap;

use super::run::{Gate, Verdict};

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
    pub interrupted: bool,
}

/// A verdict and its reasons, in sentences a person can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

/// See the module. `gates` are all that make a run invalid when they fail.
pub fn judge(evidence: &Evidence<'_>, gates: &BTreeMap<String, Gate>, max_failed_share: f64) -> Judgement {
    let mut reasons = Vec::new();
    let hung = hang_reason(evidence);
    let too_many = failure_reason(evidence, max_failed_share);
    let invalid = invalid_reasons(evidence, gates);
    let verdict = match (&hung, invalid.is_empty(), &too_many) {
        (Some(_), _, _) => Verdict::Fail,
        (None, false, _) => Verdict::Invalid,
        (None, true, Some(_)) => Verdict::Fail,
        (None, true, None) => Verdict::Pass,
    };
    reasons.extend(hung);
    reasons.extend(too_many);
    reasons.extend(invalid);
    Judgement { verdict, reasons }
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

fn invalid_reasons(evidence: &Evidence<'_>, gates: &BTreeMap<String, Gate>) -> Vec<String> {
    let interrupted = evidence.interrupted.then(|| {
        "stopped before the plan was sent; what was not released says nothing about the target".into()
    });
    let failed = gates.iter().filter(|(_, gate)| !gate.pass);
    let gates = failed.map(|(name, gate)| {
        format!(
            "gate {name}: {} against a limit of {} ({})",
            round(gate.value),
            round(gate.limit),
            gate.meaning
        )
    });
    interrupted.into_iter().chain(gates).collect()
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(on_time: bool) -> BTreeMap<String, Gate> {
        let gate = Gate { value: 23.4, limit: 10.0, pass: on_time, meaning: "ms of lag at p99".to_owned() };
        BTreeMap::from([("lag_p99".to_owned(), gate)])
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
            ("a hang beats a late generator", hung, false, Verdict::Fail),
            ("stopped by the user", stopped, true, Verdict::Invalid),
            ("stopped by the user, with hangs", Evidence { interrupted: true, ..hung }, true, Verdict::Fail),
            ("nothing planned", Evidence::default(), true, Verdict::Pass),
        ];
        for (case, evidence, on_time, verdict) in table {
            assert_eq!(judge(&evidence, &gates(on_time), 0.01).verdict, verdict, "{case}");
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
            interrupted: false,
        };
        let reasons = judge(&evidence, &gates(false), 0.01).reasons;
        assert_eq!(
            reasons,
            [
                "37 requests got no answer; the oldest waited 45.2 s",
                "6.00 % of 1000 requests failed (allowed: 1.00 %): reset 3, timeout 37, 20 answered worse than captured",
                "gate lag_p99: 23.4 against a limit of 10 (ms of lag at p99)",
            ]
        );
        assert!(
            judge(&Evidence { planned: 5, ..Evidence::default() }, &gates(true), 0.01).reasons.is_empty()
        );
    }
}
