//! The captures in `captures/`, made once by the real proxy: format version 1 must read for ever, to the
//! same values. These files are never made anew; a change that breaks a test here breaks users' captures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kingtide_common::capture::{Capture, Damage, Reading};
use kingtide_common::exchange::{AnsweredBy, Body, Ending, Exchange, PacingPoint, PartContent, ServerTiming};
use kingtide_common::ledger::Ledger;

use crate::scene;

const LOGIN: &str = r#"{"email":"{fp:c3a740bb24860f21.26}","password":"{fp:293a85eb1b318c35.12}"}"#;
const ASSIGNMENT: &str = "c2f2294e-58d6-4f74-ab74-c97435f66372";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name)
}

fn statuses(reading: &Reading) -> BTreeMap<Option<u16>, usize> {
    let mut statuses = BTreeMap::new();
    for exchange in &reading.exchanges {
        *statuses.entry(exchange.status).or_default() += 1;
    }
    statuses
}

/// Uploaded files and their bytes.
fn uploads(reading: &Reading) -> (usize, u64) {
    let files = || reading.exchanges.iter().flat_map(Exchange::files);
    (files().count(), files().map(|file| file.bytes).sum())
}

fn exchange(reading: &Reading, id: u64) -> &Exchange {
    reading.exchanges.iter().find(|exchange| exchange.id == id).unwrap()
}

#[test]
fn the_golden_capture_reads_whole() {
    let reading = scene::read(&golden("classroom-12"));
    assert_eq!(reading.damage, []);
    assert_eq!(reading.gaps, []);
    assert_eq!(reading.exchanges.len(), 70);
    assert_eq!(uploads(&reading), (22, 4_416_494));
    assert_eq!(reading.exchanges.iter().map(|exchange| exchange.request_body_bytes).sum::<u64>(), 4_427_800);
    assert_eq!(statuses(&reading), BTreeMap::from([(Some(200), 48), (Some(201), 22)]));
}

#[test]
fn its_manifest_says_who_wrote_it_and_that_all_was_recorded() {
    let capture = Capture::open(&golden("classroom-12")).unwrap();
    let manifest = capture.manifest().unwrap();
    assert_eq!((manifest.format_version, manifest.starts.len(), manifest.segments.len()), (1, 1, 1));
    let start = &manifest.starts[0];
    assert_eq!((start.program.as_str(), start.privacy.as_str()), ("kingtide-proxy 0.1.0", "default"));
    assert_eq!(start.closed_ns, Some(1_795_464_475_258_348_366));
    assert_eq!(start.ledger, Ledger { accepted: 70, recorded: 70, ..Ledger::default() });
    assert_eq!(manifest.segments[0].rows, 70);
}

#[test]
fn an_upload_over_a_slow_uplink_reads_to_the_same_values() {
    let reading = scene::read(&golden("classroom-12"));
    let upload = exchange(&reading, 41);
    assert_eq!((upload.method.as_str(), upload.path()), ("POST", "/api/students/upload-recording"));
    assert_eq!((upload.connection, upload.http_version, upload.status), (3, 11, Some(201)));
    assert_eq!((upload.started_ns, upload.connection_age_us), (1_795_464_470_648_802_637, 982_105));
    assert_eq!((upload.answered_by, upload.ending), (AnsweredBy::Upstream, Ending::Complete));
    assert_eq!((upload.upstream_reused, upload.tls_us), (true, None));
    let instants = upload.instants;
    assert_eq!((instants.head_done_us, instants.body_first_us), (Some(51), Some(307)));
    assert_eq!((instants.body_done_us, instants.response_head_us), (Some(650_941), Some(937_495)));
    assert_eq!(instants.done_us, Some(937_557));
    assert_eq!(upload.request_header("Authorization"), Some("Bearer {fp:3874ae3160488660.248}"));
    assert_eq!(upload.response_header("Content-Length"), Some("153"));
    let timing = |name: &str, duration_us| ServerTiming { name: name.to_owned(), duration_us };
    let timings = [timing("auth", 50_568), timing("store", 136_052), timing("db", 99_585)];
    assert_eq!(upload.server_timing, timings);
}

#[test]
fn its_body_is_known_by_parts_and_by_its_pace() {
    let reading = scene::read(&golden("classroom-12"));
    let upload = exchange(&reading, 41);
    assert_eq!((upload.pacing.len(), upload.request_body_bytes), (14, 220_223));
    assert_eq!(upload.pacing[0], PacingPoint { at_us: 255, bytes: 433 });
    assert_eq!(upload.pacing[13], PacingPoint { at_us: 650_890, bytes: 220_223 });
    let Body::Multipart(body) = &upload.request_body else { panic!("{:?}", upload.request_body) };
    assert_eq!((body.boundary_bytes, body.parts.len()), (38, 3));
    let PartContent::Field { value } = &body.parts[0].content else { panic!("{:?}", body.parts[0]) };
    assert_eq!((body.parts[0].name.as_str(), value.as_str()), ("assignment_id", ASSIGNMENT));
    let file = upload.files().next().unwrap();
    assert_eq!((file.bytes, file.hash.as_str()), (219_744, "c9bf797a810b9fb5"));
    assert_eq!((file.content_type.as_deref(), file.extension.as_deref()), (Some("audio/webm"), Some("webm")));
}

/// They were made before these columns were.
#[test]
fn columns_that_were_not_yet_there_read_as_unknown() {
    for exchange in scene::read(&golden("classroom-12")).exchanges {
        assert_eq!((exchange.end, exchange.refused_by, exchange.accept_queue_ms), (None, None, None));
        assert!(exchange.would_refuse.is_empty() && exchange.attempts.is_empty());
    }
}

/// The schema of an earlier program is known, not only today's.
#[test]
fn a_damaged_schema_of_an_earlier_program_costs_nothing() {
    let copy = tempfile::tempdir().unwrap();
    for name in ["manifest.json", "exchanges-000001.idx", "exchanges-000001.arrows"] {
        std::fs::copy(golden("classroom-12").join(name), copy.path().join(name)).unwrap();
    }
    let segment = copy.path().join("exchanges-000001.arrows");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[200] ^= 0x10;
    std::fs::write(&segment, bytes).unwrap();

    let reading = scene::read(copy.path());
    assert_eq!(reading.damage, [Damage::BadSchema { segment: "exchanges-000001.arrows".to_owned() }]);
    assert_eq!(reading.exchanges, scene::read(&golden("classroom-12")).exchanges);
}

#[test]
fn a_redacted_login_reads_to_the_same_text() {
    let reading = scene::read(&golden("classroom-12"));
    let login = exchange(&reading, 1);
    assert_eq!(login.target, "/api/auth/login");
    assert_eq!(login.request_body, Body::Json(LOGIN.to_owned()));
}

#[test]
fn the_capture_of_a_killed_proxy_reads_to_its_last_flush() {
    let reading = scene::read(&golden("torn"));
    assert_eq!(reading.exchanges.len(), 52);
    assert_eq!(uploads(&reading), (8, 1_787_171));
    assert_eq!(statuses(&reading), BTreeMap::from([(Some(200), 44), (Some(201), 8)]));
    let [damage] = reading.damage.as_slice() else { panic!("{:?}", reading.damage) };
    assert!(matches!(damage, Damage::NotClosed { rows: 52, .. }), "{damage:?}");
    assert!(damage.to_string().contains("torn tail"), "{damage}");
}

/// The script that made them searched for the accounts by name; this holds for whoever's they were.
#[test]
fn the_golden_captures_hold_no_address_and_no_token() {
    for name in ["classroom-12", "torn"] {
        let reading = scene::read(&golden(name));
        let credentials =
            reading.exchanges.iter().filter_map(|exchange| exchange.request_header("authorization"));
        let credentials: Vec<&str> = credentials.collect();
        assert!(credentials.len() > 30, "{name}: every request but the logins carries one");
        assert!(credentials.iter().all(|value| value.starts_with("Bearer {fp:")), "{name}: {credentials:?}");
        let text = format!("{:?}", reading.exchanges);
        for secret in ["school.example", "@", "eyJ"] {
            assert!(!text.contains(secret), "{name} holds {secret}");
        }
    }
}
