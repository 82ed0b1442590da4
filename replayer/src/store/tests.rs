//! What goes into a store comes out of it.

use kingtide_common::exchange::{
    AnsweredBy, Attempt, Body, Ending, Exchange, FilePart, Header, Multipart, PacingPoint, Part, PartContent,
    ServerTiming,
};
use kingtide_common::stages::Instants;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::sessions::{
    Candidate, Choice, Escape, Fresh, Hole, Outline, Place, ResponsePlace, Source, TextPart, TimeFormat, Zone,
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just("accept-language".to_owned()), "[a-zß]{0,12}"]
}

fn header() -> impl Strategy<Value = Header> {
    (text(), text()).prop_map(|(name, value)| Header { name, value })
}

fn file() -> impl Strategy<Value = FilePart> {
    (option::of(text()), option::of(text()), any::<u64>(), text())
        .prop_map(|(content_type, extension, bytes, hash)| FilePart { content_type, extension, bytes, hash })
}

fn part() -> impl Strategy<Value = Part> {
    let content = prop_oneof![
        text().prop_map(|value| PartContent::Field { value }),
        file().prop_map(|file| PartContent::File { file })
    ];
    (text(), text(), content).prop_map(|(head, name, content)| Part { head, name, content })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Empty),
        text().prop_map(Body::Json),
        text().prop_map(Body::Form),
        (any::<u32>(), vec(part(), 0..3))
            .prop_map(|(boundary_bytes, parts)| Body::Multipart(Multipart { boundary_bytes, parts })),
        text().prop_map(Body::Html),
        Just(Body::Opaque),
        text().prop_map(Body::Unread),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (text(), any::<Option<u64>>(), any::<Option<u64>>(), any::<bool>(), any::<u16>()).prop_map(
        |(peer, connect_us, head_us, reused, status)| Attempt { peer, connect_us, head_us, reused, status },
    )
}

prop_compose! {
    fn request()(
        (method, host, target) in (text(), text(), text()), http_version: u8, request_headers in vec(header(), 0..4),
        request_body in body(), request_body_bytes: u64, status: Option<u16>,
        pacing in vec((any::<u64>(), any::<u64>()).prop_map(|(at_us, bytes)| PacingPoint { at_us, bytes }), 0..5),
    ) -> Exchange {
        Exchange {
            method, host, target, http_version, request_headers, request_body, request_body_bytes, status, pacing,
            ..Exchange::default()
        }
    }
}

prop_compose! {
    fn answer()(
        response_headers in vec(header(), 0..4), response_body in body(), response_body_bytes: u64,
        server_timing in vec(
            (text(), any::<u64>()).prop_map(|(name, duration_us)| ServerTiming { name, duration_us }), 0..2,
        ),
        answered_by in prop::sample::select(
            vec![AnsweredBy::Upstream, AnsweredBy::EdgeLimit, AnsweredBy::EdgeError, AnsweredBy::Nobody],
        ),
        ending in prop::sample::select(vec![
            Ending::Complete, Ending::ClientAbort, Ending::ClientTimeout, Ending::UpstreamReset,
            Ending::UpstreamTimeout, Ending::EdgeFailure,
        ]),
        end in option::of(text()), refused_by in option::of(text()), would_refuse in vec(text(), 0..2),
        attempts in vec(attempt(), 0..2), synthesised in vec(text(), 0..2),
    ) -> Exchange {
        Exchange {
            response_headers, response_body, response_body_bytes, server_timing, answered_by, ending, end, refused_by,
            would_refuse, attempts, synthesised, ..Exchange::default()
        }
    }
}

prop_compose! {
    fn exchange()(
        request in request(), answer in answer(), (id, connection, started_ns) in any::<(u64, u64, i64)>(),
        connection_age_us: u64, tls_us: Option<u64>, accept_queue_ms: Option<u32>, instants: [Option<u64>; 12],
        upstream_reused: bool, (route, client) in (text(), text()),
    ) -> Exchange {
        let Exchange { method, host, target, http_version, request_headers, request_body, .. } = request;
        let Exchange { request_body_bytes, status, pacing, .. } = request;
        Exchange {
            id, connection, started_ns, connection_age_us, tls_us, accept_queue_ms, instants: Instants::from(instants),
            upstream_reused, route, client, method, host, target, http_version, request_headers, request_body,
            request_body_bytes, status, pacing, ..answer
        }
    }
}

fn response_place() -> impl Strategy<Value = ResponsePlace> {
    let part = prop_oneof![
        any::<usize>().prop_map(|from_end| TextPart::Segment { from_end }),
        text().prop_map(|key| TextPart::Query { key }),
        text().prop_map(|relation| TextPart::Link { relation }),
        any::<usize>().prop_map(|nth| TextPart::Uuid { nth }),
        (text(), text()).prop_map(|(before, after)| TextPart::Between { before, after }),
    ];
    let whole = prop_oneof![
        text().prop_map(|pointer| ResponsePlace::Json { pointer }),
        text().prop_map(|name| ResponsePlace::Header { name }),
        text().prop_map(|name| ResponsePlace::Cookie { name }),
    ];
    (whole, option::of(part)).prop_map(|(whole, part)| match part {
        Some(part) => ResponsePlace::Within { of: Box::new(whole), part },
        None => whole,
    })
}

fn fresh() -> impl Strategy<Value = Fresh> {
    let zone = prop_oneof![Just(Zone::None), Just(Zone::Utc), any::<i16>().prop_map(Zone::Offset)];
    let format = prop_oneof![
        (any::<u32>(), any::<u8>()).prop_map(|(per_second, digits)| TimeFormat::Epoch { per_second, digits }),
        (any::<char>(), any::<u8>(), zone).prop_map(|(separator, digits, zone)| TimeFormat::Iso {
            separator,
            digits,
            zone
        }),
        Just(TimeFormat::Date),
    ];
    prop_oneof![
        any::<usize>().prop_map(|slot| Fresh::Uuid { slot }),
        any::<usize>().prop_map(|slot| Fresh::Alike { slot }),
        (any::<usize>(), format, any::<i64>()).prop_map(|(slot, format, ahead_us)| Fresh::Time {
            slot,
            format,
            ahead_us
        }),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        (any::<usize>(), response_place()).prop_map(|(step, from)| Source::Response { step, from }),
        text().prop_map(|column| Source::Identity { column }),
        fresh().prop_map(Source::Fresh),
        text().prop_map(Source::Text),
        Just(Source::Filler),
        Just(Source::Unresolved),
    ]
}

prop_compose! {
    fn hole()(
        place in prop_oneof![
            Just(Place::Target), any::<usize>().prop_map(Place::Header), Just(Place::Body),
            any::<usize>().prop_map(Place::Part),
        ],
        (start, bytes) in (0..1_000_usize, 0..1_000_usize),
        escape in prop::sample::select(vec![Escape::Raw, Escape::JsonString, Escape::JsonScalar, Escape::Percent]),
        source in source(), rule: Option<usize>, (is_ambiguous, is_repair) in any::<(bool, bool)>(),
        also in vec(
            (any::<usize>(), response_place()).prop_map(|(step, from)| Candidate { step, from }), 0..2,
        ),
    ) -> Hole {
        let choice = Choice { rule, also, is_ambiguous, is_repair };
        Hole { place, range: start..start + bytes, escape, source, choice }
    }
}

/// No request uses a credential: holes are made of anything, and point nowhere.
fn session() -> impl Strategy<Value = Session> {
    let step = (exchange(), any::<u32>(), 0..9_usize, vec(hole(), 0..3)).prop_map(
        |(exchange, offset_us, connection, holes)| Step {
            exchange,
            offset_us: offset_us.into(),
            connection,
            holes,
        },
    );
    (text(), any::<i32>(), vec(step, 1..4), any::<bool>())
        .prop_map(|(key, start_ns, steps, orphan)| Session { key, start_ns: start_ns.into(), steps, orphan })
}

/// In the order in which a store has them.
fn sorted(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| (session.start_ns, session.steps[0].exchange.id));
    sessions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_sessions_come_out_as_they_went_in(sessions in vec(session(), 0..5), is_in_file: bool) {
        let mut filling = Filling::default();
        if is_in_file {
            filling.store.pile = Pile::keeping(0);
        }
        for session in &sessions {
            filling.push(session).unwrap();
        }
        let store = filling.finish().unwrap();
        prop_assert_eq!(store.pile.is_in_file(), is_in_file && !sessions.is_empty());
        let sessions = sorted(sessions);
        prop_assert_eq!(&store.sessions().collect::<Result<Vec<_>, _>>().unwrap(), &sessions);
        for (number, session) in sessions.iter().enumerate() {
            let (whole, entry) = store.read(number).unwrap();
            prop_assert_eq!(&whole, session);
            for (at, step) in session.steps.iter().enumerate() {
                let sent = store.step(&entry, at);
                prop_assert_eq!(&sent.exchange.request_headers, &step.exchange.request_headers);
                prop_assert_eq!(&sent.exchange.request_body, &step.exchange.request_body);
                prop_assert_eq!(&sent.exchange.pacing, &step.exchange.pacing);
                prop_assert_eq!((sent.offset_us, sent.connection), (step.offset_us, step.connection));
                let holes = |step: &Step| step.holes.iter().map(|hole| hole.source.clone()).collect::<Vec<_>>();
                prop_assert_eq!(holes(&sent), holes(step));
            }
        }
        let outlines: Outlines = sessions.iter().cloned().collect();
        for (kept, made) in store.outlines().iter().zip(outlines.iter()) {
            prop_assert_eq!((kept.start_ns, kept.orphan, kept.account), (made.start_ns, made.orphan, made.account));
            let sizes = |outline: Outline<'_>| outline.steps.iter().map(|step| step.body_bytes).collect::<Vec<_>>();
            prop_assert_eq!(sizes(kept), sizes(made));
        }
    }

    #[test]
    fn any_bytes_are_an_entry_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let words = Words::default();
        let _ = entry::decoded(&bytes, &words);
        if let Ok(sent) = Sent::of(&bytes, &words) {
            let _ = sent.step(0, &words);
        }
    }
}

#[test]
fn a_place_without_room_is_named_with_the_remedy() {
    let error = unwritable(io::ErrorKind::StorageFull.into()).to_string();
    assert!(error.contains(&pile::directory().display().to_string()), "{error}");
    assert!(error.contains("make room there") && error.contains("TMPDIR="), "{error}");
}
