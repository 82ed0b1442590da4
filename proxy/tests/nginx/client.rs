//! A raw client: does its steps one after the other and keeps all that it saw, with the times.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::message::{Kind, Message, messages};

/// Longest that a client waits for what a step waits for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of the receive buffer of a client that reads little.
const NARROW_BYTES: usize = 16 << 10;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Pieces of so many bytes with so many ms between.
    Trickle(Vec<u8>, usize, u64),
    /// Goes on reading for so many ms, or until the connection is closed.
    Watch(u64),
    /// Reads nothing for so many ms.
    Deaf(u64),
    /// Reads until so many final answers are there whole.
    Answers(usize),
    /// Reads until the head of so many answers is there, interim ones included.
    Heads(usize),
    /// Sends 16 KiB every so many ms until that fails or so many ms are over.
    Flood(u64, u64),
    HalfClose,
    Reset,
    Leave,
}

/// One client of a case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// When it connects, after the beginning of the case.
    pub(crate) starts_ms: u64,
    /// It has a small receive buffer.
    pub(crate) is_narrow: bool,
    pub(crate) steps: Vec<Step>,
}

/// What a client saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    /// Where each read began, and when.
    pub(crate) arrivals: Vec<(usize, u64)>,
    pub(crate) fate: Fate,
    /// It sent until it could send no more: whether it then saw FIN or RST is chance.
    pub(crate) is_flooding: bool,
    /// When a flood could send no more.
    pub(crate) refused_ms: Option<u64>,
}

/// How a connection was when it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// The peer closed it, at so many ms.
    Fin(u64),
    Reset(u64),
    /// We did.
    Left,
}

impl Script {
    fn kind(&self) -> Kind {
        let is_head = |step: &Step| matches!(step, Step::Send(bytes) if bytes.starts_with(b"HEAD "));
        if self.steps.iter().any(is_head) { Kind::AnswersToHead } else { Kind::Answers }
    }

    pub(crate) fn run(&self, address: SocketAddr, beginning: Instant) -> Seen {
        std::thread::sleep(Duration::from_millis(self.starts_ms));
        let stream = connect(address, self.is_narrow);
        let seen = Seen {
            kind: self.kind(),
            bytes: Vec::new(),
            arrivals: Vec::new(),
            fate: Fate::Open,
            is_flooding: self.steps.iter().any(|step| matches!(step, Step::Flood(..))),
            refused_ms: None,
        };
        let mut client = Client { stream: Some(stream), beginning, seen };
        self.steps.iter().for_each(|step| client.step(step));
        client.seen
    }
}

impl Seen {
    pub(crate) fn answers(&self) -> (Vec<Message>, &[u8]) {
        messages(&self.bytes, self.kind, self.fate != Fate::Open)
    }

    /// When the byte at `offset` was read.
    pub(crate) fn time_of_ms(&self, offset: usize) -> u64 {
        let before = self.arrivals.iter().take_while(|(start, _)| *start <= offset);
        before.last().map_or(0, |(_, ms)| *ms)
    }
}

fn connect(address: SocketAddr, is_narrow: bool) -> TcpStream {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    if is_narrow {
        sockopt::set_socket_recv_buffer_size(&socket, NARROW_BYTES).unwrap();
    }
    rustix::net::connect(&socket, &address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

struct Client {
    /// None once it was closed here.
    stream: Option<TcpStream>,
    beginning: Instant,
    seen: Seen,
}

impl Client {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Send(bytes) => drop(self.send(bytes)),
            Step::Trickle(bytes, piece_bytes, pause_ms) => self.trickle(bytes, *piece_bytes, *pause_ms),
            Step::Watch(ms) => self.read_for(Duration::from_millis(*ms), |_| false),
            Step::Deaf(ms) => std::thread::sleep(Duration::from_millis(*ms)),
            Step::Answers(count) => self.read_for(PATIENCE, |seen| finals(seen) >= *count),
            Step::Heads(count) => self.read_for(PATIENCE, |seen| seen.answers().0.len() >= *count),
            Step::Flood(pause_ms, longest_ms) => self.flood(*pause_ms, *longest_ms),
            Step::HalfClose => self.half_close(),
            Step::Reset => self.reset(),
            Step::Leave => self.leave(),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.as_mut().map_or(Ok(()), |stream| stream.write_all(bytes))
    }

    fn trickle(&mut self, bytes: &[u8], piece_bytes: usize, pause_ms: u64) {
        for piece in bytes.chunks(piece_bytes) {
            if self.seen.fate != Fate::Open || self.send(piece).is_err() {
                return;
            }
            self.read_for(Duration::from_millis(pause_ms), |_| false);
        }
    }

    fn flood(&mut self, pause_ms: u64, longest_ms: u64) {
        let end = Instant::now() + Duration::from_millis(longest_ms);
        while Instant::now() < end {
            if self.send(&[b'x'; 16 << 10]).is_err() {
                self.seen.refused_ms = Some(self.now_ms());
                return;
            }
            self.read_for(Duration::from_millis(pause_ms), |_| false);
            if self.seen.fate != Fate::Open {
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
        }
    }

    fn half_close(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn reset(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
        self.leave();
    }

    fn leave(&mut self) {
        self.stream = None;
        if self.seen.fate == Fate::Open {
            self.seen.fate = Fate::Left;
        }
    }

    /// Reads until what was seen is enough, the connection is closed or the time is over.
    fn read_for(&mut self, longest: Duration, is_enough: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + longest;
        let mut buffer = vec![0; 64 << 10];
        while self.seen.fate == Fate::Open && !is_enough(&self.seen) {
            let left = end.saturating_duration_since(Instant::now());
            let Some(stream) = self.stream.as_mut().filter(|_| !left.is_zero()) else { return };
            stream.set_read_timeout(Some(left)).unwrap();
            let read = stream.read(&mut buffer);
            self.note(&read.map(|bytes| &buffer[..bytes]));
        }
    }

    fn note(&mut self, read: &std::io::Result<&[u8]>) {
        let now_ms = self.now_ms();
        match read {
            Ok([]) => self.seen.fate = Fate::Fin(now_ms),
            Ok(bytes) => {
                self.seen.arrivals.push((self.seen.bytes.len(), now_ms));
                self.seen.bytes.extend_from_slice(bytes);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.seen.fate = Fate::Reset(now_ms),
        }
    }

    fn now_ms(&self) -> u64 {
        elapsed_ms(self.beginning)
    }
}

pub(crate) fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Whole answers but interim ones.
fn finals(seen: &Seen) -> usize {
    let (answers, _) = seen.answers();
    answers.iter().filter(|answer| answer.is_whole && !answer.is_interim()).count()
}
