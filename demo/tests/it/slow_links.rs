//! Slow clients upload through the proxy, the capture's curves are read, and a replay of them is watched by who
//! receives it: each byte comes when it came, as far as a curve says so.
//!
//! All programs are on one machine, so all instants are on its clock. What is early is so in every round and fails
//! at once: bytes go client → proxy → receiver, and no delay anywhere can turn that order. How late a replay is, is
//! judged with what the generator says of itself, and a busy machine gets [`ROUNDS`] tries.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kingtide_common::capture::Capture;
use kingtide_common::exchange::Exchange;
use kingtide_common::pacing::{POINTS_MAX, due_us, error_us_max};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::journey::{kingtide, text};
use crate::programs::Proxy;

const ROUNDS: usize = 3;
/// Each program relates its monotonic clock to the system's once, and time may pass between the two readings.
const CLOCKS_US: u64 = 10_000;
/// What a replay may hold back of a byte to send several at once (ARCHITECTURE.md, "Uploads").
const HELD_US: u64 = 250_000;
/// From the generator's socket to the receiver's reading of it.
const ON_THE_WAY_US: u64 = 150_000;

/// Pause before each piece, and its size.
type Pieces = Vec<(Duration, usize)>;
/// (µs since 1970, bytes so far)
type Log = Vec<(u64, u64)>;

/// The slow links, by the path that each uploads to.
fn links() -> Vec<(&'static str, Pieces)> {
    let ms = Duration::from_millis;
    let packets = |count| vec![(ms(2), 1_400); count];
    let stalled = [packets(60), vec![(ms(1_500), 1_400)], packets(60)].concat();
    vec![
        ("/a-byte-a-second", vec![(ms(1_000), 1); 3]),
        ("/bursts", vec![(ms(500), 60_000); 5]),
        ("/a-stall", stalled),
        ("/20-kb-per-s", vec![(ms(70), 1_400); 40]),
    ]
}

fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Takes uploads on a port of its own and notes when each byte came.
struct Receiver {
    url: String,
    /// By path; the first is the recorded one.
    logs: Arc<Mutex<HashMap<String, Vec<Log>>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let logs = Arc::<Mutex<HashMap<String, Vec<Log>>>>::default();
        let all = Arc::clone(&logs);
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let logs = Arc::clone(&all);
                thread::spawn(move || take_upload(stream.unwrap(), &logs));
            }
        });
        Self { url, logs }
    }

    fn logs(&self, path: &str) -> Vec<Log> {
        self.logs.lock().unwrap().get(path).cloned().unwrap_or_default()
    }
}

/// One upload; a connection that brings none is closed.
fn take_upload(mut stream: TcpStream, logs: &Mutex<HashMap<String, Vec<Log>>>) {
    let (mut bytes, mut buffer, mut log) = (Vec::new(), vec![0; 64 << 10], Log::new());
    let mut head = None;
    loop {
        let count = stream.read(&mut buffer).unwrap_or_default();
        let at_us = now_us();
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..count]);
        let Some((end, path, length)) = head.take().or_else(|| read_head(&bytes)) else { continue };
        let arrived = bytes.len() - end;
        if arrived > 0 {
            log.push((at_us, arrived as u64));
        }
        if arrived == length {
            logs.lock().unwrap().entry(path).or_default().push(log);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            return;
        }
        head = Some((end, path, length));
    }
}

/// Where a whole head ends, its path, and the length of the body.
fn read_head(bytes: &[u8]) -> Option<(usize, String, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    Some((end, head.split(' ').nth(1).unwrap().to_owned(), length.parse().unwrap()))
}

/// Sends an upload at its pace; when each piece was about to be sent.
fn upload(proxy: SocketAddr, path: &str, pieces: &Pieces) -> Log {
    let length: usize = pieces.iter().map(|piece| piece.1).sum();
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: school\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut due, mut sent, mut log) = (Instant::now(), 0, Log::new());
    for &(pause, bytes) in pieces {
        due += pause;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        sent += bytes;
        log.push((now_us(), sent as u64));
        stream.write_all(&vec![7; bytes]).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    log
}

/// All links at once; what each client sent when.
fn upload_all(proxy: SocketAddr) -> HashMap<&'static str, Log> {
    let start =
        |(path, pieces): (&'static str, Pieces)| thread::spawn(move || (path, upload(proxy, path, &pieces)));
    let clients: Vec<_> = links().into_iter().map(start).collect();
    clients.into_iter().map(|client| client.join().unwrap()).collect()
}

/// First and last byte of each piece with its instant.
fn ends(log: &Log) -> impl Iterator<Item = (u64, u64)> {
    let befores = std::iter::once(0).chain(log.iter().map(|entry| entry.1));
    befores.zip(log).flat_map(|(before, &(at_us, bytes))| [(before + 1, at_us), (bytes, at_us)])
}

fn started_us(exchange: &Exchange) -> u64 {
    u64::try_from(exchange.started_ns / 1000).unwrap()
}

/// No byte of the curve came before the client sent it, or after the receiver had it, by more than is stated.
fn assert_is_recorded(exchange: &Exchange, sent: &Log, received: &Log) {
    let (path, points) = (&exchange.target, &exchange.pacing);
    let off_us = error_us_max(points) + CLOCKS_US;
    let zero_us = started_us(exchange) + exchange.instants.head_done_us.unwrap();
    let came_us = |byte| zero_us + due_us(points, byte);
    assert!(points.len() <= POINTS_MAX);
    for (byte, at_us) in ends(sent) {
        assert!(came_us(byte) + off_us >= at_us, "{path}: byte {byte} was recorded before it was sent");
    }
    for (byte, at_us) in ends(received) {
        assert!(came_us(byte) <= at_us + off_us, "{path}: byte {byte} was recorded after it was received");
    }
}

/// How late the latest byte of a replay was, µs; panics when one is early.
fn lateness_us(exchange: &Exchange, zero_us: u64, received: &Log) -> u64 {
    let due = |byte| zero_us + due_us(&exchange.pacing, byte);
    for (byte, at_us) in ends(received) {
        assert!(at_us + CLOCKS_US >= due(byte), "{}: byte {byte} came before its time", exchange.target);
    }
    ends(received).map(|(byte, at_us)| at_us.saturating_sub(due(byte))).max().unwrap()
}

async fn round() -> Result<(), String> {
    let (directory, receiver) = (tempfile::tempdir().unwrap(), Receiver::start());
    let capture = directory.path().join("capture");
    let proxy = Proxy::start(&receiver.url, &capture);
    let address = proxy.url.strip_prefix("http://").unwrap().parse().unwrap();
    let sent = tokio::task::spawn_blocking(move || upload_all(address)).await.unwrap();
    tokio::task::spawn_blocking(|| proxy.stop()).await.unwrap();

    let exchanges = Capture::open(&capture).unwrap().read().unwrap().exchanges;
    assert_eq!(exchanges.len(), sent.len());
    for exchange in &exchanges {
        let received = receiver.logs(&exchange.target);
        assert_is_recorded(exchange, &sent[exchange.target.as_str()], &received[0]);
    }

    let output = kingtide(&["replay", text(&capture), "--target", &receiver.url, "-x", "1", "--json"]).await;
    let run: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&run["done"], &run["failed"]), (&exchanges.len().into(), &0.into()), "{run:#}");
    is_on_time(&exchanges, &receiver, &run)
}

fn is_on_time(exchanges: &[Exchange], receiver: &Receiver, run: &Value) -> Result<(), String> {
    let run_started = OffsetDateTime::parse(run["started"].as_str().unwrap(), &Rfc3339).unwrap();
    let run_started_us = u64::try_from(run_started.unix_timestamp_nanos() / 1000).unwrap();
    let first_us = exchanges.iter().map(started_us).min().unwrap();
    let lag = Duration::from_secs_f64(run["lag_ms"]["max"].as_f64().unwrap() / 1000.0);
    let late_us_max = HELD_US + ON_THE_WAY_US + u64::try_from(lag.as_micros()).unwrap();
    for exchange in exchanges {
        let replayed = &receiver.logs(&exchange.target)[1];
        assert_eq!(replayed.last().unwrap().1, exchange.request_body_bytes);
        let zero_us = run_started_us + (started_us(exchange) - first_us);
        let late_us = lateness_us(exchange, zero_us, replayed);
        if late_us > late_us_max {
            return Err(format!("{}: {late_us} µs late, {late_us_max} are allowed", exchange.target));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_links_survive_a_round_trip() {
    let mut failures = Vec::new();
    while failures.len() < ROUNDS {
        match round().await {
            Ok(()) => return,
            Err(failure) => failures.push(failure),
        }
    }
    panic!("{failures:#?}");
}
