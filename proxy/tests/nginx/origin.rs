//! A scripted upstream that records what reaches it, byte by byte and connection by connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::client::{Fate, elapsed_ms};
use crate::message::{Kind, messages};

/// Bytes of the receive buffer of an upstream that reads little.
const NARROW_BYTES: usize = 16 << 10;

/// How soon a connection's thread sees that it shall stop.
const TICK: Duration = Duration::from_millis(50);

/// What it does on a connection; what it does not read at once it records at the end.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Waits until the head of the next request is there.
    ReadHead,
    /// Waits until the next request is there whole.
    ReadRequest,
    Send(Vec<u8>),
    /// Pieces of so many bytes with so many ms between.
    Pieces(Vec<u8>, usize, u64),
    /// Reads for so many ms.
    Pause(u64),
    /// Neither reads nor writes for so many ms.
    Deaf(u64),
    HalfClose,
    Close,
    Reset,
    /// From the beginning.
    Again,
}

#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// One script for each connection, the last for all further ones.
    Scripts(Vec<Vec<Act>>),
    /// The same, with small receive buffers.
    Narrow(Vec<Act>),
    /// Nobody listens there.
    Refusing,
    /// Nobody listens at the first peer; the second does the script.
    RefusingThen(Vec<Act>),
    /// Connections to it are never made.
    Unreachable,
}

/// A connection as it was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) bytes: Vec<u8>,
    pub(crate) arrivals: Vec<(usize, u64)>,
    pub(crate) fate: Fate,
}

/// A running upstream; it stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) peers: Vec<SocketAddr>,
    connections: Arc<Mutex<Vec<Connection>>>,
    beginning: Arc<Mutex<Instant>>,
    is_stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    held: Vec<Held>,
}

/// What must stay open so that a peer stays as it is.
#[derive(Debug)]
enum Held {
    /// Bound and never listening: the port refuses connections, and nobody else gets it.
    Refusing { _socket: OwnedFd },
    /// Never accepting, its queue full of these.
    Unreachable { _listener: TcpListener, _queue: Vec<TcpStream> },
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 3\r\n\r\nok\n";

/// What HEAD is answered.
pub(crate) const BODILESS: &[u8] = b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 3\r\n\r\n";

/// Answers every request with 200 once it is there whole.
pub(crate) fn answering() -> Origin {
    answering_with(OK)
}

pub(crate) fn answering_with(answer: impl AsRef<[u8]>) -> Origin {
    Origin::Scripts(vec![vec![Act::ReadRequest, Act::Send(answer.as_ref().to_vec()), Act::Again]])
}

pub(crate) fn doing(script: &[Act]) -> Origin {
    Origin::Scripts(vec![script.to_vec()])
}

impl Origin {
    pub(crate) fn start(&self) -> Running {
        match self {
            Self::Scripts(scripts) => Running::listen(scripts.clone(), false),
            Self::Narrow(script) => Running::listen(vec![script.clone()], true),
            Self::RefusingThen(script) => refusing().and(Running::listen(vec![script.clone()], false)),
            Self::Refusing => refusing(),
            Self::Unreachable => unreachable_peer(),
        }
    }
}

fn refusing() -> Running {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    Running::without_acceptor(address, Held::Refusing { _socket: socket })
}

/// A listener whose queue is full: the kernel answers no further SYN.
fn unreachable_peer() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
    let queue = (0..4).map_while(connect).collect();
    Running::without_acceptor(address, Held::Unreachable { _listener: listener, _queue: queue })
}

impl Running {
    fn without_acceptor(peer: SocketAddr, held: Held) -> Self {
        Self {
            peers: vec![peer],
            connections: Arc::default(),
            beginning: Arc::new(Mutex::new(Instant::now())),
            is_stopped: Arc::default(),
            acceptor: None,
            held: vec![held],
        }
    }

    /// This peer, and then those of another.
    fn and(mut self, mut other: Self) -> Self {
        other.peers.splice(0..0, self.peers.clone());
        other.held.extend(std::mem::take(&mut self.held));
        other
    }

    fn listen(scripts: Vec<Vec<Act>>, is_narrow: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if is_narrow {
            sockopt::set_socket_recv_buffer_size(&listener, NARROW_BYTES).unwrap();
        }
        let peers = vec![listener.local_addr().unwrap()];
        let connections: Arc<Mutex<Vec<Connection>>> = Arc::default();
        let is_stopped: Arc<AtomicBool> = Arc::default();
        let beginning = Arc::new(Mutex::new(Instant::now()));
        let (list, start, stop) = (Arc::clone(&connections), Arc::clone(&beginning), Arc::clone(&is_stopped));
        let acceptor = thread::spawn(move || accept(&listener, &scripts, &start, &list, &stop));
        Self { peers, connections, beginning, is_stopped, acceptor: Some(acceptor), held: Vec::new() }
    }

    /// The instant from which its times count: when everything is started and the clients begin.
    pub(crate) fn begin(&self) -> Instant {
        let mut beginning = self.beginning.lock().unwrap();
        *beginning = Instant::now();
        *beginning
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = TcpStream::connect(self.peers[self.peers.len() - 1]);
            let _ = acceptor.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    scripts: &[Vec<Act>],
    beginning: &Arc<Mutex<Instant>>,
    connections: &Arc<Mutex<Vec<Connection>>>,
    is_stopped: &Arc<AtomicBool>,
) {
    for stream in listener.incoming() {
        if is_stopped.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        let number = {
            let mut connections = connections.lock().unwrap();
            connections.push(Connection { bytes: Vec::new(), arrivals: Vec::new(), fate: Fate::Open });
            connections.len() - 1
        };
        let served = Served {
            stream,
            number,
            requests_read: 0,
            beginning: Arc::clone(beginning),
            connections: Arc::clone(connections),
            is_stopped: Arc::clone(is_stopped),
        };
        let script = scripts[number.min(scripts.len() - 1)].clone();
        thread::spawn(move || served.run(&script));
    }
}

/// One connection while its script runs.
struct Served {
    stream: TcpStream,
    number: usize,
    requests_read: usize,
    beginning: Arc<Mutex<Instant>>,
    connections: Arc<Mutex<Vec<Connection>>>,
    is_stopped: Arc<AtomicBool>,
}

impl Served {
    fn run(mut self, script: &[Act]) {
        let mut at = 0;
        while at < script.len() && !self.is_stopped.load(Ordering::SeqCst) {
            let goes_on = match &script[at] {
                Act::Again => {
                    at = 0;
                    continue;
                }
                act => self.act(act),
            };
            if !goes_on {
                return;
            }
            at += 1;
        }
        self.read_until(|_| false);
    }

    /// False when the connection is at its end.
    fn act(&mut self, act: &Act) -> bool {
        match act {
            Act::ReadHead => {
                let heads = self.requests_read + 1;
                self.read_until(|bytes| messages(bytes, Kind::Requests, false).0.len() >= heads)
            }
            Act::ReadRequest => {
                self.requests_read += 1;
                let requests = self.requests_read;
                self.read_until(|bytes| whole_requests(bytes) >= requests)
            }
            Act::Send(bytes) => {
                let _ = self.stream.write_all(bytes);
                true
            }
            Act::Pieces(bytes, piece_bytes, pause_ms) => self.send_pieces(bytes, *piece_bytes, *pause_ms),
            Act::Pause(ms) => self.pause(*ms),
            Act::Deaf(ms) => self.is_deaf(*ms),
            Act::HalfClose => self.stream.shutdown(Shutdown::Write).is_ok(),
            Act::Close => self.close(None),
            Act::Reset => self.close(Some(Duration::ZERO)),
            Act::Again => true,
        }
    }

    fn send_pieces(&mut self, bytes: &[u8], piece_bytes: usize, pause_ms: u64) -> bool {
        for piece in bytes.chunks(piece_bytes) {
            if self.stream.write_all(piece).is_err() {
                break;
            }
            if !self.pause(pause_ms) {
                return false;
            }
        }
        true
    }

    fn pause(&mut self, ms: u64) -> bool {
        let end = Instant::now() + Duration::from_millis(ms);
        while !self.is_stopped.load(Ordering::SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if !self.read(left.min(TICK)) {
                return false;
            }
        }
        false
    }

    fn is_deaf(&self, ms: u64) -> bool {
        let end = Instant::now() + Duration::from_millis(ms);
        while !self.is_stopped.load(Ordering::SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(TICK));
        }
        false
    }

    fn close(&mut self, linger: Option<Duration>) -> bool {
        let _ = sockopt::set_socket_linger(&self.stream, linger);
        self.note(|connection, _| connection.fate = Fate::Left);
        false
    }

    /// Records until there is enough; false when the connection ended before.
    fn read_until(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> bool {
        while !self.is_stopped.load(Ordering::SeqCst) {
            if self.recorded(|connection| is_enough(&connection.bytes)) {
                return true;
            }
            if !self.read(TICK) {
                return false;
            }
        }
        false
    }

    /// Records what comes next; false when the connection ended.
    fn read(&mut self, longest: Duration) -> bool {
        let mut buffer = vec![0; 64 << 10];
        self.stream.set_read_timeout(Some(longest)).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(0) => self.note(|connection, ms| connection.fate = Fate::Fin(ms)),
            Ok(bytes) => self.note(|connection, ms| {
                connection.arrivals.push((connection.bytes.len(), ms));
                connection.bytes.extend_from_slice(&buffer[..bytes]);
            }),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.note(|connection, ms| connection.fate = Fate::Reset(ms)),
        }
        self.recorded(|connection| connection.fate == Fate::Open)
    }

    fn recorded<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        read(&self.connections.lock().unwrap()[self.number])
    }

    fn note(&self, change: impl FnOnce(&mut Connection, u64)) {
        let now_ms = elapsed_ms(*self.beginning.lock().unwrap());
        change(&mut self.connections.lock().unwrap()[self.number], now_ms);
    }
}

fn whole_requests(bytes: &[u8]) -> usize {
    messages(bytes, Kind::Requests, false).0.iter().filter(|request| request.is_whole).count()
}
