//! The socket as a stopwatch: when the first and the last byte of a request went out, when the first byte
//! of its answer came in.
//!
//! Nobody above the socket can know these instants: hyper buffers. And it gives up an exchange at the
//! first failed write, while the answer that explains the failure (a 413 sent before the upload's end,
//! then a close) may already be waiting to be read. So a failed write is noted and held back here, and
//! the reading side decides: an answer counts as an answer, else the failure surfaces as the reset it was.
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

use super::tally::Tally;

/// Instants and bytes of the exchange that a connection is carrying.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) first_write: Option<Instant>,
    pub(super) last_write: Option<Instant>,
    /// Of the answer itself, as far as can be told before its head is whole.
    pub(super) first_read: Option<Instant>,
    pub(super) written_bytes: u64,
    pub(super) write_error: Option<io::ErrorKind>,
}

/// The marks of one connection, shared by its stream and the exchange.
#[derive(Debug)]
pub(super) struct Wire {
    tally: Rc<Tally>,
    /// When the exchange could have gone out; `None` while none is released.
    ready: Cell<Option<Instant>>,
    marks: Cell<Marks>,
    /// What was read last ended with an interim answer.
    interim: Arc<AtomicBool>,
}

impl Wire {
    pub(super) fn new(tally: Rc<Tally>) -> Self {
        Self { tally, ready: Cell::default(), marks: Cell::default(), interim: Arc::default() }
    }

    /// Starts the marks of an exchange that could go out from `ready` on; `None` for one that has been counted
    /// as sent before.
    pub(super) fn release(&self, ready: Option<Instant>) {
        self.ready.set(ready);
        self.marks.set(Marks::default());
        self.interim.store(false, Ordering::Relaxed);
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

    fn read(&self) {
        let marks = self.marks();
        self.interim.store(false, Ordering::Relaxed);
        if marks.first_read.is_none() && marks.first_write.is_some() {
            self.marks.set(Marks { first_read: Some(Instant::now()), ..marks });
        }
    }

    fn write_failed(&self, error: &io::Error) {
        self.marks.set(Marks { write_error: Some(error.kind()), ..self.marks.get() });
    }

    /// A write's result as hyper may see it: see the module.
    fn held_back(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) if *bytes > 0 => self.wrote(*bytes),
            Poll::Ready(Err(error)) => {
                self.write_failed(error);
                return Poll::Pending;
            }
            _ => {}
        }
        written
    }
}

/// A stream that marks its [`Wire`].
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    wire: Rc<Wire>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, wire: Rc<Wire>) -> Self {
        Self { stream, wire }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.wire.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wire.held_back(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wire.held_back(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => {
                self.wire.write_failed(&error);
                Poll::Pending
            }
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
