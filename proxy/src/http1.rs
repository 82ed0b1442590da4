//! HTTP/1 towards clients: one connection, its bytes, and how bodies and answers stand in them.
//!
//! An own engine rather than a library's: limits act on what a chunk announces, timers start where Nginx
//! starts them, a refused upload gets its answer before the connection goes. No library shows these places.

pub(crate) mod answer;
mod body;
mod chunked;
mod head;
mod serve;

pub(crate) use body::BodyReader;
pub(crate) use head::length;
pub(crate) use serve::serve;

use std::io::{self, Write as _};
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes};

use crate::downstream::{AnswerHead, BodyError, BodyStep, FieldSink};
use crate::message::{Framing, Version};
use crate::stream::{Input, Output, Stream};

/// Bytes taken in advance of a client that is being answered, to see whether it is still there.
const AHEAD_BYTES_MAX: usize = 16 << 10;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    pub(crate) stream: Stream,
    pub(crate) input: Input,
    output: Output,
    version: Version,
    body: BodyReader,
    answer: AnswerState,
    /// The connection ends with this answer.
    pub(crate) close: bool,
    /// Somebody began to take the body.
    body_was_read: bool,
    /// The client stopped sending.
    input_ended: bool,
}

/// How the answer's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerState {
    Plain,
    Chunked { open: bool },
}

impl Http1 {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Input::default(),
            output: Output::default(),
            version: Version::Http11,
            body: BodyReader::new(Framing::None),
            answer: AnswerState::Plain,
            close: false,
            body_was_read: false,
            input_ended: false,
        }
    }

    /// A request begins whose head was taken from the input.
    fn begin(&mut self, version: Version, framing: Framing, keep_alive: bool) {
        self.version = version;
        self.body = BodyReader::new(framing);
        self.answer = AnswerState::Plain;
        self.body_was_read = false;
        self.close = !keep_alive;
    }

    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyStep, BodyError>> {
        self.body_was_read = true;
        loop {
            match self.body.step(&mut self.input.bytes).map_err(|_| BodyError::Malformed)? {
                Some(step) => return Poll::Ready(Ok(step)),
                None => match ready!(self.input.poll_fill(&mut self.stream, cx)) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(BodyError::Gone)),
                    Ok(_) => {}
                },
            }
        }
    }

    /// The next of a chunked body that is here already; `None` when there is no more.
    pub(crate) fn poll_held(&mut self, cx: &mut Context<'_>) -> Option<Result<BodyStep, BodyError>> {
        if !self.body.is_chunked() || self.body.is_done() {
            return None;
        }
        self.body_was_read = true;
        loop {
            match self.body.step(&mut self.input.bytes).map_err(|_| BodyError::Malformed).transpose() {
                Some(step) => return Some(step),
                None => match self.input.poll_fill(&mut self.stream, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    // An end is noticed again where the body is waited for.
                    Poll::Ready(_) | Poll::Pending => return None,
                },
            }
        }
    }

    pub(crate) fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    pub(crate) fn send_continue(&mut self) {
        self.output.text.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    pub(crate) fn begin_answer(&mut self, head: AnswerHead, fields: impl FnOnce(&mut dyn FieldSink)) {
        self.close |= head.close;
        let text = &mut self.output.text;
        let reason =
            http::StatusCode::from_u16(head.status).ok().and_then(|status| status.canonical_reason());
        let _ = write!(text.writer(), "HTTP/1.1 {} {}\r\n", head.status, reason.unwrap_or("Unknown"));
        fields(&mut TextSink(text));
        match head.framing {
            Framing::None => {}
            Framing::Length(bytes) => drop(write!(text.writer(), "Content-Length: {bytes}\r\n")),
            Framing::Chunked | Framing::ToTheEnd if self.version == Version::Http10 => self.close = true,
            Framing::Chunked | Framing::ToTheEnd => {
                text.put_slice(b"Transfer-Encoding: chunked\r\n");
                self.answer = AnswerState::Chunked { open: false };
            }
        }
        if head.status == 101 {
            text.put_slice(b"Connection: upgrade\r\nUpgrade: websocket\r\n");
        } else if self.close {
            text.put_slice(b"Connection: close\r\n");
        } else if self.version == Version::Http10 {
            text.put_slice(b"Connection: keep-alive\r\n");
        }
        text.put_slice(b"\r\n");
    }

    pub(crate) fn has_room(&self) -> bool {
        self.output.has_room()
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        debug_assert!(self.output.has_room(), "a piece is taken only when the last one is gone");
        if piece.is_empty() {
            return;
        }
        if let AnswerState::Chunked { open } = &mut self.answer {
            let end = if std::mem::replace(open, true) { "\r\n" } else { "" };
            let _ = write!((&mut self.output.text).writer(), "{end}{:x}\r\n", piece.len());
        }
        self.output.piece = piece;
    }

    pub(crate) fn finish(&mut self) {
        if let AnswerState::Chunked { open } = self.answer {
            let end: &[u8] = if open { b"\r\n0\r\n\r\n" } else { b"0\r\n\r\n" };
            // Text goes out before the piece, so what follows the piece must wait for it.
            if self.output.piece.is_empty() {
                self.output.text.put_slice(end);
            } else {
                let piece = std::mem::take(&mut self.output.piece);
                self.output.piece = [&piece, end].concat().into();
            }
            self.answer = AnswerState::Plain;
        }
    }

    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.output.poll_write(&mut self.stream, cx)
    }

    /// What was received meanwhile is the next request's, and stays.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.input_ended && self.input.bytes.len() < AHEAD_BYTES_MAX {
            match ready!(self.input.poll_fill(&mut self.stream, cx)) {
                Ok(0) | Err(_) => self.input_ended = true,
                Ok(_) => {}
            }
        }
        if self.input_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What is still to be written.
    pub(crate) fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    /// What was read and is not used.
    pub(crate) fn take_input(&mut self) -> Bytes {
        self.input.bytes.split().freeze()
    }
}

/// Writes fields as text.
struct TextSink<'t>(&'t mut bytes::BytesMut);

impl FieldSink for TextSink<'_> {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        write_field(self.0, name, value);
    }
}

/// `Name: value` with its line end.
pub(crate) fn write_field(text: &mut bytes::BytesMut, name: &[u8], value: &[u8]) {
    text.reserve(name.len() + value.len() + 4);
    text.put_slice(name);
    text.put_slice(b": ");
    text.put_slice(value);
    text.put_slice(b"\r\n");
}
