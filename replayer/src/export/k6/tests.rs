use super::*;
use crate::sessions::scene::{Scene, capture, get, post, secret};
use crate::sessions::{Rules, Sessions, group};

const ID: &str = "6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11";

fn student() -> Vec<Scene> {
    let credentials = format!(r#"{{"email":"{}","password":"{}"}}"#, secret("anna"), secret("pw"));
    let token = format!(r#"{{"access_token":"{}"}}"#, secret("t"));
    vec![
        post("/api/login")
            .json(&credentials)
            .answers(&token)
            .header("Content-Type", "application/json")
            .at_s(0.0),
        get("/api/assignments").bearer("t").answers(&format!(r#"[{{"id":"{ID}"}}]"#)).at_s(1.5),
        post("/api/upload")
            .upload(&[("assignment_id", ID), ("note", "cost: `$5`")], 5_000)
            .bearer("t")
            .at_s(3.25),
    ]
}

fn sessions(scenes: Vec<Scene>) -> Sessions {
    group(capture(scenes), &Rules::default())
}

fn script(sessions: &Sessions) -> String {
    let mut text = Vec::new();
    write(&mut text, "monday", &sessions.sessions.iter().collect::<Vec<_>>()).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_session_is_a_function_that_uses_live_values() {
    let script = script(&sessions(student()));
    // The prelude is a file of its own.
    insta::assert_snapshot!(script.replace(PRELUDE, "(prelude)\n"));
}

#[test]
fn every_session_has_its_scenario_and_its_start() {
    let other = vec![get("/").on(2).at_s(2.0), get("/x").on(2).at_s(2.1)];
    let script = script(&sessions([student(), other].concat()));
    assert!(
        script.contains("  [\"session1\", 0.000, 3.250],\n  [\"session2\", 2.000, 0.100],\n];"),
        "{script}"
    );
    assert!(
        script.contains("export function session1() {") && script.contains("export function session2() {")
    );
    assert_eq!(script.matches("user();").count(), 1, "only who logs in needs an account");
}

#[test]
fn the_name_of_a_capture_stays_in_its_comment() {
    let mut text = Vec::new();
    write(&mut text, "a\nprocess.exit()", &[]).unwrap();
    assert!(
        String::from_utf8(text)
            .unwrap()
            .starts_with("// 0 sessions, 0 requests of the capture a process.exit(),")
    );
}
