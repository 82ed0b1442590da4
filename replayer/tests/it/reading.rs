//! `kingtide inspect` and `kingtide report` on captures and runs on disk.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::capture_files;

const SIZES: [u64; 6] = [5_000, 50_000, 200_000, 200_000, 500_000, 2_097_152];

fn kingtide(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kingtide")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn inspected(directory: &Path) -> Value {
    let output = kingtide(&["inspect", directory.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn inspect_counts_every_upload_with_its_exact_size() {
    let directory = tempfile::tempdir().unwrap();
    capture_files::whole(directory.path(), &SIZES);
    let summary = inspected(directory.path());
    assert_eq!(summary["exchanges"], 6);
    assert_eq!(summary["upload_bytes"]["count"], 6);
    assert_eq!(summary["upload_bytes"]["sum"], SIZES.iter().sum::<u64>());
    assert_eq!(summary["upload_bytes"]["max"], 2_097_152);
    assert_eq!(summary["body_bytes"]["sum"], SIZES.iter().sum::<u64>() + 6 * 300);
    assert_eq!(summary["routes"][0]["route"], "POST /api/students/{id}/recordings");
    assert_eq!(summary["ledger"]["recorded"], 6);
    assert_eq!(summary["damage"], serde_json::json!([]));
    assert_eq!(summary["dispersion"]["60"], Value::Null);
}

#[test]
fn a_torn_capture_is_read_up_to_the_tear_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    capture_files::torn(directory.path(), &SIZES);
    let summary = inspected(directory.path());
    assert_eq!(summary["exchanges"], 6);
    assert_eq!(summary["gaps"][0]["count"], 3);
    assert!(
        summary["damage"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("torn tail"))
    );
    let shown = text(&kingtide(&["inspect", directory.path().to_str().unwrap()]).stdout);
    assert!(shown.starts_with("!! DAMAGED: "), "{shown}");
}

#[test]
fn real_inspections_fit_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/inspect.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let directory = tempfile::tempdir().unwrap();
    capture_files::torn(directory.path(), &SIZES);
    let errors: Vec<String> =
        validator.iter_errors(&inspected(directory.path())).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn the_silence_that_parts_sessions_can_be_given() {
    let directory = tempfile::tempdir().unwrap();
    capture_files::whole(directory.path(), &SIZES);
    let path = directory.path().to_str().unwrap();
    let rules = directory.path().join("rules.toml");
    std::fs::write(&rules, "[sessions]\nidle_gap = \"45m\"\n").unwrap();
    let by_rules = ["--rules", rules.to_str().unwrap()];
    let given = ["--idle-gap", "2h"];
    for (arguments, gap_s, basis) in [
        (Vec::new(), 1_800.0, "default"),
        (by_rules.to_vec(), 2_700.0, "given"),
        ([by_rules, given].concat(), 7_200.0, "given"),
    ] {
        for command in ["inspect", "plan"] {
            let output = kingtide(&[[command, path, "--json"].as_slice(), &arguments].concat());
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let gap = &told["idle_gap"];
            assert_eq!(
                (&gap["gap_s"], &gap["basis"]),
                (&gap_s.into(), &basis.into()),
                "{command} {arguments:?}"
            );
        }
    }
    let shown = text(&kingtide(&["inspect", path, "--idle-gap", "90s"]).stdout);
    assert!(shown.contains("a silence of 1 min 30 s begins a new session\n  (as given)\n"), "{shown}");
}

#[test]
fn a_silence_that_is_no_time_is_answered_with_one_that_is() {
    let output = kingtide(&["inspect", "anywhere", "--idle-gap", "soon"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--idle-gap") && said.contains("`soon` is not") && said.contains("30s"), "{said}");
}

#[test]
fn a_report_of_a_capture_alone_is_written_whole() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("capture");
    capture_files::whole(&capture, &SIZES);
    let [html, json] = ["report.html", "report.json"].map(|name| directory.path().join(name));
    let arguments = ["report", "--capture", capture.to_str().unwrap(), "--html", html.to_str().unwrap()];
    let output = kingtide(&[arguments.as_slice(), &["--json", json.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["capture"]["exchanges"], 6);
    assert_eq!(report["runs"], serde_json::json!([]));
    assert!(std::fs::read_to_string(&html).unwrap().contains("Upload sizes"));
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        3,
        "nothing but the capture and two files"
    );
}

#[test]
fn bad_input_exits_with_2_and_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let here = empty.path().to_str().unwrap();
    let refused = [
        (vec!["inspect", here], "is not a capture"),
        (vec!["inspect", "/no/such"], "the directory that kingtide-proxy records into"),
        (vec!["plan", "/no/such"], "/no/such: No such file"),
        (vec!["replay", "/no/such", "--target", "http://127.0.0.1:1"], "/no/such: No such file"),
        (vec!["report", "--capture", "/no/such"], "the directory that kingtide-proxy records into"),
        (vec!["report", here], "no run here"),
        (vec!["report"], "required"),
        (vec!["inspekt", here], "unrecognized subcommand"),
    ];
    for (arguments, reason) in refused {
        let output = kingtide(&arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    capture_files::whole(directory.path(), &[1; 2_000]);
    for arguments in [vec!["completions", "bash"], vec!["inspect", directory.path().to_str().unwrap()]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kingtide"))
            .args(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
