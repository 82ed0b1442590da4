//! The listener over a real socket.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;

use kingtide_common::ledger::Ledger;
use serde_json::{Value, json};

use super::*;
use crate::config::Mode;
use crate::limits::LimitName;
use crate::passage::Passage;
use crate::sample;

/// Remembers what it was told.
#[derive(Default)]
struct Recorder(Mutex<Vec<CaptureCommand>>);

impl Control for Recorder {
    fn facts(&self) -> Facts {
        let peer = |peer: &str, up| PeerFacts { peer: peer.to_owned(), up, fails: 0, active: 1 };
        Facts {
            config: ConfigFacts { digest: "d1".to_owned(), loaded_ns: 1, reloads: 2, error: None },
            capture: CaptureFacts {
                state: CaptureState::Recording,
                directory: Some("capture".into()),
                since_ns: Some(2),
                error: None,
                users_forgotten: 0,
                queue: QueueFacts { waiting: 1, slots: 16, memory_bytes: 10, memory_bytes_max: 100 },
            },
            ledger: Ledger { accepted: 9, recorded: 8, ..Ledger::default() },
            upstreams: [("backend".to_owned(), vec![peer("10.0.0.1:8000", true), peer("b:1", false)])].into(),
            body_limits: vec![BodyLimit { route: "uploads".into(), bytes: 1 << 20, mode: Mode::Shadow }],
            access_log: Some(LogFacts { written: 5, lost: 1 }),
        }
    }

    fn capture(&self, command: CaptureCommand) -> Result<String, String> {
        self.0.lock().unwrap().push(command);
        match command {
            CaptureCommand::Rotate => Err("nothing is recorded".to_owned()),
            _ => Ok("recording".to_owned()),
        }
    }
}

struct Fixture {
    server: AdminServer,
    control: Arc<Recorder>,
}

fn started() -> Fixture {
    let (control, metrics) = (Arc::<Recorder>::default(), Arc::<Metrics>::default());
    let meter = metrics.meter();
    meter.exchange(&sample::upload());
    let mut over = Passage { number: 1, ..sample::upload() };
    over.would_refuse.insert(LimitName::ClientMaxBodySize);
    meter.exchange(&over);
    meter.exchange(&sample::silent_client());
    metrics.gauges.listener(([127, 0, 0, 1], 8080).into()).accepted.add(3);
    let sources = Sources { control: Arc::clone(&control) as _, metrics, clock: Clock::start() };
    let admin = Admin { listen: Some(([127, 0, 0, 1], 0).into()), token_env: None };
    Fixture { server: AdminServer::start(&admin, sources, &mut Vec::new()).unwrap().unwrap(), control }
}

impl Fixture {
    /// The whole answer to these bytes.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.server.address).unwrap();
        // What refuses a request early may close before it has read all of it.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    /// Head and body of an answer.
    fn ask(&self, line: &str, more: &str) -> (String, String) {
        let host = self.server.address;
        let answer = self.raw(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head.to_owned(), body.to_owned())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ask("GET /status", "").1).unwrap()
    }
}

#[test]
fn the_status_keeps_to_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/status.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let status = started().status();
    let errors: Vec<String> =
        validator.iter_errors(&status).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{status:#}");
}

#[test]
fn the_status_says_what_was_counted() {
    let status = started().status();
    assert_eq!(status["routes"]["uploads"]["statuses"], json!({"201": 2}));
    assert_eq!(status["routes"]["(none)"]["ends"], json!({"cR": 1}));
    assert_eq!(status["stages"]["uploads"]["tls"]["count"], 1);
    assert_eq!(status["stages"]["uploads"]["upstream_wait"]["sum_ms"], 5400.0);
    assert_eq!(status["server_timing"]["uploads"]["store"]["max_ms"], 2500.5);
    let sizes = &status["request_body_bytes"]["routes"]["uploads"];
    assert_eq!(
        (&sizes["limit"], &sizes["mode"], &sizes["over_limit"]),
        (&json!(1 << 20), &json!("shadow"), &json!(1))
    );
    assert_eq!(status["limits"]["uploads"]["client_max_body_size"], json!({"refused": 0, "shadowed": 1}));
    assert_eq!(status["connections"]["accepted"], 3);
    assert_eq!(status["ledger"]["recorded"], 8);
}

#[test]
fn metrics_page_and_health_are_served() {
    let fixture = started();
    let (head, body) = fixture.ask("GET /metrics", "");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(
        body.contains("kingtide_requests_total{route=\"uploads\",status=\"201\",answered_by=\"upstream\"} 2")
    );
    let (head, body) = fixture.ask("GET /?theme=dark", "");
    assert!(
        head.contains("content-security-policy: default-src 'none'") && body.starts_with("<!doctype html>")
    );
    assert_eq!(fixture.ask("GET /health", "").1, "ok\n");
    assert!(fixture.ask("HEAD /status", "").1.is_empty());
}

#[test]
fn the_page_is_whole_in_itself() {
    let (_, page) = started().ask("GET /", "");
    for outside in ["http://", "https://", "src=", "@import", "url(", "<link rel=\"stylesheet"] {
        let found = page.replace("http://www.w3.org/2000/svg", "").find(outside).map(|at| &page[at..]);
        assert_eq!(found.map(|rest| &rest[..rest.len().min(60)]), None, "{outside}");
    }
}

#[test]
fn the_capture_is_controlled_by_posts_of_our_own_page() {
    let fixture = started();
    let (head, body) = fixture.ask("POST /capture/start", "Content-Length: 0\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && body == r#"{"done":"recording"}"#, "{head} {body}");
    let (head, body) = fixture.ask("POST /capture/rotate", "");
    assert!(head.starts_with("HTTP/1.1 409") && body.contains("nothing is recorded"), "{head} {body}");
    let (head, _) = fixture.ask("POST /capture/stop", "Origin: https://evil.example\r\n");
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let (head, _) = fixture.ask("GET /capture/stop", "");
    assert!(head.starts_with("HTTP/1.1 405") && head.contains("allow: POST"), "{head}");
    let told = fixture.control.0.lock().unwrap().clone();
    assert_eq!(told, [CaptureCommand::Start, CaptureCommand::Rotate]);
}

#[test]
fn another_name_for_this_machine_is_refused() {
    let answer = started().raw(b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn with_a_token_only_page_and_health_are_open() {
    let access = Access::Token(blake3::hash(b"s3cret"));
    let sources =
        Sources { control: Arc::new(Recorder::default()), metrics: Arc::default(), clock: Clock::start() };
    let answers = Answers::new(access, sources);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let status = |path: &str, token: &str| {
        let headers = [(http::header::AUTHORIZATION, token.parse().unwrap())].into_iter().collect();
        runtime.block_on(answers.answer(&http::Method::GET, path, &headers)).status().as_u16()
    };
    let paths = ["/", "/health", "/status", "/metrics", "/capture/start", "/nothing"];
    assert_eq!(paths.map(|path| status(path, "Bearer guess")), [200, 200, 401, 401, 401, 401]);
    assert_eq!(paths.map(|path| status(path, "Bearer s3cret")), [200, 200, 200, 200, 405, 404]);
}

#[test]
fn a_head_beyond_the_bound_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
    let answer = started().raw(long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[test]
fn silent_clients_leave_room_for_others() {
    let fixture = started();
    let address = fixture.server.address;
    let silent: Vec<_> = (0..CONNECTIONS_MAX - 1).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(fixture.ask("GET /health", "").1, "ok\n");
    drop(silent);
    fixture.server.close();
    assert!(TcpStream::connect(address).is_err(), "closed");
}
