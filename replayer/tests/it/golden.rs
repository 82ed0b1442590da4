//! The golden capture in `captures/`, grouped and planned: the same plan from the same file on every machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use kingtide::sessions::{Rules, Sessions, group};
use kingtide_common::capture::Capture;
use serde_json::Value;

/// Files that each student uploaded, in the order of their arrival.
const FILES: [usize; 12] = [1, 2, 2, 3, 1, 3, 3, 2, 1, 2, 1, 1];
/// Intended instants of the first requests of the pinned plan.
const FIRST_US: [u64; 5] = [10_630, 40_617, 125_147, 133_493, 158_547];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name)
}

fn grouped(name: &str) -> Sessions {
    let reading = Capture::open(&golden(name)).and_then(|capture| capture.read()).unwrap();
    group(reading.exchanges, &Rules::default())
}

fn kingtide(arguments: &[&str], capture: &str) -> (Value, String) {
    let command = Command::new(env!("CARGO_BIN_EXE_kingtide")).args(arguments).arg(golden(capture)).output();
    let output = command.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (serde_json::from_slice(&output.stdout).unwrap(), stderr)
}

#[test]
fn the_golden_capture_is_twelve_students_with_every_value_bound() {
    let Sessions { sessions, unresolved, .. } = grouped("classroom-12");
    assert_eq!(unresolved, []);
    assert_eq!(sessions.len(), 12);
    assert_eq!(sessions.iter().filter(|session| session.orphan).count(), 0);
    assert!(sessions.iter().all(|session| session.steps[0].exchange.path() == "/api/auth/login"));
    let uploads = |exchange: &kingtide_common::exchange::Exchange| exchange.files().count();
    let files = sessions.iter().map(|session| session.steps.iter().map(|step| uploads(&step.exchange)).sum());
    let files: Vec<usize> = files.collect();
    assert_eq!(files, FILES);
}

#[test]
fn five_times_the_golden_capture_is_the_same_plan_on_every_machine() {
    let (plan, _) = kingtide(&["plan", "-x", "5", "--seed", "1", "--json"], "classroom-12");
    assert_eq!(plan["sessions_captured"], 12);
    assert_eq!(plan["sessions_planned"], 60);
    assert_eq!(plan["requests_captured"], 70);
    assert_eq!(plan["requests_planned"], 351);
    assert_eq!(plan["upload_bytes_planned"], 21_859_306);
    assert_eq!(plan["unresolved"], 0);
    assert_eq!(plan["shift_s"], 2.0);
    let gates = ["inter_arrival", "body_bytes", "session_requests", "route_mix"];
    assert!(gates.iter().all(|gate| plan["fidelity"][gate]["pass"] == true), "{}", plan["fidelity"]);
}

#[test]
fn the_first_requests_of_that_plan_leave_at_pinned_instants() {
    use kingtide::plan::{Mode, amplify, releases};
    use kingtide_common::units::{Multiple, Seed};

    let sessions = grouped("classroom-12").sessions.into_iter().collect();
    let plan = amplify(&sessions, Multiple::new(5.0).unwrap(), Mode::Crowd, Seed(1));
    let first = releases(&plan, &sessions).take(5).map(|release| release.intended_us);
    assert_eq!(first.collect::<Vec<_>>(), FIRST_US);
}

#[test]
fn a_capture_cut_by_kill_9_is_inspected_and_planned_up_to_the_tear() {
    let (summary, _) = kingtide(&["inspect", "--json"], "torn");
    assert_eq!((&summary["exchanges"], &summary["sessions"]), (&Value::from(52), &Value::from(11)));
    assert_eq!(summary["upload_bytes"]["sum"], 1_787_171);
    let [damage] = summary["damage"].as_array().unwrap().as_slice() else { panic!("{}", summary["damage"]) };
    assert!(damage.as_str().unwrap().contains("torn tail"), "{damage}");
    let (plan, said) = kingtide(&["plan", "--json"], "torn");
    assert_eq!((&plan["requests_planned"], &plan["unresolved"]), (&Value::from(52), &Value::from(0)));
    assert!(said.contains("the capture is damaged") && said.contains("torn tail"), "{said}");
}

fn one(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
    let output = command.arg("inspect").arg(golden("classroom-12")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn one_session_and_one_exchange_of_it_can_be_looked_at() {
    let (code, session) = one(&["--session", "1"]);
    assert_eq!(code, Some(0), "{session}");
    let requests: Vec<&str> = session.lines().filter(|line| line.contains("/api/")).collect();
    assert!(requests[0].contains("POST /api/auth/login"), "{session}");
    let key = session.lines().next().unwrap().strip_prefix("session ").unwrap();
    assert_eq!(one(&["--session", key]), (Some(0), session.clone()));
    let (code, login) = one(&["--exchange", "1"]);
    assert_eq!(code, Some(0), "{login}");
    assert!(login.starts_with("exchange 1: POST /api/auth/login"), "{login}");
    assert!(login.contains("Stages") && login.contains("JSON"), "{login}");
}

#[test]
fn a_session_or_exchange_that_is_not_there_is_answered_with_what_is() {
    for (arguments, remedy) in [
        (["--session", "13"], "the capture has sessions 1 to 12"),
        (["--session", "0"], "the capture has sessions 1 to 12"),
        (["--session", "nobody"], "no session has a key that begins so"),
        (["--exchange", "999"], "the nearest id is "),
    ] {
        let (code, said) = one(&arguments);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}
