//! `limit_req` and `limit_conn`, enforced and in shadow.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use kingtide_common::exchange::AnsweredBy;

use crate::backend::{answering, replying, write_answer};
use crate::client::{Client, status};
use crate::proxy::{HERE, Proxy, recording, route_all};
use crate::wait::until;

const ZONES: &str = "[[zone]]\nname = \"per_room\"\nkey = \"header:X-Room\"\nrate = \"1r/m\"\n";

fn access_log() -> String {
    format!("[access_log]\npath = \"{HERE}/access.log\"\n")
}

/// The lines of the access log, once there are so many.
fn lines(proxy: &Proxy, count: usize) -> Vec<serde_json::Value> {
    let file = proxy.directory.path().join("access.log");
    until("the access log", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<_> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() >= count).then_some(lines)
    })
}

fn from(room: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX-Room: {room}\r\n\r\n")
}

fn limited(limit: &str) -> String {
    format!("{ZONES}{}[limits]\n{limit}\n", access_log())
}

#[test]
fn limit_req_refuses_over_its_burst_and_by_its_key() {
    let backend = answering("{}");
    let limit = "limit_req = [{ zone = \"per_room\", burst = 2, nodelay = true, status = 429 }]";
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &limited(limit)));
    let mut client = Client::connect(proxy.address);
    let mut ask = |room: &str| status(&client.ask(from(room)).0);
    assert_eq!([ask("7b"), ask("7b"), ask("7b"), ask("7b")], [200, 200, 200, 429]);
    assert_eq!([ask("8a"), ask("7b")], [200, 429]);
    let lines = lines(&proxy, 6);
    let refused: Vec<_> = lines.iter().filter(|line| line["refused_by"] == "limit_req").collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|line| line["status"] == 429 && line["answered_by"] == "edge_limit"));
    assert_eq!(backend.received.try_iter().count(), 4);
    let exchanges = proxy.stop().exchanges();
    assert_eq!(exchanges.iter().filter(|exchange| exchange.answered_by == AnsweredBy::EdgeLimit).count(), 2);
}

#[test]
fn limit_req_in_shadow_lets_pass_and_notes_it() {
    let backend = answering("{}");
    let limit = "limit_req = [{ zone = \"per_room\", nodelay = true, status = 429, mode = \"shadow\" }]";
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &limited(limit)));
    let mut client = Client::connect(proxy.address);
    for _ in 0..3 {
        assert_eq!(status(&client.ask(from("7b")).0), 200);
    }
    let lines = lines(&proxy, 3);
    let noted = lines.iter().filter(|line| line["would_refuse"] == serde_json::json!(["limit_req"]));
    assert_eq!(noted.count(), 2, "{lines:#?}");
    assert_eq!(backend.received.try_iter().count(), 3);
}

#[test]
fn limit_conn_counts_requests_in_progress() {
    for (mode, second) in [("enforce", 503), ("shadow", 200)] {
        let (begun, arrived) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let backend = replying(move |stream, received| {
            if received.target() == "/held" {
                begun.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
            write_answer(stream, "{}");
        });
        let limit = format!("limit_conn = [{{ zone = \"per_room\", connections = 1, mode = \"{mode}\" }}]");
        let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &limited(&limit)));
        let (mut held, mut other) = (Client::connect(proxy.address), Client::connect(proxy.address));
        held.send(from("7b").replace("GET / ", "GET /held "));
        arrived.recv_timeout(crate::wait::PATIENCE).unwrap();
        assert_eq!(status(&other.ask(from("7b")).0), second, "{mode}");
        assert_eq!(status(&other.ask(from("8a")).0), 200, "another key");
        release.send(()).unwrap();
        assert_eq!(status(&held.answer().0), 200);
        // Its client has the last byte a moment before the place is free; the line comes after both.
        lines(&proxy, 3);
        assert_eq!(status(&other.ask(from("7b")).0), 200, "the place is free again");
        let lines = lines(&proxy, 4);
        let noted =
            |key: &str, value: &serde_json::Value| lines.iter().filter(|line| line[key] == *value).count();
        let limit_conn = serde_json::json!("limit_conn");
        assert_eq!(noted("refused_by", &limit_conn), usize::from(mode == "enforce"));
        assert_eq!(noted("would_refuse", &serde_json::json!([limit_conn])), usize::from(mode == "shadow"));
    }
}

/// A slow upload holds its place until its last byte.
#[test]
fn an_upload_counts_for_limit_conn_until_its_last_byte() {
    let backend = answering("{}");
    let limit = "limit_conn = [{ zone = \"per_room\", connections = 1 }]";
    let proxy =
        Proxy::of(&(recording(backend.address) + &route_all("request_buffering = true") + &limited(limit)));
    let (mut uploading, mut other) = (Client::connect(proxy.address), Client::connect(proxy.address));
    uploading.send("POST /up HTTP/1.1\r\nHost: a\r\nX-Room: 7b\r\nContent-Length: 600001\r\n\r\n");
    uploading.send(vec![7; 600_000]);
    until("the upload", || (!proxy.spooled_files().is_empty()).then_some(()));
    assert_eq!(status(&other.ask(from("7b")).0), 503);
    uploading.send([7]);
    assert_eq!(status(&uploading.answer().0), 200);
    until("a free place", || (status(&other.ask(from("7b")).0) == 200).then_some(()));
}

#[test]
fn a_body_limit_in_shadow_notes_exactly_the_uploads_over_it() {
    let backend = answering("{}");
    let limit = "client_max_body_size = { value = \"1m\", mode = \"shadow\" }";
    let proxy = Proxy::of(&(recording(backend.address) + &route_all("") + &limited(limit)));
    let sizes = [1_048_575, 1_048_576, 1_048_577, 2_000_000, 10];
    let mut client = Client::connect(proxy.address);
    for bytes in sizes {
        let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
        assert_eq!(status(&client.ask([head.as_bytes(), &vec![7; bytes]].concat()).0), 200);
        client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in vec![7; bytes].chunks(400_000) {
            client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        }
        assert_eq!(status(&client.ask("0\r\n\r\n").0), 200);
    }
    let lines = lines(&proxy, 2 * sizes.len());
    let (over, under): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["request_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!((over.len(), under.len()), (4, 6));
    assert!(over.iter().all(|line| line["would_refuse"] == serde_json::json!(["client_max_body_size"])));
    assert!(under.iter().all(|line| line["would_refuse"] == serde_json::json!([])));
}
