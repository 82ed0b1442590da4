//! `kingtide replay --seeds`: several runs, and what they say together.

use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use kingtide::measure::run::{RunReport, Verdict};
use kingtide::report::read_run;
use serde_json::Value;
use tokio::sync::watch;

use crate::captured::{get, upload};
use crate::replay::{Scene, assert_exit_says, assert_fits_schema, interrupt, text};
use crate::server::{Server, answer};
use crate::users::{different, registration};

fn assert_fits(joint: &Value) {
    let schema = |text| -> Value { serde_json::from_str(text).unwrap() };
    let run = schema(include_str!("../../schemas/run.json"));
    let registry = jsonschema::Registry::new().add("urn:kingtide:run", run).unwrap().prepare().unwrap();
    let schema = schema(include_str!("../../schemas/seeds.json"));
    let validator = jsonschema::options().with_registry(&registry).build(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(joint).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn verdict_of(joint: &Value) -> Verdict {
    serde_json::from_value(joint["verdict"].clone()).unwrap()
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Students who come within 300 ms, look at a page and upload.
fn students() -> Scene {
    let exchanges = (0..12_u64).flat_map(|user| {
        let at_ms = 25 * user.cast_signed();
        [(user, at_ms, get("/page").exchange), (user, at_ms + 40, upload(20_000 + user, &[]).exchange)]
    });
    Scene::new(exchanges.collect())
}

/// A figure over the runs that count says what those runs say.
fn assert_is_of(figure: &Value, runs: &[&RunReport], value: fn(&RunReport) -> f64) {
    let expected: Vec<f64> = runs.iter().map(|run| value(run)).collect();
    let mean = expected.iter().sum::<f64>() / expected.len() as f64;
    assert_eq!(numbers(&figure["values"]), expected);
    assert!((figure["mean"].as_f64().unwrap() - mean).abs() < 1e-9, "{figure}");
    let bound = |name: &str| figure["interval"][name].as_f64().unwrap();
    assert!(bound("low") <= mean && mean <= bound("high"), "{figure}");
}

#[test]
fn three_seeds_are_three_runs_and_one_report() {
    let server =
        Server::http(
            |received| async move { answer(if received.path == "/upload" { 201 } else { 200 }, "{}") },
        );
    let scene = students();
    let out = scene.path("out");
    let arguments = ["-x", "3", "--seed", "7", "--seeds", "3", "--settle", "0s", "--json", "--out"];
    let output = scene.run(&server.origin, &[&arguments[..], &[out.to_str().unwrap()]].concat());
    let joint: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_fits(&joint);
    assert_eq!(joint, read_json(&out.join("seeds.json")));
    assert_exit_says(verdict_of(&joint), &output);

    let runs: Vec<RunReport> =
        (7..10).map(|seed| read_run(&out.join(format!("seed-{seed}"))).unwrap()).collect();
    assert_eq!(runs.iter().map(|run| run.seed).collect::<Vec<_>>(), [7, 8, 9]);
    assert!(runs.iter().all(|run| run.done == run.planned && run.failed == 0), "{:?}", joint["reasons"]);
    assert_eq!(different(runs.iter().map(|run| run.file_bytes)), 3, "three draws");
    assert!(out.join("seed-8/samples.csv.gz").is_file());
    assert_fits_schema(&out.join("seed-8/run.json"));
    let verdicts: Vec<Verdict> = runs.iter().map(|run| run.verdict).collect();
    let told = joint["runs"].as_array().unwrap().iter().map(verdict_of).collect::<Vec<_>>();
    assert_eq!(told, verdicts);

    // On a busy machine a generator may be late, which then is left out.
    let valid: Vec<&RunReport> = runs.iter().filter(|run| run.verdict != Verdict::Invalid).collect();
    assert_eq!(verdict_of(&joint) == Verdict::Invalid, valid.len() < 2, "{:?}", joint["reasons"]);
    assert_eq!(joint["merged"]["sent"], valid.iter().map(|run| run.sent).sum::<u64>());
    if valid.len() >= 2 {
        let figures = &joint["figures"];
        assert_is_of(&figures["latency_ms_p95"], &valid, |run| run.latency_ms.p95.unwrap());
        assert_is_of(&figures["failed_share"], &valid, |_| 0.0);
        assert_is_of(&figures["sent_per_s"], &valid, |run| run.sent as f64 / run.duration_s);
    }
    let stderr = text(&output.stderr);
    for part in ["seed 1 of 3: ", "seed 3 of 3: ", "seed 9) = 36 users"] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    the_runs_are_reported_on(&out);
}

/// `kingtide report` goes on as ever.
fn the_runs_are_reported_on(out: &Path) {
    let report = |runs: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.current_dir(out).arg("report").args(runs).output().unwrap()
    };
    let output = report(&["seed-7", "seed-8", "seed-9"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("3× seed 8"), "{}", text(&output.stdout));
    let refused = report(&["."]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("several runs: give those that you want"),
        "{}",
        text(&refused.stderr)
    );
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_target_that_misses_with_every_seed_fails_them_all() {
    let server = Server::http(|_| async { answer(500, "{}") });
    let scene = students();
    let output = scene.run(&server.origin, &["--seeds", "2", "--settle", "0s", "--json"]);
    let joint: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_exit_says(verdict_of(&joint), &output);
    assert_ne!(verdict_of(&joint), Verdict::Pass);
    let reasons = joint["reasons"].to_string();
    assert!(reasons.contains("every seed gives the same plan here"), "1x is the capture itself: {reasons}");
    assert!(joint["runs"].as_array().unwrap().iter().all(|run| run["failed"] == 24), "{joint}");
    assert_eq!(joint["runs"][0]["directory"], Value::Null, "nothing was written");
}

#[test]
fn a_stop_in_the_second_run_leaves_the_rest_out_and_says_so() {
    let (release, released) = watch::channel(false);
    let (sent, requests) = mpsc::channel();
    let seen = AtomicUsize::new(0);
    // The third request is the second run's first: it is answered when the user has wanted to stop.
    let server = Server::http(move |_| {
        let waits = seen.fetch_add(1, Ordering::Relaxed) == 2;
        sent.send(()).unwrap();
        let mut released = released.clone();
        async move {
            if waits {
                released.wait_for(|released| *released).await.unwrap();
            }
            answer(200, "{}")
        }
    });
    let scene = Scene::new(vec![(1, 0, get("/now").exchange), (1, 40, get("/then").exchange)]);
    let out = scene.path("out");
    let arguments = ["--clock", "think", "--seeds", "5", "--settle", "0s", "--json", "--out"];
    let mut replay = scene.replay(&server.origin, &[&arguments[..], &[out.to_str().unwrap()]].concat());
    let mut child = replay.spawn().unwrap();
    for _ in 0..3 {
        requests.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    interrupt(&child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended without a word");
    }
    release.send(true).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{rest}");

    let joint: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_fits(&joint);
    let (first, second) = (read_run(&out.join("seed-1")).unwrap(), read_run(&out.join("seed-2")).unwrap());
    assert_eq!((first.sent, first.interrupted), (2, false));
    assert_eq!(
        (second.sent, second.done, second.interrupted, second.verdict),
        (1, 1, true, Verdict::Invalid)
    );
    assert_eq!(joint["not_begun"], serde_json::json!([3, 4, 5]));
    let counted = if first.verdict == Verdict::Invalid { 0 } else { first.sent };
    assert_eq!(joint["merged"]["sent"], counted, "what was stopped is in no figure");
    assert!(joint["reasons"].to_string().contains("stopped: seeds 3, 4 and 5 not begun"), "{joint}");
    assert!(
        joint["runs"][1]["left_out"].as_str().unwrap().contains("stopped before its plan was sent"),
        "{joint}"
    );
    assert!(!out.join("seed-3").exists(), "a run that was not begun leaves nothing");
}

#[test]
fn no_two_seeds_have_a_user_in_common_while_there_are_accounts() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = registration();
    let accounts = scene.path("accounts.csv");
    let emails = || {
        let bodies = server
            .received()
            .into_iter()
            .map(|received| serde_json::from_slice::<Value>(&received.body).unwrap());
        bodies.map(|body| body["email"].to_string()).collect::<Vec<_>>()
    };
    let run = |lines: usize| {
        let all = (0..lines).map(|line| format!("user{line}@school.example,pw\n"));
        std::fs::write(&accounts, "email,password\n".to_owned() + &all.collect::<String>()).unwrap();
        let before = emails().len();
        let arguments =
            ["-x", "2", "--mode", "volley", "--seeds", "3", "--settle", "0s", "--json", "--identities"];
        let output = scene.run(&server.origin, &[&arguments[..], &[accounts.to_str().unwrap()]].concat());
        (emails().split_off(before), output)
    };
    let (sent, output) = run(6);
    assert_eq!((sent.len(), different(sent)), (6, 6), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("identities file"), "{}", text(&output.stdout));

    let (sent, output) = run(4);
    assert_eq!((sent.len(), different(sent)), (6, 4), "{}", text(&output.stderr));
    let said = "the identities file has 4 accounts for the 6 users of all seeds";
    assert!(
        text(&output.stdout).contains(said) && text(&output.stderr).contains(said),
        "{}",
        text(&output.stderr)
    );

    let (sent, output) = run(1);
    assert_eq!((sent.len(), output.status.code()), (0, Some(2)), "nothing is sent");
    assert!(
        text(&output.stderr).contains("seed 1: this replay has 2 users who log in"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_makes_no_sense_with_several_seeds_is_refused_before_anything_is_sent() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = students();
    let refused = |arguments: &[&str]| {
        let output = scene.run(&server.origin, arguments);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    assert!(refused(&["--seeds", "1"]).contains("for one leave --seeds out"));
    assert!(refused(&["--seeds", "0"]).contains("2 to 100"));
    assert!(refused(&["--settle", "1s"]).contains("--seeds <K>"));
    assert!(refused(&["--seeds", "3", "--samples", "x.csv.gz"]).contains("leave --samples out"));
    assert!(refused(&["--seeds", "3", "--settle", "1000h"]).contains("--settle 3600000s: nobody waits"));
    assert!(refused(&["--seeds", "3", "--out", "/proc/runs"]).contains("--out"));
    let last = u64::MAX.to_string();
    assert!(refused(&["--seeds", "3", "--seed", &last]).contains("begin lower"));
    assert!(server.received().is_empty());
}

#[test]
fn trouble_before_a_later_run_costs_no_run_that_was_made() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = Scene::new(vec![(1, 0, get("/").exchange)]);
    let out = scene.path("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("seed-2"), "in the way").unwrap();
    let output = scene
        .run(&server.origin, &["--seeds", "3", "--settle", "0s", "--json", "--out", out.to_str().unwrap()]);
    let joint: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_fits(&joint);
    assert_eq!(joint, read_json(&out.join("seeds.json")));
    assert_eq!((&joint["runs"][0]["done"], &joint["not_begun"]), (&1.into(), &serde_json::json!([2, 3])));
    let reasons = joint["reasons"].to_string();
    assert!(
        reasons.contains("cannot make the directory") && reasons.contains("seeds 2 and 3 not begun"),
        "{reasons}"
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("error: --out: cannot make the directory"),
        "{}",
        text(&output.stderr)
    );
}
