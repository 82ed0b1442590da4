//! An open HTTP/2 connection, under the requests that share it.
//!
//! The `h2` crate by itself, not through hyper, which keeps to itself how many streams the target allows, when a request
//! got its stream, and whether the target had taken it when it refused it: all of that decides here whose the time is,
//! and what may be sent again.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify};

use super::body::PIECE_BYTES;
use super::connection::Task;
use super::exchange::is_reset;
use super::tally::Tally;
use super::wire::{Meter, Metered};
use crate::measure::ErrorClass;

/// What the target may send of an answer, and of all of a connection, before it is read: as Chromium has it. The default
/// of 64 KiB would slow down answers over long ways.
const STREAM_WINDOW_BYTES: u32 = 6 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 15 * 1024 * 1024;
/// Heads of answers, as Chromium takes them.
const HEAD_BYTES_MAX: u32 = 256 * 1024;

/// See the module. Dropping the last hold on it closes the socket, whatever is in flight.
#[derive(Debug)]
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    socket: Rc<Socket>,
    /// Those who wait for a stream, in order.
    queue: Mutex<()>,
    streams: Cell<usize>,
    /// Exchanges that ended on it.
    exchanges: Cell<u32>,
    /// When it was idle for the last time, if an exchange had ended on it before.
    idle_until: Cell<Option<Instant>>,
    _task: Task,
}

/// The right to a stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Http2);

/// What is known of the bytes of all streams together.
#[derive(Debug)]
struct Socket {
    tally: Rc<Tally>,
    read_at: Cell<Option<Instant>>,
    write_error: Cell<Option<io::ErrorKind>>,
    is_over: Cell<bool>,
    /// When a stream ended or something was read, the last time.
    changed_at: Cell<Instant>,
    changed: Notify,
}

impl Http2 {
    /// Speaks first, and waits for the target's settings: only then it is known to speak HTTP/2, and how many streams it
    /// allows.
    pub(super) async fn shake_hands<S>(stream: S, tally: &Rc<Tally>) -> Result<Self, ErrorClass>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let socket = Rc::new(Socket::new(Rc::clone(tally)));
        let io = Metered::new(stream, Rc::clone(&socket));
        let (sender, connection) = builder()
            .handshake(io)
            .await
            .map_err(|error| socket.class_of(&error, ErrorClass::ConnectFailed))?;
        let below = Rc::clone(&socket);
        let task = tokio::task::spawn_local(async move {
            // Its errors reach the streams; without one they say that the peer closed.
            drop(connection.await);
            below.is_over.set(true);
            below.changes();
        });
        let http2 = Self {
            sender,
            socket,
            queue: Mutex::default(),
            streams: Cell::default(),
            exchanges: Cell::default(),
            idle_until: Cell::default(),
            _task: Task(task),
        };
        http2.socket.until_heard().await;
        match http2.error() {
            None => Ok(http2),
            Some(error) => Err(http2.socket.class_of(&error, ErrorClass::ConnectFailed)),
        }
    }

    /// A further request can be sent: the target has neither closed it nor said that it will.
    pub(super) fn is_open(&self) -> bool {
        self.error().is_none()
    }

    /// Waits until the target allows a further stream; says since when it does where it had not at once.
    pub(super) async fn turn(&self) -> Result<(Turn<'_>, Option<Instant>), ErrorClass> {
        let at_once = self.queue.try_lock().ok().filter(|_| !self.is_full());
        let has_waited = at_once.is_none();
        self.socket.tally.http(|counts| counts.stream_waits += u64::from(has_waited));
        let _front = match at_once {
            Some(front) => front,
            None => self.queue.lock().await,
        };
        while self.is_full() && self.is_open() {
            self.socket.changed.notified().await;
        }
        if !self.is_open() {
            // Nothing of it went out: as good as refused.
            return Err(ErrorClass::StreamRefused);
        }
        if self.streams.replace(self.streams.get() + 1) == 0 {
            self.idle_until.set((self.exchanges.get() > 0).then(Instant::now));
        }
        Ok((Turn(self), has_waited.then(|| self.socket.changed_at.get())))
    }

    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    /// Nothing has come on it since it was idle, after an exchange: as if it had been closed then.
    pub(super) fn is_stale(&self) -> bool {
        self.idle_until.get().is_some_and(|idle_until| self.is_silent_since(idle_until))
    }

    pub(super) fn has_ended_one(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
    }

    /// Nothing at all has come since.
    pub(super) fn is_silent_since(&self, at: Instant) -> bool {
        self.socket.read_at.get().is_none_or(|read_at| read_at < at)
    }

    /// What an error of a stream says.
    pub(super) fn class_of(&self, error: &h2::Error) -> ErrorClass {
        self.socket.class_of(error, ErrorClass::ClosedEarly)
    }

    fn is_full(&self) -> bool {
        self.streams.get() >= self.sender.current_max_send_streams()
    }

    fn error(&self) -> Option<h2::Error> {
        match self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.socket.changes();
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        // More of an upload is not "sent" while it is only here.
        .max_send_buffer_size(PIECE_BYTES);
    builder
}

impl Socket {
    fn new(tally: Rc<Tally>) -> Self {
        Self {
            tally,
            read_at: Cell::default(),
            write_error: Cell::default(),
            is_over: Cell::default(),
            changed_at: Cell::new(Instant::now()),
            changed: Notify::new(),
        }
    }

    fn changes(&self) {
        self.changed_at.set(Instant::now());
        self.changed.notify_waiters();
    }

    /// The first that a server sends are its settings.
    async fn until_heard(&self) {
        while self.read_at.get().is_none() && !self.is_over.get() {
            self.changed.notified().await;
        }
    }

    /// `closed`: what it is when the connection just ended.
    fn class_of(&self, error: &h2::Error, closed: ErrorClass) -> ErrorClass {
        match (error.get_io(), error.reason()) {
            (Some(io), _) => self.class_of_io(io.kind(), closed),
            (None, None) => ErrorClass::Unbuildable,
            (None, Some(_)) if error.is_library() => ErrorClass::Protocol,
            // GOAWAY reaches only streams that the target has not looked at.
            (None, Some(reason)) if error.is_go_away() || reason == Reason::REFUSED_STREAM => {
                ErrorClass::StreamRefused
            }
            (None, Some(_)) => ErrorClass::Reset,
        }
    }

    fn class_of_io(&self, kind: io::ErrorKind, closed: ErrorClass) -> ErrorClass {
        use io::ErrorKind::{BrokenPipe, InvalidData, InvalidInput, UnexpectedEof};
        match kind {
            // The crate says so of a connection that just ended.
            BrokenPipe | UnexpectedEof if !self.write_error.get().is_some_and(is_reset) => closed,
            InvalidData | InvalidInput => ErrorClass::Protocol,
            _ => ErrorClass::Reset,
        }
    }
}

impl Meter for Socket {
    fn wrote(&self, bytes: usize) {
        self.tally.http(|counts| counts.http_2_sent_bytes += bytes as u64);
    }

    fn flushed(&self) {}

    fn read(&self, bytes: usize) {
        self.tally.http(|counts| counts.http_2_received_bytes += bytes as u64);
        self.read_at.set(Some(Instant::now()));
        self.changes();
    }

    /// The crate does not read while it cannot write, and what can be read may be an answer.
    fn write_failed(&self, error: &io::Error) -> Poll<()> {
        self.write_error.set(Some(error.kind()));
        Poll::Ready(())
    }
}
