//! Gates: what a run must have done itself before it may speak about the target, and how like the
//! capture its plan was.
//!
//! A failed gate of [`validity`] makes the run invalid. One of [`likeness`] is a caution in the report:
//! at a small capture chance alone fails one in twenty.

use std::collections::BTreeMap;

use super::recorder::Recorder;
use super::run::Gate;
use crate::plan::Mode;
use crate::plan::dispersion::label;
use crate::plan::fidelity::{Comparison, Fidelity};

const LAG_MS_P99_MAX: f64 = 10.0;
const LATE_SHARE_MAX: f64 = 0.01;
const SENT_SHARE_MIN: f64 = 0.99;
const UNRESOLVED_SHARE_MAX: f64 = 0.01;

/// Gates by name.
pub type Gates = BTreeMap<String, Gate>;

/// Whether the generator did what the run claims.
pub fn validity(recorder: &Recorder, planned: u64) -> Gates {
    let kept_back = recorder.generator_failed() + recorder.withheld;
    let bindings = recorder.bindings;
    let lag_ms = recorder.lag.pacer.quantile_ms(0.99).unwrap_or(0.0);
    let late = share(recorder.late, recorder.lag.pacer.count());
    let unresolved = share(bindings.unresolved, bindings.resolved + bindings.unresolved);
    let unaccounted = recorder.planned().abs_diff(planned) as f64;
    let gates = [
        ("lag_p99_ms", at_most(lag_ms, LAG_MS_P99_MAX, "lag of the generator at p99 in ms")),
        ("late_share", at_most(late, LATE_SHARE_MAX, "share of the sends that were over 10 ms late")),
        (
            "sent_share",
            at_least(
                1.0 - share(kept_back, planned),
                SENT_SHARE_MIN,
                "share of the plan that the generator did not keep back",
            ),
        ),
        (
            "unresolved_share",
            at_most(unresolved, UNRESOLVED_SHARE_MAX, "share of the values that nothing supplied"),
        ),
        (
            "unaccounted",
            at_most(unaccounted, 0.0, "planned requests that ended in no or in several counted states"),
        ),
    ];
    let gates = gates.into_iter().map(|(name, gate)| (name.to_owned(), gate));
    gates.chain(recorder.distinct.gates()).collect()
}

/// How like its capture the plan is. Only [`Mode::Crowd`] claims the capture's rhythm.
pub fn likeness(fidelity: &Fidelity, mode: Mode) -> Gates {
    let distance =
        |comparison: Comparison, meaning: &str| at_most(comparison.value, comparison.limit, meaning);
    let mut gates = vec![
        ("body_bytes".to_owned(), distance(fidelity.body_bytes, "KS distance of body sizes")),
        (
            "session_requests".to_owned(),
            distance(fidelity.session_requests, "KS distance of requests per session"),
        ),
        ("route_mix".to_owned(), distance(fidelity.route_mix, "total variation of the route mix")),
    ];
    if mode == Mode::Crowd {
        gates.push((
            "inter_arrival".to_owned(),
            distance(fidelity.inter_arrival, "KS distance of the gaps between starts"),
        ));
        gates.extend(dispersions(fidelity));
    }
    gates.into_iter().collect()
}

fn dispersions(fidelity: &Fidelity) -> impl Iterator<Item = (String, Gate)> {
    fidelity.dispersion.iter().map(|check| {
        let window = label(check.window_s);
        let meaning = format!("deviation of the dispersion from its target in windows of {window} s");
        (format!("dispersion_{window}s"), at_most(check.deviation, check.limit, &meaning))
    })
}

fn at_most(value: f64, limit: f64, meaning: &str) -> Gate {
    Gate { value, limit, pass: value <= limit, meaning: format!("{meaning}, at most") }
}

fn at_least(value: f64, limit: f64, meaning: &str) -> Gate {
    Gate { value, limit, pass: value >= limit, meaning: format!("{meaning}, at least") }
}

/// 0 of nothing is 0.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::{answered, failed};
    use super::*;
    use crate::measure::{ErrorClass, Sample};

    fn failing(recorder: &Recorder, planned: u64) -> Vec<String> {
        let gates = validity(recorder, planned);
        gates.into_iter().filter(|(_, gate)| !gate.pass).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_late_generator_fails_its_gates() {
        let mut recorder = Recorder::new(1);
        for _ in 0..200 {
            recorder.ended(&answered(200, false));
        }
        assert!(failing(&recorder, 200).is_empty());
        let late = Sample { sent_ns: Some(40_000_000), ..answered(200, false) };
        for _ in 0..3 {
            recorder.ended(&late);
        }
        assert_eq!(failing(&recorder, 203), ["lag_p99_ms", "late_share"]);
    }

    #[test]
    fn only_what_the_generator_kept_back_counts_against_it() {
        let mut recorder = Recorder::new(1);
        recorder.ended(&failed(ErrorClass::ConnectRefused));
        assert!(failing(&recorder, 1).is_empty(), "a refusal is the target's");
        recorder.ended(&failed(ErrorClass::LocalExhausted));
        assert_eq!(failing(&recorder, 2), ["sent_share"]);
    }

    #[test]
    fn values_that_nothing_supplied_fail_a_run() {
        let mut recorder = Recorder::new(1);
        recorder.bindings.resolved = 98;
        recorder.bindings.unresolved = 2;
        assert_eq!(failing(&recorder, 0), ["unresolved_share"]);
    }

    #[test]
    fn a_request_that_nobody_counted_fails_a_run() {
        let mut recorder = Recorder::new(1);
        recorder.ended(&answered(200, false));
        recorder.withheld = 1;
        assert_eq!(failing(&recorder, 2), ["sent_share"]);
        assert_eq!(failing(&recorder, 3), ["sent_share", "unaccounted"]);
        assert_eq!(failing(&recorder, 1), ["sent_share", "unaccounted"]);
    }
}
