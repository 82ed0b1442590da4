//! `kingtide capacity` against the service: loads that it holds and loads that it does not, and one that hangs.
//!
//! The trials are short, so nothing here measures a capacity closely: that is what `make bench-capacity` does. A machine
//! that is too busy makes trials invalid; then a test asserts what must hold all the same.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use classroom::accounts::write_csv;
use classroom::faults::Faults;
use classroom::law::{ServiceLaw, StoreLatency};
use classroom::serve::{RunningServer, ServeConfig};
use serde_json::Value;

use crate::journey::{kingtide, text};
use crate::school::school;

const ACCOUNTS: u64 = 4_000;
/// 1× of it are 7.6 uploads a second.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/classroom-12");

/// Two slots of 100 ms: 20 uploads a second, 2.6× the capture.
async fn service(faults: Faults) -> RunningServer {
    let law = ServiceLaw {
        slots: 2,
        store: StoreLatency::Constant(100.0),
        pool: 0,
        auth_ms: 2.0,
        db_ms: 2.0,
        block_ms: 0.0,
    };
    let drain = Duration::ZERO;
    school(ServeConfig { law, faults, students: ACCOUNTS, drain, ..ServeConfig::default() }).await
}

fn accounts(directory: &Path) -> PathBuf {
    let path = directory.join("accounts.csv");
    write_csv(File::create(&path).unwrap(), ServeConfig::default().seed, 0, ACCOUNTS).unwrap();
    path
}

async fn capacity(server: &RunningServer, more: &[&str]) -> (Option<i32>, Value) {
    let directory = tempfile::tempdir().unwrap();
    let accounts = accounts(directory.path());
    let target = server.base_url();
    let fixed = ["capacity", CAPTURE, "--target", &target, "--identities", text(&accounts), "--json"];
    let output = kingtide(&[&fixed, more].concat()).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{told}");
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert_fits_schema(&answer);
    (output.status.code(), answer)
}

fn assert_fits_schema(answer: &Value) {
    let schema = serde_json::from_str(include_str!("../../../replayer/schemas/capacity.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn verdicts(answer: &Value, purpose: &str) -> Vec<Value> {
    let trials = answer["trials"].as_array().unwrap().iter();
    let of_purpose = trials.filter(|trial| trial["trial"]["purpose"] == purpose);
    of_purpose.map(|trial| trial["judged"]["verdict"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_above_the_slots_fails_and_the_store_is_suspected() {
    let server = service(Faults::default()).await;
    let more = ["--slo", "p95<2s,errors<5%", "--steps", "1,6", "--trial", "15s", "--budget", "90s"];
    let (exit, answer) = capacity(&server, &more).await;
    let steps = verdicts(&answer, "step");
    let failed = steps.iter().filter(|verdict| verdict["fail"].is_string()).count();
    if failed == 0 {
        // The machine was too busy to say so: no number either.
        assert_eq!(exit, Some(3), "{answer:#}");
        assert!(steps.iter().any(|verdict| verdict == "invalid"), "{answer:#}");
        return;
    }
    assert_eq!(answer["capacity"]["bound"], "at_least", "{answer:#}");
    assert_eq!(answer["capacity"]["multiple"], 1.0);
    let suspect = &answer["bottleneck"][0];
    assert_eq!(suspect["stage"], "store", "{suspect:#}");
    assert_eq!(suspect["route"], "POST /api/students/upload-recording");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_is_found_within_seconds_and_left_alone() {
    let server = service(Faults { hang_after: Some(40), ..Faults::default() }).await;
    let more = ["--slo", "p95<2s,errors<5%", "--timeout", "5s", "--budget", "5m"];
    let (exit, answer) = capacity(&server, &more).await;
    assert_eq!(exit, Some(1), "{answer:#}");
    assert_eq!((&answer["verdict"], &answer["failure_mode"]), (&"hang".into(), &"hang".into()));
    let sent_s: u64 =
        answer["trials"].as_array().unwrap().iter().map(|trial| trial["sending_s"].as_u64().unwrap()).sum();
    assert!(sent_s < 150, "not beaten any further: {answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_command_is_said_before_anything_is_sent() {
    let server = service(Faults::default()).await;
    let target = server.base_url();
    for (more, part) in [
        (&["--slo", "p95<10"][..], "the time needs a unit"),
        (&["--slo", "p95(GET /nothing)<1s"], "the capture has no route `GET /nothing`"),
        (&["--budget", "soon"], "--budget"),
        (&["--timeout", "0s"], "--timeout 0s"),
    ] {
        let output = kingtide(&[&["capacity", CAPTURE, "--target", &target], more].concat()).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(part), "{more:?}: {told}");
    }
}
