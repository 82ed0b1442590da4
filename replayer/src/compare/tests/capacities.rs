//! Capacities by hand.

use serde_json::{Value, json};

use super::super::capacities::{Found, Several};
use super::*;
use crate::bottleneck::Confidence;

/// As `capacity.json` has it.
fn found(multiple: f64, low: f64, high: f64, bound: &str, stage: Option<&str>) -> Value {
    let suspect = |stage: &str| {
        json!({
            "stage": stage, "route": "POST /upload", "growth_share": 0.9, "tail_growth_share": 0.9,
            "elasticity": 3.8, "slots": 5.0, "evidence": "store grew", "confidence": "suspected",
            "remedy": "Raise max_pool_connections."
        })
    };
    json!({
        "capture": "captures/monday", "target": "http://127.0.0.1:1", "started": "2026-11-30T19:47:28Z",
        "slo": "p95<3s", "verdict": "found", "interrupted": false, "reasons": ["as asked"],
        "failure_mode": "drift", "trials": [],
        "capacity": {
            "multiple": multiple, "low": low, "high": high, "bound": bound, "requests_per_s": 46.0,
            "bytes_per_s": null, "users": null, "trial_s": 60
        },
        "bottleneck": stage.map(suspect).into_iter().collect::<Vec<_>>(),
    })
}

fn compared(a: Value, b: Value) -> Comparison {
    let input = |name: &str, found: Value| {
        let found: Found = serde_json::from_value(found).unwrap();
        Input::new(PathBuf::from(name), Result::Capacity(found))
    };
    Comparison::of(&input("before", a), &input("after", b), RELEVANT, false)
}

#[test]
fn the_ratio_has_the_interval_of_the_logarithms() {
    let comparison = compared(
        found(2.0, 2.0 / 1.1, 2.0 * 1.1, "estimate", None),
        found(3.0, 3.0 / 1.1, 3.0 * 1.1, "estimate", None),
    );
    let capacity = &comparison.figures[0];
    // √2 times as far as either, in logarithms: 1.5 · 1.1^±√2.
    let far = 1.1_f64.powf(2.0_f64.sqrt());
    assert!((capacity.change.unwrap() - 0.5).abs() < 1e-9, "{capacity:?}");
    assert!((capacity.change_low.unwrap() - (1.5 / far - 1.0)).abs() < 1e-9, "{capacity:?}");
    assert!((capacity.change_high.unwrap() - (1.5 * far - 1.0)).abs() < 1e-9, "{capacity:?}");
    assert_eq!(comparison.verdict, Verdict::Better);
}

#[test]
fn verdicts_of_estimates_and_bounds() {
    let like = || found(2.0, 1.98, 2.02, "estimate", None);
    let table = [
        (like(), like(), Verdict::NoDifference),
        (like(), found(1.7, 1.68, 1.72, "estimate", None), Verdict::Worse),
        (like(), found(2.1, 1.8, 2.4, "estimate", None), Verdict::CannotTell),
        (found(5.0, 5.0, 5.0, "at_least", None), like(), Verdict::Worse),
        (like(), found(5.0, 5.0, 5.0, "at_least", None), Verdict::Better),
        (found(1.0, 1.0, 1.0, "at_least", None), like(), Verdict::CannotTell),
        (like(), found(0.1, 0.1, 0.1, "at_most", None), Verdict::Worse),
        (found(0.1, 0.1, 0.1, "at_most", None), found(0.1, 0.1, 0.1, "at_most", None), Verdict::CannotTell),
    ];
    for (at, (a, b, expected)) in table.into_iter().enumerate() {
        let comparison = compared(a, b);
        assert_eq!(comparison.verdict, expected, "case {at}: {}", text::render(&comparison));
    }
    let bounds = text::render(&compared(like(), found(5.0, 5.0, 5.0, "at_least", None)));
    assert!(bounds.contains("≥ 5×") && bounds.contains("∞]"), "{bounds}");
}

#[test]
fn what_was_suspected_and_moved_is_confirmed() {
    let suspected = || found(2.0, 1.95, 2.05, "estimate", Some("store"));
    let elsewhere = compared(suspected(), found(4.0, 3.9, 4.1, "estimate", Some("auth")));
    let suspect = elsewhere.bottleneck.as_ref().unwrap();
    assert_eq!((suspect.stage.as_str(), suspect.confidence), ("store", Confidence::Confirmed));
    let told = text::render(&elsewhere);
    assert!(told.contains("confirmed bottleneck: store"), "{told}");
    let moot = [
        ("still the same", found(4.0, 3.9, 4.1, "estimate", Some("store"))),
        ("no more than before", found(2.0, 1.95, 2.05, "estimate", Some("auth"))),
        ("maybe more", found(2.3, 1.8, 2.9, "estimate", Some("auth"))),
    ];
    for (case, b) in moot {
        assert_eq!(compared(suspected(), b).bottleneck, None, "{case}");
    }
}

#[test]
fn another_slo_is_another_capacity() {
    let mut other = found(4.0, 3.9, 4.1, "estimate", None);
    other["slo"] = json!("p95<10s");
    let refused = compared(found(2.0, 1.9, 2.1, "estimate", None), other);
    assert_eq!(refused.verdict, Verdict::NotComparable);
    assert!(refused.not_comparable[0].contains("the SLO differs"), "{:?}", refused.not_comparable);
}

#[test]
fn another_1x_is_another_capacity() {
    let unit = |requests_per_s: f64, users: f64| {
        let mut found = found(4.0, 3.9, 4.1, "estimate", None);
        found["unit"] = json!({"requests_per_s": requests_per_s, "sessions_per_s": null, "bytes_per_s": 1e6, "users": users});
        found
    };
    let refused = compared(unit(4.0, 20.0), unit(10.0, 50.0));
    assert_eq!(refused.verdict, Verdict::NotComparable);
    assert!(
        refused.not_comparable[0].contains("the load that 1× is differs"),
        "{:?}",
        refused.not_comparable
    );
    assert_ne!(compared(unit(4.0, 20.0), unit(4.1, 20.0)).verdict, Verdict::NotComparable, "drawn anew");
}

#[test]
fn several_searches_are_their_mean() {
    let first = found(2.0, 1.9, 2.1, "estimate", Some("store"));
    let several = json!({
        "capacity": {"multiple": 2.2, "low": 2.15, "high": 2.25, "lowest": 2.0, "highest": 2.4, "estimates": 3},
        "seeds": [1, 1001, 2001], "reasons": ["one of them was slow"], "searches": [first.clone(), first.clone()],
    });
    let several: Several = serde_json::from_value(several).unwrap();
    let together = several.together().unwrap();
    let capacity = together.capacity.unwrap();
    assert_eq!((capacity.multiple, capacity.low, capacity.high), (2.2, 2.15, 2.25));
    assert_eq!((together.reasons.len(), together.slo.as_str()), (1, "p95<3s"));
}
