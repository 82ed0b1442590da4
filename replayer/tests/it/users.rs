//! Clones are users of their own: accounts, tokens, bodies, addresses and cookies, as their target sees them.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{HeaderValue, SET_COOKIE};
use kingtide::drive::{AddressRange, DriveConfig};
use kingtide::measure::clients::Spread;
use kingtide::measure::distinct::DistinctReport;
use kingtide::measure::run::{RunReport, Verdict};
use kingtide::sessions::{Escape, ResponsePlace, Session, Source};
use kingtide_common::exchange::{Body, Exchange};
use kingtide_common::fingerprint::Fingerprinter;
use serde_json::Value;

use crate::captured::{
    at, body_hole, get, header, header_hole, identity, json_of, login, on_connection, session, upload,
};
use crate::drive::{config, drive, drive_times, identities};
use crate::replay::{Scene, text};
use crate::server::{Received, Server, answer};

const TIMES: usize = 10;

/// A login, a page and an upload, the latter two with the login's token.
fn classroom_session() -> Session {
    let mut login = login();
    body_hole(&mut login, "email", Escape::JsonString, identity("email"));
    let mut page = at(5_000, get("/page"));
    header_hole(&mut page, "Authorization", "Bearer ", json_of(0, "/token"));
    let mut upload = at(10_000, upload(20_000, &[]));
    header_hole(&mut upload, "Authorization", "Bearer ", json_of(0, "/token"));
    session(vec![login, page, upload])
}

fn accounts() -> String {
    let lines = (0..TIMES).map(|user| format!("user{user}@school,pw\n"));
    "email,password\n".to_owned() + &lines.collect::<String>()
}

/// Each account's own token.
fn token_of(received: &Received) -> Response<Full<Bytes>> {
    let Ok(login) = serde_json::from_slice::<Value>(&received.body) else { return answer(200, "{}") };
    let token = serde_json::json!({ "token": format!("of {}", login["email"].as_str().unwrap()) });
    Response::new(Full::from(token.to_string()))
}

pub(super) fn different(all: impl IntoIterator<Item = impl Ord>) -> usize {
    all.into_iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn ten_times_the_session_are_ten_users() {
    let server = Server::http(|received| async move { token_of(&received) });
    let config = DriveConfig { identities: Some(identities(&accounts())), ..config(&server.origin) };
    let (_, report) = drive_times(&config, &[classroom_session()], TIMES);
    assert_eq!((report.done, report.failed), (3 * TIMES as u64, 0), "{:?}", report.errors);
    let expected = DistinctReport {
        users: 10,
        identities: 10,
        identities_used: 10,
        tokens: 10,
        tokens_used: 10,
        bodies: 10,
        bodies_sent: 10,
        not_compared: 0,
    };
    assert_eq!(report.distinct, expected);
    for gate in ["shared_identities", "shared_tokens", "shared_bodies"] {
        assert!(report.fidelity[gate].pass, "{gate}: {:?}", report.fidelity[gate]);
    }
    let received = server.received();
    let of = |path: &'static str| received.iter().filter(move |received| received.path == path);
    assert_eq!(different(of("/login").map(|received| &received.body)), TIMES);
    assert_eq!(different(of("/page").map(|received| received.header("authorization"))), TIMES);
    assert_eq!(different(of("/upload").map(|received| &received.body)), TIMES);
}

#[test]
fn a_token_that_everybody_is_given_makes_the_run_invalid() {
    let server = Server::http(|_| async { answer(200, r#"{"token":"one for all"}"#) });
    let config = DriveConfig { identities: Some(identities(&accounts())), ..config(&server.origin) };
    let (_, report) = drive_times(&config, &[classroom_session()], TIMES);
    assert_eq!((report.done, report.failed), (3 * TIMES as u64, 0), "{:?}", report.errors);
    let DistinctReport { identities, tokens, tokens_used, bodies, .. } = report.distinct;
    assert_eq!((identities, tokens, tokens_used, bodies), (10, 1, 1, 10));
    let gate = &report.fidelity["shared_tokens"];
    assert_eq!((gate.value, gate.pass), (Some(1.0), false));
    assert_eq!(report.verdict, Verdict::Invalid);
    assert!(
        report.reasons.iter().any(|reason| reason.contains("gate shared_tokens: 1")),
        "{:?}",
        report.reasons
    );
}

#[test]
fn a_key_that_captured_users_shared_already_is_no_ones_token() {
    let server = Server::http(|_| async { answer(200, r#"{"token":"one for all"}"#) });
    let config = DriveConfig { identities: Some(identities(&accounts())), ..config(&server.origin) };
    let (_, report) = drive(&config, &[classroom_session(), classroom_session()]);
    assert_eq!((report.distinct.tokens, report.fidelity["shared_tokens"].pass), (0, true));
}

#[test]
fn each_clone_sends_its_own_forwarded_address() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let mut first = get("/");
    first.exchange.request_headers.push(header("X-Forwarded-For", "198.51.100.7"));
    let sessions = [session(vec![first, on_connection(1, at(5_000, get("/")))])];
    let range: AddressRange = "10.20.0.0/29".parse().unwrap();
    let config = DriveConfig { forwarded_for: Some(range), ..config(&server.origin) };
    let (_, report) = drive_times(&config, &sessions, TIMES);
    let received = server.received();
    let mut sent: Vec<&str> = received.iter().map(|received| received.header("x-forwarded-for")).collect();
    sent.sort_unstable();
    let expected = |address: u32| vec![format!("10.20.0.{address}"); if address <= 4 { 4 } else { 2 }];
    assert_eq!(sent, (1..=6).flat_map(expected).collect::<Vec<_>>(), "two requests of each user");
    let spread = Spread { range: "10.20.0.0/29".to_owned(), addresses: 6, users_sharing: 8 };
    assert_eq!(report.clients.forwarded_for, Some(spread));
    let (_, report) = drive(&self::config(&server.origin), &sessions);
    assert_eq!(
        (report.clients.forwarded_for, server.received().last().unwrap().header("x-forwarded-for")),
        (None, "")
    );
}

#[test]
fn each_clone_connects_from_its_own_address() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let sessions = [session(vec![get("/"), on_connection(1, at(5_000, get("/")))])];
    let range: AddressRange = "127.0.1.0/24".parse().unwrap();
    let config = DriveConfig { source_addresses: Some(range), ..config(&server.origin) };
    let (_, report) = drive_times(&config, &sessions, TIMES);
    assert_eq!((report.done, report.failed), (2 * TIMES as u64, 0), "{:?}", report.errors);
    let mut from: Vec<String> = server.received().iter().map(|received| received.from.to_string()).collect();
    from.sort_unstable();
    let mut expected: Vec<String> = (1..=TIMES).flat_map(|user| vec![format!("127.0.1.{user}"); 2]).collect();
    expected.sort_unstable();
    assert_eq!(from, expected);
    let spread = Spread { range: "127.0.1.0/24".to_owned(), addresses: 254, users_sharing: 0 };
    assert_eq!(report.clients.source_addresses, Some(spread));
}

fn setting(cookies: &[String]) -> Response<Full<Bytes>> {
    let mut response = answer(200, "{}");
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    response
}

#[test]
fn cookies_that_the_target_sets_in_the_run_are_kept_by_the_user_who_got_them() {
    let visitors = AtomicUsize::new(0);
    let server = Server::http(move |received| {
        let response = match received.path.as_str() {
            "/first" => {
                let visitor = visitors.fetch_add(1, Ordering::Relaxed);
                setting(&[format!("lb=node-{visitor}; Path=/"), format!("deep=of-{visitor}; Path=/api")])
            }
            "/last" => setting(&["lb=; Path=/; Max-Age=0".to_owned()]),
            _ => answer(200, "{}"),
        };
        async { response }
    });
    let steps =
        vec![get("/first"), at(5_000, get("/api/x")), at(10_000, get("/last")), at(15_000, get("/end"))];
    let (_, report) = drive_times(&config(&server.origin), &[session(steps)], TIMES);
    assert_eq!((report.done, report.failed), (4 * TIMES as u64, 0), "{:?}", report.errors);
    let received = server.received();
    let cookies = |path: &str| -> Vec<&str> {
        received
            .iter()
            .filter(|received| received.path == path)
            .map(|received| received.header("cookie"))
            .collect()
    };
    assert_eq!(cookies("/first"), [""; TIMES]);
    assert_eq!((different(cookies("/api/x")), different(cookies("/last"))), (TIMES, TIMES));
    for cookie in cookies("/api/x") {
        let visitor = cookie.rsplit('-').next().unwrap();
        assert_eq!(cookie, format!("deep=of-{visitor}; lb=node-{visitor}"));
    }
    assert_eq!(cookies("/end"), [""; TIMES]);
}

/// A session whose login sets `sid`, which the next two requests send between two cookies of their own.
fn cookie_session() -> Session {
    let from = ResponsePlace::Cookie { name: "sid".to_owned() };
    let page = |offset_us, path| {
        let mut page = at(offset_us, get(path));
        header_hole(
            &mut page,
            "Cookie",
            "theme=dark; sid=",
            Source::Response { step: 0, from: from.clone() },
        );
        page.exchange.request_headers[0].value.push_str("; lang=en");
        page
    };
    let mut login = login();
    login.exchange.response_headers.push(header("Set-Cookie", "sid=OLD; Path=/"));
    session(vec![login, page(5_000, "/one"), page(10_000, "/two")])
}

#[test]
fn a_session_that_the_target_renews_is_the_one_that_is_sent() {
    let users = AtomicUsize::new(0);
    let server = Server::http(move |received| {
        let response = if received.path == "/login" {
            setting(&[format!("sid=first-{}; Path=/", users.fetch_add(1, Ordering::Relaxed))])
        } else {
            let renewed = received.header("cookie").replace("theme=dark; sid=first", "sid=second");
            setting(&[renewed.replace("; lang=en", "; Path=/"), "theme=light; Path=/".to_owned()])
        };
        async { response }
    });
    let (_, report) = drive_times(&config(&server.origin), &[cookie_session()], 3);
    assert_eq!((report.done, report.failed), (9, 0), "{:?}", report.errors);
    let received = server.received();
    let mut cookies: Vec<&str> = received.iter().map(|received| received.header("cookie")).collect();
    cookies.sort_unstable();
    let sent =
        |theme: &str, sid: &str| [0, 1, 2].map(|user| format!("theme={theme}; sid={sid}-{user}; lang=en"));
    let expected = [["", "", ""].map(str::to_owned), sent("dark", "first"), sent("light", "second")].concat();
    assert_eq!(cookies, expected);
    assert_eq!(
        (report.distinct.tokens, report.distinct.tokens_used),
        (6, 6),
        "two sessions of each of three users"
    );
    assert!(report.fidelity["shared_tokens"].pass);
}

#[test]
fn a_client_that_keeps_no_cookies_keeps_none_in_a_replay() {
    let server =
        Server::http(|_| async { setting(&["sid=1; Path=/".to_owned(), "lb=2; Path=/".to_owned()]) });
    let mut first = get("/");
    first.exchange.response_headers.push(header("Set-Cookie", "sid={fp:0123456789abcdef.4}; Path=/"));
    let (_, report) = drive(&config(&server.origin), &[session(vec![first, at(5_000, get("/"))])]);
    assert_eq!((report.done, report.failed), (2, 0), "{:?}", report.errors);
    assert!(server.received().iter().all(|received| received.header("cookie").is_empty()));
}

pub(super) fn registration() -> Scene {
    let print = |value: &str| Fingerprinter::with_key([3; 32]).fingerprint(value.as_bytes()).to_string();
    let (email, password) = (print("a.new.student@mail.example"), print("correct horse"));
    let body = format!(r#"{{"email":"{email}","password":"{password}","confirm_password":"{password}"}}"#);
    let register = Exchange {
        method: "POST".to_owned(),
        request_headers: vec![header("Content-Type", "application/json")],
        request_body_bytes: body.len() as u64,
        request_body: Body::Json(body),
        ..get("/api/register").exchange
    };
    Scene::new(vec![(1, 0, register)])
}

fn ten_times(scene: &Scene, server: &Server, more: &[&str]) -> Output {
    scene.run(&server.origin, &[&["-x", "10", "--mode", "volley", "--json"], more].concat())
}

#[test]
fn users_who_register_are_minted() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let output =
        ten_times(&registration(), &server, &["--identity", "email={mint}", "--identity", "password={mint}"]);
    let run: RunReport = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((run.done, run.distinct.identities, run.distinct.identities_used), (10, 10, 10));
    let logins =
        server.received().into_iter().map(|received| serde_json::from_slice(&received.body).unwrap());
    let logins: Vec<Value> = logins.collect();
    assert_eq!(different(logins.iter().map(|login| login["email"].to_string())), TIMES);
    for login in &logins {
        let length = |field: &str| login[field].as_str().unwrap().len();
        assert_eq!((length("email"), length("password")), (26, 13), "{login}");
        assert_eq!(login["password"], login["confirm_password"]);
    }
}

#[test]
fn a_template_and_a_secret_of_the_environment_are_accounts() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = registration();
    let arguments = [
        "--identity",
        "email=student{n:04}@school.example",
        "--identity-from",
        "98",
        "--identity",
        "password=env:CARGO_PKG_NAME",
    ];
    let output = ten_times(&scene, &server, &arguments);
    let mut bodies: Vec<String> = server.received().iter().map(|received| text(&received.body)).collect();
    bodies.sort_unstable();
    let body = |number: usize| {
        let email = format!("student{number:04}@school.example");
        format!(r#"{{"email":"{email}","password":"kingtide","confirm_password":"kingtide"}}"#)
    };
    assert_eq!(bodies, (98..108).map(body).collect::<Vec<_>>(), "{}", text(&output.stderr));
    let one =
        ten_times(&scene, &server, &["--identity", "email=ann@school", "--identity", "password=hunter2"]);
    let said = text(&one.stderr);
    assert!(said.contains("as the same account") && !said.contains("hunter2"), "{said}");
    let unset =
        ten_times(&scene, &server, &["--identity", "email={n}", "--identity", "password=env:NOT_SET_9"]);
    assert!(text(&unset.stderr).contains("NOT_SET_9 is not set"), "{}", text(&unset.stderr));
    assert_eq!((one.status.code(), unset.status.code()), (Some(2), Some(2)));
    assert_eq!(server.received().len(), TIMES, "nothing was sent without accounts");
}

#[test]
fn addresses_that_cannot_be_used_are_named_before_the_run() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let scene = Scene::new(vec![(1, 0, get("/").exchange)]);
    let refused = |arguments: &[&str]| {
        let output = scene.run(&server.origin, arguments);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    assert!(refused(&["--source-addresses", "192.0.2.0/24"]).contains("ip route add local 192.0.2.0/24"));
    assert!(refused(&["--source-addresses", "10.0.0.0/40"]).contains("10.20.0.0/16"));
    assert!(refused(&["--forwarded-for", "10.0.0.1/8"]).contains("write 10.0.0.0/8"));
    assert!(server.received().is_empty());
}
