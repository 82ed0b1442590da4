//! Captures on disk, written as the proxy writes them.

use std::path::Path;
use std::time::Instant;

use kingtide_common::capture::{CaptureWriter, Rotation, WriterOptions};
use kingtide_common::exchange::{
    AnsweredBy, Body, Ending, Exchange, FilePart, Gap, Header, Multipart, Part, PartContent, Record,
};
use kingtide_common::ledger::Ledger;
use kingtide_common::stages::Instants;

const START_NS: i64 = 1_763_924_024_000_000_000;

fn options() -> WriterOptions {
    WriterOptions {
        program: "kingtide-proxy 0.1.0".to_owned(),
        config_digest: "00".to_owned(),
        privacy: "default".to_owned(),
        started_ns: START_NS,
        rotation: Rotation::default(),
    }
}

/// An upload of `bytes` by one of ten users, `at_ms` after the start.
pub(crate) fn upload(id: u64, at_ms: i64, bytes: u64) -> Exchange {
    let file = FilePart {
        content_type: Some("audio/webm".to_owned()),
        extension: Some("webm".to_owned()),
        bytes,
        hash: format!("{id:016x}"),
    };
    let head = "Content-Disposition: form-data; name=\"file\"; filename=\"xxxx.webm\"".to_owned();
    let part = Part { head, name: "file".to_owned(), content: PartContent::File { file } };
    let token = format!("Bearer {{fp:{:016x}.40}}", id % 10);
    Exchange {
        id,
        connection: id % 10,
        started_ns: START_NS + at_ms * 1_000_000,
        instants: Instants {
            head_done_us: Some(200),
            body_done_us: Some(9_000),
            response_head_us: Some(2_000_000),
            done_us: Some(2_000_500),
            ..Instants::default()
        },
        method: "POST".to_owned(),
        host: "app.test".to_owned(),
        target: format!("/api/students/{id}/recordings?try=1"),
        http_version: 11,
        request_headers: vec![Header { name: "Authorization".to_owned(), value: token }],
        request_body: Body::Multipart(Multipart { boundary_bytes: 30, parts: vec![part] }),
        request_body_bytes: bytes + 300,
        status: Some(201),
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        end: Some(if id == 2 { "SD" } else { "--" }.to_owned()),
        would_refuse: vec!["client_max_body_size".to_owned(); usize::from(id == 1)],
        ..Exchange::default()
    }
}

fn gap() -> Gap {
    Gap {
        from_ns: START_NS,
        to_ns: START_NS + 1_000_000,
        count: 3,
        bytes: 600_000,
        reason: "queue".to_owned(),
        ..Gap::default()
    }
}

fn written(directory: &Path, sizes: &[u64], gaps: &[Gap]) -> CaptureWriter {
    let mut writer = CaptureWriter::create(directory, options()).unwrap();
    let now = Instant::now();
    for (id, bytes) in (1..).zip(sizes) {
        let at_ms = i64::try_from(id * 100).unwrap();
        writer.push(Record::Exchange(Box::new(upload(id, at_ms, *bytes))), now).unwrap();
    }
    for gap in gaps {
        writer.push(Record::Gap(gap.clone()), now).unwrap();
    }
    writer.flush(now).unwrap();
    writer
}

/// A capture of one upload per size, closed as it should be.
pub(crate) fn whole(directory: &Path, sizes: &[u64]) {
    let all = sizes.len() as u64;
    let ledger = Ledger { accepted: all, recorded: all, ..Ledger::default() };
    written(directory, sizes, &[]).close(ledger, START_NS + 60_000_000_000).unwrap();
}

/// A capture with a gap, whose writer was killed and whose last segment lost its last bytes.
pub(crate) fn torn(directory: &Path, sizes: &[u64]) {
    let mut writer = written(directory, sizes, &[gap()]);
    let now = Instant::now();
    writer.push(Record::Exchange(Box::new(upload(999, 9_000, 1))), now).unwrap();
    writer.flush(now).unwrap();
    drop(writer);
    let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "arrows");
    let mut files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(|path| is_segment(path)).unwrap();
    let bytes = std::fs::metadata(&segment).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(bytes - 40).unwrap();
}
