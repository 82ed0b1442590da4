//! What is sent again: retries by policy, captured retries, requests with a renewed token. And what is not sent:
//! what the in-flight cap refuses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use kingtide::drive::{Cause, DriveConfig, Retry, Target};
use kingtide::measure::attempts::{Renewals, Retries};
use kingtide::measure::run::{RunReport, Verdict};
use kingtide::sessions::{Session, Step};

use crate::captured::{at, get, header_hole, json_of, login, on_connection, session, upload};
use crate::drive::{assert_missed, config_of, drive, errors};
use crate::replay::{Scene, assert_fits_schema, text};
use crate::server::{Server, answer};

const MS: Duration = Duration::from_millis(1);

fn retrying(origin: &str, times_max: u32) -> DriveConfig {
    let on = [429, 503].map(Cause::Status).into_iter().chain([Cause::Connect, Cause::Reset]).collect();
    let retry = Retry { times_max, on, backoff: 10 * MS, ..Retry::default() };
    DriveConfig { retry, ..config(origin) }
}

fn config(origin: &str) -> DriveConfig {
    config_of(Target::resolve(origin).unwrap())
}

/// Answers the requests in the order of their arrival, the last answer again and again.
fn in_turn(answers: &'static [(u16, &'static str)]) -> Server {
    let arrived = AtomicUsize::new(0);
    Server::http(move |_| {
        let (status, json) = answers[arrived.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)];
        async move { answer(status, json) }
    })
}

fn statuses(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect()
}

fn causes(run: &RunReport) -> Vec<(&str, u64)> {
    run.attempts.retries.causes.iter().map(|(cause, count)| (cause.as_str(), *count)).collect()
}

fn ended(retries: &Retries) -> [u64; 3] {
    [retries.tried, retries.succeeded, retries.exhausted]
}

fn limited() -> Response<Full<Bytes>> {
    Response::builder().status(429).header("retry-after", "1").body(Full::default()).unwrap()
}

#[test]
fn a_retry_waits_as_long_as_the_target_asks_and_hides_nothing() {
    let arrived = AtomicUsize::new(0);
    let server = Server::http(move |_| {
        let is_first = arrived.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if is_first { limited() } else { answer(201, "{}") } }
    });
    let (_, report) = drive(&retrying(&server.origin, 3), &[session(vec![upload(50_000, &[])])]);
    assert_eq!((report.planned, report.sent, report.done, report.failed), (1, 1, 1, 0));
    assert_eq!(report.statuses, statuses(&[("429", 1)]), "the first answer");
    assert_eq!(report.attempts.statuses, BTreeMap::from([(201, 1), (429, 1)]));
    assert_eq!((ended(&report.attempts.retries), causes(&report)), ([1, 1, 0], vec![("429", 1)]));
    let received = server.received();
    assert!(received[1].at - received[0].at >= Duration::from_secs(1));
    assert_eq!(received[0].body, received[1].body, "the same upload");
    assert!(report.latency_ms.max.unwrap() >= 1_000.0, "from the first instant to the last answer");
    assert!(report.stages_ms["send"].max.unwrap() < 1_000.0, "stages are of the last attempt");
    assert!(report.attempts.sent_again_bytes > 50_000 && report.files == 1);
}

#[test]
fn retries_end_and_the_last_answer_judges() {
    let server = in_turn(&[(503, "{}")]);
    let (_, report) = drive(&retrying(&server.origin, 2), &[session(vec![get("/")])]);
    assert_eq!((report.done, report.failed, server.received().len()), (1, 1, 3));
    assert_eq!((ended(&report.attempts.retries), causes(&report)), ([2, 0, 1], vec![("503", 2)]));
    assert_missed(&report);

    let server = in_turn(&[(503, "{}"), (500, "{}")]);
    let (_, report) = drive(&retrying(&server.origin, 2), &[session(vec![get("/")])]);
    assert_eq!((report.failed, server.received().len()), (1, 2), "500 is not on the list");
    assert_eq!(ended(&report.attempts.retries), [1, 0, 1], "nor has it succeeded");

    let server = in_turn(&[(503, "{}")]);
    let (_, report) = drive(&config(&server.origin), &[session(vec![get("/")])]);
    assert_eq!((server.received().len(), ended(&report.attempts.retries)), (1, [0, 0, 0]), "off by default");
}

#[test]
fn what_never_went_out_is_tried_again_and_not_counted_as_sent() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (_, report) = drive(&retrying(&origin, 2), &[session(vec![get("/")])]);
    assert_eq!((errors(&report), report.sent), (vec![("connect_refused", 1)], 0));
    assert_eq!(ended(&report.attempts.retries), [2, 0, 1]);
    assert_eq!(causes(&report), [("connect_refused", 2)]);
}

#[test]
fn the_end_of_the_run_does_not_wait_for_a_pause() {
    let server = Server::http(|_| async { limited() });
    let retry = Retry { times_max: 9, on: vec![Cause::Status(429)], ..Retry::default() };
    let config = DriveConfig { retry, drain: 300 * MS, ..config(&server.origin) };
    let (_, report) = drive(&config, &[session(vec![get("/"), at(10_000, get("/later"))])]);
    assert_eq!((report.done, errors(&report)), (1, vec![("not_sent", 1)]), "the 429 stands");
    assert_eq!((report.statuses.get("429"), report.failed), (Some(&1), 2));
}

/// A `POST` that got a 503, again with a 201, and a `GET` of what that made.
fn with_captured_retry() -> Vec<Session> {
    let captured = |status, offset_us| {
        let mut step = at(offset_us, login());
        step.exchange.status = Some(status);
        step.exchange.instants.done_us = Some(1_000);
        step
    };
    let mut made = at(40_000, get("/made"));
    header_hole(&mut made, "X-Id", "", json_of(1, "/id"));
    vec![session(vec![captured(503, 0), captured(201, 20_000), made])]
}

#[test]
fn a_captured_retry_is_sent_only_after_the_failure_that_it_followed() {
    let server = in_turn(&[(201, r#"{"id":"first-answer"}"#)]);
    let (_, report) = drive(&config(&server.origin), &with_captured_retry());
    assert_eq!((report.planned, report.done, report.attempts.retry_not_needed), (3, 2, 1));
    assert_eq!((report.failed, report.bindings.unresolved), (0, 0), "{:?}", report.errors);
    assert_eq!(server.received()[1].header("x-id"), "first-answer", "the value of the one that succeeded");

    let server = in_turn(&[(503, "{}"), (201, r#"{"id":"second-answer"}"#)]);
    let (_, report) = drive(&config(&server.origin), &with_captured_retry());
    assert_eq!((report.planned, report.done, report.attempts.retry_not_needed), (3, 3, 0));
    assert_eq!(report.failed, 0, "the captured one had failed too");
    assert_eq!(server.received()[2].header("x-id"), "second-answer");
}

/// `POST /login` gives a token that serves `uses` requests, then 401.
fn tokens_of(uses: usize) -> Server {
    let (logins, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::http(move |received| {
        let response = if received.path == "/login" {
            let token = logins.fetch_add(1, Ordering::SeqCst) + 1;
            used.store(0, Ordering::SeqCst);
            Response::new(Full::from(format!(r#"{{"token":"token-{token}"}}"#)))
        } else {
            let current = format!("Bearer token-{}", logins.load(Ordering::SeqCst));
            let is_good =
                received.header("authorization") == current && used.fetch_add(1, Ordering::SeqCst) < uses;
            answer(if is_good { 200 } else { 401 }, "{}")
        };
        async { response }
    })
}

fn with_token(target: &str, offset_us: u64) -> Step {
    let mut step = at(offset_us, get(target));
    header_hole(&mut step, "Authorization", "Bearer ", json_of(0, "/token"));
    step
}

fn logged_in(requests: u64) -> Vec<Session> {
    let later = (1..=requests).map(|tick| with_token("/page", tick * 20_000));
    vec![session(std::iter::once(login()).chain(later).collect())]
}

#[test]
fn an_expired_token_is_renewed_by_the_login_that_gave_it() {
    let server = tokens_of(2);
    let (_, report) = drive(&config(&server.origin), &logged_in(5));
    assert_eq!(
        (report.planned, report.sent, report.done, report.failed),
        (6, 6, 6, 0),
        "{:?}",
        report.statuses
    );
    assert_eq!(report.attempts.renewals, Renewals { logins: 2, succeeded: 2, failed: 0 });
    assert_eq!(report.statuses, statuses(&[("200", 4), ("401", 2)]), "the first answers");
    assert_eq!(server.received().len(), 6 + 2 * 2, "two logins and two requests more");

    let off = DriveConfig { renews: false, ..config(&server.origin) };
    let (_, report) = drive(&off, &logged_in(5));
    assert_eq!((report.failed, report.attempts.renewals), (3, Renewals::default()));
}

#[test]
fn a_token_that_does_not_help_is_not_renewed_for_ever() {
    let server = tokens_of(0);
    let (_, report) = drive(&config(&server.origin), &logged_in(6));
    assert_eq!((report.done, report.failed), (7, 6));
    assert_eq!(report.attempts.renewals, Renewals { logins: 3, succeeded: 0, failed: 6 });
}

#[test]
fn requests_side_by_side_renew_their_token_once() {
    let server = tokens_of(2);
    let steps = vec![
        login(),
        with_token("/first-use", 20_000),
        with_token("/last-use", 40_000),
        on_connection(1, with_token("/a", 200_000)),
        on_connection(2, with_token("/b", 200_000)),
    ];
    let (_, report) = drive(&config(&server.origin), &[session(steps)]);
    assert_eq!((report.done, report.failed), (5, 0), "{:?}", report.attempts);
    assert_eq!(report.attempts.renewals.logins, 1, "{:?}", report.attempts);
}

#[test]
fn a_captured_401_is_no_expired_token() {
    let server = tokens_of(0);
    let mut sessions = logged_in(1);
    sessions[0].steps[1].exchange.status = Some(401);
    let (_, report) = drive(&config(&server.origin), &sessions);
    assert_eq!((report.failed, report.attempts.renewals), (0, Renewals::default()));
}

#[test]
fn a_run_over_its_in_flight_cap_stops_itself_and_says_so() {
    const HOUR_US: u64 = 3_600_000_000;
    let server = Server::http(|_| std::future::pending());
    let config = DriveConfig { in_flight_max: Some(3), drain: 300 * MS, ..config(&server.origin) };
    let mut sessions = vec![session(vec![get("/hangs")]); 4];
    sessions.push(session(vec![at(HOUR_US, get("/in-an-hour"))]));
    let (_, report) = drive(&config, &sessions);
    assert_eq!(errors(&report), [("in_flight_cap", 1), ("unfinished", 3)]);
    assert_eq!((report.planned, report.withheld, report.interrupted), (5, 1, false));
    assert_eq!((report.in_flight.max, report.in_flight.most), (3, 4));
    assert!(!report.fidelity["in_flight"].pass && !report.fidelity["sent_share"].pass);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(report.reasons[0].starts_with("3 requests got no answer"), "{:?}", report.reasons);
    assert!(report.reasons.iter().any(|reason| reason.starts_with("safety stop: 3 requests were in flight")));
}

#[test]
fn the_command_line_says_what_was_tried_again() {
    let server = in_turn(&[(503, "{}"), (200, "{}")]);
    let scene = Scene::new(vec![(1, 0, get("/page").exchange)]);
    let out = scene.path("out");
    let flags = ["--retry", "1", "--retry-backoff", "10ms", "--json", "--out", out.to_str().unwrap()];
    let output = scene.run(&server.origin, &flags);
    let run: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ended(&run.attempts.retries), [1, 1, 0], "{}", text(&output.stderr));
    let said = "1 further attempt after failures (--retry): 1 request succeeded at last, 0 did not";
    assert!(run.reasons.iter().any(|reason| reason.starts_with(said)), "{:?}", run.reasons);
    assert_fits_schema(&out.join("run.json"));
}
