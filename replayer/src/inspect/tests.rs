//! A small classroom by hand, and what its summary must say.

use std::path::Path;
use std::time::Instant;

use kingtide_common::capture::{Capture, CaptureWriter, WriterOptions};
use kingtide_common::exchange::{
    AnsweredBy, Body, CutUser, Ending, Exchange, FilePart, Header, Multipart, Part, PartContent, Record,
    ServerTiming,
};
use kingtide_common::stages::Instants;

use super::*;
use crate::sessions::Rules;

const START_NS: i64 = 1_763_924_024_120_000_000;

/// An exchange that began `at_ms` after the capture's start and took `total_ms`.
pub(crate) fn exchange(at_ms: i64, method: &str, target: &str, total_ms: u64) -> Exchange {
    let end_us = total_ms * 1000;
    let instants = Instants {
        head_done_us: Some(300),
        body_done_us: Some(300),
        upstream_pick_us: Some(350),
        upstream_connected_us: Some(350),
        upstream_send_first_us: Some(400),
        upstream_send_last_us: Some(450),
        response_head_us: Some(end_us - 200),
        response_last_us: Some(end_us - 100),
        client_send_first_us: Some(end_us - 150),
        client_send_last_us: Some(end_us - 50),
        done_us: Some(end_us),
        ..Instants::default()
    };
    Exchange {
        started_ns: START_NS + at_ms * 1_000_000,
        instants,
        method: method.to_owned(),
        target: target.to_owned(),
        status: Some(200),
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        ..Exchange::default()
    }
}

/// An upload of one file, stored within `store_ms`.
pub(crate) fn upload(at_ms: i64, bytes: u64, store_ms: u64) -> Exchange {
    let file = FilePart {
        content_type: Some("audio/webm".to_owned()),
        extension: Some("webm".to_owned()),
        bytes,
        hash: "00".to_owned(),
    };
    let part = Part { head: String::new(), name: "file".to_owned(), content: PartContent::File { file } };
    let mut exchange = exchange(at_ms, "POST", "/api/students/upload-recording", store_ms + 160);
    exchange.request_body = Body::Multipart(Multipart { boundary_bytes: 30, parts: vec![part] });
    exchange.request_body_bytes = bytes + 400;
    exchange.instants.body_done_us = Some(90_300);
    exchange.instants.upstream_send_last_us = Some(90_400);
    let timing = |name: &str, ms: u64| ServerTiming { name: name.to_owned(), duration_us: ms * 1000 };
    exchange.server_timing = vec![timing("auth", 48), timing("store", store_ms)];
    exchange
}

/// 20 students, each on a connection: each looks at the assignments and uploads; the last upload is answered 503. One
/// brings a token that the capture does not hold.
pub(crate) fn classroom() -> Vec<Exchange> {
    let sizes = [50_000, 200_000, 200_000, 500_000, 2_000_000];
    let student = |n: i64| {
        let look = exchange(n * 500, "GET", "/api/assignments?page=1", 12);
        let size = sizes[usize::try_from(n).unwrap() % sizes.len()];
        let mut upload = upload(n * 500 + 150, size, 2_000 + 100 * n.unsigned_abs());
        upload.status = Some(if n == 19 { 503 } else { 200 });
        let mut exchanges = [look, upload];
        for exchange in &mut exchanges {
            exchange.connection = n.unsigned_abs();
            if n == 3 {
                let value = "Bearer {fp:0123456789abcdef.40}".to_owned();
                exchange.request_headers.push(Header { name: "Authorization".to_owned(), value });
            }
        }
        exchanges
    };
    let exchanges = (0..20).flat_map(student).zip(1..);
    exchanges.map(|(exchange, id)| Exchange { id, ..exchange }).collect()
}

/// Writes a capture as the proxy does and sums it up.
pub(crate) fn summary_of(exchanges: Vec<Exchange>, gaps: Vec<Gap>, ledger: Ledger) -> Summary {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), exchanges, gaps, ledger);
    summarise(
        "captures/monday",
        gather(&Capture::open(directory.path()).unwrap(), &Rules::default()).unwrap(),
    )
}

pub(crate) fn write(directory: &Path, exchanges: Vec<Exchange>, gaps: Vec<Gap>, ledger: Ledger) {
    let options = WriterOptions::of("test", START_NS);
    let mut writer = CaptureWriter::create(directory, options).unwrap();
    let exchanges = exchanges.into_iter().map(|exchange| Record::Exchange(Box::new(exchange)));
    for record in exchanges.chain(gaps.into_iter().map(Record::Gap)) {
        writer.push(record, Instant::now()).unwrap();
    }
    writer.flush(Instant::now()).unwrap();
    writer.close(ledger, START_NS + 1).unwrap();
}

pub(crate) fn whole(exchanges: Vec<Exchange>) -> Summary {
    let all = exchanges.len() as u64;
    summary_of(exchanges, Vec::new(), Ledger { accepted: all, recorded: all, ..Ledger::default() })
}

pub(crate) fn classroom_summary() -> Summary {
    whole(classroom())
}

/// The classroom behind a proxy that shadows the size of bodies, and had to refuse two uploads otherwise.
fn judged_summary() -> Summary {
    let mut exchanges = classroom();
    for exchange in &mut exchanges {
        exchange.end = Some("--".to_owned());
        if exchange.request_body_bytes > 500_000 {
            exchange.would_refuse = vec!["client_max_body_size".to_owned()];
        }
    }
    for (student, limit, end) in [(3, "client_body_timeout", "cB"), (4, "limit_req", "PQ")] {
        let upload = &mut exchanges[student * 2 + 1];
        (upload.refused_by, upload.end) = (Some(limit.to_owned()), Some(end.to_owned()));
    }
    whole(exchanges)
}

fn damaged_summary() -> Summary {
    let gap = Gap {
        from_ns: START_NS,
        to_ns: START_NS + 1_500_000_000,
        count: 7,
        bytes: 1_400_000,
        reason: "queue".into(),
        ..Gap::default()
    };
    let mut gaps = vec![gap; 7];
    gaps[6].cut = vec![CutUser::Connection(7)];
    let removed = Removed {
        segments: 2,
        rows: 9_000,
        bytes: 1_800_000,
        last_number: 2,
        last_ns: START_NS - 1_000_000_000,
    };
    let ledger = Ledger { accepted: 92, recorded: 40, shed_queue: 49, ..Ledger::default() };
    let torn =
        Damage::TornTail { segment: "exchanges-000002.arrows".to_owned(), offset: 65_536, bytes: 4_099 };
    Summary { damage: vec![torn], removed: Some(removed), ..summary_of(classroom(), gaps, ledger) }
}

#[test]
fn uploads_are_counted_with_their_exact_sizes() {
    let summary = classroom_summary();
    let sizes = summary.upload_bytes;
    assert_eq!((sizes.count, sizes.sum), (20, 4 * 2_950_000));
    assert_eq!([sizes.p50, sizes.p95, sizes.max], [Some(200_000), Some(2_000_000), Some(2_000_000)]);
    assert_eq!(summary.body_bytes, Amount { count: 20, sum: 4 * 2_950_000 + 20 * 400 });
}

#[test]
fn inner_stages_stand_beside_the_outer_ones() {
    let summary = classroom_summary();
    assert_eq!(summary.stages_inner["store"].p50, Some(2_900.0));
    assert_eq!(summary.stages["total"].count, 40);
    assert_eq!(summary.stages["tls"], StageTimes::default());
    let upload = summary.routes.iter().find(|route| route.route.starts_with("POST")).unwrap();
    assert_eq!(upload.stages["request_body"].p50, Some(90.0));
    assert_eq!(upload.statuses, BTreeMap::from([("200".to_owned(), 19), ("503".to_owned(), 1)]));
}

#[test]
fn limits_are_counted_by_name_and_route() {
    let summary = judged_summary();
    let shadowed = Judged { would_refuse: 8, would_refuse_bytes: 4 * 2_500_800, ..Judged::default() };
    let size = &summary.limits["client_max_body_size"];
    assert_eq!(size.total, shadowed);
    assert_eq!(size.routes["POST /api/students/upload-recording"], shadowed);
    let slow = Judged { refused: 1, refused_bytes: 500_400, ..Judged::default() };
    assert_eq!(summary.limits["client_body_timeout"].total, slow);
    assert_eq!(summary.ends, BTreeMap::from([("PQ".to_owned(), 1), ("cB".to_owned(), 1)]));
}

#[test]
fn an_empty_capture_knows_nothing_and_says_so() {
    let summary = whole(Vec::new());
    assert_eq!((summary.started, summary.exchanges), (None, 0));
    assert!(summary.dispersion.values().all(Option::is_none));
    assert_eq!(summary.upload_bytes, Sizes::default());
}

#[test]
fn a_short_capture_has_no_long_dispersion() {
    let summary = classroom_summary();
    assert_eq!(summary.dispersion["60"], None);
    assert!(summary.dispersion["0.1"].is_some());
}

#[test]
fn the_text_of_a_whole_capture() {
    insta::assert_snapshot!(text::render(&classroom_summary()));
}

#[test]
fn the_text_says_what_limits_did() {
    let text = text::render(&judged_summary());
    let (from, to) = (text.find("Limits").unwrap(), text.find("Burstiness").unwrap());
    insta::assert_snapshot!(&text[from..to]);
}

#[test]
fn the_text_says_damage_first() {
    let text = text::render(&damaged_summary());
    assert!(text.starts_with("!! DAMAGED: exchanges-000002.arrows"), "{text}");
    insta::assert_snapshot!(text.lines().take(14).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_text_fits_a_terminal() {
    for summary in [classroom_summary(), judged_summary(), damaged_summary()] {
        let text = text::render(&summary);
        let wide = text.lines().filter(|line| line.chars().count() > 80 && !line.starts_with("!! "));
        assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
