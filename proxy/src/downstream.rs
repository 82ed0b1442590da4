//! The client's side of an exchange, whatever the protocol: where the request's body comes from and where
//! the answer goes.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::http1::Http1;
use crate::http2::Http2;
use crate::message::Framing;

/// One step of a request's body.
#[derive(Debug)]
pub(crate) enum BodyStep {
    /// A chunk of that size is about to come.
    Announced(u64),
    Piece(Bytes),
    End,
}

/// Why no more of a body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The client left.
    Gone,
    /// It sent what is no body.
    Malformed,
}

/// Takes the fields of a head, in order.
pub(crate) trait FieldSink {
    fn field(&mut self, name: &[u8], value: &[u8]);
}

/// An answer's head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// The connection cannot take another request afterwards.
    pub(crate) close: bool,
}

/// A client during one exchange.
#[derive(Debug)]
pub(crate) enum Downstream<'c> {
    Http1(&'c mut Http1),
    Http2(Box<Http2>),
}

impl Downstream<'_> {
    /// The next of the request's body. Asking again says that the last piece was forwarded.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyStep, BodyError>> {
        match self {
            Self::Http1(client) => client.poll_body(cx),
            Self::Http2(client) => client.poll_body(cx),
        }
    }

    /// The next of a chunked body that is here already; `None` when there is no more.
    pub(crate) fn poll_held(&mut self, cx: &mut Context<'_>) -> Option<Result<BodyStep, BodyError>> {
        match self {
            Self::Http1(client) => client.poll_held(cx),
            Self::Http2(_) => None,
        }
    }

    /// The body was received to its end.
    pub(crate) fn body_is_done(&self) -> bool {
        match self {
            Self::Http1(client) => client.body_is_done(),
            Self::Http2(client) => client.body_is_done(),
        }
    }

    /// Tells a client that waits to be told to go on with its body; whether that is still to be sent.
    pub(crate) fn send_continue(&mut self) -> bool {
        match self {
            Self::Http1(client) => client.send_continue(),
            Self::Http2(client) => return client.send_continue(),
        }
        true
    }

    /// Begins the answer with its head; `fields` writes them.
    pub(crate) fn begin_answer(&mut self, head: AnswerHead, fields: impl FnOnce(&mut dyn FieldSink)) {
        match self {
            Self::Http1(client) => client.begin_answer(head, fields),
            Self::Http2(client) => client.begin_answer(head, fields),
        }
    }

    /// A piece of the answer's body can be taken.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Http1(client) => client.has_room(),
            Self::Http2(client) => client.has_room(),
        }
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        match self {
            Self::Http1(client) => client.push(piece),
            Self::Http2(client) => client.push(piece),
        }
    }

    /// Lines that came behind the request's body and go on behind it: HTTP/2's trailers.
    pub(crate) fn request_trailers(&self) -> &[u8] {
        match self {
            Self::Http1(_) => &[],
            Self::Http2(client) => client.request_trailers(),
        }
    }

    /// The answer's body is whole; `trailers` are the lines behind it, which HTTP/2 carries.
    pub(crate) fn finish(&mut self, trailers: &[u8]) {
        match self {
            Self::Http1(client) => client.finish(),
            Self::Http2(client) => client.finish(trailers),
        }
    }

    /// Hands over what can be; how many bytes, 0 when nothing is left.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(client) => client.poll_send(cx),
            Self::Http2(client) => client.poll_send(cx),
        }
    }

    /// Ready when the client has left.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(client) => client.poll_gone(cx),
            Self::Http2(client) => client.poll_gone(cx),
        }
    }
}
