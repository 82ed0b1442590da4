//! A finished exchange for the tests of what is written about exchanges.

use std::sync::Arc;

use kingtide_common::exchange::{AnsweredBy, Ending};

use crate::connection::{Connection, Tls};
use crate::message::{Fields, Framing, Line, Part, RequestFacts, RequestHead, ResponseHead, Version};
use crate::passage::{Attempt, Marks, Passage};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A head's fields, as a parser would leave them.
pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut text = Vec::new();
    let lines = lines(&mut text, pairs);
    Fields::new(text, lines)
}

fn lines(text: &mut Vec<u8>, pairs: &[(&str, &str)]) -> Vec<Line> {
    pairs.iter().map(|(name, value)| Line { name: part(text, name), value: part(text, value) }).collect()
}

fn part(text: &mut Vec<u8>, value: &str) -> Part {
    let start = text.len();
    text.extend_from_slice(value.as_bytes());
    Part::new(start, text.len())
}

/// The head of an upload to `school.example`.
pub(crate) fn request(method: &str, target: &str, pairs: &[(&str, &str)]) -> RequestHead {
    let mut text = Vec::new();
    let facts = RequestFacts {
        version: Version::Http11,
        method: part(&mut text, method),
        target: part(&mut text, target),
        host: part(&mut text, "school.example"),
        framing: Framing::Length(204_800),
        keep_alive: true,
        ..RequestFacts::default()
    };
    let lines = lines(&mut text, pairs);
    RequestHead { fields: Fields::new(text, lines), facts }
}

/// The third request of a TLS connection: an upload of 200 KB in 90 ms, stored by the second peer in 2.7 s
/// after the first refused the connection.
pub(crate) fn upload() -> Passage {
    let started_ns = 5_000 * MS;
    let at = |ms: u64| Some(started_ns + ms * MS);
    let marks = Marks {
        started_ns,
        head_done_ns: at(1),
        body_first_ns: at(2),
        body_done_ns: at(91),
        upstream_pick_ns: at(94),
        upstream_connected_ns: at(95),
        upstream_send_first_ns: at(95),
        upstream_send_last_ns: at(100),
        response_head_ns: at(2800),
        response_last_ns: at(2801),
        client_send_first_ns: at(2801),
        client_send_last_ns: at(2803),
        done_ns: at(2804),
    };
    let request = request("POST", "/api/uploads?token=abc&lesson=7", &[("User-Agent", "Mozilla/5.0 \"x\"")]);
    Passage {
        number: 3,
        route: "uploads".into(),
        attempts: vec![refused_attempt(started_ns), good_attempt(started_ns)],
        response: Some(ResponseHead {
            status: 201,
            fields: fields(&[("Server-Timing", "auth;dur=48, store;dur=2500.5")]),
            ..ResponseHead::default()
        }),
        status: Some(201),
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        request_body_bytes: 204_800,
        response_body_bytes: 120,
        bytes_sent: 350,
        request_id: "0123456789abcdef0123456789abcdef".to_owned(),
        traceparent: format!("00-{TRACE_ID}-00f067aa0ba902b7-01"),
        ..Passage::new(Arc::new(connection()), request, marks)
    }
}

fn connection() -> Connection {
    let tls = Tls {
        handshake_ns: 12 * MS,
        version: "TLSv1.3",
        cipher: "TLS13_AES_128_GCM_SHA256",
        server_name: Some("school.example".to_owned()),
    };
    let ends = (address("192.0.2.7:40312"), address("192.0.2.1:8443"));
    Connection::new(17, 4_000 * MS, Some(2), ends, Some(tls))
}

fn refused_attempt(started_ns: u64) -> Attempt {
    Attempt {
        peer: address("10.0.0.1:8000"),
        picked_ns: started_ns + 91 * MS,
        connected_ns: None,
        head_ns: None,
        reused: false,
        status: 502,
    }
}

fn good_attempt(started_ns: u64) -> Attempt {
    Attempt {
        peer: address("10.0.0.2:8000"),
        picked_ns: started_ns + 94 * MS,
        connected_ns: Some(started_ns + 95 * MS),
        head_ns: Some(started_ns + 2800 * MS),
        reused: false,
        status: 201,
    }
}

fn address(text: &str) -> std::net::SocketAddr {
    text.parse().expect("an address")
}

/// A client that sent half a request's head until its time was up.
pub(crate) fn silent_client() -> Passage {
    let whole = upload();
    let started_ns = whole.marks.started_ns;
    Passage {
        request: RequestHead::default(),
        route: "".into(),
        marks: Marks { started_ns, done_ns: Some(started_ns + 60_000 * MS), ..Marks::default() },
        attempts: Vec::new(),
        response: None,
        status: None,
        answered_by: AnsweredBy::Nobody,
        ending: Ending::ClientTimeout,
        request_body_bytes: 0,
        response_body_bytes: 0,
        bytes_sent: 0,
        request_id: String::new(),
        traceparent: String::new(),
        ..whole
    }
}
