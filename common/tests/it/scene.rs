//! Builders, so that a test reads as what happened.

use std::path::Path;
use std::time::{Duration, Instant};

use kingtide_common::capture::{Capture, CaptureWriter, Reading, Rotation, WriterOptions};
use kingtide_common::exchange::{
    AnsweredBy, Attempt, Body, CutUser, Ending, Exchange, FilePart, Gap, Header, Multipart, PacingPoint,
    Part, PartContent, Record, ServerTiming,
};
use kingtide_common::fingerprint::Fingerprint;
use kingtide_common::stages::Instants;

pub(crate) const SECOND_NS: i64 = 1_000_000_000;

pub(crate) fn options() -> WriterOptions {
    WriterOptions {
        program: "test".into(),
        config_digest: "none".into(),
        privacy: "default".into(),
        started_ns: 0,
        rotation: Rotation::default(),
    }
}

pub(crate) fn writer(directory: &Path) -> CaptureWriter {
    CaptureWriter::create(directory, options()).unwrap()
}

pub(crate) fn read(directory: &Path) -> Reading {
    Capture::open(directory).unwrap().read().unwrap()
}

/// An upload with every field in use, different for each id.
pub(crate) fn upload(id: u64) -> Exchange {
    Exchange {
        id,
        connection: id / 3,
        started_ns: 1_790_000_000 * SECOND_NS + i64::try_from(id).unwrap() * 1_000,
        connection_age_us: 12,
        tls_us: id.is_multiple_of(2).then_some(900),
        accept_queue_ms: id.is_multiple_of(3).then_some(4),
        instants: instants(id),
        upstream_reused: id % 2 == 1,
        method: "POST".into(),
        host: "school.example".into(),
        target: format!("/api/students/upload-recording?try={id}"),
        route: "api".into(),
        client: "{fp:00000000000000aa.9}".into(),
        http_version: 11,
        request_headers: vec![
            header("Authorization", "Bearer {fp:00000000000000bb.120}"),
            header("Accept", "*/*"),
        ],
        request_body: Body::Multipart(recording(id)),
        request_body_bytes: 204_800 + id,
        pacing: vec![
            PacingPoint { at_us: 1, bytes: 65_536 },
            PacingPoint { at_us: 90_000, bytes: 204_800 + id },
        ],
        status: Some(201),
        response_headers: vec![header("Content-Type", "application/json")],
        response_body: Body::Json(format!(r#"{{"id":{id}}}"#)),
        response_body_bytes: 9,
        server_timing: vec![ServerTiming { name: "store".into(), duration_us: 2_710_000 }],
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        end: Some("--".into()),
        refused_by: id.is_multiple_of(5).then(|| "limit_req".into()),
        would_refuse: vec!["client_max_body_size".into(); usize::from(id.is_multiple_of(2))],
        attempts: vec![attempt(None, 502), attempt(Some(id), 201)],
        synthesised: vec!["pacing".into(); usize::from(id.is_multiple_of(3))],
    }
}

fn instants(id: u64) -> Instants {
    Instants {
        head_done_us: Some(100),
        body_first_us: Some(110),
        body_done_us: Some(90_000 + id),
        upstream_pick_us: Some(120),
        upstream_connected_us: Some(130),
        upstream_send_first_us: Some(140),
        upstream_send_last_us: Some(90_100 + id),
        response_head_us: Some(2_800_000),
        response_last_us: Some(2_800_100),
        client_send_first_us: Some(2_800_050),
        client_send_last_us: Some(2_800_150),
        done_us: Some(2_800_200),
    }
}

fn recording(id: u64) -> Multipart {
    let file = FilePart {
        content_type: Some("audio/webm".into()),
        extension: Some("webm".into()),
        bytes: 204_000 + id,
        hash: format!("{id:016x}"),
    };
    let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"xxxx.webm\"\r\nContent-Type: audio/webm\r\n";
    let audio = Part { head: head.into(), name: "audio".into(), content: PartContent::File { file } };
    let head = "Content-Disposition: form-data; name=\"activity_id\"\r\n";
    let content = PartContent::Field { value: format!("activity-{id}") };
    let activity = Part { head: head.into(), name: "activity_id".into(), content };
    Multipart { boundary_bytes: 38, parts: vec![activity, audio] }
}

fn attempt(head_us: Option<u64>, status: u16) -> Attempt {
    let reused = head_us.is_some();
    Attempt { peer: "10.0.0.7:3000".into(), connect_us: Some(80), head_us, reused, status }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: value.into() }
}

pub(crate) fn gap(count: u64) -> Gap {
    let cut = vec![CutUser::Connection(4), CutUser::Credential(Fingerprint { hash: 0xBB, bytes: 120 })];
    Gap { from_ns: SECOND_NS, to_ns: 2 * SECOND_NS, count, bytes: 77, reason: "queue".into(), cut }
}

/// Writes the exchanges in batches of `batch` and drops the writer without closing, as a crash would.
pub(crate) fn crash_after(directory: &Path, exchanges: &[Exchange], batch: usize) {
    let mut writer = writer(directory);
    for batch in exchanges.chunks(batch) {
        write(&mut writer, batch);
    }
}

pub(crate) fn write(writer: &mut CaptureWriter, batch: &[Exchange]) {
    let now = Instant::now();
    for exchange in batch {
        writer.push(Record::Exchange(Box::new(exchange.clone())), now).unwrap();
    }
    writer.flush(now + Duration::from_millis(1)).unwrap();
}
