//! The drive on HTTP/2, against servers that are the `h2` crate's.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use kingtide::drive::{Cause, Clock, DriveConfig, Http, Retry, Stop, Target};
use kingtide::measure::ClientStage;
use kingtide::measure::http::ByVersion;
use kingtide::measure::run::RunReport;
use kingtide::report::read_run;
use kingtide::sessions::Step;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Barrier, Notify, watch};

use crate::captured::{
    at, get, header, header_hole, json_of, login, on_connection, over_http2, session, upload,
};
use crate::drive::{config, config_of, drive, errors};
use crate::replay::{Scene, assert_fits_schema, text};
use crate::server::{Server, answer};
use crate::tls::{Identity, https};

const PATIENCE: Duration = Duration::from_secs(20);

/// A request on a stream, and how to answer it.
pub(super) struct Asked {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// All of its body.
    pub(super) async fn body(&mut self) -> Vec<u8> {
        let (mut all, body) = (Vec::new(), self.request.body_mut());
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            all.extend_from_slice(&data);
        }
        all
    }

    pub(super) fn answer(&mut self, status: u16, json: &'static str) {
        let head = Response::builder().status(status).body(()).unwrap();
        // Nobody may be there any more.
        let stream = self.respond.send_response(head, json.is_empty());
        let _ = stream.map(|mut stream| stream.send_data(Bytes::from_static(json.as_bytes()), true));
    }
}

/// Serves the streams of a connection, each by itself.
pub(super) async fn serve<S, H, F>(io: S, builder: &Builder, handle: &Arc<H>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Asked) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = builder.handshake(io).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(handle(Asked { request, respond }));
    }
}

/// Speaks HTTP/2 without TLS.
pub(super) fn plain<H, F>(builder: Builder, handle: H) -> Server
where
    H: Fn(Asked) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handle = Arc::new(handle);
    Server::raw(move |stream| {
        let (builder, handle) = (builder.clone(), Arc::clone(&handle));
        async move { serve(stream, &builder, &handle).await }
    })
}

/// Of a target without TLS of which the user says that it speaks HTTP/2.
fn told(server: &Server) -> DriveConfig {
    DriveConfig { http: Http::Http2, ..config(&server.origin) }
}

fn one_http_2() -> ByVersion {
    ByVersion { http_1: 0, http_2: 1 }
}

fn cautions(report: &RunReport) -> Vec<&String> {
    report.reasons.iter().filter(|reason| reason.contains("captured version of HTTP")).collect()
}

#[test]
fn requests_of_one_connection_are_under_way_at_once() {
    // Neither is answered before both have come.
    let both = Arc::new(Barrier::new(2));
    let server = plain(Builder::new(), move |mut asked| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            asked.answer(200, "{}");
        }
    });
    let steps = vec![over_http2(get("/a")), at(30_000, over_http2(get("/b")))];
    let (_, report) = drive(&told(&server), &[session(steps)]);
    assert_eq!((report.done, report.failed), (2, 0), "{:?}", report.errors);
    assert_eq!(server.connections(), 1);
    assert_eq!((report.http.recorded, report.http.opened), (one_http_2(), one_http_2()));
    assert_eq!((report.http.changed, cautions(&report)), (0, Vec::<&String>::new()));
}

#[test]
fn what_arrives_is_the_captured_request_in_the_words_of_http_2() {
    type Arrived = (http::Uri, http::HeaderMap, Vec<u8>);
    let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
    let log = Arc::clone(&arrived);
    let server = plain(Builder::new(), move |mut asked| {
        let log = Arc::clone(&log);
        async move {
            let body = asked.body().await;
            let (uri, headers) = (asked.request.uri().clone(), asked.request.headers().clone());
            log.lock().unwrap().push((uri, headers, body));
            asked.answer(200, r#"{"token":"0123456789"}"#);
        }
    });
    let mut asking = at(20_000, over_http2(get("/me?full=1")));
    header_hole(&mut asking, "Authorization", "Bearer ", json_of(0, "/token"));
    let hop = [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("Upgrade", "h2c")];
    let crumbs = [("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Own", "as captured")];
    asking
        .exchange
        .request_headers
        .extend(hop.into_iter().chain(crumbs).map(|(name, value)| header(name, value)));
    let steps = vec![over_http2(login()), asking, at(40_000, over_http2(upload(300_000, &[])))];
    let uploaded_bytes = steps[2].exchange.request_body_bytes;
    let (_, report) = drive(&told(&server), &[session(steps)]);
    assert_eq!((report.done, report.failed), (3, 0), "{:?}", report.errors);
    let arrived = arrived.lock().unwrap();
    let (uri, headers, body) = arrived.iter().find(|(uri, ..)| uri.path() == "/me").unwrap();
    assert_eq!(uri.to_string(), format!("{}/me?full=1", server.origin), ":scheme, :authority and :path");
    let mut texts: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    texts.sort_unstable();
    let expected = [
        ("authorization", "Bearer 0123456789"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-own", "as captured"),
    ];
    assert_eq!(texts, expected);
    assert!(body.is_empty());
    let (_, headers, body) = arrived.iter().find(|(uri, ..)| uri.path() == "/upload").unwrap();
    assert_eq!(body.len() as u64, uploaded_bytes);
    assert_eq!(headers["content-length"], uploaded_bytes.to_string().as_str());
    assert_eq!((report.body_bytes, report.files), (uploaded_bytes + 15, 1), "with the login's");
    // Of single exchanges the texts, of the connection all: more by its frames, less by what is compressed.
    assert!(report.sent_bytes > uploaded_bytes && report.http.http_2_sent_bytes > uploaded_bytes);
    assert!(report.received_bytes > 0 && report.http.http_2_received_bytes > 0);
    let held = report.held_at_send_end;
    assert_eq!((held.uploads, held.unknown), (0, 1), "of one stream the kernel knows nothing");
}

#[test]
fn cookie_crumbs_are_one_header_in_http_1() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let mut step = over_http2(get("/"));
    step.exchange.request_headers = ["a=1", "b=2"].map(|crumb| header("cookie", crumb)).to_vec();
    let (_, report) = drive(&config(&server.origin), &[session(vec![step])]);
    assert_eq!((report.done, report.failed), (1, 0), "{:?}", report.errors);
    let received = &server.received()[0].headers;
    let cookies: Vec<&str> =
        received.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1; b=2"]);
    assert_eq!(report.stages_ms["send"].count, 1, "all of it is known to be out");
}

/// Two that overlapped on one connection, and so have two on HTTP/1.1.
fn overlapping() -> Vec<Step> {
    vec![over_http2(get("/a")), on_connection(1, over_http2(get("/b")))]
}

#[test]
fn a_target_without_tls_is_spoken_to_in_http_1_and_the_report_says_so() {
    let server = Server::http(|_| async { answer(200, "{}") });
    let (_, report) = drive(&config(&server.origin), &[session(overlapping())]);
    assert_eq!((report.done, report.failed), (2, 0), "{:?}", report.errors);
    assert_eq!(server.connections(), 2);
    assert_eq!((report.http.recorded, report.http.changed), (one_http_2(), 2));
    assert_eq!(report.http.opened, ByVersion { http_1: 2, http_2: 0 });
    let said = cautions(&report)[0];
    assert!(said.contains("2 connections") && said.contains("--http 2"), "{said}");
}

/// HTTPS in which TLS chooses among these, and which then speaks what was chosen.
fn choosing(identity: &Identity, protocols: &[&[u8]]) -> Server {
    let acceptor = identity.acceptor_of(protocols);
    Server::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let handle = |mut asked: Asked| async move { asked.answer(200, "{}") };
                return serve(stream, &Builder::new(), &Arc::new(handle)).await;
            }
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(answer(200, "{}"))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            drop(connection.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await);
        }
    })
}

#[test]
fn tls_chooses_among_what_the_captured_client_spoke() {
    let identity = Identity::new();
    let both = choosing(&identity, &[b"h2", b"http/1.1"]);
    let old = choosing(&identity, &[]);
    let target = |server: &Server| https(server).trusting(&identity.certificate()).unwrap();
    let reached = |server: &Server| target(server).reached(PATIENCE).unwrap();
    let captured_http_1 = vec![get("/a"), on_connection(1, get("/b"))];
    let cases = [
        ("both speak it", reached(&both), overlapping(), [0, 1], 0),
        ("the client did not", reached(&both), captured_http_1, [2, 0], 0),
        ("the target does not", reached(&old), overlapping(), [2, 0], 2),
        ("the target does not, which is found out late", target(&old), overlapping(), [2, 0], 2),
    ];
    for (case, target, steps, [http_1, http_2], changed) in cases {
        let (_, report) = drive(&config_of(target), &[session(steps)]);
        assert_eq!((report.done, report.failed), (2, 0), "{case}: {:?}", report.errors);
        assert_eq!(report.http.opened, ByVersion { http_1, http_2 }, "{case}");
        assert_eq!((report.http.changed, cautions(&report).len() as u64 * 2), (changed, changed), "{case}");
    }
    assert!(reached(&both).speaking_http2(PATIENCE).is_ok());
    let refused = reached(&old).speaking_http2(PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("offers no h2 (ALPN)"), "{refused}");
}

#[test]
fn a_plain_target_that_speaks_http_2_is_believed_and_any_other_is_not() {
    let speaking = plain(Builder::new(), |mut asked| async move { asked.answer(200, "{}") });
    let target = |server: &Server| Target::resolve(&server.origin).unwrap().speaking_http2(PATIENCE);
    assert!(target(&speaking).is_ok());
    let other = Server::http(|_| async { answer(200, "{}") });
    let refused = target(&other).unwrap_err().to_string();
    assert!(refused.contains("does not speak HTTP/2 without TLS (h2c)"), "{refused}");
}

#[test]
fn a_user_says_that_a_plain_target_speaks_it() {
    let scene = Scene::new(vec![(1, 0, get("/a").exchange), (1, 20, get("/b").exchange)]);
    let out = scene.path("out");
    let arguments = ["--http", "2", "--out", out.to_str().unwrap()];
    let speaking = plain(Builder::new(), |mut asked| async move { asked.answer(200, "{}") });
    let output = scene.run(&speaking.origin, &arguments);
    assert_ne!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let run = read_run(&out).unwrap();
    assert_eq!((run.done, run.failed, run.http.asked.as_str()), (2, 0, "2"), "{:?}", run.errors);
    assert_eq!((run.http.recorded, run.http.opened), (ByVersion { http_1: 1, http_2: 0 }, one_http_2()));
    assert_fits_schema(&out.join("run.json"));
    let other = Server::http(|_| async { answer(200, "{}") });
    let refused = scene.run(&other.origin, &arguments);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("leave --http 2 out"), "{}", text(&refused.stderr));
    assert!(other.received().is_empty());
}

#[test]
fn more_requests_than_streams_wait_for_the_target_and_the_generator_is_not_blamed() {
    const TAKES: Duration = Duration::from_millis(60);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (at_once, seen) = (Arc::clone(&now), Arc::clone(&most));
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let server = plain(builder, move |mut asked| {
        let (now, most) = (Arc::clone(&at_once), Arc::clone(&seen));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(TAKES).await;
            now.fetch_sub(1, Ordering::Relaxed);
            asked.answer(200, "{}");
        }
    });
    let steps = ["/a", "/b", "/c"].map(|path| over_http2(get(path)));
    let (_, report) = drive(&told(&server), &[session(steps.to_vec())]);
    assert_eq!((report.done, report.failed), (3, 0), "{:?}", report.errors);
    assert_eq!((server.connections(), most.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(report.http.stream_waits, 2);
    let (waited_ms, lag_ms) = (report.lag_parts_ms.dependency.max.unwrap(), report.lag_ms.max.unwrap());
    assert!(waited_ms >= 2.0 * 55.0 && lag_ms < waited_ms / 2.0, "{:?}", report.lag_parts_ms);
}

#[test]
fn a_person_who_thinks_waits_for_the_answer_they_had_seen_and_no_other() {
    // The slow one is answered when the request has come that was sent before its answer.
    let next = Arc::new(Notify::new());
    let server = plain(Builder::new(), move |mut asked| {
        let next = Arc::clone(&next);
        async move {
            match asked.path() {
                "/slow" => next.notified().await,
                "/next" => next.notify_one(),
                _ => {}
            }
            asked.answer(200, "{}");
        }
    });
    let taking = |us: u64, mut step: Step| {
        step.exchange.instants.done_us = Some(us);
        over_http2(step)
    };
    let quick = taking(10_000, at(1_000, get("/quick")));
    let steps = vec![taking(100_000, get("/slow")), quick, taking(10_000, at(30_000, get("/next")))];
    let config = DriveConfig { clock: Clock::Think, ..told(&server) };
    let (_, report) = drive(&config, &[session(steps)]);
    assert_eq!((report.done, report.failed), (3, 0), "{:?}", report.errors);
    assert_eq!(server.connections(), 1);
    assert_eq!(report.stages_ms[ClientStage::Wait.name()].count, 3);
}

#[test]
fn what_a_stop_keeps_back_is_withheld_and_what_is_under_way_ends() {
    const MINUTE_US: u64 = 60_000_000;
    let (stop, wish) = watch::channel(Stop::Run);
    let stop = Arc::new(stop);
    let server = plain(Builder::new(), move |mut asked| {
        let stop = Arc::clone(&stop);
        async move {
            stop.send_replace(Stop::Drain);
            tokio::time::sleep(Duration::from_millis(50)).await;
            asked.answer(200, "{}");
        }
    });
    let steps = vec![
        over_http2(get("/a")),
        at(MINUTE_US, over_http2(get("/b"))),
        at(MINUTE_US, over_http2(get("/c"))),
    ];
    let config = DriveConfig { stop: wish, ..told(&server) };
    let (_, report) = drive(&config, &[session(steps)]);
    assert_eq!((report.done, report.withheld, report.failed), (1, 2, 0), "{:?}", report.errors);
}

#[test]
fn what_still_waits_for_a_stream_at_the_end_was_not_sent() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let server = plain(builder, |asked| async move {
        std::future::pending::<()>().await;
        drop(asked);
    });
    let steps = vec![over_http2(get("/a")), at(10_000, over_http2(get("/b")))];
    let config = DriveConfig { drain: Duration::from_millis(300), ..told(&server) };
    let (_, report) = drive(&config, &[session(steps)]);
    assert_eq!(errors(&report), [("not_sent", 1), ("unfinished", 1)]);
    assert_eq!((report.sent, report.latency_ms.count), (1, 2), "both with their age");
    assert_eq!(report.http.stream_waits, 1);
}

/// The first token has expired when it is used, and who comes with the second is told to come again.
#[test]
fn renewal_retry_cookies_and_addresses_are_as_on_http_1() {
    let (logins, tries) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen: Arc<Mutex<Vec<http::HeaderMap>>> = Arc::default();
    let log = Arc::clone(&seen);
    let server = plain(Builder::new(), move |mut asked| {
        let token = asked.request.headers().get("authorization").cloned();
        log.lock().unwrap().push(asked.request.headers().clone());
        let (status, json) = match (asked.path(), token) {
            ("/login", _) if logins.fetch_add(1, Ordering::Relaxed) == 0 => {
                (200, r#"{"token":"older-token"}"#)
            }
            ("/login", _) => (200, r#"{"token":"newer-token"}"#),
            (_, Some(token))
                if token == "Bearer newer-token" && tries.fetch_add(1, Ordering::Relaxed) == 0 =>
            {
                (503, "{}")
            }
            (_, Some(token)) if token == "Bearer newer-token" => (200, "{}"),
            _ => (401, "{}"),
        };
        async move {
            let head = Response::builder().status(status).header("set-cookie", "sid=0123456789; Path=/");
            let mut stream = asked.respond.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(json.as_bytes()), true).unwrap();
        }
    });
    let mut asking = at(50_000, over_http2(get("/me")));
    header_hole(&mut asking, "Authorization", "Bearer ", json_of(0, "/token"));
    let retry = Retry { times_max: 1, on: vec![Cause::Status(503)], ..Retry::default() };
    let forwarded_for = Some("10.1.2.0/24".parse().unwrap());
    let config = DriveConfig { retry, forwarded_for, ..told(&server) };
    let (_, report) = drive(&config, &[session(vec![over_http2(login()), asking])]);
    assert_eq!((report.done, report.failed), (2, 0), "{:?}", report.errors);
    assert_eq!((report.attempts.renewals.logins, report.attempts.renewals.succeeded), (1, 1));
    assert_eq!((report.attempts.retries.tried, report.attempts.retries.succeeded), (1, 1));
    assert_eq!((server.connections(), report.reconnects), (1, 0), "all of it on one connection");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 5, "login, 401, login, 503, 200");
    assert!(seen.iter().all(|headers| headers["x-forwarded-for"].to_str().unwrap().starts_with("10.1.2.")));
    assert!(seen[1..].iter().all(|headers| headers["cookie"] == "sid=0123456789"), "{seen:?}");
}
