//! Rows of the table on HTTP/2, where one connection carries many exchanges, and what befalls one must not befall all.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use http::Response;
use kingtide::drive::{DriveConfig, Http};
use kingtide::measure::ClientStage::{Connect, Receive, Send, Wait};
use kingtide::measure::ErrorClass;
use kingtide::sessions::Step;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::impatient;
use super::table::Expected::{Answered, Failed};
use super::table::{Expected, Row, row_at, stalling_upload};
use crate::captured::{at, get, over_http2, upload};
use crate::http2::{Asked, plain, serve};
use crate::server::{Server, read_head};

const PAUSE_US: u64 = 150_000;

fn row(behaviour: &'static str, target: Server, steps: Vec<Step>, expected: Expected) -> Row {
    let config = DriveConfig { http: Http::Http2, ..impatient(&target.origin) };
    row_at(behaviour, config, Box::new(target), steps.into_iter().map(over_http2).collect(), expected)
}

/// Does `first` with the first stream of all connections, and answers every other.
fn first_stream(first: fn(Asked)) -> Server {
    let streams = AtomicUsize::new(0);
    plain(Builder::new(), move |mut asked| {
        let is_first = streams.fetch_add(1, Ordering::Relaxed) == 0;
        async move { if is_first { first(asked) } else { asked.answer(200, "{}") } }
    })
}

/// Does it with every stream.
fn every_stream(every: fn(Asked)) -> Server {
    plain(Builder::new(), move |asked| async move { every(asked) })
}

/// A connection that answers one stream, takes `further` ones, and then is let go of.
fn lets_go_after(further: usize, how: fn(&TcpStream)) -> Server {
    let connections = Arc::new(AtomicUsize::new(0));
    Server::raw(move |stream| {
        let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if !is_first {
                let handle = |mut asked: Asked| async move { asked.answer(200, "{}") };
                return serve(stream, &Builder::new(), &Arc::new(handle)).await;
            }
            let (near, far) = tokio::io::duplex(64 * 1024);
            let streams = tokio::spawn(async move {
                let mut connection = h2::server::handshake(far).await.unwrap();
                let mut held = Vec::new();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let mut asked = Asked { request, respond };
                    if held.is_empty() {
                        asked.answer(200, "{}");
                    }
                    held.push(asked);
                    if held.len() > further {
                        return;
                    }
                }
            });
            let (mut read_half, mut write_half) = tokio::io::split(near);
            let (mut read, mut write) = stream.into_split();
            let both = async {
                tokio::join!(
                    tokio::io::copy(&mut read, &mut write_half),
                    tokio::io::copy(&mut read_half, &mut write)
                )
            };
            tokio::select! { _ = both => {}, _ = streams => {} }
            how(&read.reunite(write).unwrap());
        }
    })
}

fn with_end(_: &TcpStream) {}

fn with_reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

fn refuses(mut asked: Asked) {
    asked.respond.send_reset(Reason::REFUSED_STREAM);
}

fn hangs(asked: Asked) {
    tokio::spawn(async move {
        pending::<()>().await;
        drop(asked);
    });
}

fn breaks_its_answer(mut asked: Asked) {
    let mut stream = asked.respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"{\"a\":"), false).unwrap();
    tokio::spawn(async move {
        // So that the beginning goes out.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
}

fn breaks_the_upload(mut asked: Asked) {
    tokio::spawn(async move {
        let first = asked.request.body_mut().data().await;
        assert!(first.is_some());
        asked.respond.send_reset(Reason::INTERNAL_ERROR);
    });
}

/// Says that it is too large, and reads no further.
fn answers_early(mut asked: Asked) {
    asked.answer(413, "big");
}

#[test]
fn what_a_target_refuses_unseen_is_sent_once_more_on_a_new_connection() {
    let mut refused_once =
        row("refuses a stream", first_stream(refuses), vec![upload(10_000, &[])], Answered(200));
    refused_once.reconnects = 1;
    let report = refused_once.checked();
    assert_eq!((report.attempts.repeats.refused, report.http.opened.http_2), (1, 2));
    let mut always = row(
        "refuses every stream",
        every_stream(refuses),
        vec![get("/")],
        Failed(ErrorClass::StreamRefused, Wait),
    );
    // For the second one there is nothing to open.
    always.reconnects = 2;
    let report = always.checked();
    assert_eq!((report.attempts.repeats.refused, report.http.opened.http_2), (1, 2));
}

#[test]
fn after_goaway_what_it_names_is_answered_there_and_the_rest_elsewhere() {
    let connections = Arc::new(AtomicUsize::new(0));
    let target = Server::raw(move |stream| {
        let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                let mut asked = Asked { request, respond };
                if is_first {
                    connection.graceful_shutdown();
                }
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    asked.answer(200, "{}");
                });
            }
        }
    });
    let steps = vec![get("/a"), at(50_000, get("/b")), at(PAUSE_US, get("/c"))];
    let mut row = row("GOAWAY with a stream under way", target, steps, Answered(200));
    row.reconnects = 1;
    let report = row.checked();
    assert_eq!((report.done, report.http.opened.http_2), (3, 2));
}

/// A frame of HTTP/2, RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Kind and stream of the next frame.
async fn read_frame(stream: &mut TcpStream) -> (u8, u8) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
    (head[3], head[8])
}

#[test]
fn what_goaway_says_was_not_looked_at_is_sent_again_whatever_it_is() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const ENDS: u8 = 0x1 | 0x4;
    const STATUS_200: u8 = 0x88;
    let connections = AtomicUsize::new(0);
    let target = Server::raw(move |mut stream| {
        let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if !is_first {
                let handle = |mut asked: Asked| async move { asked.answer(200, "{}") };
                return serve(stream, &Builder::new(), &Arc::new(handle)).await;
            }
            stream.read_exact(&mut [0; 24]).await.unwrap();
            stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
            // Both are there; only the first was looked at.
            while read_frame(&mut stream).await != (HEADERS, 3) {}
            stream.write_all(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).await.unwrap();
            stream.write_all(&frame(HEADERS, ENDS, 1, &[STATUS_200])).await.unwrap();
            while stream.read_u8().await.is_ok() {}
        }
    });
    let mut post = at(20_000, get("/b"));
    post.exchange.method = "POST".to_owned();
    let mut row = row("GOAWAY below a POST under way", target, vec![get("/a"), post], Answered(200));
    row.reconnects = 1;
    let report = row.checked();
    assert_eq!((report.done, report.attempts.repeats.refused, report.http.opened.http_2), (2, 1, 2));
}

#[test]
fn a_stream_that_fails_fails_alone() {
    let beside = || vec![get("/a"), at(20_000, get("/b")), at(PAUSE_US, get("/c"))];
    let cases = [
        ("never answers one stream", first_stream(hangs), beside(), Failed(ErrorClass::Timeout, Wait)),
        (
            "resets within its answer",
            first_stream(breaks_its_answer),
            beside(),
            Failed(ErrorClass::Reset, Receive),
        ),
        (
            "resets an upload after its first piece",
            first_stream(breaks_the_upload),
            vec![stalling_upload(), at(50_000, get("/b")), at(PAUSE_US, get("/c"))],
            Failed(ErrorClass::Reset, Send),
        ),
    ];
    for (behaviour, target, steps, expected) in cases {
        let report = row(behaviour, target, steps, expected).checked();
        assert_eq!((report.done, report.http.opened.http_2), (2, 1), "{behaviour}");
    }
}

#[test]
fn an_answer_within_the_upload_counts_and_the_connection_goes_on() {
    let steps = vec![stalling_upload(), at(PAUSE_US, get("/b"))];
    let report = row("413 within an upload", first_stream(answers_early), steps, Answered(413)).checked();
    assert_eq!((report.done, report.http.opened.http_2), (2, 1));
}

#[test]
fn a_connection_lost_under_several_streams_is_each_ones_failure() {
    let posts = || {
        let post = |path: &str| {
            let mut step = get(path);
            step.exchange.method = "POST".to_owned();
            step
        };
        vec![get("/a"), at(PAUSE_US, post("/b")), at(PAUSE_US + 20_000, post("/c"))]
    };
    for (behaviour, how, class) in [
        ("closes under two streams", with_end as fn(&TcpStream), ErrorClass::ClosedEarly),
        ("resets under two streams", with_reset, ErrorClass::Reset),
    ] {
        let report = row(behaviour, lets_go_after(2, how), posts(), Failed(class, Wait)).checked();
        assert_eq!((report.done, report.failed), (1, 2), "{behaviour}: nobody knows whether they were done");
    }
    let gets = vec![get("/a"), at(PAUSE_US, get("/b")), at(PAUSE_US, get("/c"))];
    let mut idle = row(
        "closes as two GETs arrive on an idle connection",
        lets_go_after(2, with_end),
        gets,
        Answered(200),
    );
    idle.reconnects = 1;
    assert_eq!(idle.checked().attempts.repeats.sent_twice, 2);
}

#[test]
fn a_target_that_does_not_speak_it_fails_in_the_connect() {
    let speaks_http_1 = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let says_nothing = Server::raw(|mut stream| async move {
        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
    });
    let hangs_up = Server::raw(|mut stream| async move { drop(stream.read_u8().await) });
    let rows = [
        row(
            "answers HTTP/2 in HTTP/1.1",
            speaks_http_1,
            vec![get("/")],
            Failed(ErrorClass::Protocol, Connect),
        ),
        row("sends no settings", says_nothing, vec![get("/")], Failed(ErrorClass::ConnectTimeout, Connect)),
        row("closes within the preface", hangs_up, vec![get("/")], Failed(ErrorClass::Reset, Connect)),
    ];
    rows.into_iter().for_each(Row::check);
}

#[test]
fn one_stream_at_a_time_is_kept_to_although_the_first_hangs() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let streams = AtomicUsize::new(0);
    let target = plain(builder, move |mut asked| {
        let is_first = streams.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if is_first {
                pending::<()>().await;
            }
            asked.answer(200, "{}");
        }
    });
    let steps = vec![get("/a"), get("/b"), get("/c")];
    let row = row("one stream, of which the first hangs", target, steps, Failed(ErrorClass::Timeout, Wait));
    let report = row.checked();
    assert_eq!((report.done, report.failed), (2, 1), "its stream is given back");
    // Its silence is taken for that of the connection.
    assert!(report.lag_parts_ms.dependency.max.unwrap() >= 350.0, "{:?}", report.lag_parts_ms);
}
