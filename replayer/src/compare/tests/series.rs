//! Series of seeds by hand.

use serde_json::{Value, json};

use super::super::seeds::Seeds;
use super::*;

/// As `seeds.json` has it: the p95 of each run, whose seeds count from `from`.
fn seeds(from: u64, p95: &[f64], failed: &[f64]) -> Value {
    let runs = p95.iter().zip(from..).map(|(_, seed)| {
        json!({"seed": seed, "verdict": "PASS", "started": "2026-11-30T19:47:28Z", "planned": 1_000})
    });
    json!({
        "capture": "captures/monday", "target": "http://127.0.0.1:1", "multiple": 5.0, "mode": "crowd",
        "clock": "offsets", "uplink": "recorded", "verdict": "PASS", "reasons": [],
        "runs": runs.collect::<Vec<_>>(),
        "figures": {
            "latency_ms_p95": {"unit": "ms", "values": p95},
            "failed_share": {"unit": "share", "values": failed},
        },
        "routes": [],
        "merged": {"routes": {}},
    })
}

fn compared(a: Value, b: Value) -> Comparison {
    let input = |name: &str, seeds: Value| {
        let seeds: Seeds = serde_json::from_value(seeds).unwrap();
        Input::new(PathBuf::from(name), Result::Seeds(seeds))
    };
    Comparison::of(&input("before", a), &input("after", b), RELEVANT, false)
}

const P95_MS: [f64; 5] = [400.0, 520.0, 470.0, 610.0, 380.0];
const NONE: [f64; 5] = [0.0; 5];

fn slower(times: f64) -> Vec<f64> {
    P95_MS.iter().zip([1.01, 0.99, 1.0, 1.02, 0.98]).map(|(ms, luck)| ms * times * luck).collect()
}

#[test]
fn runs_of_the_same_seeds_are_compared_two_by_two() {
    let same = compared(seeds(7, &P95_MS, &NONE), seeds(7, &slower(1.2), &NONE));
    let p95 = figure(&same, None, "latency_ms_p95");
    assert!((p95.change.unwrap() - 0.2).abs() < 0.01 && p95.change_low.unwrap() > 0.15, "{p95:?}");
    assert_eq!(same.verdict, Verdict::Worse, "{}", text::render(&same));
    // The luck of other draws hides as much.
    let other = compared(seeds(7, &P95_MS, &NONE), seeds(70, &slower(1.2), &NONE));
    assert_eq!(figure(&other, None, "latency_ms_p95").verdict, Verdict::CannotTell);
}

#[test]
fn like_series_are_no_different() {
    let like = compared(seeds(7, &P95_MS, &NONE), seeds(7, &slower(1.0), &NONE));
    assert_eq!(like.verdict, Verdict::NoDifference, "{}", text::render(&like));
}

#[test]
fn failures_are_pooled_over_the_runs() {
    let failing = [0.03, 0.05, 0.04, 0.04, 0.05];
    let comparison = compared(seeds(7, &P95_MS, &NONE), seeds(7, &P95_MS, &failing));
    let failed = figure(&comparison, None, "failed_share");
    assert_eq!(failed.verdict, Verdict::Worse, "{failed:?}");
    assert!((failed.change.unwrap() - 0.042).abs() < 1e-9 && failed.a.high.unwrap() > 0.0, "{failed:?}");
}

#[test]
fn one_run_has_no_interval() {
    let comparison = compared(seeds(7, &P95_MS[..1], &NONE[..1]), seeds(7, &P95_MS[..1], &NONE[..1]));
    assert_eq!(comparison.verdict, Verdict::CannotTell);
    assert_eq!(figure(&comparison, None, "latency_ms_p95").why.as_deref(), Some("one run has no interval"));
}
