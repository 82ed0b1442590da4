//! Gates: what a run must have done itself before it may speak about the target, and how like N times the
//! captured users its plan was.
//!
//! A failed gate of [`validity`] makes the run invalid; nothing that a target does fails one. A failed gate of
//! [`likeness`] is a caution in the report: at a small capture chance alone fails one in twenty, and some modes
//! change the rhythm by design.

use std::collections::BTreeMap;

use super::gate::{Gate, GateKind};
use super::lateness;
use super::recorder::Recorder;
use crate::plan::dispersion::label;
use crate::plan::{Comparison, DispersionCheck, Fidelity};

pub(crate) const SENT_SHARE_MIN: f64 = 0.99;
const UNRESOLVED_SHARE_MAX: f64 = 0.01;
/// A tenth of the shortest timeout that is a target's failure, the connect's: beyond it a timeout may be that
/// of a worker which did not get to run.
const STALL_MS_MAX: f64 = 1000.0;

/// Gates by name.
pub type Gates = BTreeMap<String, Gate>;

/// Whether the generator did what the run claims.
pub fn validity(recorder: &Recorder, planned: u64) -> Gates {
    let unaccounted = recorder.planned().abs_diff(planned) as f64;
    let gates = [
        ("lag_p99_ms", lateness::lag(recorder)),
        ("late_share", lateness::late(recorder)),
        ("sent_share", sent(recorder, planned.saturating_sub(recorder.left_by_all()))),
        ("stall_ms_max", stall(recorder)),
        ("unresolved_share", unresolved(recorder)),
        (
            "unaccounted",
            Gate::at_most(unaccounted, 0.0, "planned requests that ended in no or in several counted states"),
        ),
    ];
    let gates = gates.into_iter().map(|(name, gate)| (name.to_owned(), gate));
    gates.chain(recorder.distinct.gates()).collect()
}

/// The same gates, each saying what it decides.
pub(super) fn of_kind(kind: GateKind, gates: Gates) -> impl Iterator<Item = (String, Gate)> {
    gates.into_iter().map(move |(name, gate)| (name, Gate { kind: Some(kind), ..gate }))
}

pub(super) const NOTHING_SENT: &str = "nothing was sent";

/// An empty plan fails: what asked nothing of the target did not find it good.
fn sent(recorder: &Recorder, planned: u64) -> Gate {
    let kept_back = recorder.generator_failed() + recorder.withheld;
    let sent = if planned == 0 { 0.0 } else { 1.0 - share(kept_back, planned) };
    Gate::at_least(sent, SENT_SHARE_MIN, "share of the plan that the generator did not keep back")
}

fn stall(recorder: &Recorder) -> Gate {
    let stall_ms = recorder.stall_ns_max as f64 / 1e6;
    Gate::at_most(stall_ms, STALL_MS_MAX, "longest time in ms that a worker did not get to run")
}

fn unresolved(recorder: &Recorder) -> Gate {
    let bindings = recorder.bindings;
    let values = bindings.resolved + bindings.unresolved;
    let unresolved = share(bindings.unresolved, values);
    let gate = Gate::at_most(unresolved, UNRESOLVED_SHARE_MAX, "share of the values that nothing supplied");
    if values > 0 { gate } else { gate.without_value("no request that was built needs a value") }
}

/// How like N times the captured users the plan is, in any mode.
pub fn likeness(fidelity: &Fidelity) -> Gates {
    let shapes = fidelity.shapes.by_name().map(|(name, shape)| (name.to_owned(), of_shape(name, shape)));
    let dispersions = fidelity.dispersion.iter().map(of_dispersion);
    shapes.into_iter().chain(dispersions).collect()
}

fn of_shape(name: &str, shape: Comparison) -> Gate {
    let meaning = match name {
        "users" => "by what share the users miss N times the captured ones",
        "inter_arrival" => "KS distance of the gaps between starts",
        "think_time" => "KS distance of the gaps within sessions",
        "session_duration" => "KS distance of the durations of sessions",
        "session_requests" => "KS distance of requests per session",
        "body_bytes" => "KS distance of body sizes",
        _ => "total variation of the route mix",
    };
    let gate = Gate::at_most(shape.value.unwrap_or_default(), shape.limit, meaning);
    match shape.value {
        Some(_) => Gate { pass: shape.pass, decided: shape.decided, ..gate },
        None => gate.without_value("the capture holds nothing to compare"),
    }
}

fn of_dispersion(check: &DispersionCheck) -> (String, Gate) {
    let window = label(check.window_s);
    let meaning = format!("deviation of the dispersion from its target in windows of {window} s");
    let gate = Gate {
        value: check.deviation,
        pass: check.pass,
        decided: check.decided,
        reason: check.reason.clone(),
        ..Gate::at_most(0.0, check.limit, &meaning)
    };
    (format!("dispersion_{window}s"), gate)
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
        recorder.ended(&late);
        assert!(failing(&recorder, 201).is_empty(), "one in two hundred");
        recorder.ended(&late);
        assert_eq!(failing(&recorder, 202), ["late_share"]);
        recorder.ended(&late);
        assert_eq!(failing(&recorder, 203), ["lag_p99_ms", "late_share"]);
    }

    #[test]
    fn a_generator_that_is_always_a_little_late_fails_by_its_lag_alone() {
        let mut recorder = Recorder::new(1);
        for _ in 0..200 {
            recorder.ended(&Sample { sent_ns: Some(19_000_000), ..answered(200, false) });
        }
        assert_eq!(failing(&recorder, 200), ["lag_p99_ms"]);
    }

    #[test]
    fn a_worker_that_stood_still_cannot_blame_the_target() {
        let mut recorder = Recorder::new(1);
        recorder.ended(&answered(200, false));
        recorder.stall_ns_max = 900_000_000;
        assert!(failing(&recorder, 1).is_empty());
        recorder.stall_ns_max = 11_000_000_000;
        assert_eq!(failing(&recorder, 1), ["stall_ms_max"]);
    }

    #[test]
    fn what_was_not_measured_is_no_success() {
        let mut unsent = Recorder::new(1);
        unsent.ended(&Sample { sent_ns: None, ..failed(ErrorClass::ConnectRefused) });
        let gates = validity(&unsent, 1);
        for name in ["lag_p99_ms", "late_share", "unresolved_share"] {
            assert_eq!((gates[name].value, gates[name].decided), (None, false), "{name}");
        }
        assert!(gates.values().all(|gate| gate.pass), "the target refused, the generator did what it could");
        assert_eq!(failing(&Recorder::new(1), 0), ["sent_share"], "nothing was planned");
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
        recorder.ended(&answered(200, false));
        assert_eq!(failing(&recorder, 1), ["unresolved_share"]);
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
