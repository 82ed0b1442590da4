//! Targets on a bad day: each ends in a counted state, within the timeout, and never in a panic.

mod http2;
mod table;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::time::Duration;

use kingtide::drive::{DriveConfig, Late, Target};
use kingtide::measure::run::Verdict;
use kingtide::measure::{ClientStage, ErrorClass};
use kingtide::sessions::{Choice, Escape, Hole, Place, Source, Step};
use kingtide_common::exchange::Body;
use tokio::io::AsyncWriteExt;

use crate::captured::{at, get, header, header_hole, json_of, login, on_connection, session};
use crate::drive::{assert_lateness_is_parted, assert_missed, config_of, drive, errors};
use crate::server::{Server, answer, read_head};

const TIMEOUT: Duration = Duration::from_millis(400);

fn impatient(origin: &str) -> DriveConfig {
    DriveConfig { timeout: TIMEOUT, ..config_of(Target::resolve(origin).unwrap()) }
}

/// Answers with `head`, then `piece` again and again for as long as somebody takes it.
fn endless(head: &'static str, piece: &'static str, every: Duration) -> Server {
    Server::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        let mut sent = stream.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            tokio::time::sleep(every).await;
            sent = stream.write_all(piece.as_bytes()).await;
        }
    })
}

#[test]
fn what_never_ends_is_a_timeout() {
    const AT_ONCE: Duration = Duration::ZERO;
    const SLOWLY: Duration = Duration::from_millis(20);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 2000000000\r\n\r\n";
    let cases = [
        ("an endless body", chunked, "4\r\nabcd\r\n", AT_ONCE, ClientStage::Receive),
        ("a byte at a time", long, "x", SLOWLY, ClientStage::Receive),
        // Each comes whole: of the beginning of a head nobody can tell whose it is.
        ("only interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n", SLOWLY, ClientStage::Wait),
        ("a head that drips", "HTTP/1.1 200 OK\r\nx: ", "y", SLOWLY, ClientStage::Receive),
    ];
    for (case, head, piece, every, stage) in cases {
        let server = endless(head, piece, every);
        let (measured, report) = drive(&impatient(&server.origin), &[session(vec![get("/")])]);
        assert_eq!(errors(&report), [("timeout", 1)], "{case}");
        assert_eq!(report.failures[0].stage, Some(stage), "{case}");
        assert_eq!(report.latency_ms.count, 1, "{case}");
        assert_missed(&report);
        assert!(measured.duration < 20 * TIMEOUT, "{case}: {:?}", measured.duration);
    }
}

#[test]
fn endless_headers_are_no_http() {
    let server = endless("HTTP/1.1 200 OK\r\n", "x-again: and again and again\r\n", Duration::ZERO);
    let config = config_of(Target::resolve(&server.origin).unwrap());
    let (_, report) = drive(&config, &[session(vec![get("/")])]);
    assert_eq!(errors(&report), [("protocol", 1)]);
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let server = Server::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answers = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answers).await.unwrap();
    });
    let (_, report) = drive(&impatient(&server.origin), &[session(vec![get("/")])]);
    assert_eq!((report.done, report.statuses.get("200")), (1, Some(&1)), "{:?}", report.errors);
}

#[test]
fn more_than_the_length_promised_spoils_no_later_request() {
    let server = Server::raw(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}and more";
            if stream.write_all(answer).await.is_err() {
                break;
            }
        }
    });
    let (_, report) = drive(&impatient(&server.origin), &[session(vec![get("/"), at(150_000, get("/"))])]);
    assert_eq!((report.done, report.failed), (2, 0), "{:?}", report.errors);
}

/// A listener whose queue of connections is full, so that the kernel answers no more.
fn full_queue() -> (TcpListener, Vec<TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&socket, 0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let waiting = std::iter::from_fn(connect).collect();
    (listener, waiting)
}

#[test]
fn a_target_that_accepts_nobody_hangs_and_the_generator_is_not_blamed() {
    let (listener, _waiting) = full_queue();
    let config = impatient(&format!("http://{}", listener.local_addr().unwrap()));
    let (_, report) = drive(&config, &[session(vec![get("/"), at(10_000, get("/"))])]);
    assert_eq!(errors(&report), [("connect_timeout", 2)]);
    assert_eq!(report.failures[0].stage, Some(ClientStage::Connect));
    assert_eq!((report.latency_ms.count, report.sent), (2, 0));
    assert_missed(&report);
    for gate in ["sent_share", "unresolved_share", "unaccounted"] {
        assert!(report.fidelity[gate].pass, "{:?}", report.fidelity);
    }
    assert_eq!(report.fidelity["lag_p99_ms"].value, None, "nothing was sent, so nothing was on time");
}

/// A request that takes this machine far longer to fill in than late is, from when it has `source` on.
fn laborious(source: &Source) -> Step {
    const VALUES: usize = 200_000;
    let mut step = login();
    let text = format!("[{}]", vec!["\"OLD\""; VALUES].join(","));
    let hole = |value: usize| Hole {
        place: Place::Body,
        range: value * 6 + 2..value * 6 + 5,
        escape: Escape::JsonString,
        source: source.clone(),
        choice: Choice::default(),
    };
    step.holes = (0..VALUES).map(hole).collect();
    step.exchange.request_body = Body::Json(text);
    step
}

#[test]
fn what_this_machine_is_late_for_is_dropped_when_asked_and_never_the_targets() {
    let server = Server::http(|_| async { answer(200, r#"{"token":"0123456789"}"#) });
    let mut last = get("/last");
    header_hole(&mut last, "X-Value", "", json_of(1, "/token"));
    let laborious = laborious(&json_of(0, "/token"));
    let sessions = [session(vec![get("/first"), at(1_000, laborious), on_connection(1, at(2_000, last))])];
    let config = config_of(Target::resolve(&server.origin).unwrap());
    let (_, report) = drive(&DriveConfig { late: Late::Drop, ..config.clone() }, &sessions);
    // On a busy machine the first may be late too.
    let classes: Vec<&str> = errors(&report).into_iter().map(|(class, _)| class).collect();
    assert_eq!(
        (classes.as_slice(), report.verdict),
        (&["dropped_late", "source_kept_back"][..], Verdict::Invalid)
    );
    assert!(report.done <= 1 && !report.fidelity["sent_share"].pass);

    let (measured, report) = drive(&DriveConfig { late: Late::Send, ..config }, &sessions);
    assert_eq!((report.done, report.failed), (3, 0), "{:?}", report.errors);
    assert!(measured.recorder.late >= 1);
    assert_eq!((measured.recorder.errors(ErrorClass::DroppedLate), report.verdict), (0, Verdict::Invalid));
}

#[test]
fn a_generator_that_connects_late_does_not_hide_behind_its_connect() {
    let server = Server::http(|_| async { answer(200, "{}") });
    // Filled in as soon as its connection is open, 100 ms before its instant, and then no request at all: what
    // the run measures is the other user's, whose connect is due while the only worker is busy with this.
    let mut blocking = laborious(&Source::Text("0123456789".to_owned()));
    blocking.exchange.method = "NO METHOD".to_owned();
    // Every header is searched for all the values of the step.
    blocking.exchange.request_headers.extend((0..300).map(|number| header(&format!("X-{number}"), "")));
    let sessions = [session(vec![blocking]), session(vec![at(100_000, get("/"))])];
    let config = config_of(Target::resolve(&server.origin).unwrap());
    let (_, report) = drive(&DriveConfig { workers: NonZeroUsize::MIN, ..config }, &sessions);
    assert_eq!((errors(&report), report.done), (vec![("unbuildable", 1)], 1));
    let late_ms = report.latency_ms.max.unwrap() - report.service_ms.max.unwrap();
    assert!(late_ms >= 100.0, "the worker was not kept busy: {late_ms} ms");
    assert_lateness_is_parted(&report);
}
