//! Captured sessions, written as prose.

use kingtide::sessions::{Choice, Escape, Hole, Place, ResponsePlace, Session, Source, Step};
use kingtide_common::exchange::{
    Body, Exchange, FilePart, Header, Multipart, PacingPoint, Part, PartContent,
};

pub(super) fn session(steps: Vec<Step>) -> Session {
    Session { key: "test".to_owned(), start_ns: 0, steps, orphan: false }
}

pub(super) fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

fn step(exchange: Exchange) -> Step {
    Step { exchange, offset_us: 0, connection: 0, holes: Vec::new() }
}

pub(super) fn get(target: &str) -> Step {
    step(Exchange {
        method: "GET".to_owned(),
        host: "app.example".to_owned(),
        target: target.to_owned(),
        status: Some(200),
        ..Exchange::default()
    })
}

/// `POST /login` with the body `{"email":"OLD"}`.
pub(super) fn login() -> Step {
    let body = r#"{"email":"OLD"}"#;
    step(Exchange {
        method: "POST".to_owned(),
        target: "/login".to_owned(),
        request_headers: vec![header("Content-Type", "application/json"), header("Content-Length", "15")],
        request_body: Body::Json(body.to_owned()),
        request_body_bytes: body.len() as u64,
        status: Some(200),
        ..Exchange::default()
    })
}

/// A WebM upload as Chrome sends it; `curve` is (µs, bytes).
pub(super) fn upload(file_bytes: u64, curve: &[(u64, u64)]) -> Step {
    const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";
    let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"xxxxxxxxx.webm\"\r\n\
                Content-Type: audio/webm\r\n";
    let file = FilePart {
        content_type: Some("audio/webm".to_owned()),
        extension: Some("webm".to_owned()),
        bytes: file_bytes,
        hash: String::new(),
    };
    let part = Part { head: head.to_owned(), name: "audio".to_owned(), content: PartContent::File { file } };
    let framing = format!("--{BOUNDARY}\r\n{head}\r\n\r\n--{BOUNDARY}--\r\n").len() as u64;
    let point = |&(at_us, bytes): &(u64, u64)| PacingPoint { at_us, bytes };
    step(Exchange {
        method: "POST".to_owned(),
        target: "/upload".to_owned(),
        request_headers: vec![header("Content-Type", &format!("multipart/form-data; boundary={BOUNDARY}"))],
        request_body: Body::Multipart(Multipart { boundary_bytes: 37, parts: vec![part] }),
        request_body_bytes: framing + file_bytes,
        pacing: curve.iter().map(point).collect(),
        status: Some(201),
        ..Exchange::default()
    })
}

pub(super) fn at(offset_us: u64, step: Step) -> Step {
    Step { offset_us, ..step }
}

pub(super) fn on_connection(connection: usize, step: Step) -> Step {
    Step { connection, ..step }
}

/// As an HTTP/2 connection had it.
pub(super) fn over_http2(mut step: Step) -> Step {
    step.exchange.http_version = 20;
    step
}

/// Adds a header whose value after `prefix` comes from `source`.
pub(super) fn header_hole(step: &mut Step, name: &str, prefix: &str, source: Source) {
    let index = step.exchange.request_headers.len();
    step.exchange.request_headers.push(header(name, &format!("{prefix}OLD")));
    let range = prefix.len()..prefix.len() + 3;
    step.holes.push(Hole {
        place: Place::Header(index),
        range,
        escape: Escape::Raw,
        source,
        choice: Choice::default(),
    });
}

/// Makes the value `OLD` of a JSON body a hole.
pub(super) fn body_hole(step: &mut Step, key: &str, escape: Escape, source: Source) {
    let Body::Json(text) = &step.exchange.request_body else { panic!("no JSON body") };
    let start = text.find(&format!("\"{key}\":\"OLD\"")).unwrap() + key.len() + 4;
    step.holes.push(Hole {
        place: Place::Body,
        range: start..start + 3,
        escape,
        source,
        choice: Choice::default(),
    });
}

pub(super) fn json_of(step: usize, pointer: &str) -> Source {
    Source::Response { step, from: ResponsePlace::Json { pointer: pointer.to_owned() } }
}

pub(super) fn identity(column: &str) -> Source {
    Source::Identity { column: column.to_owned() }
}
