//! What other programs read: a Parquet export with DuckDB and pandas, and the capture itself as
//! captures/README.md says. They need Python with these packages, see [`python`].

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kingtide::measure::run::{Percentiles, RunReport};
use serde_json::{Value, json};

use crate::captured::{get, upload};
use crate::replay::{Scene, text};
use crate::server::{Server, answer};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name)
}

/// The Python that deploy/setup.sh provides, or the one that `KINGTIDE_TEST_PYTHON` names.
fn python() -> PathBuf {
    let provided = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    let python = std::env::var_os("KINGTIDE_TEST_PYTHON").map_or(provided, PathBuf::from);
    assert!(
        python.exists(),
        "{} is missing; run: deploy/setup.sh test (or name a Python with the packages of \
         deploy/python-requirements.txt in KINGTIDE_TEST_PYTHON)",
        python.display()
    );
    python
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn run_script(script: &Path, file: &Path) -> String {
    run(Command::new(python()).arg(script).arg(file))
}

fn kingtide() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kingtide"))
}

fn inspected(capture: &Path) -> Value {
    serde_json::from_str(&run(kingtide().arg("inspect").arg(capture).arg("--json"))).unwrap()
}

/// Counts, sums, a percentile and a nested column, as `inspect` has them.
fn assert_agrees(found: &Value, summary: &Value) {
    assert_eq!(found["kinds"]["exchange"], summary["exchanges"]);
    assert_eq!(found["body_bytes"], summary["body_bytes"]["sum"]);
    assert_eq!(
        (&found["files"], &found["upload_bytes"]),
        (&summary["upload_bytes"]["count"], &summary["upload_bytes"]["sum"])
    );
    let p95_ms = found["total_p95_us"].as_f64().unwrap() / 1000.0;
    assert_eq!(json!(p95_ms), summary["stages"]["total"]["p95"]);
    assert_eq!(found["statuses"], summary["statuses"]);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found["server_timing_us"]), names(&summary["stages_inner"]));
}

#[test]
fn duckdb_and_pandas_find_in_an_export_what_inspect_finds_in_the_capture() {
    let directory = tempfile::tempdir().unwrap();
    let export = directory.path().join("classroom.parquet");
    let capture = golden("classroom-12");
    run(kingtide().args(["export", "parquet"]).arg(&capture).arg("--out").arg(&export));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/parquet.py");
    let found: Value = serde_json::from_str(&run_script(&script, &export)).unwrap();
    let summary = inspected(&capture);
    assert_agrees(&found["duckdb"], &summary);
    assert_agrees(&found["pandas"], &summary);
    assert_eq!(found["duckdb"], found["pandas"], "sums of nested values too");
}

/// A run with some fast and some slow answers, and its file of samples.
fn sampled_run(scene: &Scene) -> (RunReport, PathBuf) {
    let server = Server::http(|received| async move {
        let is_upload = received.path == "/upload";
        tokio::time::sleep(Duration::from_millis(if is_upload { 20 } else { 0 })).await;
        answer(if is_upload { 201 } else { 200 }, "{}")
    });
    let samples = scene.path("samples.csv.gz");
    let output = scene.run(&server.origin, &["-x", "1", "--json", "--samples", samples.to_str().unwrap()]);
    assert!(!output.stdout.is_empty(), "{}", text(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), samples)
}

/// Within the three digits of the report's histograms.
fn assert_are(found: &Value, reported: &Percentiles, of: &str) {
    assert_eq!(found["count"], json!(reported.count), "{of}");
    for (name, reported) in [("p50", reported.p50), ("p95", reported.p95), ("p99", reported.p99)] {
        let (found_ms, reported_ms) = (found[name].as_f64().unwrap(), reported.unwrap());
        let is_near = (found_ms - reported_ms).abs() <= (reported_ms * 0.001).max(0.001);
        assert!(is_near, "{of} {name}: {found_ms} ms of the samples, {reported_ms} ms of the report");
    }
}

#[test]
fn duckdb_and_pandas_find_in_the_samples_what_the_run_reports() {
    let user = |number: u64| {
        let begin_ms = 3 * number.cast_signed();
        [
            (number, begin_ms, get("/page,whole").exchange),
            (number, begin_ms + 40, upload(20_000, &[]).exchange),
        ]
    };
    let scene = Scene::new((0..30).flat_map(user).collect());
    let (run, samples) = sampled_run(&scene);
    assert_eq!(run.samples.as_ref().map(|samples| samples.written), Some(60));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/samples.py");
    let found: Value = serde_json::from_str(&run_script(&script, &samples)).unwrap();
    assert_eq!(found["duckdb"], found["pandas"]);
    let found = &found["duckdb"];
    assert_are(&found["latency"], &run.latency_ms, "latency");
    assert_are(&found["service"], &run.service_ms, "service time");
    assert_are(&found["lag"], &run.lag_ms, "lag");
    assert_are(&found["wait"], &run.stages_ms["wait"], "wait");
    assert_eq!(
        (&found["sent_bytes"], &found["received_bytes"]),
        (&json!(run.sent_bytes), &json!(run.received_bytes))
    );
    assert_eq!(found["statuses"], json!(run.statuses));
}

#[test]
fn the_readmes_program_reads_the_capture_itself() {
    let readme = include_str!("../../../captures/README.md");
    let program = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let capture = golden("classroom-12");
    let pointed = program.replace("target/demo/capture", capture.to_str().unwrap());
    assert_ne!(pointed, program, "the program names the demo's capture");
    let rows = "\nassert table.num_rows == 70, table.num_rows\nassert len(uploads) == 22, len(uploads)\n\
                assert uploads['request_body_bytes'].sum() == 4_427_800 - exchanges.query(\"request_body_kind != 'multipart'\")['request_body_bytes'].sum()\n";
    let said = run(Command::new(python()).arg("-c").arg(pointed + rows));
    assert!(said.contains("POST") && said.contains("99%"), "{said}");
}
