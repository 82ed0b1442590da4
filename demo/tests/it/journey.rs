//! The main job, end to end: students upload through the proxy, the capture is read, and it is replayed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use classroom::accounts::{account, write_csv};
use classroom::law::{ServiceLaw, StoreLatency};
use classroom::serve::{RunningServer, ServeConfig, Uploads};
use classroom::students::{PlanConfig, Report, StudentsConfig, run};
use kingtide_common::capture::{Capture, Reading};
use kingtide_common::exchange::Exchange;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Duration;

use crate::programs::{Proxy, program};
use crate::school::{faulty, health, quick, school};

pub(crate) const STUDENTS: u64 = 12;
const SEED: u64 = 1;
const MISSED: Option<i32> = Some(1);
const INVALID: Option<i32> = Some(3);
/// Whether the generator was on time.
const GENERATOR_GATES: [&str; 4] = ["lag_p99_ms", "late_share", "pacer_dispersion", "stall_ms_max"];
const BAD_INPUT: Option<i32> = Some(2);

/// What is left of a visit of students through a recording proxy.
pub(crate) struct Recorded {
    pub(crate) directory: TempDir,
    report: Report,
    pub(crate) kept: Uploads,
    students: u64,
}

impl Recorded {
    pub(crate) fn capture(&self) -> PathBuf {
        self.directory.path().join("capture")
    }

    fn reading(&self) -> Reading {
        Capture::open(&self.capture()).unwrap().read().unwrap()
    }

    /// The accounts of new users, none of whom the capture has seen.
    fn identities(&self, count: u64) -> PathBuf {
        let path = self.directory.path().join(format!("{count}-identities.csv"));
        write_csv(std::fs::File::create(&path).unwrap(), SEED, self.students, count).unwrap();
        path
    }
}

/// A service with some latency and enough accounts for every replay.
pub(crate) fn service() -> ServeConfig {
    let law =
        ServiceLaw { store: StoreLatency::Constant(20.0), auth_ms: 2.0, db_ms: 3.0, ..ServiceLaw::default() };
    ServeConfig { students: 200, law, ..quick() }
}

async fn recorded(server: &RunningServer) -> Recorded {
    recorded_with(server, |_| ()).await
}

/// Together with what `more` sends to the proxy's URL meanwhile.
pub(crate) async fn recorded_with(server: &RunningServer, more: fn(&str)) -> Recorded {
    recorded_of(server, STUDENTS, more).await
}

/// So many students.
pub(crate) async fn recorded_of(server: &RunningServer, students: u64, more: fn(&str)) -> Recorded {
    let directory = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&server.base_url(), &directory.path().join("capture"));
    let url = proxy.url.clone();
    let more = tokio::task::spawn_blocking(move || more(&url));
    let report = run(&visit(&proxy.url, students)).await.unwrap();
    more.await.unwrap();
    tokio::task::spawn_blocking(|| proxy.stop()).await.unwrap();
    Recorded { directory, report, kept: health(server).await.uploads, students }
}

fn visit(url: &str, students: u64) -> StudentsConfig {
    StudentsConfig {
        target: url.parse().unwrap(),
        plan: PlanConfig {
            count: students,
            seed: SEED,
            duration: Duration::from_secs(3),
            think: (Duration::from_millis(50), Duration::from_millis(300)),
            slow_share: 0.3,
            slow_kbit_per_s: (20_000, 40_000),
            burst_every: Some(Duration::from_secs(1)),
            ..PlanConfig::default()
        },
        timeout: Duration::from_secs(20),
        grace: Duration::from_secs(30),
        json: None,
    }
}

pub(crate) async fn kingtide(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("kingtide"));
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Replays and reads the run's report, whatever the verdict.
async fn replayed(recorded: &Recorded, server: &RunningServer, more: &[&str]) -> (Option<i32>, Value) {
    replayed_from(recorded, &recorded.capture(), &server.base_url(), more).await
}

/// Replays another capture of the same students at 1x.
pub(crate) async fn replayed_capture(
    recorded: &Recorded,
    capture: &Path,
    server: &RunningServer,
) -> (Option<i32>, Value) {
    replayed_from(recorded, capture, &server.base_url(), &["-x", "1"]).await
}

pub(crate) async fn replayed_from(
    recorded: &Recorded,
    capture: &Path,
    target: &str,
    more: &[&str],
) -> (Option<i32>, Value) {
    let identities = recorded.identities(5 * STUDENTS);
    let fixed = ["replay", text(capture), "--target", target, "--identities", text(&identities), "--json"];
    let output = kingtide(&[&fixed, more].concat()).await;
    let run = serde_json::from_slice(&output.stdout);
    let run = run.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), run)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn uploads(reading: &Reading) -> impl Iterator<Item = &Exchange> {
    reading.exchanges.iter().filter(|exchange| exchange.files().next().is_some())
}

/// (route's last path segment, status) → exchanges; enough to tell the five routes apart.
fn by_route(reading: &Reading) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for exchange in &reading.exchanges {
        let name = exchange.path().rsplit('/').next().unwrap();
        *counts.entry(format!("{} …/{name}", exchange.method)).or_default() += 1;
    }
    counts
}

fn planned_by_route(run: &Value) -> BTreeMap<String, u64> {
    let routes = run["routes"].as_array().unwrap().iter().map(|route| {
        let (method, path) = route["route"].as_str().unwrap().split_once(' ').unwrap();
        (format!("{method} …/{}", path.rsplit('/').next().unwrap()), route["planned"].as_u64().unwrap())
    });
    routes.collect()
}

/// In the files' bytes as `grep` sees them, and in all that can be decoded: segments are compressed.
fn assert_no_secret(recorded: &Recorded) {
    let files = std::fs::read_dir(recorded.capture()).unwrap();
    let mut bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    bytes.extend(format!("{:?}", recorded.reading()).into_bytes());
    // The beginnings that JSON Web Tokens of this service can have, and each account that was used.
    let mut secrets = vec!["eyJ0eXAi".to_owned(), "eyJhbGci".to_owned()];
    let accounts = (0..STUDENTS).map(|index| account(SEED, index));
    secrets.extend(accounts.flat_map(|account| [account.email, account.password]));
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is in the capture");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_upload_is_counted_alike_by_students_capture_and_service_and_no_secret_is_kept() {
    let server = school(service()).await;
    let recorded = recorded(&server).await;
    assert!(recorded.report.is_ok(), "{}", recorded.report);
    let reading = recorded.reading();
    assert_eq!(reading.damage, []);

    let file_bytes: u64 = uploads(&reading).flat_map(Exchange::files).map(|file| file.bytes).sum();
    let body_bytes: u64 = uploads(&reading).map(|exchange| exchange.request_body_bytes).sum();
    let captured = (uploads(&reading).count() as u64, file_bytes);
    let (sent, kept) = (&recorded.report.uploads, &recorded.kept);
    assert_eq!(captured, (sent.count, sent.file_bytes));
    assert_eq!(captured, (kept.accepted, kept.bytes));
    assert_eq!(body_bytes, sent.body_bytes);
    assert_eq!(reading.exchanges.len() as u64, recorded.report.done);
    assert_no_secret(&recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_at_1x_is_the_capture_and_at_5x_five_times_the_users() {
    let server = school(service()).await;
    let recorded = recorded(&server).await;
    let reading = recorded.reading();

    let (_, once) = replayed(&recorded, &server, &["-x", "1"]).await;
    assert_eq!(planned_by_route(&once), by_route(&reading));
    for count in ["planned", "sent", "done"] {
        assert_eq!(once[count], reading.exchanges.len() as u64, "{count}: {once:#}");
    }
    assert_eq!(once["failed"], 0, "{once:#}");
    assert_eq!(
        (&once["files"], &once["file_bytes"]),
        (&recorded.kept.accepted.into(), &recorded.kept.bytes.into())
    );
    assert_eq!(once["statuses"]["201"], recorded.kept.accepted);
    assert_eq!(once["bindings"]["unresolved"], 0);
    assert_eq!(
        (&once["sessions_planned"], &once["identities_distinct"]),
        (&STUDENTS.into(), &STUDENTS.into())
    );
    assert_ne!(once["verdict"], "FAIL", "{once:#}");
    let after_once = health(&server).await.uploads;
    assert_eq!(
        (after_once.accepted, after_once.bytes),
        (2 * recorded.kept.accepted, 2 * recorded.kept.bytes)
    );

    let (_, five) = replayed(&recorded, &server, &["-x", "5", "--seed", "3"]).await;
    assert_eq!(five["sessions_planned"], 5 * STUDENTS);
    assert_eq!(five["identities_distinct"], 5 * STUDENTS);
    assert_eq!((&five["failed"], &five["bindings"]["unresolved"]), (&0.into(), &0.into()), "{five:#}");
    let kept = health(&server).await.uploads.accepted - after_once.accepted;
    assert_eq!(five["statuses"]["201"], kept, "both sides count the same uploads");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_hung_service_never_answers_are_failures_and_the_replay_exits_non_zero() {
    let recorded = recorded(&school(service()).await).await;
    let hung = school(ServeConfig { students: 200, drain: Duration::ZERO, ..faulty("hang-after:5") }).await;
    let (status, run) = replayed(&recorded, &hung, &["-x", "1", "--timeout", "3s", "--drain", "3s"]).await;

    // On a busy machine the generator may be late, which the run must then say.
    let is_late = GENERATOR_GATES.iter().any(|gate| run["fidelity"][gate]["pass"] == false);
    let (exit, verdict) = if is_late { (INVALID, "INVALID") } else { (MISSED, "FAIL") };
    assert_eq!((status, &run["verdict"]), (exit, &verdict.into()), "{run:#}");
    assert_eq!(run["statuses"]["201"], 5);
    let count = |field: &str| run[field].as_u64().unwrap();
    assert!(count("failed") > 0 && count("done") + count("failed") <= count("planned"), "{run:#}");
    let first = run["reasons"][0].as_str().unwrap();
    assert!(first.contains("got no answer"), "{first}");
    assert!(
        run["latency_ms"]["max"].as_f64().unwrap() >= 3000.0,
        "a hung request counts with its age: {run:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_accounts_are_refused_before_anything_is_sent() {
    let server = school(service()).await;
    let recorded = recorded(&server).await;
    let (capture, identities) = (recorded.capture(), recorded.identities(3));
    let target = server.base_url();
    let output =
        kingtide(&["replay", text(&capture), "--target", &target, "--identities", text(&identities)]).await;
    assert_eq!(output.status.code(), BAD_INPUT);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("12") && errors.contains('3') && errors.contains(text(&identities)), "{errors}");
    assert_eq!(health(&server).await.uploads.accepted, recorded.kept.accepted, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_and_report_say_what_the_other_side_counted() {
    let server = school(service()).await;
    let recorded = recorded(&server).await;
    let capture = recorded.capture();
    let inspected: Value =
        serde_json::from_slice(&kingtide(&["inspect", text(&capture), "--json"]).await.stdout).unwrap();
    assert_eq!(inspected["sessions"], STUDENTS);
    assert_eq!(inspected["exchanges"], recorded.report.done);
    assert_eq!(inspected["upload_bytes"]["sum"], recorded.kept.bytes);
    assert_eq!(
        inspected["ledger"]["accepted"],
        recorded.report.done + inspected["ledger"]["filtered"].as_u64().unwrap()
    );

    let (out, identities) = (recorded.directory.path().join("run"), recorded.identities(STUDENTS));
    let target = server.base_url();
    kingtide(&[
        "replay",
        text(&capture),
        "--target",
        &target,
        "--identities",
        text(&identities),
        "--out",
        text(&out),
    ])
    .await;
    let (html, json) =
        (recorded.directory.path().join("report.html"), recorded.directory.path().join("report.json"));
    let output = kingtide(&[
        "report",
        "--capture",
        text(&capture),
        text(&out),
        "--html",
        text(&html),
        "--json",
        text(&json),
    ])
    .await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["capture"]["upload_bytes"]["sum"], recorded.kept.bytes);
    assert_eq!(report["runs"][0]["file_bytes"], recorded.kept.bytes);
    assert!(std::fs::read_to_string(html).unwrap().contains("<html"));
}
