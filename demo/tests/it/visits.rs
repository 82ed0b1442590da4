//! The students against the service, and both sides' counts.

use classroom::serve::{RunningServer, ServeConfig};
use classroom::students::{PlanConfig, Report, StudentsConfig, run};
use tokio::time::Duration;

use crate::school::{faulty, health, quick, school};

fn visit_of(server: &RunningServer) -> StudentsConfig {
    StudentsConfig {
        target: server.base_url().parse().unwrap(),
        plan: PlanConfig {
            count: 10,
            duration: Duration::from_secs(1),
            think: (Duration::ZERO, Duration::from_millis(50)),
            slow_share: 0.3,
            slow_kbit_per_s: (40_000, 80_000),
            burst_every: Some(Duration::from_millis(300)),
            ..PlanConfig::default()
        },
        timeout: Duration::from_secs(20),
        grace: Duration::from_secs(30),
        json: None,
    }
}

async fn visit(config: &StudentsConfig) -> Report {
    run(config).await.expect("a report")
}

#[tokio::test]
async fn all_is_answered_and_both_sides_count_the_same_bytes() {
    let server = school(quick()).await;
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("students.json");
    let report = visit(&StudentsConfig { json: Some(json.clone()), ..visit_of(&server) }).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.planned, report.done);
    assert_eq!(report.uploads, report.uploads_sent);
    let uploads = health(&server).await.uploads;
    assert_eq!((report.uploads.count, report.uploads.file_bytes), (uploads.accepted, uploads.bytes));
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(written["uploads"]["file_bytes"], uploads.bytes);
    assert_eq!(written["routes"]["upload"]["ok"], uploads.accepted);
}

#[tokio::test]
async fn a_hung_service_never_looks_healthy() {
    let server = school(ServeConfig { drain: Duration::ZERO, ..faulty("hang-after:3") }).await;
    let config = StudentsConfig { grace: Duration::from_secs(2), ..visit_of(&server) };
    let report = visit(&config).await;
    assert!(!report.is_ok());
    assert_eq!(report.uploads.count, 3);
    assert!(report.unfinished > 0, "{report}");
    assert_eq!(report.planned, report.done + report.unfinished + report.unsent);
}

#[tokio::test]
async fn cut_answers_shed_requests_and_closed_ports_are_classes_of_errors() {
    let server = school(faulty("truncate:1")).await;
    let report = visit(&visit_of(&server)).await;
    assert_eq!(report.errors.get("truncated"), Some(&10), "{report}");

    let server = school(faulty("cold-start:600")).await;
    let config = StudentsConfig { timeout: Duration::from_millis(100), ..visit_of(&server) };
    assert!(visit(&config).await.errors.contains_key("timeout"));

    let config = visit_of(&server);
    assert!(server.shutdown().await);
    let report = visit(&config).await;
    assert_eq!((report.errors.get("connect"), report.unsent), (Some(&10), report.planned - 10));
}

#[tokio::test]
async fn a_student_unknown_to_the_school_fails_with_401() {
    let server = school(quick()).await;
    let mut config = visit_of(&server);
    config.plan.offset = 5_000;
    let report = visit(&config).await;
    assert_eq!(report.errors.get("status_401"), Some(&10), "{report}");
}
