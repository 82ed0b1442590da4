//! Rules at work in a replay: captures that lack something, servers that check for it.

use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, SET_COOKIE};
use kingtide::measure::run::{RunReport, Verdict};
use kingtide_common::exchange::{Body, Ending, Exchange};
use kingtide_common::fingerprint::Fingerprinter;
use serde_json::Value;

use crate::captured::{get, header};
use crate::replay::{Scene, text};
use crate::server::{Received, Server, answer};

const LOGIN_RULE: &str = "[orphans]\naction = \"login\"\nprepend = [\"POST /api/auth/login\"]\n";

fn secret(value: &str) -> String {
    Fingerprinter::with_key([3; 32]).fingerprint(value.as_bytes()).to_string()
}

fn exchange(target: &str) -> Exchange {
    Exchange { ending: Ending::Complete, ..get(target).exchange }
}

fn login(user: &str) -> Exchange {
    let body = format!(r#"{{"email":"{}","password":"{}"}}"#, secret(user), secret("hunter2"));
    Exchange {
        method: "POST".to_owned(),
        request_headers: vec![header("Content-Type", "application/json")],
        request_body_bytes: body.len() as u64,
        request_body: Body::Json(body),
        response_body: Body::Json(format!(r#"{{"access_token":"{}"}}"#, secret(&format!("token of {user}")))),
        ..exchange("/api/auth/login")
    }
}

fn me(user: &str) -> Exchange {
    let token = format!("Bearer {}", secret(&format!("token of {user}")));
    Exchange { request_headers: vec![header("Authorization", &token)], ..exchange("/api/me") }
}

/// Two users, of whom the second had logged in before the capture began.
fn cut_in_the_middle() -> Scene {
    let scene = Scene::new(vec![(1, 0, login("a")), (2, 10, me("b")), (1, 20, me("a")), (2, 30, me("b"))]);
    std::fs::write(scene.path("rules.toml"), LOGIN_RULE).unwrap();
    std::fs::write(scene.path("accounts.csv"), "email,password,token\na@x,1,token-1\nb@x,2,token-2\n")
        .unwrap();
    scene
}

/// Hands out a token per account and serves who shows one.
fn guarded() -> Server {
    Server::http(|received| async move {
        if received.path == "/api/auth/login" {
            let body: Value = serde_json::from_slice(&received.body).unwrap();
            let token = format!(r#"{{"access_token":"token-{}"}}"#, body["password"].as_str().unwrap());
            return Response::new(Full::from(token));
        }
        let is_known = ["Bearer token-1", "Bearer token-2"].contains(&received.header("authorization"));
        answer(if is_known { 200 } else { 401 }, "{}")
    })
}

fn replayed(scene: &Scene, server: &Server, rules: &str) -> (RunReport, Option<i32>, String) {
    let accounts = scene.path("accounts.csv");
    std::fs::write(scene.path("rules.toml"), rules).unwrap();
    let rules = scene.path("rules.toml");
    let arguments =
        ["--identities", accounts.to_str().unwrap(), "--rules", rules.to_str().unwrap(), "--json"];
    let output = scene.run(&server.origin, &arguments);
    let said = text(&output.stderr);
    (serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}")), output.status.code(), said)
}

#[test]
fn a_capture_cut_in_the_middle_fails_until_a_rule_gives_the_orphan_a_login() {
    let (scene, server) = (cut_in_the_middle(), guarded());
    let (run, exit, said) = replayed(&scene, &server, "");
    assert_eq!((run.planned, run.failed, run.statuses["401"]), (4, 2, 2));
    assert!(
        matches!((run.verdict, exit), (Verdict::Invalid, Some(3)) | (Verdict::Fail, Some(1))),
        "{exit:?}"
    );
    let caution = "1 session without login in the capture: requests carry filler";
    assert!(said.contains(caution), "{said}");
    assert!(run.reasons.iter().any(|reason| reason.contains(caution)), "{:?}", run.reasons);

    let (run, _, said) = replayed(&scene, &server, LOGIN_RULE);
    assert_eq!((run.planned, run.done, run.failed), (5, 5, 0), "{:?}", run.errors);
    assert_eq!((run.bindings.unresolved, run.identities_distinct), (0, 2), "two users, two accounts");
    assert!(said.contains("given one by the rules"), "{said}");
}

#[test]
fn an_orphans_token_may_come_from_the_identities_file() {
    let (scene, server) = (cut_in_the_middle(), guarded());
    let rule =
        "[[bindings]]\nplace = \"header Authorization\"\nidentity = \"token\"\nwhen = \"unresolved\"\n";
    let (run, _, _) = replayed(&scene, &server, rule);
    assert_eq!((run.planned, run.done, run.failed), (4, 4, 0), "{:?}", run.errors);
}

/// The page's answer: a form whose token is good once, and a cookie.
fn form_page(token: &str) -> Response<Full<Bytes>> {
    let page = format!(
        "<html><body><form action='/search'></form><form method=post action='/posts'>\
         <input type=hidden name=csrf_token value='{token}'></form>{}</body></html>",
        " ".repeat(300_000),
    );
    let response = Response::builder().header(CONTENT_TYPE, "text/html; charset=utf-8");
    response.header(SET_COOKIE, format!("sid=session-{token}; Path=/")).body(Full::from(page)).unwrap()
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn a_live_pages_token_its_cookie_and_the_live_time_are_sent() {
    let issued = Mutex::new(0);
    let server = Server::http(move |received: Received| {
        let response = if received.path == "/edit" {
            let mut issued = issued.lock().unwrap();
            *issued += 1;
            form_page(&format!("t{issued}"))
        } else {
            let form = String::from_utf8(received.body.clone()).unwrap();
            let fields: Vec<&str> = form.split(['=', '&']).collect();
            let cookie = format!("sid=session-{}", fields[1]);
            let is_now = (now_ms() - fields[3].parse::<i64>().unwrap()).abs() < 60_000;
            answer(if received.header("cookie") == cookie && is_now { 201 } else { 403 }, "{}")
        };
        async move { response }
    });
    let (token, sid) = (secret("csrf"), secret("a session"));
    let description = format!(
        r#"{{"forms":[{{"action":"/search","fields":{{}}}},{{"action":"/posts","fields":{{"csrf_token":"{token}"}}}}],"meta":{{}}}}"#
    );
    let edit = Exchange {
        response_headers: vec![header("Set-Cookie", &format!("sid={sid}; Path=/"))],
        response_body: Body::Html(description),
        ..exchange("/edit")
    };
    // The capture begins at 1763924024 s.
    let post = Exchange {
        method: "POST".to_owned(),
        status: Some(201),
        request_headers: vec![
            header("Content-Type", "application/x-www-form-urlencoded"),
            header("Cookie", &format!("sid={sid}")),
        ],
        request_body: Body::Form(format!("csrf_token={token}&at=1763924024010")),
        request_body_bytes: 40,
        ..exchange("/posts")
    };
    let scene = Scene::new(vec![(1, 0, edit), (1, 10, post)]);
    let output = scene.run(&server.origin, &["-x", "3", "--json"]);
    let run: RunReport =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!((run.planned, run.failed), (6, 0), "{:?} {:?}", run.errors, run.statuses);
    assert_eq!((run.statuses["201"], run.bindings.unresolved), (3, 0));
}

#[test]
fn wrong_rules_are_bad_input_with_their_line() {
    let scene = cut_in_the_middle();
    let mut file = std::fs::File::create(scene.path("rules.toml")).unwrap();
    file.write_all(b"[orphans]\nacton = \"login\"\n").unwrap();
    for command in ["plan", "inspect"] {
        let output = Command::new(env!("CARGO_BIN_EXE_kingtide"))
            .arg(command)
            .arg(scene.path("capture"))
            .arg("--rules")
            .arg(scene.path("rules.toml"))
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("rules.toml:2") && said.contains("did you mean `action`?"), "{said}");
    }
}

#[test]
fn a_rule_about_nothing_is_said_and_the_map_shows_what_the_others_did() {
    let scene = cut_in_the_middle();
    let rules =
        format!("{LOGIN_RULE}[[bindings]]\nrequest = \"GET /nowhere\"\nplace = \"json x\"\nkeep = true\n");
    std::fs::write(scene.path("rules.toml"), rules).unwrap();
    let plan = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.arg("plan").arg(scene.path("capture")).args(more);
        command.output().unwrap()
    };
    let rules = scene.path("rules.toml");
    let output = plan(&["--show-bindings", "--json", "--rules", rules.to_str().unwrap()]);
    let said = text(&output.stderr);
    assert!(said.contains("rule 1 (GET /nowhere · json x) decided nothing"), "{said}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["sessions_orphan"], &json["sessions_repaired"]), (&Value::from(0), &Value::from(1)));
    let bindings = json["bindings"].as_array().unwrap();
    let by: Vec<&str> = bindings.iter().map(|binding| binding["by"].as_str().unwrap()).collect();
    assert_eq!(by, ["repair", "found", "identity", "identity"], "{json}");

    let without = plan(&["--show-bindings"]);
    let map = text(&without.stdout);
    assert!(map.contains("bindings   2 unresolved, 1 orphan sessions"), "{map}");
    assert!(map.contains("  ! header Authorization ← nothing (2 uses)"), "{map}");
}
