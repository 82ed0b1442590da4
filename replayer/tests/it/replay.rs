//! `kingtide replay` as its users run it: arguments in, run.json, table and exit status out.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kingtide::measure::run::{GateKind, RunReport, Verdict};
use kingtide::report::read_run;
use kingtide_common::capture::{CaptureWriter, WriterOptions};
use kingtide_common::exchange::{Exchange, Record};
use kingtide_common::ledger::Ledger;
use kingtide_common::stages::Instants;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::captured::{get, header, upload};
use crate::server::{Server, answer};

const START_NS: i64 = 1_763_924_024_000_000_000;

/// A directory with a capture in it.
pub(super) struct Scene {
    directory: TempDir,
}

impl Scene {
    /// Exchanges of (connection, ms after the start).
    pub(super) fn new(exchanges: Vec<(u64, i64, Exchange)>) -> Self {
        let directory = TempDir::new().unwrap();
        let options = WriterOptions::of("test", START_NS);
        let mut writer = CaptureWriter::create(&directory.path().join("capture"), options).unwrap();
        for (id, (connection, at_ms, exchange)) in (1..).zip(exchanges) {
            let started_ns = START_NS + at_ms * 1_000_000;
            let instants = Instants { done_us: Some(500), ..Instants::default() };
            let exchange = Exchange {
                id,
                connection,
                started_ns,
                instants,
                http_version: 11,
                client: connection.to_string(),
                ..exchange
            };
            writer.push(Record::Exchange(Box::new(exchange)), Instant::now()).unwrap();
        }
        writer.flush(Instant::now()).unwrap();
        writer.close(Ledger::default(), START_NS).unwrap();
        Self { directory }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn replay(&self, target: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.arg("replay").arg(self.path("capture")).args(["--target", target]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(super) fn run(&self, target: &str, more: &[&str]) -> Output {
        self.replay(target, more).output().unwrap()
    }
}

/// Runs a command in a shell that has set limits.
fn limited(command: &Command, limits: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args()).output().unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// On a busy machine the generator may be late, which the run must then say.
pub(super) fn assert_exit_says(verdict: Verdict, output: &Output) {
    let expected = match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Undecided | Verdict::Invalid => 3,
    };
    assert_eq!(output.status.code(), Some(expected), "{}", text(&output.stderr));
}

pub(super) fn assert_fits_schema(run: &Path) {
    let schema = serde_json::from_str(include_str!("../../schemas/run.json")).unwrap();
    let run = serde_json::from_str(&std::fs::read_to_string(run).unwrap()).unwrap();
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&run)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn at_one_times_the_capture_itself_is_sent() {
    let server =
        Server::http(
            |received| async move { answer(if received.path == "/upload" { 201 } else { 200 }, "{}") },
        );
    let exchanges = (0..6_u64)
        .flat_map(|user| {
            [
                (user, 10 * user.cast_signed(), get("/page").exchange),
                (user, 10 * user.cast_signed() + 40, upload(20_000 + user, &[]).exchange),
            ]
        })
        .collect();
    let scene = Scene::new(exchanges);
    let out = scene.path("out");
    let output = scene.run(&server.origin, &["-x", "1", "--json", "--out", out.to_str().unwrap()]);
    let run: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_exit_says(run.verdict, &output);
    assert_eq!((run.planned, run.sent, run.done, run.failed), (12, 12, 12, 0), "{:?}", run.errors);
    assert_eq!((run.files, run.file_bytes), (6, 6 * 20_000 + 15));
    let uploads = run.routes.iter().find(|route| route.route == "POST /upload").unwrap();
    assert_eq!((uploads.planned, uploads.done, uploads.file_bytes), (6, 6, 120_015));
    assert_eq!(server.received().len(), 12);
    let kinds = ["lag_p99_ms", "in_flight", "pacer_dispersion", "users", "sent_route_mix"]
        .map(|gate| run.fidelity[gate].kind);
    let (validity, likeness) = (Some(GateKind::Validity), Some(GateKind::Likeness));
    assert_eq!(kinds, [validity, validity, validity, likeness, likeness]);
    assert!(run.fidelity.values().all(|gate| gate.kind.is_some()), "{:?}", run.fidelity);
    assert_eq!(read_run(&out).unwrap(), run);
    assert_fits_schema(&out.join("run.json"));
}

#[test]
fn a_hang_is_named_first_and_exits_non_zero() {
    let server = Server::http(|_| std::future::pending());
    let scene = Scene::new(vec![(1, 0, get("/hangs").exchange), (2, 5, get("/hangs").exchange)]);
    let out = scene.path("out");
    let output = scene.run(&server.origin, &["--drain", "300ms", "--gates", "--out", out.to_str().unwrap()]);
    let run = read_run(&out).unwrap();
    assert_ne!(run.verdict, Verdict::Pass);
    assert_exit_says(run.verdict, &output);
    let table = text(&output.stdout);
    assert!(run.reasons[0].starts_with("2 requests got no answer; the oldest waited 0."), "{table}");
    assert!(table.contains("sent share") && table.contains("1 / 0.99  ok"), "{table}");
    assert!(table.contains("errors: unfinished 2"), "{table}");
}

#[test]
fn bad_input_is_found_before_anything_is_sent() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let mut login = crate::captured::login().exchange;
    login.request_headers.push(header("X-Test", "1"));
    login.request_body = kingtide_common::exchange::Body::Json(
        r#"{"email":"{fp:0123456789abcdef.9}","password":"{fp:0123456789abcde0.9}"}"#.to_owned(),
    );
    let scene = Scene::new(vec![(1, 0, login)]);
    let refused = |target: &str, more: &[&str]| {
        let output = scene.run(target, more);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    assert!(refused(&server.origin, &[]).contains("--identities FILE"));
    assert!(refused("ftp://127.0.0.1", &[]).contains("the scheme `ftp`"));
    assert!(refused("http://127.0.0.1:1", &[]).contains("is the target running?"));
    assert!(refused(&server.origin, &["--ca", "/absent.pem"]).contains("leave --ca out"));
    let accounts = ["--identity", "email=student{n}@school.example", "--identity", "password=x"];
    assert!(refused(&server.origin, &[&["--out", "/proc/run"], &accounts[..]].concat()).contains("--out"));
    assert!(refused(&server.origin, &["--drain", "1000h"]).contains("at most 24h"));
    assert!(refused(&server.origin, &["--identities", "/absent.csv"]).contains("/absent.csv"));
    assert!(refused(&server.origin, &["--max-failures", "200%"]).contains("write 1% or 0.01"));
    assert!(server.received().is_empty());
}

#[test]
fn a_plan_that_this_machine_cannot_hold_is_refused_before_anything_is_sent() {
    let server = Server::http(|_| async { answer(200, "{}") });
    // All of them stay open between their two requests.
    let users = |ms: i64| (0..40).map(move |user| (user, ms, get("/page").exchange));
    let scene = Scene::new(users(0).chain(users(400)).collect());
    let too_few = limited(&scene.replay(&server.origin, &["--workers", "1"]), "ulimit -n 50");
    assert_eq!(too_few.status.code(), Some(2), "{}", text(&too_few.stdout));
    let said = text(&too_few.stderr);
    assert!(said.contains("holds 40 connections at once") && said.contains("50 descriptors"), "{said}");
    assert!(said.contains("raise the hard limit") && server.received().is_empty(), "{said}");

    let tight = limited(&scene.replay(&server.origin, &["--workers", "1", "--json"]), "ulimit -n 90");
    let run: RunReport = serde_json::from_slice(&tight.stdout).unwrap();
    let said = text(&tight.stderr);
    let warning = "90 descriptors (ulimit -Hn) suffice for the 40 connections";
    assert!(said.contains("preflight: ") && said.contains(warning), "{said}");
    assert!(run.reasons.iter().any(|reason| reason.contains(warning)), "{:?}", run.reasons);
    assert!(!run.preflight.check("descriptors").unwrap().pass);
    assert!(!server.received().is_empty(), "tight is no reason not to run");
}

#[test]
fn headroom_is_tried_against_a_server_of_our_own_and_reported() {
    let server = Server::http(|_| async { answer(201, "{}") });
    let exchanges = (0..4_u64).map(|user| (user, 100, upload(20_000 + user, &[]).exchange)).collect();
    let scene = Scene::new(exchanges);
    let out = scene.path("out");
    let output = scene.run(&server.origin, &["--headroom", "--out", out.to_str().unwrap()]);
    let run = read_run(&out).unwrap();
    assert_exit_says(run.verdict, &output);
    assert_eq!(
        (run.planned, run.done, server.received().len()),
        (4, 4, 4),
        "nothing of it goes to the target"
    );
    let headroom = run.headroom.unwrap();
    assert!((headroom.rate_peak_per_s - 4.0 / 3.0).abs() < 1e-9, "{headroom:?}");
    // How often it holds is the machine's affair; that it was tried in turn is ours.
    let times: Vec<u32> = headroom.trials.iter().map(|trial| trial.times).collect();
    assert_eq!(times, [1, 2, 4, 8][..times.len()]);
    assert!(headroom.trials.iter().all(|trial| trial.lag_ms_p99.is_some()), "{headroom:?}");
    assert!(text(&output.stderr).contains("headroom: "), "{}", text(&output.stderr));
    assert_fits_schema(&out.join("run.json"));
}

#[test]
fn a_full_disk_costs_the_file_and_not_the_result() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = Scene::new(vec![(1, 0, get("/").exchange)]);
    let out = scene.path("out");
    // Files may have one block, which the report does not fit in.
    let replay = scene.replay(&server.origin, &["--json", "--out", out.to_str().unwrap()]);
    let output = limited(&replay, "trap '' XFSZ; ulimit -f 1");
    let run: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((run.done, output.status.code()), (1, Some(2)), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("run.json"), "{}", text(&output.stderr));
    let left: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, ["samples.csv.gz"], "nothing half-written: the one sample fits");
}

#[test]
fn a_damaged_capture_is_replayed_as_far_as_it_reads_and_the_run_says_so() {
    let server = Server::http(|_| async { answer(201, "{}") });
    let directory = TempDir::new().unwrap();
    crate::capture_files::torn(&directory.path().join("capture"), &[5_000; 3]);
    let scene = Scene { directory };
    let output = scene.run(&server.origin, &["--json"]);
    let run: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((run.planned, run.done), (3, 3), "{:?}", run.errors);
    let stderr = text(&output.stderr);
    for part in ["torn tail", "lacks 3 requests"] {
        assert!(run.reasons.iter().any(|reason| reason.contains(part)), "{:?}", run.reasons);
        assert!(stderr.find(part) < stderr.find("in flight").or(Some(stderr.len())), "{stderr}");
    }
    // A token without its login is nobody's.
    assert_eq!((run.verdict, output.status.code()), (Verdict::Invalid, Some(3)));
}

#[test]
fn an_interrupted_run_still_reports() {
    let (sent, first_sent) = mpsc::channel();
    let server = Server::http(move |_| {
        sent.send(()).unwrap();
        async { answer(200, "{}") }
    });
    let an_hour_ms = 3_600_000;
    let scene = Scene::new(vec![(1, 0, get("/now").exchange), (2, an_hour_ms, get("/later").exchange)]);
    let out = scene.path("out");
    let child = scene.replay(&server.origin, &["--out", out.to_str().unwrap()]).spawn().unwrap();
    first_sent.recv_timeout(Duration::from_secs(30)).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let run = read_run(&out).unwrap();
    assert_eq!((run.planned, run.sent, run.failed, run.interrupted), (2, 1, 0, true));
    assert_eq!((run.verdict, output.status.code()), (Verdict::Invalid, Some(3)), "{}", text(&output.stderr));
}

pub(super) fn interrupt(child: &Child) {
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}
