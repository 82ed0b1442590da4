//! Relay: one attempt at an upstream, both directions at once, on one task.
//!
//! The upload goes on while the answer already comes, as an early refusal does. Everything is polled in one
//! place, so that each timeout knows who is being waited for; reads and writes happen as soon as the other
//! side allows, and a piece of a body is held once.

mod waits;

pub(crate) use waits::{Wait, Waits};

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::{Limits, Mode};
use crate::downstream::{AnswerHead, BodyError, BodyStep, Downstream, FieldSink};
use crate::http1::{BodyReader, answer};
use crate::limits::LimitName;
use crate::message::{Framing, ResponseHead};
use crate::passage::Passage;
use crate::spool;
use crate::timer::Timer;
use crate::upstream::UpstreamConnection;

/// Interim answers (100, 103) passed over of one upstream.
const INTERIM_MAX: usize = 64;
/// What is kept of a streamed body so that it can go out again over a fresh connection.
const REPLAY_BYTES_MAX: usize = 64 << 10;

/// Why an attempt came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The client left.
    ClientGone,
    /// The client sent what is no body.
    ClientMalformed,
    /// The client was too slow in sending or taking.
    ClientTimeout(LimitName),
    /// The body is larger than allowed.
    TooLarge,
    /// The upstream closed, reset, or refused to take bytes.
    UpstreamClosed,
    /// What it sent is no answer.
    UpstreamMalformed,
    UpstreamTimeout(LimitName),
    /// Our own disk.
    Spool,
}

/// How an attempt ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// The answer was handed to the client; whether the upstream's connection can be used again.
    Answered { reusable: bool },
    /// 101: both sides speak something else from here.
    Upgraded,
}

type Reading = Pin<Box<dyn Future<Output = (spool::Reader, io::Result<Option<Bytes>>)>>>;

/// Where the body comes from.
pub(crate) enum Source {
    Client,
    /// What was sent before goes first.
    Replay(VecDeque<Bytes>),
    Spool(Option<spool::Reader>, Option<Reading>),
}

/// What the relay stands before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerState {
    Head,
    Body,
    Flush,
}

/// What the relay needs besides the two sides.
pub(crate) struct Terms<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) clock: Clock,
    /// Writes the answer's fields as the route wants them.
    pub(crate) fields: &'a dyn Fn(&ResponseHead, &mut dyn FieldSink),
    /// How the body goes to the upstream.
    pub(crate) framing: Framing,
    /// Keeps what was sent, so that it can be sent again.
    pub(crate) keep_sent: bool,
}

/// One attempt.
pub(crate) struct Relay<'a, 'c> {
    pub(crate) terms: Terms<'a>,
    pub(crate) client: &'a mut Downstream<'c>,
    pub(crate) upstream: &'a mut UpstreamConnection,
    pub(crate) passage: &'a mut Passage,
    pub(crate) timer: &'a mut Timer,
    source: Source,
    source_ended: bool,
    chunk_open: bool,
    upload_done: bool,
    upload_broken: bool,
    answer: AnswerState,
    answer_body: BodyReader,
    interim: usize,
    waits: Waits,
    /// What was sent of the body, as long as it may have to be sent again.
    sent: Option<VecDeque<Bytes>>,
    sent_bytes: usize,
}

impl<'a, 'c> Relay<'a, 'c> {
    pub(crate) fn new(
        terms: Terms<'a>,
        (client, upstream): (&'a mut Downstream<'c>, &'a mut UpstreamConnection),
        passage: &'a mut Passage,
        timer: &'a mut Timer,
        source: Source,
    ) -> Self {
        let sent = terms.keep_sent.then(VecDeque::new);
        let source_ended = terms.framing.is_empty();
        Self {
            terms,
            client,
            upstream,
            passage,
            timer,
            source,
            source_ended,
            chunk_open: false,
            upload_done: false,
            upload_broken: false,
            answer: AnswerState::Head,
            answer_body: BodyReader::Done,
            interim: 0,
            waits: Waits::default(),
            sent,
            sent_bytes: 0,
        }
    }

    /// Runs the attempt; what was kept of the body comes back for another one.
    pub(crate) async fn run(mut self) -> (Result<Done, Failure>, Option<VecDeque<Bytes>>) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        (ended, self.sent.take())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Done, Failure>> {
        loop {
            self.waits.begin_pass();
            self.poll_upload(cx)?;
            if let Poll::Ready(done) = self.poll_answer(cx)? {
                return Poll::Ready(Ok(done));
            }
            if self.client.body_is_done() && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            let now = Instant::now();
            self.waits.end_pass(now);
            let expired = self.waits.expired(self.terms.limits, now, &mut self.passage.would_refuse);
            if let Some(wait) = expired {
                return Poll::Ready(Err(timeout(wait)));
            }
            let deadline = self.waits.next_deadline(self.terms.limits, self.passage.would_refuse);
            if self.timer.poll(deadline, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Takes pieces from the source and hands them to the upstream as far as both allow.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while !self.upload_done && !self.upload_broken {
            let had_room = self.upstream.output.has_room();
            if had_room && !self.source_ended {
                match self.poll_source(cx)? {
                    Poll::Ready(()) => {}
                    Poll::Pending if self.upstream.output.is_empty() => return Ok(()),
                    Poll::Pending => {}
                }
            }
            match self.upstream.poll_write(cx) {
                Poll::Pending => {
                    self.waits.blocked(Wait::UpstreamSend);
                    return Ok(());
                }
                // The answer that explains it may be waiting to be read.
                Poll::Ready(Err(_)) => self.upload_broken = true,
                Poll::Ready(Ok(0)) if self.source_ended => self.note_sent(),
                Poll::Ready(Ok(_)) => self.waits.progress(Wait::UpstreamSend),
            }
        }
        Ok(())
    }

    fn note_sent(&mut self) {
        self.upload_done = true;
        self.passage.marks.upstream_send_last_ns = Some(self.terms.clock.now_ns());
    }

    /// Takes one step from the source.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        match &mut self.source {
            Source::Client => return self.poll_client_body(cx),
            Source::Replay(pieces) => match pieces.pop_front() {
                Some(piece) => self.forward(piece),
                None => self.source = Source::Client,
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
                    Some(Poll::Ready((_, Err(_)))) => return Err(Failure::Spool),
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
            let end = if std::mem::replace(&mut self.chunk_open, true) { "\r\n" } else { "" };
            let _ = write!((&mut self.upstream.output.text).writer(), "{end}{:x}\r\n", piece.len());
        }
        self.upstream.output.piece = piece;
        // What is the last piece is known; nothing more needs to be asked for.
        if matches!(self.source, Source::Client)
            && self.client.body_is_done()
            && self.terms.framing != Framing::Chunked
        {
            self.source_ended = true;
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        self.sent_bytes += piece.len();
        match &mut self.sent {
            Some(sent) if self.sent_bytes <= REPLAY_BYTES_MAX => sent.push_back(piece.clone()),
            sent => *sent = None,
        }
    }

    fn end_source(&mut self) {
        self.source_ended = true;
        if self.terms.framing == Framing::Chunked {
            let end: &[u8] = if self.chunk_open { b"\r\n0\r\n\r\n" } else { b"0\r\n\r\n" };
            self.upstream.output.text.put_slice(end);
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Result<Poll<Done>, Failure> {
        loop {
            let step = match self.answer {
                AnswerState::Head => self.poll_head(cx)?,
                AnswerState::Body => self.poll_answer_body(cx)?,
                AnswerState::Flush => match self.poll_client_send(cx)? {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => return Ok(Poll::Ready(self.answered())),
                },
            };
            match step {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(done)) => return Ok(Poll::Ready(done)),
                Poll::Ready(None) => {}
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Result<Poll<Option<Done>>, Failure> {
        let to_head_request = self.passage.request.method() == "HEAD";
        let head = answer::head(&self.upstream.input.bytes, to_head_request);
        let Some((head, bytes)) = head.map_err(|_| Failure::UpstreamMalformed)? else {
            return match self.poll_upstream_read(cx)? {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(0) => Err(Failure::UpstreamClosed),
                Poll::Ready(_) => Ok(Poll::Ready(None)),
            };
        };
        let _ = self.upstream.input.bytes.split_to(bytes);
        if head.status < 200 && head.status != 101 {
            self.interim += 1;
            return if self.interim > INTERIM_MAX {
                Err(Failure::UpstreamMalformed)
            } else {
                Ok(Poll::Ready(None))
            };
        }
        Ok(Poll::Ready(self.begin_answer(head)?))
    }

    fn begin_answer(&mut self, head: ResponseHead) -> Result<Option<Done>, Failure> {
        let now_ns = self.terms.clock.now_ns();
        self.passage.begin_response(&head, now_ns);
        let upgraded = head.status == 101;
        if upgraded && !self.passage.request.facts.is_websocket {
            return Err(Failure::UpstreamMalformed);
        }
        let answer = AnswerHead { status: head.status, framing: head.framing, close: false };
        self.client.begin_answer(answer, |sink| (self.terms.fields)(&head, sink));
        self.passage.status = Some(head.status);
        self.answer_body = BodyReader::new(head.framing);
        if head.framing.is_empty() {
            // Its last byte is that of its head.
            self.passage.marks.response_last_ns = Some(now_ns);
        }
        self.passage.response = Some(head);
        self.waits.progress(Wait::UpstreamRead);
        self.answer = AnswerState::Body;
        Ok(upgraded.then_some(Done::Upgraded))
    }

    /// Hands on what is there, then reads more.
    fn poll_answer_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<Option<Done>>, Failure> {
        if self.client.has_room() {
            let step = self.answer_body.step(&mut self.upstream.input.bytes);
            match step.map_err(|_| Failure::UpstreamMalformed)? {
                Some(BodyStep::Piece(piece)) => {
                    self.passage.take_answer_piece(&piece);
                    self.client.push(piece);
                    if self.answer_body.is_done() {
                        self.end_answer();
                    }
                    return self.poll_client_send(cx).map(|sent| sent.map(|()| None));
                }
                Some(BodyStep::Announced(_)) => return Ok(Poll::Ready(None)),
                Some(BodyStep::End) => {
                    self.end_answer();
                    return Ok(Poll::Ready(None));
                }
                None => {}
            }
        }
        if self.poll_client_send(cx)?.is_pending() {
            return Ok(Poll::Pending);
        }
        match self.poll_upstream_read(cx) {
            Ok(Poll::Pending) => Ok(Poll::Pending),
            Ok(Poll::Ready(0)) if self.answer_body.ends_with_connection() => {
                self.end_answer();
                Ok(Poll::Ready(None))
            }
            Ok(Poll::Ready(0)) => Err(Failure::UpstreamClosed),
            Ok(Poll::Ready(_)) => Ok(Poll::Ready(None)),
            Err(failure) => Err(failure),
        }
    }

    fn end_answer(&mut self) {
        if self.passage.marks.response_last_ns.is_none() {
            self.passage.marks.response_last_ns = Some(self.terms.clock.now_ns());
        }
        self.client.finish();
        self.answer = AnswerState::Flush;
    }

    /// Ready when the client has taken all there is.
    fn poll_client_send(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        loop {
            match self.client.poll_send(cx) {
                Poll::Pending => {
                    self.waits.blocked(Wait::ClientSend);
                    return Ok(Poll::Pending);
                }
                Poll::Ready(Err(_)) => return Err(Failure::ClientGone),
                Poll::Ready(Ok(0)) => return Ok(Poll::Ready(())),
                Poll::Ready(Ok(bytes)) => {
                    self.waits.progress(Wait::ClientSend);
                    self.passage.note_sent(bytes, self.terms.clock.now_ns());
                }
            }
        }
    }

    fn poll_upstream_read(&mut self, cx: &mut Context<'_>) -> Result<Poll<usize>, Failure> {
        match self.upstream.poll_read(cx) {
            Poll::Pending => {
                // Its time to answer begins when it has the whole request.
                if self.upload_done || self.upload_broken {
                    self.waits.blocked(Wait::UpstreamRead);
                }
                Ok(Poll::Pending)
            }
            Poll::Ready(Ok(bytes)) => {
                // A head has one time for all of it, however it comes.
                if self.answer != AnswerState::Head {
                    self.waits.progress(Wait::UpstreamRead);
                }
                Ok(Poll::Ready(bytes))
            }
            Poll::Ready(Err(_)) => Err(Failure::UpstreamClosed),
        }
    }

    fn answered(&self) -> Done {
        let keeps = self.passage.response.as_ref().is_some_and(|head| head.keep_alive);
        Done::Answered { reusable: keeps && self.upload_done && self.upstream.input.bytes.is_empty() }
    }
}

fn read_spool(mut reader: spool::Reader) -> Reading {
    Box::pin(async move {
        let piece = reader.next().await;
        (reader, piece)
    })
}

fn timeout(wait: Wait) -> Failure {
    match wait {
        Wait::ClientBody | Wait::ClientSend => Failure::ClientTimeout(wait.limit()),
        Wait::UpstreamSend | Wait::UpstreamRead => Failure::UpstreamTimeout(wait.limit()),
    }
}

/// A piece of the upload has come in.
pub(crate) fn take_piece(passage: &mut Passage, piece: &Bytes, is_last: bool, clock: Clock) {
    let now_ns = clock.now_ns();
    passage.take_piece(piece, now_ns);
    if is_last {
        passage.marks.body_done_ns.get_or_insert(now_ns);
    }
}

pub(crate) fn note_body_done(passage: &mut Passage, clock: Clock) {
    if passage.marks.body_done_ns.is_none() {
        passage.marks.body_done_ns = Some(clock.now_ns());
    }
}

/// `client_max_body_size`, against what was announced or received.
pub(crate) fn check_size(bytes: u64, limits: &Limits, passage: &mut Passage) -> Result<(), Failure> {
    let limit = limits.client_max_body_size;
    if bytes <= limit.value.0 {
        return Ok(());
    }
    match limit.mode {
        Mode::Enforce => Err(Failure::TooLarge),
        Mode::Shadow => {
            passage.would_refuse.insert(LimitName::ClientMaxBodySize);
            Ok(())
        }
        Mode::Off => Ok(()),
    }
}
