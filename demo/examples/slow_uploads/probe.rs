//! The client beside the slow uploads: something small at every interval, open loop.
//!
//! On a thread of its own with plain sockets: its wake-ups are the kernel's, and do not wait behind the uploads'.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::answer::Answer;
use crate::body::{BOUNDARY, multipart};

const INTERVAL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);
const UPLOAD_BYTES: usize = 2048;
const READ_BYTES: usize = 4096;
/// Latencies are kept from 1 µs to 60 s, to three digits.
const LATENCY_US_MAX: u64 = 60_000_000;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A GET on a new connection.
    Fresh,
    /// An upload of 2 KB on a connection that is kept.
    Kept,
}

/// What the probe saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
}

impl Seen {
    fn new(kind: Kind) -> Self {
        let latency_us = Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are in order");
        Self { kind, latency_us, failed: 0, first_failure: None }
    }

    fn count(&mut self, latency: Duration, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.failed += 1;
            self.first_failure.get_or_insert(error.to_string());
        }
        self.latency_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }
}

#[derive(Debug)]
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Probe {
    pub(crate) fn start(target: SocketAddr, kind: Kind) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || ask_on(target, kind, &stopped));
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the probe does not panic")
    }
}

fn ask_on(target: SocketAddr, kind: Kind, stop: &AtomicBool) -> Seen {
    let (mut seen, begun, request) = (Seen::new(kind), Instant::now(), request(target, kind));
    let mut kept = None;
    for index in 0.. {
        let intended = begun + INTERVAL * index;
        std::thread::sleep(intended.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let outcome = ask(target, &request, &mut kept);
        seen.count(intended.elapsed(), outcome);
    }
    seen
}

fn request(target: SocketAddr, kind: Kind) -> Vec<u8> {
    let (method, fields, body) = match kind {
        Kind::Fresh => ("GET", "Connection: close\r\n".to_owned(), bytes::Bytes::new()),
        Kind::Kept => {
            let content = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
            ("POST", format!("{content}Content-Length: {UPLOAD_BYTES}\r\n"), multipart(UPLOAD_BYTES))
        }
    };
    let mut request = format!("{method} /api/probe HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n").into_bytes();
    request.extend_from_slice(&body);
    request
}

/// One request, on the kept connection when there is one; keeps it unless the server closes it.
fn ask(target: SocketAddr, request: &[u8], kept: &mut Option<TcpStream>) -> io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => connect(target)?,
    };
    stream.write_all(request)?;
    let answer = read_answer(&mut stream)?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("answered {}", answer.status)));
    }
    *kept = (!answer.closes).then_some(stream);
    Ok(())
}

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read_answer(stream: &mut TcpStream) -> io::Result<Answer> {
    let (mut input, mut piece) = (Vec::new(), [0; READ_BYTES]);
    loop {
        let bytes = stream.read(&mut piece)?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(&piece[..bytes]);
        if let Some(answer) = Answer::parse(&input)? {
            return Ok(answer);
        }
    }
}
