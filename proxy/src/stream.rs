//! A connection's bytes: plain or TLS, client or upstream, with what was read too early put back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// First reads are small: most requests and answers are. A sender that fills the buffer gets a larger one.
const READ_BYTES_MIN: usize = 4 << 10;
/// Reads of uploads: enough that system calls no longer count.
pub(crate) const READ_BYTES_MAX: usize = 128 << 10;

/// A connection's bytes.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Io,
    /// Read before by somebody who only wanted to look.
    replay: Bytes,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self { io: Io::Plain(stream), replay: Bytes::new() }
    }
}

impl From<TlsStream<TcpStream>> for Stream {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self { io: Io::Tls(Box::new(stream)), replay: Bytes::new() }
    }
}

impl Stream {
    /// These bytes are read again before any others.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.replay = bytes;
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    fn socket(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.replay.is_empty() {
            let count = self.replay.len().min(buf.remaining());
            buf.put_slice(&self.replay.split_to(count));
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// What was read and not yet used.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) bytes: BytesMut,
    read_bytes: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), read_bytes: READ_BYTES_MIN }
    }
}

impl Input {
    /// Reads once; 0 = the other side is done.
    pub(crate) fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.bytes.reserve(self.read_bytes.saturating_sub(self.bytes.len()).max(READ_BYTES_MIN / 2));
        let room = self.bytes.capacity() - self.bytes.len();
        let read = std::task::ready!(tokio_util::io::poll_read_buf(Pin::new(stream), cx, &mut self.bytes))?;
        if read == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(read))
    }

    /// Gives the memory back while the connection idles.
    pub(crate) fn rest(&mut self) {
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }
}

/// What is to be written: text of our own, then a piece of a body.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) text: BytesMut,
    pub(crate) piece: Bytes,
    unflushed: bool,
}

impl Output {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.piece.is_empty() && !self.unflushed
    }

    /// A piece can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.piece.is_empty()
    }

    /// Writes once what can be written; how many bytes, 0 when all is handed over.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.text.is_empty() && self.piece.is_empty() {
            if self.unflushed {
                std::task::ready!(Pin::new(stream).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(0));
        }
        let tls = stream.is_tls();
        let mut all = (&mut self.text).chain(&mut self.piece);
        let written = std::task::ready!(tokio_util::io::poll_write_buf(Pin::new(stream), cx, &mut all))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed |= tls;
        if self.piece.is_empty() {
            // Lets the buffer that the piece was cut from be used again.
            self.piece = Bytes::new();
        }
        Poll::Ready(Ok(written))
    }
}
