//! Whose delay it was: stages against what client and backend measured on their own clocks.
//!
//! Comparing with the injected delay itself would measure the machine: a sleep of 400 ms on two busy cores may take
//! 430. So each side notes when it really sent and answered, and the stages must agree with that within 15 ms in the
//! median of several requests, which overlap but do not begin at once, so that one hiccup does not meet all of them.
//! A single request may be further off, where the proxy or a side was kept from running between its clock and its
//! socket; [`OUTLIER_MS`] bounds that too. A machine that is never quiet for two seconds gets a few rounds: what the
//! proxy books on the wrong side it books there in every round.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kingtide_common::exchange::Exchange;
use kingtide_common::stages::Stage;

use crate::backend::{Backend, replying, write_answer};
use crate::client::{Client, status};
use crate::http2_client::{Http2, answer, request, send};
use crate::proxy::{Proxy, recording, route_all};

const REQUESTS: usize = 7;
const ROUNDS: usize = 6;
/// Between the beginnings of two requests.
const STAGGER: Duration = Duration::from_millis(70);
const CLIENT_DELAY: Duration = Duration::from_millis(600);
const BACKEND_DELAY: Duration = Duration::from_millis(400);
/// The bound.
const MEDIAN_MS: i64 = 15;
const OUTLIER_MS: i64 = 150;
/// Of stages in which nobody waits: what the work itself takes when all requests want it at once.
const WORK_MS: i64 = 50;
const BODY_BYTES: usize = 100_000;

type Times = Arc<Mutex<HashMap<String, Duration>>>;

/// Waits before each answer and notes how long that really was.
fn slow_backend() -> (Backend, Times) {
    let times = Times::default();
    let noted = Arc::clone(&times);
    let backend = replying(move |stream, received| {
        let begun = Instant::now();
        thread::sleep(BACKEND_DELAY);
        noted.lock().unwrap().insert(received.target().to_owned(), begun.elapsed());
        write_answer(stream, "{}");
    });
    (backend, times)
}

/// Sends its body in two halves, [`CLIENT_DELAY`] apart; from the first byte to the last.
fn upload_http1(address: SocketAddr, path: &str) -> Duration {
    let mut client = Client::connect(address);
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let half = vec![7; BODY_BYTES / 2];
    let begun = Instant::now();
    client.send([head.as_bytes(), &half].concat());
    thread::sleep(CLIENT_DELAY);
    client.send(&half);
    let took = begun.elapsed();
    assert_eq!(status(&client.answer().0), 200);
    took
}

async fn upload_http2(client: &Http2, path: &str) -> Duration {
    let half = vec![7; BODY_BYTES / 2];
    let begun = Instant::now();
    let (response, mut stream) = client.begin(request(http::Method::POST, path), false).await;
    send(&mut stream, half.clone().into(), false).await.unwrap();
    tokio::time::sleep(CLIENT_DELAY).await;
    send(&mut stream, half.into(), true).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(answer(response).await.unwrap().status, 200);
    took
}

fn paths() -> impl Iterator<Item = String> {
    (0..REQUESTS).map(|number| format!("/{number}"))
}

fn stage_ms(exchange: &Exchange, stage: Stage) -> i64 {
    i64::try_from(exchange.instants.stage_us(stage).unwrap() / 1000).unwrap()
}

/// Differences in milliseconds between a stage and what a side measured; an error when they are too large.
fn agree(what: &str, median_ms: i64, mut differences: Vec<i64>) -> Result<(), String> {
    differences.sort_by_key(|difference| difference.abs());
    let (median, worst) = (differences[differences.len() / 2], differences[differences.len() - 1]);
    let is_close = median.abs() <= median_ms && worst.abs() <= OUTLIER_MS;
    is_close.then_some(()).ok_or_else(|| format!("{what}: {differences:?} ms off"))
}

fn told_apart(
    exchanges: &[Exchange],
    client: &HashMap<String, Duration>,
    backend: &Times,
    buffered: bool,
) -> Result<(), String> {
    assert_eq!(exchanges.len(), REQUESTS);
    let ms = |times: &HashMap<String, Duration>, exchange: &Exchange| {
        i64::try_from(times[&exchange.target].as_millis()).unwrap()
    };
    let backend = backend.lock().unwrap();
    let differences = |stage, expected: &dyn Fn(&Exchange) -> i64| -> Vec<i64> {
        exchanges.iter().map(|exchange| stage_ms(exchange, stage) - expected(exchange)).collect()
    };
    let uploading = |exchange: &Exchange| ms(client, exchange);
    let waiting = |exchange: &Exchange| ms(&backend, exchange);
    agree("request_body", MEDIAN_MS, differences(Stage::RequestBody, &uploading))?;
    agree("upstream_wait", MEDIAN_MS, differences(Stage::UpstreamWait, &waiting))?;
    // A streamed upload goes to the upstream as slowly as it comes; a spooled one at once.
    if buffered {
        agree("upstream_send", WORK_MS, differences(Stage::UpstreamSend, &|_| 0))?;
    } else {
        agree("upstream_send", MEDIAN_MS, differences(Stage::UpstreamSend, &uploading))?;
    }
    let idle = [Stage::RequestHead, Stage::UpstreamConnect, Stage::ResponseBody, Stage::ClientSend];
    idle.into_iter().try_for_each(|stage| agree(stage.name(), WORK_MS, differences(stage, &|_| 0)))
}

fn scene(buffered: bool) -> (Backend, Times, Proxy) {
    let (backend, times) = slow_backend();
    let route = route_all(&format!("request_buffering = {buffered}"));
    let proxy = Proxy::of(&(recording(backend.address) + &route));
    (backend, times, proxy)
}

/// Runs rounds until one is quiet enough.
fn in_a_quiet_round(mut round: impl FnMut() -> Result<(), String>) {
    let mut failures = Vec::new();
    while failures.len() < ROUNDS {
        match round() {
            Ok(()) => return,
            Err(failure) => failures.push(failure),
        }
    }
    panic!("{failures:#?}");
}

fn http1(buffered: bool) {
    in_a_quiet_round(|| {
        let (_backend, times, proxy) = scene(buffered);
        let address = proxy.address;
        let uploads: Vec<_> = paths()
            .map(|path| {
                thread::sleep(STAGGER);
                thread::spawn(move || (path.clone(), upload_http1(address, &path)))
            })
            .collect();
        let client = uploads.into_iter().map(|upload| upload.join().unwrap()).collect();
        told_apart(&proxy.stop().exchanges(), &client, &times, buffered)
    });
}

fn http2(buffered: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    in_a_quiet_round(|| {
        let (_backend, times, proxy) = scene(buffered);
        let client = runtime.block_on(upload_all(&proxy));
        let mut exchanges = proxy.stop().exchanges();
        exchanges.retain(|exchange| exchange.target != "/first");
        told_apart(&exchanges, &client, &times, buffered)
    });
}

/// As streams of one connection.
async fn upload_all(proxy: &Proxy) -> HashMap<String, Duration> {
    let connection = Http2::connect(proxy.address).await;
    // Windows are agreed on with the first exchange; an upload would wait for that.
    connection.get("/first").await;
    let uploads = paths().enumerate().map(|(number, path)| {
        let connection = &connection;
        async move {
            tokio::time::sleep(STAGGER * u32::try_from(number).unwrap()).await;
            let took = upload_http2(connection, &path).await;
            (path, took)
        }
    });
    futures_util::future::join_all(uploads).await.into_iter().collect()
}

#[test]
fn http1_streamed() {
    http1(false);
}

#[test]
fn http1_buffered() {
    http1(true);
}

#[test]
fn http2_streamed() {
    http2(false);
}

#[test]
fn http2_buffered() {
    http2(true);
}
