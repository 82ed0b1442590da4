//! Runs by hand, and what the report says of them.

use std::collections::BTreeMap;

use super::gates::GatesTold;
use super::*;
use crate::guard::abort::{Aborted, Cause};
use crate::inspect::tests::classroom_summary;
use crate::measure::achieved::{Achieved, Durations, Level, Rhythm, RouteStages};
use crate::measure::attempts::Attempts;
use crate::measure::clients::Clients;
use crate::measure::distinct::DistinctReport;
use crate::measure::held::HeldCounts;
use crate::measure::http::HttpCounts;
use crate::measure::in_flight::InFlight;
use crate::measure::raw::SampleCounts;
use crate::measure::run::{
    BindingCounts, CurvePoint, FailureCount, Gate, GateKind, LagPartsReport, Percentiles, Quantiles,
    RouteReport, Second, Verdict,
};
use crate::measure::{ClientStage, ErrorClass};
use crate::preflight::Preflight;
use crate::scenario::report::{Corner, Ended, Judged, Rate, ScenarioReport, Standing, Unit};

const UPLOAD: &str = "POST /api/students/upload-recording";

/// A run in which everything takes `slowness` times as long as at 1×, and nothing fails.
pub(crate) fn run(multiple: f64, slowness: f64) -> RunReport {
    let planned = whole(multiple * 40.0);
    let latency_ms = times(planned, 2_400.0 * slowness);
    RunReport {
        kingtide_version: "0.1.0".to_owned(),
        capture: "captures/monday".to_owned(),
        target: "http://127.0.0.1:8080".to_owned(),
        multiple,
        mode: "crowd".to_owned(),
        clock: "offsets".to_owned(),
        uplink: "recorded".to_owned(),
        seed: 7,
        started: "2026-11-23T18:53:44.12Z".to_owned(),
        preflight: Preflight::default(),
        headroom: None,
        duration_s: 40.0,
        sessions_captured: 20,
        sessions_planned: whole(multiple * 20.0),
        identities_distinct: whole(multiple * 20.0),
        distinct: DistinctReport::default(),
        clients: Clients::default(),
        http: HttpCounts { asked: "recorded".to_owned(), ..HttpCounts::default() },
        planned,
        sent: planned,
        done: planned,
        unfinished: 0,
        unfinished_oldest_s: None,
        failed: 0,
        errors: BTreeMap::new(),
        failures: Vec::new(),
        withheld: 0,
        reconnects: 3,
        attempts: Attempts::default(),
        in_flight: InFlight { max: 1_000, most: 12 },
        approximated: 0,
        latency_clamped: 0,
        statuses: BTreeMap::from([("200".to_owned(), planned)]),
        files: planned / 2,
        file_bytes: planned * 295_000,
        body_bytes: planned * 295_200,
        sent_bytes: planned * 295_600,
        received_bytes: planned * 340,
        latency_ms,
        latency_quantiles_ms: Quantiles::default(),
        service_ms: times(planned, 2_300.0 * slowness.sqrt()),
        lag_ms: times(planned, 0.2),
        lag_parts_ms: LagPartsReport {
            pacer: times(planned, 0.2),
            connect: times(planned, 0.0),
            dependency: times(planned, 1.5 * slowness),
        },
        dependency_delayed_share: 0.02 * slowness,
        stages_ms: stages(planned, slowness),
        held_at_send_end: HeldCounts {
            uploads: planned / 2,
            bytes: 4_096,
            bytes_max: 4_096,
            ..HeldCounts::default()
        },
        bindings: BindingCounts { resolved: planned * 2, unresolved: 0 },
        dispersion_captured: windows([1.05, 1.42, 3.1]),
        dispersion_planned: windows([1.0 + multiple * 0.05, 1.0 + multiple * 0.40, 1.0 + multiple * 2.15]),
        dispersion_target: windows([1.0 + multiple * 0.05, 1.0 + multiple * 0.42, 1.0 + multiple * 2.1]),
        achieved: achieved(planned, multiple, slowness),
        fidelity: gates(),
        routes: routes(planned, slowness),
        series: (0..40).map(|at_s| second(at_s, multiple, slowness)).collect(),
        latency_curve: curve(2_400.0 * slowness),
        service_curve: curve(2_300.0 * slowness.sqrt()),
        samples: None,
        scenario: None,
        interrupted: false,
        created: None,
        aborted: None,
        verdict: Verdict::Pass,
        reasons: Vec::new(),
    }
}

/// The same at 5×, against a target that hangs and sheds.
pub(crate) fn failing_run() -> RunReport {
    let mut run = run(5.0, 4.1);
    run.verdict = Verdict::Fail;
    run.failed = 38;
    run.unfinished = 4;
    run.done = run.planned - 10;
    run.unfinished_oldest_s = Some(31.2);
    run.errors = [("unfinished", 4), ("reset", 3), ("timeout", 2), ("protocol", 1)]
        .map(|(class, count)| (class.to_owned(), count))
        .into();
    let failure = |class, stage, count| FailureCount { class, stage: Some(stage), count };
    run.failures = vec![
        failure(ErrorClass::Reset, ClientStage::Send, 3),
        failure(ErrorClass::Timeout, ClientStage::Wait, 2),
        failure(ErrorClass::Protocol, ClientStage::Receive, 1),
        failure(ErrorClass::Unfinished, ClientStage::Wait, 4),
    ];
    run.statuses = BTreeMap::from([("200".to_owned(), 162), ("503".to_owned(), 28)]);
    run.reasons = vec!["38 of 200 planned requests failed, more than 5 %".to_owned()];
    run.routes[0].failed = 38;
    run.series.iter_mut().skip(15).for_each(|second| second.failed = second.at_s % 3);
    run
}

/// A run whose generator was late.
pub(crate) fn invalid_run() -> RunReport {
    let mut run = run(10.0, 2.0);
    run.verdict = Verdict::Invalid;
    run.lag_ms = times(run.planned, 48.0);
    run.fidelity.insert(
        "lag_p99_ms".to_owned(),
        Gate { kind: Some(GateKind::Validity), pass: false, ..gate(55.2, 5.0, "lag p99 in ms, at most") },
    );
    run.reasons = vec!["the generator was late: lag p99 of 55.2 ms exceeds 5 ms".to_owned()];
    run
}

pub(crate) fn report() -> Report {
    Report { capture: Some(classroom_summary()), runs: vec![run(1.0, 1.0), run(2.0, 1.15), failing_run()] }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive test values")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn times(count: u64, p50: f64) -> Percentiles {
    let at = |factor: f64| Some(p50 * factor);
    Percentiles { count, p50: at(1.0), p95: at(1.6), p99: at(1.95), p999: at(2.3), max: at(2.4) }
}

fn windows(values: [f64; 3]) -> BTreeMap<String, f64> {
    ["0.1", "1", "10"].map(str::to_owned).into_iter().zip(values).collect()
}

fn stages(count: u64, slowness: f64) -> BTreeMap<String, Percentiles> {
    let stages = [("connect", 0.4), ("send", 88.0), ("wait", 2_200.0 * slowness), ("receive", 0.2)];
    stages.map(|(name, p50)| (name.to_owned(), times(count, p50))).into()
}

/// Of a target that takes `slowness` times as long as the captured one.
fn achieved(planned: u64, multiple: f64, slowness: f64) -> Achieved {
    let level = |captured: f64, achieved: f64| {
        let expected = captured * multiple;
        let deviation = Some((achieved / expected - 1.0).abs());
        let planned = Some(expected * 1.02);
        Level { captured, expected, planned, achieved, deviation, limit: 0.15, pass: true, decided: true }
    };
    let durations = |p50: f64, slowness: f64| Durations {
        count_captured: 40,
        count_achieved: planned,
        p50_captured: Some(p50),
        p50_achieved: Some(p50 * slowness),
        p95_captured: Some(p50 * 1.6),
        p95_achieved: Some(p50 * 1.6 * slowness),
        ks: Some(0.08 * slowness),
        apart: Some(0.2 * (slowness - 1.0)),
        limit: 0.22,
        pass: slowness < 2.0,
        decided: true,
    };
    let stages = [
        ("send", 88.0, 1.0),
        ("wait", 2_200.0, slowness),
        ("receive", 0.2, 1.0),
        ("total", 2_290.0, slowness),
    ];
    let stages: BTreeMap<_, _> =
        stages.map(|(name, p50, slowness)| (name.to_owned(), durations(p50, slowness))).into();
    let rhythm =
        |index: f64| Rhythm { planned: Some(index), ready: Some(index * 1.02), sent: Some(index * 1.03) };
    let planned = windows([1.0 + multiple * 0.05, 1.0 + multiple * 0.40, 1.0 + multiple * 2.15]);
    Achieved {
        dispersion: planned.into_iter().map(|(window, index)| (window, rhythm(index))).collect(),
        uploads_in_flight: level(0.08, 0.08 * multiple * 1.04),
        connections_open: level(1.9, 1.9 * multiple * slowness.sqrt()),
        session_duration_ms: durations(9_400.0, slowness.sqrt()),
        think_time_ms: durations(1_800.0, 1.0),
        route_mix: Some(0.01),
        route_mix_limit: 0.06,
        stages: stages.clone(),
        route_stages: vec![RouteStages { route: UPLOAD.to_owned(), stages }],
    }
}

fn gates() -> BTreeMap<String, Gate> {
    let gates = [
        ("lag_p99_ms", 0.39, 5.0, "lag p99 in ms, at most"),
        ("sent_share", 1.0, 0.99, "sent of planned, at least"),
        ("dispersion_1s", 0.03, 0.15, "deviation from the target in windows of 1 s, at most"),
    ];
    let told = gates.map(|(name, value, limit, meaning)| (name.to_owned(), gate(value, limit, meaning)));
    let untold = Gate {
        value: None,
        decided: false,
        reason: Some("the capture is too short".to_owned()),
        ..gate(0.0, 0.15, "deviation from the target in windows of 60 s, at most")
    };
    told.into_iter().chain([("dispersion_60s".to_owned(), untold)]).collect()
}

fn gate(value: f64, limit: f64, meaning: &str) -> Gate {
    let meaning = meaning.to_owned();
    Gate { kind: None, value: Some(value), limit, pass: true, decided: true, meaning, reason: None }
}

fn routes(planned: u64, slowness: f64) -> Vec<RouteReport> {
    let route = |name: &str, p50: f64| RouteReport {
        route: name.to_owned(),
        planned: planned / 2,
        sent: planned / 2,
        done: planned / 2,
        statuses: BTreeMap::from([("200".to_owned(), planned / 2)]),
        latency_ms: times(planned / 2, p50 * slowness),
        service_ms: times(planned / 2, p50),
        stages_ms: stages(planned / 2, slowness * p50 / 2_900.0),
        sent_bytes: planned / 2 * 400,
        received_bytes: planned / 2 * 340,
        ..RouteReport::default()
    };
    vec![route(UPLOAD, 2_900.0), route("GET /api/assignments", 12.0)]
}

/// Bursts every ten seconds, and in-flight requests that pile up with the slowness.
fn second(at_s: u64, multiple: f64, slowness: f64) -> Second {
    let wave = 1.0 + (at_s as f64 * 0.63).sin();
    let p50 = 2_400.0 * (1.0 + (slowness - 1.0) * at_s as f64 / 20.0);
    let measured = (at_s > 1).then_some(p50);
    Second {
        at_s,
        planned: whole(multiple * wave),
        sent: whole(multiple * wave),
        done: whole(multiple * wave),
        failed: 0,
        ended: whole(multiple * wave),
        in_flight: whole(multiple * (2.0 + wave) * (1.0 + (slowness - 1.0) * at_s as f64 / 40.0)),
        users: whole(multiple * 20.0),
        latency_ms_p50: measured,
        latency_ms_p95: measured.map(|p50| p50 * (1.5 + 0.2 * wave)),
        latency_ms_p99: measured.map(|p50| p50 * 2.2),
        sent_bytes: whole(multiple * wave * 295_000.0),
        received_bytes: whole(multiple * wave * 340.0),
    }
}

fn curve(p50: f64) -> Vec<CurvePoint> {
    let rarities = [1.0_f64, 1.25, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0, 80.0, 100.0, 160.0];
    let mut points: Vec<CurvePoint> = rarities
        .map(|rarity| CurvePoint {
            share: 1.0 - 1.0 / rarity,
            ms: p50 * (0.02 + 0.9 * rarity.ln().powf(0.6)),
        })
        .into();
    points.push(CurvePoint { share: 1.0, ms: p50 * 2.4 });
    points
}

fn saved(run: &RunReport) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(RUN_FILE);
    std::fs::write(&file, serde_json::to_string(run).unwrap()).unwrap();
    (directory, file)
}

#[test]
fn a_run_is_read_from_its_directory_or_its_file() {
    let (directory, file) = saved(&failing_run());
    assert_eq!(read_run(directory.path()).unwrap(), failing_run());
    assert_eq!(read_run(&file).unwrap(), failing_run());
}

#[test]
fn a_run_of_before_the_parts_of_the_lag_is_still_read() {
    let without = |mut value: serde_json::Value, keys: &[&str]| {
        value.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
        value
    };
    let later = ["sent_bytes", "received_bytes", "lag_parts_ms", "held_at_send_end", "samples", "http"];
    let mut older = without(serde_json::to_value(run(1.0, 1.0)).unwrap(), &later);
    let last_route = older["routes"].as_array_mut().unwrap().pop().unwrap();
    older["routes"] = vec![without(last_route, &["sent_bytes", "received_bytes", "stages_ms"])].into();
    let last_second = older["series"].as_array_mut().unwrap().pop().unwrap();
    older["series"] = vec![without(last_second, &["received_bytes"])].into();
    let read: RunReport = serde_json::from_value(older).unwrap();
    assert_eq!((read.planned, read.sent_bytes, read.samples), (40, 0, None));
}

#[test]
fn what_is_no_run_is_refused_with_a_remedy() {
    let (directory, file) = saved(&run(1.0, 1.0));
    let missing = read_run(&directory.path().join("9x")).unwrap_err().to_string();
    assert!(missing.contains("9x: no run here") && missing.contains("--out"), "{missing}");
    let broken = std::fs::read_to_string(&file).unwrap().replace("\"planned\":40", "\"planned\":\"many\"");
    std::fs::write(&file, broken).unwrap();
    let foreign = read_run(&file).unwrap_err().to_string();
    assert!(foreign.contains("at `planned`"), "{foreign}");
}

#[test]
fn a_report_that_cannot_be_written_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let refused = write_whole(&directory.path().join("none/report.html"), "text").unwrap_err().to_string();
    assert!(refused.contains("cannot write"), "{refused}");
    std::fs::create_dir(directory.path().join("taken")).unwrap();
    assert!(write_whole(&directory.path().join("taken"), "text").is_err());
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["taken"]);
}

#[test]
fn the_headline_says_what_held_and_what_did_not() {
    let headline = |runs: &[RunReport]| words::headline(runs);
    assert_eq!(headline(&[]), "What the capture holds");
    assert_eq!(headline(&[run(1.0, 1.0), run(2.0, 1.0)]), "Held at 1× and 2×");
    assert_eq!(headline(&report().runs), "Held at 1× and 2×, missed at 5×");
    assert_eq!(headline(&[invalid_run()]), "Cannot tell at 10×");
}

#[test]
fn the_sentences_of_each_kind_of_run() {
    let interrupted = RunReport { interrupted: true, withheld: 7, duration_s: 12.0, ..failing_run() };
    let silent = RunReport { latency_ms: Percentiles::default(), ..failing_run() };
    let runs = vec![run(1.0, 1.0), run(2.0, 1.15), failing_run(), invalid_run(), interrupted, silent];
    let sentences: Vec<String> =
        runs.iter().map(|one| words::describe(one, words::baseline(&runs))).collect();
    insta::assert_snapshot!(sentences.join("\n\n"));
}

#[test]
fn runs_of_one_multiple_are_told_apart() {
    let volley = RunReport { mode: "volley".to_owned(), ..failing_run() };
    assert_eq!(words::headline(&[run(5.0, 1.0), volley.clone()]), "Held at 5× crowd, missed at 5× volley");
    assert_eq!(words::run_names(&[volley.clone(), volley]), ["5× #1", "5× #2"]);
    let seeds = [7, 8].map(|seed| RunReport { seed, ..run(5.0, 1.0) });
    assert_eq!(words::run_names(&seeds), ["5× seed 7", "5× seed 8"]);
}

#[test]
fn units_stay_beside_their_numbers() {
    let bound = words::with_bound_units("95 % within 3.8 s, then (19 %): 4 requests");
    assert_eq!(bound, "95\u{a0}% within 3.8\u{a0}s, then (19\u{a0}%): 4 requests");
}

#[test]
fn the_terminal_table() {
    insta::assert_snapshot!(terminal::render(&report(), GatesTold::All));
}

#[test]
fn gates_that_are_ok_are_counted_and_the_worst_come_first() {
    let mut invalid = invalid_run();
    let caution =
        Gate { kind: Some(GateKind::Likeness), pass: false, ..gate(0.4, 0.15, "deviation, at most") };
    invalid.fidelity.insert("dispersion_10s".to_owned(), caution);
    let text = |runs: &[RunReport]| gates::render(runs, GatesTold::NotOk);
    insta::assert_snapshot!(text(&[run(1.0, 1.0), invalid]));
    let mut ok = run(1.0, 1.0);
    ok.fidelity.retain(|_, gate| gate.decided);
    assert_eq!(text(&[ok]), "3 gates ok; --gates names them\n");
    assert_eq!(gates::render(&[run(1.0, 1.0)], GatesTold::All).lines().count(), 5, "the titles and all four");
}

/// Ended at 62 of 100 users.
pub(crate) fn scenario() -> ScenarioReport {
    let judged = |criterion: &str, standing, value: Option<f64>| Judged {
        criterion: criterion.to_owned(),
        standing,
        value,
        low: value,
        high: value,
        limit: 0.05,
        text: format!("{criterion}: seen"),
    };
    let by = Aborted {
        cause: Cause::Latency,
        rule: "p95>10s".to_owned(),
        at_s: 112,
        reason: "61.0 % of 80 requests took longer".to_owned(),
    };
    ScenarioReport {
        name: "threshold".to_owned(),
        about: "until it gives way".to_owned(),
        standing: Standing::Fail,
        criteria: vec![
            judged("p95<10s", Standing::Fail, Some(0.2)),
            judged("postgres.total<=20", Standing::Undecided, None),
        ],
        unit: Unit::Users,
        peak: 100.0,
        planned_s: 300.0,
        shape: vec![Corner { at_s: 0.0, level: 0.0 }, Corner { at_s: 300.0, level: 100.0 }],
        rate: Rate { to_s: 90.0, expected_per_s: Some(50.0), good_per_s: Some(12.25), ..Rate::default() },
        ended: Some(Ended { by, level: 61.2 }),
    }
}

#[test]
fn a_scenario_says_its_verdict_each_criterion_and_at_how_many_users_it_was_ended() {
    insta::assert_snapshot!(super::scenario::render(&scenario()), @r"
    scenario threshold: FAIL
      FAIL       p95<10s: seen
      UNDECIDED  postgres.total<=20: seen
      ended by p95>10s after 112 s, at 62 users: 61.0 % of 80 requests took longer
      rate while the load was full (0 to 90 s): the file expects 50.0/s, good answers were 12.2/s
    ");
    let mut named = run(1.0, 1.0);
    named.scenario = Some(scenario());
    assert_eq!(words::run_names(&[named, run(5.0, 1.0)]), ["threshold", "5×"]);
}

fn parsed(schema: &str) -> serde_json::Value {
    serde_json::from_str(schema).unwrap()
}

/// What the report's schema says against the JSON of a report; empty when it fits.
fn objections(report: &serde_json::Value) -> Vec<String> {
    let registry = jsonschema::Registry::new()
        .add("urn:kingtide:run", parsed(include_str!("../../schemas/run.json")))
        .unwrap()
        .add("urn:kingtide:inspect", parsed(include_str!("../../schemas/inspect.json")))
        .unwrap()
        .prepare()
        .unwrap();
    let schema = parsed(include_str!("../../schemas/report.json"));
    let validator = jsonschema::options().with_registry(&registry).build(&schema).unwrap();
    validator.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn json_of(report: &Report) -> serde_json::Value {
    serde_json::from_str(&report.to_json().unwrap()).unwrap()
}

#[test]
fn what_is_written_fits_the_schemas() {
    let mut silent = run(1.0, 1.0);
    silent.latency_ms = Percentiles::default();
    silent.samples = Some(SampleCounts { disk_error: Some("full".to_owned()), ..SampleCounts::default() });
    silent.scenario = Some(scenario());
    let runs = vec![run(1.0, 1.0), failing_run(), invalid_run(), silent];
    assert_eq!(objections(&json_of(&Report { runs, ..report() })), Vec::<String>::new());
    assert_eq!(objections(&json_of(&Report { capture: None, runs: Vec::new() })), Vec::<String>::new());
}

#[test]
fn the_schemas_object_to_what_is_not_the_contract() {
    let breaks: [(&str, serde_json::Value); 6] = [
        ("/runs/2/failures/0/stage", "upload".into()),
        ("/runs/0/planned", "many".into()),
        ("/runs/0/verdict", "pass".into()),
        ("/runs/0/latency_ms/p95", (-1).into()),
        ("/capture/stages/total/p50", "12 ms".into()),
        ("/capture/ledger", serde_json::json!({})),
    ];
    for (pointer, value) in breaks {
        let mut json = json_of(&report());
        *json.pointer_mut(pointer).unwrap() = value;
        assert_ne!(objections(&json), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn every_field_of_the_contract_is_in_the_schema() {
    let schema = parsed(include_str!("../../schemas/run.json"));
    let run = serde_json::to_value(run(1.0, 1.0)).unwrap();
    let described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let written: Vec<&String> = run.as_object().unwrap().keys().collect();
    assert_eq!(described, written);
}
