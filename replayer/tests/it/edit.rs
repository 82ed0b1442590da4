//! `kingtide edit`: real captures made into others.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kingtide::sessions::{Rules, group};
use kingtide_common::capture::{Capture, Reading};
use kingtide_common::exchange::Exchange;
use kingtide_common::fingerprint::Fingerprint;
use kingtide_common::ledger::Ledger;
use serde_json::Value;
use tempfile::TempDir;

use crate::capture_files;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kingtide")).args(arguments).output().unwrap()
}

/// A result in a directory of its own, and what the command said of it.
struct Result {
    _directory: TempDir,
    path: PathBuf,
    summary: Value,
    stderr: String,
}

fn edited(captures: &[&Path], flags: &[&str]) -> Result {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let captures: Vec<&str> = captures.iter().map(|path| path.to_str().unwrap()).collect();
    let output =
        run(&[&["edit"], captures.as_slice(), flags, &["--json", "--out", path.to_str().unwrap()]].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["out"]);
    let summary = serde_json::from_slice(&output.stdout).unwrap();
    assert_fits_schema(&summary);
    Result { _directory: directory, path, summary, stderr }
}

fn assert_fits_schema(summary: &Value) {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/edit.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(summary).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "{summary:#}");
    let count = |name: &str| summary[name].as_u64().unwrap();
    let sources = summary["sources"].as_array().unwrap();
    let read: u64 = sources.iter().map(|source| source["exchanges"].as_u64().unwrap()).sum();
    assert_eq!(count("exchanges") + count("filtered") + count("sampled_out"), read, "as the schema says");
}

impl Result {
    fn capture(&self) -> Capture {
        Capture::open(&self.path).unwrap()
    }

    fn read(&self) -> Reading {
        let reading = self.capture().read().unwrap();
        assert_eq!(reading.damage, [], "a result is whole");
        reading
    }

    fn ledgers(&self) -> Vec<Ledger> {
        let capture = self.capture();
        let ledgers: Vec<Ledger> =
            capture.manifest().unwrap().starts.iter().map(|start| start.ledger).collect();
        for ledger in &ledgers {
            assert_eq!(ledger.accepted, ledger.settled(), "{ledger:?}");
        }
        ledgers
    }
}

fn read(path: &Path) -> Vec<Exchange> {
    Capture::open(path).unwrap().read().unwrap().exchanges
}

fn session_sizes(exchanges: Vec<Exchange>) -> Vec<usize> {
    group(exchanges, &Rules::default()).sessions.iter().map(|session| session.steps.len()).collect()
}

#[test]
fn without_edits_a_result_holds_the_same_exchanges() {
    let result = edited(&[&golden("classroom-12")], &[]);
    assert_eq!(result.read().exchanges, read(&golden("classroom-12")));
    let capture = result.capture();
    let start = &capture.manifest().unwrap().starts[0];
    assert_eq!(
        (start.program.as_str(), start.closed_ns),
        ("kingtide-proxy 0.1.0", Some(1_795_464_475_258_348_366))
    );
    assert_eq!((start.edits.len(), start.edits[0].source.as_str()), (1, "classroom-12"));
    assert_eq!(start.edits[0].source_digest.len(), 64);
    assert!(!result.path.join("lock").exists());
}

#[test]
fn a_criterion_keeps_whole_sessions_and_the_ledger_says_what_it_left_out() {
    let result = edited(&[&golden("classroom-12")], &["--session", "2,5"]);
    let all = session_sizes(read(&golden("classroom-12")));
    let kept = session_sizes(result.read().exchanges);
    assert_eq!(kept, [all[1], all[4]]);
    let count = (all[1] + all[4]) as u64;
    assert_eq!(
        result.ledgers(),
        [Ledger { accepted: 70, recorded: count, filtered: 70 - count, ..Ledger::default() }]
    );
    assert_eq!(result.summary["filtered"], 70 - count);
    let uploads = edited(&[&golden("classroom-12")], &["--route", "*upload-recording"]);
    assert_eq!(uploads.summary["exchanges"], 70, "every student uploads");
    let single = edited(&[&golden("classroom-12")], &["--route", "*upload-recording", "--exchanges"]);
    assert_eq!(
        (&single.summary["exchanges"], &single.summary["filtered"]),
        (&Value::from(22), &Value::from(48))
    );
}

#[test]
fn a_sample_is_of_whole_sessions() {
    let result = edited(&[&golden("classroom-12")], &["--sample", "25%", "--seed", "3"]);
    let all: HashSet<Vec<u64>> = sessions_ids(read(&golden("classroom-12")));
    let kept = sessions_ids(result.read().exchanges);
    assert_eq!(kept.len(), 3);
    assert!(kept.is_subset(&all));
    let ledger = result.ledgers()[0];
    assert_eq!((ledger.accepted, ledger.recorded + ledger.sampled_out, ledger.filtered), (70, 70, 0));
}

fn sessions_ids(exchanges: Vec<Exchange>) -> HashSet<Vec<u64>> {
    let grouped = group(exchanges, &Rules::default()).sessions.into_iter();
    grouped.map(|session| session.steps.iter().map(|step| step.exchange.id).collect()).collect()
}

#[test]
fn sessions_that_cross_a_cut_are_kept_left_out_or_cut() {
    let count = |crossing| {
        let flags = ["--from", "+1s", "--to", "+3s", "--crossing", crossing];
        edited(&[&golden("classroom-12")], &flags).summary["exchanges"].as_u64().unwrap()
    };
    let inside = read(&golden("classroom-12"));
    let first_ns = inside.iter().map(|exchange| exchange.started_ns).min().unwrap();
    let period_ns = first_ns + 1_000_000_000..first_ns + 3_000_000_000;
    let inside = inside.iter().filter(|exchange| period_ns.contains(&exchange.started_ns)).count() as u64;
    let (kept, cut) = (count("keep"), count("cut"));
    assert_eq!(cut, inside);
    assert!(kept > cut, "{kept} and {cut}");
}

#[test]
fn merged_captures_keep_their_starts_and_their_sessions() {
    let captures = [&*golden("classroom-12"), &*golden("torn")];
    let result = edited(&captures, &["--align", "start"]);
    assert_eq!(result.ledgers().len(), 2);
    let exchanges = result.read().exchanges;
    assert_eq!(exchanges.len(), 70 + 52);
    let ids: HashSet<u64> = exchanges.iter().map(|exchange| exchange.id).collect();
    assert_eq!(ids.len(), exchanges.len(), "ids stay unique");
    let first_ns =
        |exchanges: &[Exchange]| exchanges.iter().map(|exchange| exchange.started_ns).min().unwrap();
    assert_eq!(first_ns(&exchanges[..70]), first_ns(&exchanges[70..]), "aligned");
    assert_eq!(group(exchanges, &Rules::default()).sessions.len(), 12 + 11);
}

#[test]
fn a_torn_capture_is_repaired_and_its_damage_noted() {
    let result = edited(&[&golden("torn")], &[]);
    assert!(
        result.stderr.contains("torn is damaged") && result.stderr.contains("torn tail"),
        "{}",
        result.stderr
    );
    assert_eq!(result.read().exchanges, read(&golden("torn")));
    let capture = result.capture();
    let start = &capture.manifest().unwrap().starts[0];
    assert!(start.closed_ns.is_some() && start.edits[0].damage[0].contains("torn tail"), "{start:?}");
    assert_eq!(result.ledgers()[0].recorded, 52);
    // Gaps, and what the crash left in flight, are losses still.
    let directory = tempfile::tempdir().unwrap();
    capture_files::torn(directory.path(), &[5_000, 6_000]);
    let repaired = edited(&[directory.path()], &[]);
    assert_eq!((repaired.read().gaps.len(), repaired.ledgers()[0].shed_queue), (1, 3));
}

#[test]
fn an_edited_capture_can_be_edited_again() {
    let once = edited(&[&golden("classroom-12")], &["--sample", "50%"]);
    let twice = edited(&[&once.path], &["--method", "GET", "--exchanges"]);
    let capture = twice.capture();
    let edits = &capture.manifest().unwrap().starts[0].edits;
    assert_eq!(edits.iter().map(|edit| edit.source.as_str()).collect::<Vec<_>>(), ["classroom-12", "out"]);
    assert_eq!(edits[1].changes, ["--method GET", "single exchanges"]);
    let ledger = twice.ledgers()[0];
    assert!(ledger.accepted == 70 && ledger.sampled_out > 0 && ledger.filtered > 0, "{ledger:?}");
}

#[test]
fn a_capture_to_be_shared_has_other_tokens_other_times_and_the_same_sessions() {
    let flags = ["--rekey", "--shift", "random", "--drop-headers", "Date,User-Agent", "--privacy", "strict"];
    let result = edited(&[&golden("classroom-12")], &flags);
    let (before, after) = (read(&golden("classroom-12")), result.read().exchanges);
    let tokens = |exchanges: &[Exchange]| -> HashSet<u64> {
        let text = format!("{exchanges:?}");
        Fingerprint::find_all(&text).into_iter().map(|(_, print)| print.hash).collect()
    };
    assert!(tokens(&before).is_disjoint(&tokens(&after)));
    assert_ne!(before[0].started_ns, after[0].started_ns);
    assert!(after.iter().all(|exchange| exchange.response_header("date").is_none()));
    assert_eq!(session_sizes(before), session_sizes(after), "who did what stays known");
    let manifest = std::fs::read_to_string(result.path.join("manifest.json")).unwrap();
    assert!(!manifest.contains("classroom-12") && manifest.contains("\"privacy\": \"strict\""), "{manifest}");
    assert!(!result.stderr.contains("warning"), "{}", result.stderr);
}

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let (out, capture) = (out.to_str().unwrap(), golden("classroom-12"));
    let capture = capture.to_str().unwrap();
    let taken = directory.path().to_str().unwrap();
    let refused = [
        (vec!["edit", capture, "--out", taken], "is there already"),
        (vec!["edit", capture, "--out", out, "--status", "418"], "nothing is left"),
        (vec!["edit", capture, "--out", out, "--sample", "0%"], "nothing is left"),
        (vec!["edit", capture, "--out", out, "--redact", "/no/such.toml"], "/no/such.toml"),
        (vec!["edit", capture, "--out", out, "--shift", "2h"], "write +2h, -30m or random"),
        (vec!["edit", capture, "--out", out, "--exchanges", "--sample", "5%"], "cannot be used with"),
        (vec!["edit", "/no/such", "--out", out], "the directory that kingtide-proxy records into"),
        (vec!["edit", capture, "--out", out, "--privacy", "none"], "`default` or `strict`"),
    ];
    for (arguments, says) in refused {
        let output = run(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
