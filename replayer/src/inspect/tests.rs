//! A small classroom by hand, and what its summary must say.

use kingtide_common::exchange::{
    AnsweredBy, CutUser, Ending, FilePart, Multipart, Part, PartContent, ServerTiming,
};
use kingtide_common::stages::Instants;

use super::*;
use crate::sessions::Step;

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

/// A session of the given exchanges.
pub(crate) fn session(exchanges: &[Exchange], orphan: bool) -> Session {
    let start_ns = exchanges.first().map_or(START_NS, |first| first.started_ns);
    let step = |exchange: &Exchange| Step {
        exchange: exchange.clone(),
        offset_us: exchange.started_ns.abs_diff(start_ns) / 1000,
        connection: 0,
        holes: Vec::new(),
    };
    Session { key: format!("from {start_ns}"), start_ns, steps: exchanges.iter().map(step).collect(), orphan }
}

/// 20 students: each looks at the assignments and uploads; the last upload is answered 503.
pub(crate) fn classroom() -> Vec<Session> {
    let sizes = [50_000, 200_000, 200_000, 500_000, 2_000_000];
    let student = |n: i64| {
        let look = exchange(n * 500, "GET", "/api/assignments?page=1", 12);
        let size = sizes[usize::try_from(n).unwrap() % sizes.len()];
        let mut upload = upload(n * 500 + 150, size, 2_000 + 100 * n.unsigned_abs());
        upload.status = Some(if n == 19 { 503 } else { 200 });
        session(&[look, upload], n == 3)
    };
    (0..20).map(student).collect()
}

pub(crate) fn material(sessions: &[Session]) -> Material<'_> {
    let all = sessions.iter().map(|session| session.steps.len() as u64).sum();
    let ledger = Ledger { accepted: all, recorded: all, ..Ledger::default() };
    let removed = Removed::default();
    Material { capture: "captures/monday", sessions, ledger: Some(ledger), removed, gaps: &[], damage: &[] }
}

pub(crate) fn classroom_summary() -> Summary {
    summarise(&material(&classroom()))
}

/// The classroom behind a proxy that shadows the size of bodies, and had to refuse two uploads otherwise.
fn judged_summary() -> Summary {
    let mut sessions = classroom();
    for exchange in sessions.iter_mut().flat_map(|session| &mut session.steps).map(|step| &mut step.exchange)
    {
        exchange.end = Some("--".to_owned());
        if exchange.request_body_bytes > 500_000 {
            exchange.would_refuse = vec!["client_max_body_size".to_owned()];
        }
    }
    for (session, limit, end) in [(3, "client_body_timeout", "cB"), (4, "limit_req", "PQ")] {
        let upload = &mut sessions[session].steps[1].exchange;
        (upload.refused_by, upload.end) = (Some(limit.to_owned()), Some(end.to_owned()));
    }
    summarise(&material(&sessions))
}

fn damaged_summary() -> Summary {
    let mut sessions = classroom();
    sessions[0].steps[0].exchange.connection = 99;
    let gap = Gap {
        from_ns: START_NS,
        to_ns: START_NS + 1_500_000_000,
        count: 7,
        bytes: 1_400_000,
        reason: "queue".into(),
        ..Gap::default()
    };
    let mut gaps = vec![gap; 7];
    gaps[6].cut = vec![CutUser::Connection(99)];
    let removed = Removed {
        segments: 2,
        rows: 9_000,
        bytes: 1_800_000,
        last_number: 2,
        last_ns: START_NS - 1_000_000_000,
    };
    let damage =
        [Damage::TornTail { segment: "exchanges-000002.arrows".to_owned(), offset: 65_536, bytes: 4_099 }];
    let ledger = Ledger { accepted: 92, recorded: 40, shed_queue: 49, ..Ledger::default() };
    summarise(&Material {
        gaps: &gaps,
        damage: &damage,
        ledger: Some(ledger),
        removed,
        ..material(&sessions)
    })
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
    let summary = summarise(&material(&[]));
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
