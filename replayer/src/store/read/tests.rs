//! A capture read in buckets is what grouping all of it gives.

use std::path::Path;

use kingtide_common::ledger::Ledger;
use proptest::prelude::*;

use super::*;
use crate::inspect::tests::write;
use crate::sessions::scene::{Scene, capture, get, post, secret};
use crate::sessions::{Session, Sessions, group};

const UUID: &str = "0b9f1c2e-8d3a-4f5b-9c6d-7e8f9a0b1c2d";

fn rules(text: &str) -> Rules {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Rules::read(file.path()).unwrap_or_else(|error| panic!("{}", error.in_one_line()))
}

/// Those that make a difference to what sessions must know of each other.
fn any_rules() -> Vec<Rules> {
    let texts = [
        "",
        "[orphans]\naction = \"drop\"\n",
        "[orphans]\naction = \"login\"\nprepend = [\"POST /api/login\"]\n",
        "[[bindings]]\nplace = \"header Authorization\"\nidentity = \"token\"\nwhen = \"unresolved\"\n",
    ];
    texts.map(rules).into()
}

fn assert_is_grouped(directory: &Path, rules: &Rules, bucket_exchanges: u32) {
    let capture = Capture::open(directory).unwrap();
    let whole = capture.read().unwrap();
    let read = read_in_buckets(&capture, rules, bucket_exchanges).unwrap();
    let Sessions { sessions, unresolved, rule_uses, repairs, idle_gap } = group(whole.exchanges, rules);
    let stored: Vec<Session> = read.sessions.sessions.sessions().collect::<Result<_, _>>().unwrap();
    assert_eq!(stored, sessions);
    assert_eq!(read.sessions.sessions.unresolved(), unresolved.len());
    assert_eq!((read.sessions.rule_uses, read.sessions.repairs), (rule_uses, repairs));
    assert_eq!((read.sessions.idle_gap, read.gaps, read.damage), (idle_gap, whole.gaps, whole.damage));
}

#[test]
fn golden_captures_are_grouped_in_buckets_of_any_size() {
    for name in ["classroom-12", "torn"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name);
        for rules in any_rules() {
            for size in [1, 10, BUCKET_EXCHANGES] {
                assert_is_grouped(&directory, &rules, size);
            }
        }
    }
}

/// Logins, what they give, orphans, and UUIDs that several send.
fn any_scene() -> impl Strategy<Value = Scene> {
    (0..4_u64, 0..4_u64, 0..20_000_u32, 0..6_u8).prop_map(|(user, connection, at_s, kind)| {
        let token = format!("token-{user}");
        let scene = match kind {
            0 | 1 => post("/api/login")
                .json(&format!(r#"{{"email":"u{user}@school.example","password":"{}"}}"#, secret("p")))
                .answers(&format!(r#"{{"token":"{}","activity_id":"{UUID}"}}"#, secret(&token))),
            2 => get("/api/tasks").bearer(&token).answers(&format!(r#"{{"id":"50000{user}1"}}"#)),
            3 => post("/api/upload").bearer(&token).upload(&[("activity_id", UUID)], 2_000),
            4 => post("/api/notes").bearer(&token).json(&format!(r#"{{"key":"{UUID}"}}"#)),
            _ => get(&format!("/api/tasks/50000{user}1")).bearer(&token),
        };
        scene.on(connection).at_s(f64::from(at_s))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_capture_is_grouped_in_buckets(scenes in prop::collection::vec(any_scene(), 1..40), size in 1..9_u32) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), capture(scenes), Vec::new(), Ledger::default());
        for rules in any_rules() {
            assert_is_grouped(directory.path(), &rules, size);
        }
    }
}
