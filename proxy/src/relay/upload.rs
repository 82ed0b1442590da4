//! The upload's direction: from the client, or from where it was kept, to the upstream.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};

use super::{Failure, Relay, Wait, check_size, note_body_done, take_piece};
use crate::downstream::{BodyError, BodyStep};
use crate::message::Framing;
use crate::spool;

/// What is kept of a streamed body so that it can go out again over a fresh connection.
const REPLAY_BYTES_MAX: usize = 64 << 10;

type Reading = Pin<Box<dyn Future<Output = (spool::Reader, io::Result<Option<Bytes>>)>>>;

/// Where the body comes from.
pub(crate) enum Source {
    Client,
    /// What was received or sent before goes first.
    Replay(VecDeque<Bytes>),
    Spool(Option<spool::Reader>, Option<Reading>),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Running,
    /// All of it was handed over.
    Done,
    /// The upstream takes no more of it.
    Broken,
}

/// The upload's side of a relay.
pub(super) struct Upload {
    source: Source,
    source_ended: bool,
    chunk_open: bool,
    pub(super) progress: Progress,
    /// What was sent of the body, as long as it may have to be sent again.
    pub(super) sent: Option<VecDeque<Bytes>>,
    sent_bytes: usize,
}

impl Upload {
    pub(super) fn new(source: Source, framing: Framing, keep_sent: bool) -> Self {
        Self {
            source,
            source_ended: framing.is_empty(),
            chunk_open: false,
            progress: Progress::Running,
            sent: keep_sent.then(VecDeque::new),
            sent_bytes: 0,
        }
    }
}

impl Relay<'_, '_> {
    /// Takes pieces from the source and hands them to the upstream as far as both allow.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while self.upload.progress == Progress::Running {
            let had_room = self.upstream.output.has_room();
            if had_room && !self.upload.source_ended {
                let nothing_came = self.poll_source(cx)?.is_pending();
                if nothing_came && self.upstream.output.is_empty() {
                    return Ok(());
                }
            }
            match self.upstream.poll_write(cx) {
                Poll::Pending => {
                    self.waits.blocked(Wait::UpstreamSend);
                    return Ok(());
                }
                // The answer that explains it may be waiting to be read.
                Poll::Ready(Err(_)) => self.upload.progress = Progress::Broken,
                Poll::Ready(Ok(0)) if self.upload.source_ended => self.note_sent(),
                Poll::Ready(Ok(_)) => self.waits.progress(Wait::UpstreamSend),
            }
        }
        Ok(())
    }

    fn note_sent(&mut self) {
        self.upload.progress = Progress::Done;
        self.passage.marks.upstream_send_last_ns = Some(self.terms.clock.now_ns());
    }

    /// Takes one step from the source.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        match &mut self.upload.source {
            Source::Client => return self.poll_client_body(cx),
            Source::Replay(pieces) => match pieces.pop_front() {
                Some(piece) => self.forward(piece),
                None => self.upload.source = Source::Client,
            },
            Source::Spool(reader, reading) => {
                let mut running = reading.take().or_else(|| reader.take().map(read_spool));
                let polled = running.as_mut().map(|running| running.as_mut().poll(cx));
                match polled {
                    Some(Poll::Pending) => {
                        *reading = running;
                        return Ok(Poll::Pending);
                    }
                    Some(Poll::Ready((back, Ok(Some(piece))))) => {
                        *reader = Some(back);
                        self.forward(piece);
                    }
                    Some(Poll::Ready((_, Ok(None)))) | None => self.end_source(),
                    Some(Poll::Ready((_, Err(_)))) => return Err(Failure::Edge),
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_client_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let step = match self.client.poll_body(cx) {
            Poll::Ready(step) => step,
            Poll::Pending => {
                self.waits.blocked(Wait::ClientBody);
                return Ok(Poll::Pending);
            }
        };
        self.waits.progress(Wait::ClientBody);
        match step {
            Ok(BodyStep::Announced(bytes)) => {
                let total = self.passage.request_body_bytes.saturating_add(bytes);
                check_size(total, self.terms.limits, self.passage)?;
            }
            Ok(BodyStep::Piece(piece)) => {
                take_piece(self.passage, &piece, self.client.body_is_done(), self.terms.clock);
                check_size(self.passage.request_body_bytes, self.terms.limits, self.passage)?;
                self.forward(piece);
            }
            Ok(BodyStep::End) => {
                note_body_done(self.passage, self.terms.clock);
                self.end_source();
            }
            Err(BodyError::Gone) => return Err(Failure::ClientGone),
            Err(BodyError::Malformed) => return Err(Failure::ClientMalformed),
        }
        Ok(Poll::Ready(()))
    }

    /// Gives a piece to the upstream's output, in the framing it was told.
    fn forward(&mut self, piece: Bytes) {
        self.keep(&piece);
        if self.terms.framing == Framing::Chunked {
            let end = if std::mem::replace(&mut self.upload.chunk_open, true) { "\r\n" } else { "" };
            let _ = write!((&mut self.upstream.output.text).writer(), "{end}{:x}\r\n", piece.len());
        }
        self.upstream.output.piece = piece;
        // What is the last piece is known; nothing more needs to be asked for.
        if matches!(self.upload.source, Source::Client)
            && self.client.body_is_done()
            && self.terms.framing != Framing::Chunked
        {
            self.upload.source_ended = true;
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        self.upload.sent_bytes += piece.len();
        match &mut self.upload.sent {
            Some(sent) if self.upload.sent_bytes <= REPLAY_BYTES_MAX => sent.push_back(piece.clone()),
            sent => *sent = None,
        }
    }

    fn end_source(&mut self) {
        self.upload.source_ended = true;
        if self.terms.framing == Framing::Chunked {
            let end: &[u8] = if self.upload.chunk_open { b"\r\n0\r\n" } else { b"0\r\n" };
            let text = &mut self.upstream.output.text;
            text.put_slice(end);
            text.put_slice(self.client.request_trailers());
            text.put_slice(b"\r\n");
        }
    }
}

fn read_spool(mut reader: spool::Reader) -> Reading {
    Box::pin(async move {
        let piece = reader.next().await;
        (reader, piece)
    })
}
