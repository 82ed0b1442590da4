//! `kingtide compare` and `kingtide report --grade` as scripts use them, on runs of a real server.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::captured::get;
use crate::replay::{Scene, text};
use crate::server::{Server, answer};

/// Four times the five seconds that runs of one plan need: by chance they resemble each other, which makes fewer of them.
const LENGTH_MS: i64 = 20_000;

fn kingtide(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
    command.current_dir(directory).args(arguments).output().unwrap()
}

fn assert_fits(json: &Value, schema: &str) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// Users who look at a page one after another.
fn visits(length_ms: i64) -> Scene {
    let at_ms = |user: u64| length_ms / 160 * user.cast_signed();
    Scene::new((0..160_u64).map(|user| (user, at_ms(user), get("/page").exchange)).collect())
}

/// Played to a server that takes so long.
fn play(scene: &Scene, out: &str, takes: Duration, more: &[&str]) {
    let server = Server::http(move |_| async move {
        tokio::time::sleep(takes).await;
        answer(200, "{}")
    });
    let out = scene.path(out);
    let output = scene.run(&server.origin, &[more, &["--out", out.to_str().unwrap()]].concat());
    assert!(out.join("run.json").is_file(), "{}", text(&output.stderr));
}

#[test]
fn a_slower_server_is_found_and_a_run_is_like_itself() {
    let scene = visits(LENGTH_MS);
    std::thread::scope(|both| {
        both.spawn(|| play(&scene, "before", Duration::from_millis(50), &[]));
        both.spawn(|| play(&scene, "after", Duration::from_millis(250), &[]));
    });
    let directory = scene.path("");

    // On a busy machine the generator may be late; what it compares is the same.
    let worse = kingtide(&directory, &["compare", "before", "after", "--anyway"]);
    assert_eq!(worse.status.code(), Some(1), "{}{}", text(&worse.stdout), text(&worse.stderr));
    for part in ["WORSE: B (after) against A (before)", "latency p95 *", "both played the same plan"] {
        assert!(text(&worse.stdout).contains(part), "{part} in\n{}", text(&worse.stdout));
    }
    let like = kingtide(&directory, &["compare", "before", "before/run.json", "--anyway", "--json"]);
    assert_eq!(like.status.code(), Some(0), "{}{}", text(&like.stdout), text(&like.stderr));
    let json: Value = serde_json::from_slice(&like.stdout).unwrap();
    assert_eq!(json["is_same_plan"], true, "{json}");
    let changes: Vec<f64> =
        json["figures"].as_array().unwrap().iter().filter_map(|figure| figure["change"].as_f64()).collect();
    assert!(!changes.is_empty() && changes.iter().all(|change| change.abs() < 1e-9), "{json}");
    assert_fits(&json, include_str!("../../schemas/compare.json"));
    let markdown = kingtide(&directory, &["compare", "before", "after", "--anyway", "--markdown"]);
    assert!(text(&markdown.stdout).contains("\n|---|---:|---:|---:|---|\n"), "{}", text(&markdown.stdout));

    graded(&directory);
    not_comparable(&directory);
}

fn graded(directory: &Path) {
    std::fs::write(
        directory.join("mine.toml"),
        "[[grade]]\nmetric = \"latency_ms_p50\"\ngood = 10\npoor = 20\n\
         [[watch]]\nmetric = \"run.latency_ms_p95\"\nwarning = 10\ncritical = 20\n",
    )
    .unwrap();
    let arguments = ["report", "before", "--thresholds", "mine.toml", "--json", "report.json"];
    let output = kingtide(directory, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("latency ms p50") && told.contains("poor\n"), "{told}");
    assert!(told.contains("critical: run.latency_ms_p95 above 20 ms from "), "{told}");
    let report = std::fs::read_to_string(directory.join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["assessments"][0]["grades"][0]["worst"], "poor", "{}", report["assessments"]);
    std::fs::write(directory.join("wrong.toml"), "[[grade]]\nmetric = \"p50\"\ngood = 1\npoor = 2\n")
        .unwrap();
    let refused = kingtide(directory, &["report", "before", "--thresholds", "wrong.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("--thresholds: wrong.toml:1: no figure `p50`"),
        "{}",
        text(&refused.stderr)
    );
}

fn not_comparable(directory: &Path) {
    let short = visits(1_600);
    play(&short, "twice", Duration::ZERO, &["-x", "2"]);
    let twice = short.path("twice");
    let refused = kingtide(directory, &["compare", "before", twice.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stdout));
    assert!(
        text(&refused.stdout).contains("the multiple differs: A has 1×, B has 2×"),
        "{}",
        text(&refused.stdout)
    );
    let nothing = kingtide(directory, &["compare", "before", "nowhere"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing.stderr).contains("nowhere: no result here"), "{}", text(&nothing.stderr));
}
