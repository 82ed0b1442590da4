//! The socket as a stopwatch: when the first and the last byte of a request went out, when the first byte
//! of its answer came in.
//!
//! The last byte is out when the socket took it and flushed what TLS kept of it. That is the network's pace,
//! not the kernel's (`connection::UNSENT_BYTES_MAX`); what was still on its way is asked then.
//!
//! Nobody above the socket can know these instants: hyper buffers. And it gives up an exchange at the
//! first failed write, while the answer that explains the failure (a 413 sent before the upload's end,
//! then a close) may already be waiting to be read. So a failed write is noted and held back here, and
//! the reading side decides: an answer counts as an answer, else the failure surfaces as the reset it was.
//!
//! On HTTP/2 the socket carries many exchanges at once, and says nothing of one of them: there each exchange marks a
//! wire of its own by what it hands to the connection and takes from it ([`super::exchange`]).
//!
//! An interim answer (`100 Continue`, `103 Early Hints`) is not the answer: the wait goes on after it.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::diag::Endpoints;
use super::tally::Tally;
use crate::measure::Traffic;
use crate::measure::held::FIRST_WINDOW_BYTES;

/// Instants and bytes of an exchange.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) first_write: Option<Instant>,
    pub(super) last_write: Option<Instant>,
    /// Of the answer itself, as far as can be told before its head is whole.
    pub(super) first_read: Option<Instant>,
    pub(super) written_bytes: u64,
    pub(super) read_bytes: u64,
    /// All was flushed.
    pub(super) is_out: bool,
    /// What the target had not acknowledged then.
    pub(super) held_bytes: Option<u64>,
    pub(super) write_error: Option<io::ErrorKind>,
    /// It waits for the target to allow a further stream.
    pub(super) is_waiting: bool,
    /// When a stream became free for it, where it had to wait for one.
    pub(super) turn: Option<Instant>,
}

impl Marks {
    pub(super) fn traffic(&self) -> Traffic {
        Traffic { sent_bytes: self.written_bytes, received_bytes: self.read_bytes }
    }
}

/// The marks of one exchange at a time, shared by what marks it and the exchange.
#[derive(Debug)]
pub(super) struct Wire {
    tally: Rc<Tally>,
    /// When the exchange could have gone out; `None` while none is released.
    ready: Cell<Option<Instant>>,
    /// Size of the exchange's request.
    request_bytes: Cell<u64>,
    endpoints: Cell<Option<Endpoints>>,
    marks: Cell<Marks>,
    /// What was read last ended with an interim answer.
    interim: Arc<AtomicBool>,
}

impl Wire {
    pub(super) fn new(tally: Rc<Tally>) -> Self {
        Self {
            tally,
            ready: Cell::default(),
            request_bytes: Cell::default(),
            endpoints: Cell::default(),
            marks: Cell::default(),
            interim: Arc::default(),
        }
    }

    /// It is the wire of this connection.
    pub(super) fn connects(&self, endpoints: Endpoints) {
        self.endpoints.set(Some(endpoints));
    }

    /// Starts the marks of an exchange that could go out from `ready` on; `None` for one that has been counted
    /// as sent before.
    pub(super) fn release(&self, ready: Option<Instant>) {
        self.ready.set(ready);
        self.marks.set(Marks::default());
        self.interim.store(false, Ordering::Relaxed);
    }

    /// The request that is about to be written has so many bytes.
    pub(super) fn expects(&self, request_bytes: u64) {
        self.request_bytes.set(request_bytes);
    }

    pub(super) fn marks(&self) -> Marks {
        let marks = self.marks.get();
        let is_interim = self.interim.load(Ordering::Relaxed);
        Marks { first_read: marks.first_read.filter(|_| !is_interim), ..marks }
    }

    /// To be set when an interim answer has been read.
    pub(super) fn interim(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interim)
    }

    /// The head of the answer has been read: if an interim one came with the same read, that was its first.
    pub(super) fn head_read(&self) {
        self.interim.store(false, Ordering::Relaxed);
    }

    /// The exchange waits for its turn on a connection that it shares.
    pub(super) fn waits(&self) {
        self.marks.set(Marks { is_waiting: true, ..self.marks.get() });
    }

    /// It is its turn, and has been since `turn` where it had to wait.
    pub(super) fn has_turn(&self, turn: Option<Instant>) {
        self.marks.set(Marks { is_waiting: false, turn, ..self.marks.get() });
        self.ready.set(self.ready.get().map(|ready| turn.map_or(ready, |turn| turn.max(ready))));
    }
}

/// What a stream tells of its bytes.
pub(super) trait Meter {
    fn wrote(&self, bytes: usize);
    /// Nothing that was written is kept above the socket.
    fn flushed(&self);
    fn read(&self, bytes: usize);
    /// Notes it. Pending: those above are to write nothing more. Ready: they go on, and what they write is lost.
    fn write_failed(&self, error: &io::Error) -> Poll<()>;
}

impl Meter for Wire {
    fn wrote(&self, bytes: usize) {
        let now = Instant::now();
        let mut marks = self.marks.get();
        if marks.first_write.is_none() {
            marks.first_write = Some(now);
            self.ready.take().into_iter().for_each(|ready| self.tally.sent(now, ready));
        }
        marks.last_write = Some(now);
        marks.written_bytes += bytes as u64;
        self.marks.set(marks);
        self.tally.sent_bytes(now, bytes as u64);
    }

    fn flushed(&self) {
        let mut marks = self.marks.get();
        if marks.is_out || marks.written_bytes < self.request_bytes.get().max(1) {
            return;
        }
        marks.is_out = true;
        marks.last_write = Some(Instant::now());
        let is_asked = marks.written_bytes > FIRST_WINDOW_BYTES;
        marks.held_bytes = self.endpoints.get().filter(|_| is_asked).and_then(|of| self.tally.held_bytes(of));
        self.marks.set(marks);
    }

    fn read(&self, bytes: usize) {
        let mut marks = self.marks();
        self.interim.store(false, Ordering::Relaxed);
        if marks.first_write.is_none() {
            return;
        }
        let now = Instant::now();
        marks.first_read.get_or_insert(now);
        marks.read_bytes += bytes as u64;
        self.marks.set(marks);
        self.tally.received_bytes(now, bytes as u64);
    }

    fn write_failed(&self, error: &io::Error) -> Poll<()> {
        self.marks.set(Marks { write_error: Some(error.kind()), ..self.marks.get() });
        Poll::Pending
    }
}

/// A stream that tells its [`Meter`].
#[derive(Debug)]
pub(super) struct Metered<S, M> {
    stream: S,
    meter: Rc<M>,
}

impl<S, M: Meter> Metered<S, M> {
    pub(super) fn new(stream: S, meter: Rc<M>) -> Self {
        Self { stream, meter }
    }

    /// A write's result as those above may see it: see the module.
    fn held_back(&self, written: Poll<io::Result<usize>>, bytes: usize) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) if *bytes > 0 => self.meter.wrote(*bytes),
            Poll::Ready(Err(error)) => return self.meter.write_failed(error).map(|()| Ok(bytes)),
            _ => {}
        }
        written
    }
}

impl<S: AsyncRead + Unpin, M: Meter> AsyncRead for Metered<S, M> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.meter.read(bytes);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin, M: Meter> AsyncWrite for Metered<S, M> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.held_back(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.held_back(written, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => self.meter.write_failed(&error).map(Ok),
            flushed => {
                if flushed.is_ready() {
                    self.meter.flushed();
                }
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
