//! The verdict as a table: what the seconds showed, and what follows.

use super::*;
use crate::capacity::trial::{Count, Tick};
use crate::capacity::watch::Abort;

fn slo() -> Slo {
    "p95<2s,errors<5%".parse().unwrap()
}

/// 100 seconds at 100 requests; by second: late, refused, in flight.
fn observed(second: impl Fn(u64) -> (u64, u64, u64)) -> Observation {
    let tick = |at| {
        let (late, shed, in_flight) = second(at);
        let criteria = vec![Count { asked: 100, bad: late + shed }, Count { asked: 100, bad: shed }];
        let failures = Failures { shed, ..Failures::default() };
        let latency = Some(150.0);
        let done = 100 - shed;
        Tick {
            planned: 100,
            criteria,
            failures,
            sent: 100,
            done,
            in_flight,
            latency_ms_p50: latency,
            latency_ms_p95: latency,
        }
    };
    Observation {
        unit_per_s: 50.0,
        sending_s: 100,
        ramp_s: 10,
        rest_s: 0,
        seconds: (0..100).map(tick).collect(),
        invalid: Vec::new(),
        aborted: None,
    }
}

fn verdict(observed: &Observation) -> Verdict {
    judge(&slo(), observed).verdict
}

/// Even, with a little noise: what is exactly constant has no variance to go by.
fn about(mean: u64) -> impl Fn(u64) -> u64 {
    move |at| if at % 2 == 0 { mean } else { mean.saturating_sub(1) }
}

#[test]
fn a_verdict_follows_from_the_seconds() {
    let table = [
        ("nothing bad", observed(|_| (0, 0, 20)), Verdict::Pass),
        ("3 % late", observed(|at| (about(3)(at), 0, 20)), Verdict::Pass),
        ("9 % late", observed(|at| (about(9)(at), 0, 20)), Verdict::Fail(FailureMode::Latency)),
        ("9 % refused", observed(|at| (0, about(9)(at), 20)), Verdict::Fail(FailureMode::Shed)),
        (
            "4 % refused and 4 % late",
            observed(|at| (about(4)(at), about(4)(at), 20)),
            Verdict::Fail(FailureMode::Shed),
        ),
        ("5 % late", observed(|at| (if at % 20 < 2 { 50 } else { 0 }, 0, 20)), Verdict::Undecided),
        (
            "6 % late in one spell",
            observed(|at| (if (50..55).contains(&at) { 90 } else { 0 }, 0, 20)),
            Verdict::Undecided,
        ),
        (
            "a backlog that grows, nothing late yet",
            observed(|at| (0, 0, 20 + at)),
            Verdict::Fail(FailureMode::Drift),
        ),
    ];
    for (name, observed, expected) in table {
        assert_eq!(verdict(&observed), expected, "{name}: {:?}", judge(&slo(), &observed));
    }
}

#[test]
fn a_failed_gate_says_nothing_about_the_load() {
    let late = Observation { invalid: vec!["lag".to_owned()], ..observed(|_| (90, 0, 20)) };
    let judged = judge(&slo(), &late);
    assert_eq!((judged.verdict, judged.reasons), (Verdict::Invalid, vec!["lag".to_owned()]));
    let empty = Observation { seconds: vec![Tick::default(); 100], ..observed(|_| (0, 0, 0)) };
    assert_eq!(verdict(&empty), Verdict::Invalid);
}

#[test]
fn an_abort_fails_whatever_was_counted() {
    let stopped = |cause| {
        let aborted = Some(Abort { cause, at_s: 100, reason: "why".to_owned() });
        verdict(&Observation { aborted, ..observed(|at| (0, u64::from(at > 90), 20)) })
    };
    assert_eq!(stopped(AbortCause::Hang), Verdict::Fail(FailureMode::Hang));
    assert_eq!(stopped(AbortCause::Errors), Verdict::Fail(FailureMode::Shed));
    assert_eq!(stopped(AbortCause::Backlog), Verdict::Fail(FailureMode::Drift));
    assert_eq!(stopped(AbortCause::Latency), Verdict::Fail(FailureMode::Latency));
}

#[test]
fn the_load_is_what_was_planned_in_the_window() {
    let judged = judge(&slo(), &observed(|_| (0, 0, 20)));
    assert!(
        (judged.multiple - 2.0).abs() < 1e-9 && (judged.completed_per_s - 100.0).abs() < 1e-9,
        "{judged:?}"
    );
    assert!(judged.window.from_s >= 20 && judged.window.to_s == 100);
}

#[test]
fn throughput_is_asked_only_where_so_much_is_planned() {
    let with =
        |slo: &str, shed| judge(&slo.parse().unwrap(), &observed(|at| (0, about(shed)(at), 20))).verdict;
    assert_eq!(with("throughput>80/s", 30), Verdict::Fail(FailureMode::Plateau));
    assert_eq!(with("throughput>80/s", 10), Verdict::Pass);
    assert_eq!(with("throughput>200/s", 10), Verdict::Pass);
}

#[test]
fn neighbours_that_share_their_fate_are_worth_less() {
    let even = judge(&slo(), &observed(|at| (about(5)(at), 0, 20)));
    let spells = judge(&slo(), &observed(|at| (if at % 40 < 4 { 45 } else { 0 }, 0, 20)));
    assert!(even.shares[0].n_effective > 5_000.0, "{even:?}");
    assert!(spells.shares[0].n_effective < 50.0, "{spells:?}");
}
