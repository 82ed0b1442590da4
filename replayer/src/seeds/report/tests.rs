//! Runs by hand, and what they say together.

use super::*;
use crate::measure::Recorder;
use crate::measure::recorder::tests::answered;
use crate::report::gates::GatesTold;
use crate::report::tests::{failing_run, invalid_run, run};
use crate::seeds::merged::Merging;
use crate::seeds::text;

fn of_seed(seed: u64, run: RunReport) -> RunReport {
    RunReport { seed, multiple: 5.0, ..run }
}

/// Passing, so many times as slow.
fn passing(seed: u64, slowness: f64) -> RunReport {
    of_seed(seed, run(5.0, slowness))
}

fn late(seed: u64) -> RunReport {
    of_seed(seed, invalid_run())
}

fn stopped(seed: u64) -> RunReport {
    RunReport { interrupted: true, verdict: Verdict::Invalid, ..passing(seed, 1.0) }
}

fn setting(seeds: u64) -> Setting {
    Setting {
        seeds: (7..7 + seeds).collect(),
        settle_s: 5.0,
        has_files: true,
        broken_by: None,
        cautions: vec!["what the plans have in common".to_owned()],
    }
}

fn merged() -> Merged {
    let mut recorder = Recorder::new(1);
    recorder.ended(&answered(200, false));
    let mut merging = Merging::default();
    merging.add(&["POST /api/students/upload-recording".to_owned()], &recorder);
    merging.merged()
}

fn joint(asked: u64, runs: &[RunReport]) -> SeedsReport {
    SeedsReport::of(&setting(asked), runs, merged()).unwrap()
}

fn says(report: &SeedsReport, part: &str) -> bool {
    report.reasons.iter().any(|reason| reason.contains(part))
}

#[test]
fn the_verdict_is_of_the_valid_runs() {
    let failed = || of_seed(8, failing_run());
    let table = [
        ("all held", vec![passing(7, 1.0), passing(8, 1.1)], Verdict::Pass),
        ("one missed", vec![passing(7, 1.0), failed()], Verdict::Fail),
        ("one is left out", vec![passing(7, 1.0), late(8), passing(9, 1.0)], Verdict::Pass),
        ("one is left", vec![passing(7, 1.0), late(8)], Verdict::Invalid),
        ("one is left, and missed", vec![late(7), failed()], Verdict::Invalid),
        ("none is left", vec![late(7), late(8)], Verdict::Invalid),
    ];
    for (case, runs, verdict) in table {
        let report = joint(runs.len() as u64, &runs);
        assert_eq!(report.verdict, verdict, "{case}");
        let interval = report.figures.get("latency_ms_p95").and_then(|p95| p95.spread.interval);
        assert_eq!(interval.is_some(), verdict != Verdict::Invalid, "{case}");
    }
}

#[test]
fn an_invalid_run_is_left_out_of_every_figure_and_named() {
    let report = joint(3, &[passing(7, 1.0), late(8), passing(9, 1.2)]);
    let slowness = [1.0, 1.2].map(|slowness| run(5.0, slowness).latency_ms.p95.unwrap());
    assert_eq!(report.figures.get("latency_ms_p95").unwrap().spread.values, slowness);
    assert_eq!(report.gates["lag_p99_ms"].failed, [0_u64; 0]);
    assert_eq!(report.gates["dispersion_60s"].undecided, [7, 9]);
    assert!(
        says(&report, "seed 8 is left out of all figures: gate lag_p99_ms: 55.2"),
        "{:?}",
        report.reasons
    );
    assert!(
        report.routes.iter().all(|route| route.figures.iter().all(|(_, one)| one.spread.values.len() == 2))
    );
    let counted: Vec<bool> = report.runs.iter().map(|run| run.left_out.is_none()).collect();
    assert_eq!(counted, [true, false, true]);
}

#[test]
fn what_was_not_begun_is_told_with_its_cause() {
    let report = joint(5, &[passing(7, 1.0), stopped(8)]);
    assert_eq!(report.not_begun, [9, 10, 11]);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(says(&report, "stopped: seeds 9, 10 and 11 not begun"), "{:?}", report.reasons);
    assert!(
        says(&report, "seed 8 is left out of all figures: stopped before its plan"),
        "{:?}",
        report.reasons
    );
    let broken = Setting { broken_by: Some("no ports".to_owned()), ..setting(2) };
    let report = SeedsReport::of(&broken, &[passing(7, 1.0)], merged()).unwrap();
    assert!(says(&report, "no ports: seed 8 not begun"), "{:?}", report.reasons);
    assert_eq!(SeedsReport::of(&broken, &[], merged()), None);
}

#[test]
fn a_wide_interval_says_how_many_runs_would_halve_it() {
    let wide = joint(3, &[passing(7, 1.0), passing(8, 1.5), passing(9, 2.0)]);
    assert!(says(&wide, "5 valid runs would about halve that"), "{:?}", wide.reasons);
    let narrow = joint(3, &[passing(7, 1.0), passing(8, 1.01), passing(9, 1.02)]);
    assert!(!says(&narrow, "halve"), "{:?}", narrow.reasons);
    assert!(says(&narrow, "not other days") && says(&narrow, "what the plans have in common"));
}

#[test]
fn a_run_that_began_before_the_target_was_done_is_named() {
    let hung = RunReport { unfinished: 4, ..passing(7, 1.0) };
    let report = joint(2, &[hung, passing(8, 1.0)]);
    assert!(says(&report, "seed 8 began while 4 requests of seed 7 had no answer"), "{:?}", report.reasons);
}

#[test]
fn the_text() {
    let runs = [passing(7, 1.0), of_seed(8, failing_run()), late(9), passing(10, 1.3)];
    insta::assert_snapshot!(text::render(&joint(5, &runs), GatesTold::NotOk));
}

fn parsed(schema: &str) -> serde_json::Value {
    serde_json::from_str(schema).unwrap()
}

#[test]
fn the_json_fits_its_schema() {
    let registry = jsonschema::Registry::new()
        .add("urn:kingtide:run", parsed(include_str!("../../../schemas/run.json")))
        .unwrap()
        .prepare()
        .unwrap();
    let schema = parsed(include_str!("../../../schemas/seeds.json"));
    let validator = jsonschema::options().with_registry(&registry).build(&schema).unwrap();
    let objections = |json: &serde_json::Value| validator.iter_errors(json).count();
    let runs = [passing(7, 1.0), of_seed(8, failing_run()), late(9)];
    for runs in [&runs[..], &runs[2..]] {
        let json = serde_json::to_value(joint(5, runs)).unwrap();
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let described = schema["properties"].as_object().unwrap().keys();
        assert!(
            described.eq(json.as_object().unwrap().keys()),
            "each field of the contract is in the schema"
        );
    }
    let mut json = serde_json::to_value(joint(3, &runs)).unwrap();
    json["figures"]["latency_ms_p95"]["interval"]["low"] = "4 ms".into();
    assert_eq!(objections(&json), 1);
}
