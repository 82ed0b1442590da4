//! Clients that go on asking while something happens to the proxy, and what went wrong for them.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::client::{field, status};
use crate::wait::{PATIENCE, until};

/// Of the larger requests.
const UPLOAD_BYTES: usize = 300_000;

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) answered: u64,
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Half of the clients ask for something small over kept connections, a quarter upload over kept ones, a quarter
    /// connect for each request.
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients).map(|number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || work(address, number, &stop, &answered))
        });
        let clients = clients.collect();
        let load = Self { stop, answered, clients };
        load.goes_on(100);
        load
    }

    /// Waits for so many more answers.
    pub(crate) fn goes_on(&self, more: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        until("answers", || (self.answered.load(Ordering::Relaxed) >= before + more).then_some(()));
    }

    pub(crate) fn stop(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        Done { answered: self.answered.load(Ordering::Relaxed), failures }
    }
}

fn work(address: SocketAddr, number: usize, stop: &AtomicBool, answered: &AtomicU64) -> Vec<String> {
    let (mut failures, mut kept) = (Vec::new(), None);
    let small = "GET /api/small HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes().to_vec();
    let request = if number % 4 == 1 { upload() } else { small };
    while !stop.load(Ordering::Relaxed) && failures.len() < 10 {
        match ask(address, &mut kept, &request) {
            Ok(200) => drop(answered.fetch_add(1, Ordering::Relaxed)),
            Ok(other) => failures.push(format!("client {number}: status {other}")),
            Err(error) => failures.push(format!("client {number}: {error}")),
        }
        if number % 4 == 3 {
            kept = None;
        }
    }
    failures
}

fn upload() -> Vec<u8> {
    let head = format!("POST /api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n");
    [head.as_bytes(), &vec![7; UPLOAD_BYTES]].concat()
}

/// One request over the kept connection or a new one; keeps it unless the answer says that it ends.
fn ask(address: SocketAddr, kept: &mut Option<TcpStream>, request: &[u8]) -> io::Result<u16> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address)?,
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let length = field(&head, "content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    stream.read_exact(&mut vec![0; length])?;
    let ends = field(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    *kept = Some(stream).filter(|_| !ends);
    Ok(status(&head))
}
