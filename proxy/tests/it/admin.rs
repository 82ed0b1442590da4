//! The admin listener of a running proxy: figures that agree with the traffic, and a hand on the capture.

use serde_json::Value;

use crate::backend::{answering, replying, write_answer};
use crate::certificates::Certified;
use crate::client::{Client, get, status};
use crate::proxy::{HERE, Proxy, command, recording, route_all};
use crate::tls_client::{TlsClient, trusting};
use crate::wait::until;

fn admin(more: &str) -> String {
    format!("[admin]\nlisten = \"127.0.0.1:0\"\n{more}")
}

fn ask(proxy: &Proxy, request_line: &str, more: &str) -> (u16, String) {
    let request = format!("{request_line} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: 0\r\n\r\n");
    let (head, body) = Client::connect(proxy.admin.unwrap()).ask(request);
    (status(&head), body)
}

fn status_of(proxy: &Proxy) -> Value {
    let (status, body) = ask(proxy, "GET /status", "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The value of a sample in the exposition.
fn sample<'m>(metrics: &'m str, name: &str) -> &'m str {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} in\n{metrics}"))
}

#[test]
fn status_is_as_its_schema_says_and_counts_what_was_served() {
    let schema: Value = serde_json::from_str(include_str!("../../schemas/status.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let backend = answering("{}");
    let health = "health = { path = \"/\", interval = \"20ms\" }\n";
    let proxy = Proxy::of(&(recording(backend.address) + health + &route_all("") + &admin("")));
    let mut client = Client::connect(proxy.address);
    for path in ["/a", "/b", "/c"] {
        client.ask(get(path));
    }
    let counted = until("three requests", || {
        let shown = status_of(&proxy);
        let errors: Vec<String> = validator.iter_errors(&shown).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{shown:#}");
        (shown["routes"]["all"]["requests"] == 3).then_some(shown)
    });
    assert_eq!(counted["routes"]["all"]["statuses"]["200"], 3);
    assert_eq!(counted["connections"]["open"], 1);
    assert_eq!(counted["ledger"]["accepted"], 3);
    assert_eq!((&counted["in_flight"], &counted["uploads_in_flight"]), (&Value::from(0), &Value::from(0)));
    let (_, metrics) = ask(&proxy, "GET /metrics", "");
    let requests = "kingtide_requests_total{route=\"all\",status=\"200\",answered_by=\"upstream\"}";
    assert_eq!(sample(&metrics, requests), "3");
    drop(client);
    until("the connection's end", || (status_of(&proxy)["connections"]["open"] == 0).then_some(()));
}

#[test]
fn an_upload_on_its_way_is_seen_and_so_are_handshakes_and_the_spool() {
    let directory = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let certified = Certified::make(directory.path(), "school", "school.example");
    let backend = answering("{}");
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{}", certified.listed(&[]));
    let route = route_all("request_buffering = true");
    let proxy = Proxy::of_in(directory, &(recording(backend.address) + &listener + &route + &admin("")));
    let mut client = Client::connect(proxy.address);
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 600001\r\n\r\n");
    client.send(vec![7; 600_000]);
    until("the upload in the figures", || {
        let shown = status_of(&proxy);
        let spooled = shown["spool_bytes"].as_u64().unwrap() > 200_000;
        (shown["in_flight"] == 1 && shown["uploads_in_flight"] == 1 && spooled).then_some(())
    });
    client.send([7]);
    assert_eq!(status(&client.answer().0), 200);
    let mut secure = TlsClient::connect(proxy.addresses[1], "school.example", &trusting(&[&certified], &[]));
    secure.ask(get("/"));
    let mut plain = Client::connect(proxy.addresses[1]);
    plain.send(get("/"));
    plain.rest();
    until("the figures after it", || {
        let shown = status_of(&proxy);
        let connections = &shown["connections"];
        let handshakes = (&connections["tls_handshakes"], &connections["tls_handshakes_failed"]);
        let over = shown["in_flight"] == 0 && shown["uploads_in_flight"] == 0 && shown["spool_bytes"] == 0;
        (over && handshakes == (&Value::from(1), &Value::from(1))).then_some(())
    });
}

#[test]
fn metrics_tell_limits_enforced_and_shadowed_apart() {
    let backend = answering("{}");
    let limits = "[[zone]]\nname = \"all\"\nkey = \"server\"\nrate = \"1r/m\"\n\
        [limits]\nclient_max_body_size = { value = \"10\", mode = \"shadow\" }\n\
        limit_req = [{ zone = \"all\", burst = 1, nodelay = true }]\n";
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + limits + &admin("")));
    let mut client = Client::connect(proxy.address);
    let upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890";
    assert_eq!([(); 3].map(|()| status(&client.ask(upload).0)), [200, 200, 503]);
    // An exchange is over, and counted, a little after its client has the answer.
    proxy.exchanges_once_there_are(3);
    let (_, metrics) = ask(&proxy, "GET /metrics", "");
    let count = |what: &str, limit: &str| {
        sample(&metrics, &format!("kingtide_limit_{what}_total{{route=\"all\",limit=\"{limit}\"}}"))
    };
    assert_eq!((count("refused", "limit_req"), count("shadowed", "limit_req")), ("1", "0"));
    assert_eq!(
        (count("refused", "client_max_body_size"), count("shadowed", "client_max_body_size")),
        ("0", "3")
    );
}

#[test]
fn the_capture_is_stopped_started_and_rotated_by_post() {
    let backend = answering("{}");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &admin("")));
    let mut client = Client::connect(proxy.address);
    let mut request = |path: &str| assert_eq!(status(&client.ask(get(path)).0), 200);
    request("/before");
    // An exchange is over a little after its client has the answer.
    proxy.exchanges_once_there_are(1);
    assert_eq!(ask(&proxy, "GET /capture/stop", "").0, 405);
    let (code, said) = ask(&proxy, "POST /capture/rotate", "");
    assert_eq!(code, 200, "{said}");
    request("/rotated");
    proxy.exchanges_once_there_are(2);
    assert_eq!(ask(&proxy, "POST /capture/stop", "").0, 200);
    assert_eq!(status_of(&proxy)["capture"]["state"], "off");
    request("/unrecorded");
    let (code, said) = ask(&proxy, "POST /capture/stop", "");
    assert_eq!((code, said.contains("nothing is being recorded")), (409, true), "{said}");
    assert_eq!(ask(&proxy, "POST /capture/start", "").0, 200);
    assert_eq!(status_of(&proxy)["capture"]["state"], "recording");
    assert_eq!(ask(&proxy, "POST /capture/start", "").0, 409);
    request("/after");
    let cross_site =
        ask(&proxy, "POST /capture/stop", "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n");
    assert_eq!(cross_site.0, 403);
    let left = proxy.stop();
    let mut targets: Vec<String> = left.exchanges().into_iter().map(|exchange| exchange.target).collect();
    targets.sort();
    assert_eq!(targets, ["/after", "/before", "/rotated"]);
    let capture = kingtide_common::capture::Capture::open(&left.capture()).unwrap();
    let manifest = capture.manifest().unwrap();
    assert_eq!((manifest.starts.len(), manifest.segments.len()), (2, 3));
}

/// Stopped in the middle of a request: it is counted as too late, and never half recorded.
#[test]
fn a_request_in_flight_when_the_capture_stops_is_counted() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let backend = replying(move |stream, _| {
        released.lock().unwrap().recv().unwrap();
        write_answer(stream, "{}");
    });
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &admin("")));
    let mut client = Client::connect(proxy.address);
    client.send(get("/held"));
    backend.received.recv().unwrap();
    assert_eq!(ask(&proxy, "POST /capture/stop", "").0, 200);
    release.send(()).unwrap();
    assert_eq!(status(&client.answer().0), 200);
    let left = proxy.stop();
    assert_eq!(left.exchanges().len(), 0);
    let ledger = left.ledger();
    assert_eq!((ledger.accepted, ledger.in_flight()), (1, 0), "{ledger:?}");
}

#[test]
fn an_address_for_other_machines_needs_a_token() {
    let backend = answering("{}");
    let text = recording(backend.address).replace(HERE, "/nowhere") + &route_all("");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    std::fs::write(&file, text + "[admin]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    let refused = command().arg("--config").arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && errors.contains("admin.token_env"), "{errors}");

    let with_token = admin("token_env = \"KINGTIDE_TEST_TOKEN\"\n").replace("127.0.0.1", "0.0.0.0");
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &with_token));
    for (more, expected) in
        [("", 401), ("Authorization: Bearer guess\r\n", 401), ("Authorization: Bearer open sesame\r\n", 200)]
    {
        assert_eq!(ask(&proxy, "GET /status", more).0, expected, "{more}");
        assert_eq!(ask(&proxy, "GET /metrics", more).0, expected, "{more}");
    }
    assert_eq!(ask(&proxy, "POST /capture/stop", "").0, 401);
}
