//! The table: one row per behaviour of a target, with the class, stage and side of what it leads to, and what
//! the run may claim. Every row adds up, and none ends by the drain deadline.

use std::any::Any;
use std::future::{Future, pending};
use std::net::TcpListener;
use std::time::Duration;

use kingtide::drive::{DriveConfig, Target};
use kingtide::measure::run::{RunReport, Verdict};
use kingtide::measure::{ClientStage, ErrorClass};
use kingtide::sessions::Step;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{endless, full_queue, impatient};
use crate::captured::{at, get, login, session, upload};
use crate::drive::drive;
use crate::server::{Server, read_head};
use crate::tls;

use ClientStage::{Connect, Receive, Send, Wait};

/// A moment in which the target may do to an idle connection what it likes.
const PAUSE_US: u64 = 150_000;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
const SLOWLY: Duration = Duration::from_millis(20);

/// What becomes of the requests of a row.
pub(super) enum Expected {
    /// All were answered, the last with this status.
    Answered(u16),
    /// The last has no answer.
    Failed(ErrorClass, ClientStage),
}

use Expected::{Answered, Failed};

pub(super) struct Row {
    behaviour: &'static str,
    config: DriveConfig,
    steps: Vec<Step>,
    expected: Expected,
    verdict: Verdict,
    /// Connections that the target closed while they were kept.
    pub(super) reconnects: u64,
    /// Keeps the target alive.
    _target: Box<dyn Any>,
}

fn row(behaviour: &'static str, target: Server, steps: Vec<Step>, expected: Expected) -> Row {
    row_at(behaviour, impatient(&target.origin), Box::new(target), steps, expected)
}

pub(super) fn row_at(
    behaviour: &'static str,
    config: DriveConfig,
    target: Box<dyn Any>,
    steps: Vec<Step>,
    expected: Expected,
) -> Row {
    let verdict = if matches!(expected, Answered(200)) { Verdict::Pass } else { Verdict::Fail };
    Row { behaviour, config, steps, expected, verdict, reconnects: 0, _target: target }
}

/// A target that reads the head of each request and then does `then`.
fn after_head<F>(then: impl Fn(TcpStream) -> F + std::marker::Send + Sync + Copy + 'static) -> Server
where
    F: Future<Output = ()> + std::marker::Send + 'static,
{
    Server::raw(move |mut stream| async move {
        read_head(&mut stream).await;
        then(stream).await;
    })
}

/// Answers so, and closes.
fn says(answer: &'static [u8]) -> Server {
    after_head(move |mut stream| async move { stream.write_all(answer).await.unwrap() })
}

/// Answers so, and then nothing more happens.
fn says_and_waits(answer: &'static [u8]) -> Server {
    after_head(move |mut stream| async move {
        stream.write_all(answer).await.unwrap();
        pending::<()>().await;
    })
}

/// Answers one request, and lets go of the connection when the head of the next one is there.
fn closes_at_the_next(how: fn(&TcpStream)) -> Server {
    after_head(move |mut stream| async move {
        stream.write_all(OK).await.unwrap();
        read_head(&mut stream).await;
        how(&stream);
    })
}

fn with_end(_: &TcpStream) {}

fn with_reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// 200 KB of which all but the first half would take longer than any test.
pub(super) fn stalling_upload() -> Step {
    const MINUTE_US: u64 = 60_000_000;
    upload(200_000, &[(1_000, 100_000), (MINUTE_US, 200_000)])
}

fn two_gets() -> Vec<Step> {
    vec![get("/a"), at(PAUSE_US, get("/b"))]
}

/// `POST` after a `GET`, on its connection.
fn get_and_post() -> Vec<Step> {
    let mut post = login();
    // Its head is all of it, so that the target has left nothing unread.
    post.exchange.request_body = kingtide_common::exchange::Body::Empty;
    post.exchange.request_body_bytes = 0;
    vec![get("/a"), at(PAUSE_US, post)]
}

impl Row {
    pub(super) fn check(self) {
        self.checked();
    }

    /// What came of it, for more that is to be true.
    pub(super) fn checked(self) -> RunReport {
        let planned = self.steps.len() as u64;
        let (_, report) = drive(&self.config, &[session(self.steps.clone())]);
        println!("{}", line(self.behaviour, &report));
        let errors: u64 = report.errors.values().sum();
        assert_eq!(planned, report.done + errors + report.withheld, "{}: {report:?}", self.behaviour);
        match &self.expected {
            Answered(status) => {
                assert_eq!(report.errors.len(), 0, "{}: {:?}", self.behaviour, report.errors);
                assert!(report.statuses.contains_key(&status.to_string()), "{}: {report:?}", self.behaviour);
            }
            Failed(class, stage) => {
                let failures: Vec<_> =
                    report.failures.iter().map(|failure| (failure.class, failure.stage)).collect();
                assert_eq!(failures, [(*class, Some(*stage))], "{}", self.behaviour);
                assert!(!class.is_unfinished(), "{}: the drain ended it", self.behaviour);
            }
        }
        assert!(
            report.duration_s < self.config.drain.as_secs_f64(),
            "{}: {} s",
            self.behaviour,
            report.duration_s
        );
        assert_eq!(report.reconnects, self.reconnects, "{}: {:?}", self.behaviour, report.attempts);
        self.assert_verdict(&report);
        report
    }

    /// On a busy machine the generator may be late, which the run must then say.
    fn assert_verdict(&self, report: &RunReport) {
        let is_valid = report.fidelity.values().all(|gate| gate.pass);
        let expected = if is_valid { self.verdict } else { Verdict::Invalid };
        assert_eq!(report.verdict, expected, "{}: {:?}", self.behaviour, report.reasons);
    }
}

fn line(behaviour: &str, report: &RunReport) -> String {
    let failures = report.failures.iter().map(|failure| {
        let stage = failure.stage.map_or("–", ClientStage::name);
        format!("{} in {stage}, {:?}", failure.class, failure.class.side())
    });
    let became: Vec<String> = failures.collect();
    let became =
        if became.is_empty() { format!("statuses {:?}", report.statuses) } else { became.join("; ") };
    let errors: u64 = report.errors.values().sum();
    format!(
        "| {behaviour} | {became} | {} = {} + {errors} + {} | {} | {:?} |",
        report.planned, report.done, report.withheld, report.reconnects, report.verdict
    )
}

#[test]
fn targets_that_give_nothing_are_waited_for_no_longer_than_the_timeout() {
    let deaf = || {
        Server::raw(|stream| async move {
            pending::<()>().await;
            drop(stream);
        })
    };
    let (listener, waiting) = full_queue();
    let full = format!("http://{}", listener.local_addr().unwrap());
    let timed_out = |stage| Failed(ErrorClass::Timeout, stage);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 2000000000\r\n\r\n";
    let rows = [
        row("accepts and never answers", deaf(), vec![get("/")], timed_out(Wait)),
        row("accepts and never reads an upload", deaf(), vec![upload(64_000_000, &[])], timed_out(Send)),
        row_at(
            "accepts no connection: its queue is full",
            impatient(&full),
            Box::new((listener, waiting)),
            vec![get("/")],
            Failed(ErrorClass::ConnectTimeout, Connect),
        ),
        row("answers at a byte every 20 ms", endless(long, "x", SLOWLY), vec![get("/")], timed_out(Receive)),
        row(
            "never ends a chunked answer",
            endless(chunked, "4\r\nabcd\r\n", SLOWLY),
            vec![get("/")],
            timed_out(Receive),
        ),
        row(
            "100 Continue, then nothing",
            says_and_waits(b"HTTP/1.1 100 Continue\r\n\r\n"),
            vec![upload(10_000, &[])],
            timed_out(Wait),
        ),
        row(
            "103 Early Hints, then nothing",
            says_and_waits(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"),
            vec![get("/")],
            timed_out(Wait),
        ),
        row(
            "more to come, and it does not",
            says_and_waits(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"),
            vec![get("/")],
            timed_out(Receive),
        ),
    ];
    rows.into_iter().for_each(Row::check);
}

#[test]
fn targets_that_break_off_are_told_apart() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let broken = |class, stage| Failed(class, stage);
    let resets_mid_body = after_head(|mut stream| async move {
        stream.read_exact(&mut vec![0; 20_000]).await.unwrap();
        stream.set_zero_linger().unwrap();
    });
    let rows = [
        row_at(
            "refuses",
            impatient(&refused),
            Box::new(()),
            vec![get("/")],
            broken(ErrorClass::ConnectRefused, Connect),
        ),
        row(
            "resets an upload of 200 KB after 20 KB",
            resets_mid_body,
            vec![stalling_upload()],
            broken(ErrorClass::Reset, Send),
        ),
        row(
            "resets instead of an answer",
            after_head(|stream| async move { with_reset(&stream) }),
            vec![get("/")],
            broken(ErrorClass::Reset, Wait),
        ),
        row("closes instead of an answer", says(b""), vec![get("/")], broken(ErrorClass::ClosedEarly, Wait)),
        row(
            "closes after 103 Early Hints",
            says(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
            vec![get("/")],
            broken(ErrorClass::ClosedEarly, Wait),
        ),
        row(
            "closes within its answer",
            says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":"),
            vec![get("/")],
            broken(ErrorClass::ClosedEarly, Receive),
        ),
        row(
            "closes within a chunk",
            says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabcd"),
            vec![get("/")],
            broken(ErrorClass::ClosedEarly, Receive),
        ),
        row(
            "answers garbage",
            says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
            vec![get("/")],
            broken(ErrorClass::Protocol, Receive),
        ),
        row(
            "two lengths that disagree",
            says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 7\r\n\r\n{}"),
            vec![get("/")],
            broken(ErrorClass::Protocol, Receive),
        ),
    ];
    rows.into_iter().for_each(Row::check);
}

#[test]
fn answers_count_whatever_comes_before_and_after_them() {
    let early = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    let early_and_reads_on = after_head(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    });
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let limited = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let more = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}and more";
    let rows = [
        row("413 after the head, then it closes", says(early), vec![stalling_upload()], Answered(413)),
        row("413 after the head, and reads on", early_and_reads_on, vec![stalling_upload()], Answered(413)),
        row("429 with Retry-After: 1", says(limited), vec![get("/")], Answered(429)),
        row("103 Early Hints with its answer", says(interim), vec![get("/")], Answered(200)),
        row("more than its length says", says(more), vec![get("/")], Answered(200)),
    ];
    rows.into_iter().for_each(Row::check);
}

#[test]
fn closed_idle_connections_lose_no_request_and_repeat_none_that_may_be_done() {
    let answers_and = |how: fn(&TcpStream)| {
        after_head(move |mut stream| async move {
            stream.write_all(OK).await.unwrap();
            how(&stream);
        })
    };
    let reconnecting = |row: Row| Row { reconnects: 1, ..row };
    let rows = [
        reconnecting(row("closes an idle connection", answers_and(with_end), two_gets(), Answered(200))),
        reconnecting(row("resets an idle connection", answers_and(with_reset), two_gets(), Answered(200))),
        reconnecting(row("closes as a GET arrives", closes_at_the_next(with_end), two_gets(), Answered(200))),
        reconnecting(row(
            "resets as a GET arrives",
            closes_at_the_next(with_reset),
            two_gets(),
            Answered(200),
        )),
        row(
            "closes as a POST arrives",
            closes_at_the_next(with_end),
            get_and_post(),
            Failed(ErrorClass::ClosedEarly, Wait),
        ),
        row(
            "resets as a POST arrives",
            closes_at_the_next(with_reset),
            get_and_post(),
            Failed(ErrorClass::Reset, Wait),
        ),
    ];
    rows.into_iter().for_each(Row::check);
}

#[test]
fn broken_tls_is_told_apart_by_when_it_breaks() {
    let identity = tls::Identity::new();
    let over_tls = |server: &Server| {
        let target = Target::resolve(&server.origin.replace("http://", "https://")).unwrap();
        DriveConfig { target: target.trusting(&identity.certificate()).unwrap(), ..impatient(&server.origin) }
    };
    let hangs_up = Server::raw(|mut stream| async move { drop(stream.read_u8().await) });
    let acceptor = identity.acceptor();
    let cuts_off = Server::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}").await.unwrap();
            stream.flush().await.unwrap();
            // Dropped without the close_notify of TLS.
        }
    });
    let rows = [
        ("TLS: hangs up within the handshake", hangs_up, Failed(ErrorClass::ConnectFailed, Connect)),
        (
            "TLS: ends without close_notify within its answer",
            cuts_off,
            Failed(ErrorClass::ClosedEarly, Receive),
        ),
    ];
    for (behaviour, server, expected) in rows {
        row_at(behaviour, over_tls(&server), Box::new(server), vec![get("/")], expected).check();
    }
}
