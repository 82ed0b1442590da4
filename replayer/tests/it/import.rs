//! `kingtide import` on files as other programs write them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kingtide::sessions::{Rules, group};
use kingtide_common::capture::Capture;
use kingtide_common::exchange::{AnsweredBy, Body, Exchange};
use serde_json::{Value, json};
use tempfile::TempDir;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)
}

/// A place for a capture.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn capture(&self) -> PathBuf {
        self.0.path().join("capture")
    }

    fn import(&self, format: &str, files: &[&Path], more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
        command.args(["import", format]).args(files).arg("--out").arg(self.capture()).args(more);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Imports, and says what came of it.
    fn imported(&self, format: &str, file: &Path, more: &[&str]) -> Value {
        let output = self.import(format, &[file], &[&["--json"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let summary = serde_json::from_slice(&output.stdout).unwrap();
        assert_fits_schema(&summary);
        summary
    }

    fn exchanges(&self) -> Vec<Exchange> {
        let reading = Capture::open(&self.capture()).unwrap().read().unwrap();
        assert_eq!((reading.damage, reading.gaps), (vec![], vec![]));
        reading.exchanges
    }

    /// All that the capture's files hold, as far as it can be decoded.
    fn shown(&self) -> String {
        let files = std::fs::read_dir(self.capture()).unwrap();
        let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        format!("{}{:?}", String::from_utf8_lossy(&bytes), self.exchanges())
    }

    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.0.path()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn assert_fits_schema(summary: &Value) {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/import.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(summary).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "{summary:#}");
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_har_of_chromium_becomes_a_session_that_can_be_replayed() {
    let place = Place::new();
    let summary = place.imported("har", &sample("chrome.har"), &["--host", "school.example"]);
    assert_eq!(
        (&summary["read"], &summary["imported"], &summary["filtered"]),
        (&json!(9), &json!(4), &json!(1))
    );
    assert_eq!(summary["left_out"].as_object().unwrap().values().sum_of(), 4);
    assert_eq!(summary["hosts"], json!({"metrics.example": 1, "school.example": 4}));
    let exchanges = place.exchanges();
    let upload = exchanges.iter().find(|exchange| exchange.files().next().is_some()).expect("an upload");
    assert_eq!(upload.files().next().unwrap().bytes, 182_331);
    assert_eq!((upload.http_version, upload.host.as_str()), (20, "school.example"));
    assert_eq!((upload.pacing.len(), upload.pacing[0].at_us), (1, 1_480_500));
    assert_eq!(upload.synthesised, ["pacing"]);
    assert_eq!((exchanges[0].tls_us, exchanges[0].connection_age_us), (Some(18_000), 18_000));
    let sessions = group(exchanges, &Rules::default());
    assert_eq!((sessions.sessions.len(), sessions.unresolved.len()), (1, 0));
    assert!(!sessions.sessions[0].orphan);
    let shown = place.shown();
    for secret in ["not-a-real-token", "anna", "correct horse"] {
        assert!(!shown.contains(secret), "{secret} is in the capture");
    }
    let manifest = Capture::open(&place.capture()).unwrap().manifest().unwrap().clone();
    assert!(manifest.starts[0].program.starts_with("kingtide import har "), "{manifest:?}");
}

/// The sum of JSON numbers.
trait SumOf {
    fn sum_of(self) -> u64;
}

impl<'a, I: Iterator<Item = &'a Value>> SumOf for I {
    fn sum_of(self) -> u64 {
        self.map(|value| value.as_u64().unwrap()).sum()
    }
}

#[test]
fn a_har_of_firefox_with_what_it_lacks_made_up() {
    let place = Place::new();
    let summary = place.imported("har", &sample("firefox.har"), &["--upload-part", "audio=audio/ogg"]);
    assert_eq!((&summary["imported"], &summary["unreadable"]), (&json!(4), &json!(0)));
    let exchanges = place.exchanges();
    assert_eq!(exchanges[0].request_body, Body::Form("title=unit+3".into()));
    assert_eq!(exchanges[0].started_ns, 1_795_521_600_000_000_000);
    let connections: Vec<u64> = exchanges.iter().map(|exchange| exchange.connection).collect();
    assert_eq!(connections, [1, 1, 2, 1], "two at once are on two connections");
    let upload = exchanges.last().unwrap();
    let file = upload.files().next().expect("made of the rule");
    assert_eq!((file.content_type.as_deref(), upload.request_body_bytes), (Some("audio/ogg"), 90_000));
    assert_eq!(upload.synthesised, ["connection", "pacing", "request_body"]);
    assert!(!place.shown().contains("0123456789abcdef0123"), "the cookie's value is hidden");
}

#[test]
fn goreplays_files_with_binary_bodies_answers_missing_and_the_end_cut_off() {
    let place = Place::new();
    let summary = place.imported("goreplay", &sample("traffic.gor"), &[]);
    assert_eq!(summary["imported"], 5);
    assert_eq!(summary["left_out"], json!({"answer of a replay (type 3)": 1}));
    let exchanges = place.exchanges();
    let by_path = |path: &str| exchanges.iter().find(|exchange| exchange.path() == path).unwrap();
    let upload = by_path("/api/students/upload-recording");
    assert_eq!(upload.files().next().unwrap().bytes, 4 + 14 + 10 + 256, "the separator inside is content");
    assert_eq!((upload.pacing[0].at_us, upload.status), (700_000, Some(201)));
    assert_eq!(by_path("/api/unanswered").status, None);
    assert_eq!(
        (by_path("/api/cut").request_body_bytes, &by_path("/api/cut").request_body),
        (4000, &Body::Opaque)
    );
    let sessions = group(exchanges, &Rules::default()).sessions;
    assert_eq!(sessions[0].steps.len(), 4, "the login belongs to who used its token");
    let shown = place.shown();
    assert!(!shown.contains("another-made-up") && !shown.contains("ben@") && !shown.contains("battery"));
}

#[test]
fn nginxs_json_log_tells_sessions_uploads_and_who_answered() {
    let place = Place::new();
    let summary = place.imported("nginx", &sample("kingtide.log"), &["--upload-part", "audio=audio/webm"]);
    assert_eq!((&summary["imported"], &summary["cautions"]), (&json!(4), &json!([])));
    let exchanges = place.exchanges();
    let upload = &exchanges[2];
    assert_eq!((upload.request_body_bytes, upload.pacing[0].at_us), (182_700, 1_500_000));
    assert_eq!(upload.files().count(), 1);
    assert_eq!((upload.connection, upload.started_ns), (1, 1_795_521_608_100_000_000));
    assert_eq!(upload.instants.response_head_us, Some(4_200_000));
    assert_eq!((exchanges[3].status, exchanges[3].answered_by), (Some(413), AnsweredBy::EdgeLimit));
    assert_ne!(exchanges[3].client, upload.client);
    let shown = place.shown();
    assert!(!shown.contains("hush") && !shown.contains("203.0.113") && !shown.contains("not-a-real"));
}

#[test]
fn nginxs_combined_log_is_spread_over_its_seconds_and_unreadable_lines_are_named() {
    let place = Place::new();
    let file = sample("combined.log");
    let summary = place.imported("nginx", &file, &[]);
    assert_eq!(
        (&summary["read"], &summary["imported"], &summary["unreadable"]),
        (&json!(6), &json!(4), &json!(1))
    );
    let first = summary["unreadable_first"][0].as_str().unwrap();
    assert!(first.starts_with(&format!("{}:5: ", file.display())), "{first}");
    let exchanges = place.exchanges();
    assert_eq!(exchanges[1].started_ns - exchanges[0].started_ns, 500_000_000);
    assert_eq!(exchanges[2].request_header("user-agent"), Some("Mozilla/5.0 \"quoted\""));
    assert!(!place.shown().contains("anna"));

    let strict = Place::new();
    let refused = error(&strict.import("nginx", &[&file], &["--strict"]));
    assert!(refused.contains("combined.log:5"), "{refused}");
    assert_eq!(strict.names(), Vec::<String>::new(), "nothing half-written");
}

#[test]
fn an_own_log_format_is_read_by_its_directive() {
    let place = Place::new();
    let log = place.0.path().join("own.log");
    std::fs::write(&log, "1795521601.500|203.0.113.9|POST /up HTTP/1.1|201|0.5|7000\n").unwrap();
    let format = "log_format own '$msec|$remote_addr|' '$request|$status|$request_time|$request_length';";
    place.imported("nginx", &log, &["--log-format", format]);
    let exchange = place.exchanges().remove(0);
    assert_eq!((exchange.started_ns, exchange.status), (1_795_521_601_000_000_000, Some(201)));
    let wrong = Place::new();
    let refused = error(&wrong.import("nginx", &[&log], &["--log-format", "$request"]));
    assert!(refused.contains("--log-format") && refused.contains("$msec"), "{refused}");
}

#[test]
fn the_shipped_log_format_is_one_that_the_import_reads() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/nginx-log-format.conf");
    let text = std::fs::read_to_string(conf).unwrap();
    let directive = &text[text.find("\nlog_format").unwrap()..];
    let place = Place::new();
    let log = place.0.path().join("as-nginx-would.log");
    let line = directive_line(directive);
    std::fs::write(&log, &line).unwrap();
    for format in ["auto", directive] {
        place.imported("nginx", &log, &["--log-format", format, "--force"]);
        let exchange = place.exchanges().remove(0);
        assert_eq!(
            (exchange.method.as_str(), exchange.request_body_bytes),
            ("POST", 5000),
            "{format}: {line}"
        );
        assert_eq!((exchange.status, exchange.host.as_str()), (Some(201), "school.example"));
    }
}

/// The line that Nginx would write by the directive for one request.
fn directive_line(directive: &str) -> String {
    let values = [
        ("$msec", "1795521601.500"),
        ("$connection_requests", "1"),
        ("$connection", "7"),
        ("$remote_addr", "203.0.113.9"),
        ("$http_host", "school.example"),
        ("$server_protocol", "HTTP/1.1"),
        ("$request_method", "POST"),
        ("$request_uri", "/up"),
        ("$request_length", "5400"),
        ("$sent_http_content_type", "application/json"),
        ("$content_type", "audio/webm"),
        ("$content_length", "5000"),
        ("$status", "201"),
        ("$body_bytes_sent", "9"),
        ("$request_time", "1.5"),
        ("$upstream_connect_time", "0.001"),
        ("$upstream_header_time", "0.5"),
        ("$upstream_response_time", "0.5"),
        ("$http_user_agent", "curl \\\"8\\\""),
        ("$http_referer", ""),
        ("$http_authorization", ""),
    ];
    let text: String = directive.split('\'').skip(1).step_by(2).collect();
    values.iter().fold(text, |text, (name, value)| text.replace(name, value)) + "\n"
}

#[test]
fn gzip_and_standard_input_are_read_like_files() {
    let log = std::fs::read(sample("combined.log")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&log).unwrap();
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kingtide"));
    command.args(["import", "nginx", "-", "--json", "--out"]).arg(place.capture());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&gzip.finish().unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["imported"], 4);
    assert!(summary["unreadable_first"][0].as_str().unwrap().starts_with("stdin:5: "));
}

#[test]
fn nothing_half_written_and_nothing_replaced_unasked() {
    let place = Place::new();
    let cut = place.0.path().join("cut.har");
    let whole = std::fs::read(sample("chrome.har")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let refused = error(&place.import("har", &[&cut], &[]));
    assert!(refused.contains("cut.har: EOF") && refused.contains("after entry"), "{refused}");
    assert_eq!(place.names(), ["cut.har"]);

    let missing = error(&place.import("har", &[Path::new("no.har")], &[]));
    assert!(missing.contains("no.har"), "{missing}");
    let nobody = error(&place.import("har", &[&sample("chrome.har")], &["--host", "elsewhere.example"]));
    assert!(nobody.contains("nothing to import") && nobody.contains("--host"), "{nobody}");
    assert_eq!(place.names(), ["cut.har"]);

    place.imported("har", &sample("chrome.har"), &[]);
    let before = place.exchanges().len();
    let refused = error(&place.import("har", &[&sample("firefox.har")], &[]));
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(place.exchanges().len(), before);
    place.imported("har", &sample("firefox.har"), &["--force"]);
    assert_eq!(place.exchanges().len(), 4);
    assert_eq!(place.names().len(), 2);
}

#[test]
fn inspect_and_strict_privacy_know_imports() {
    let place = Place::new();
    place.imported("har", &sample("chrome.har"), &["--privacy", "strict"]);
    assert!(!place.shown().contains("Unit 3"));
    let output =
        Command::new(env!("CARGO_BIN_EXE_kingtide")).arg("inspect").arg(place.capture()).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.starts_with(
            "!! IMPORTED: 4 of 5 exchanges were completed by assumptions: pacing (3), response_body (1)"
        ),
        "{shown}"
    );
}
