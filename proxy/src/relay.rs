//! Relay: one attempt at an upstream, both directions at once, on one task.
//!
//! The upload goes on while the answer already comes, as an early refusal does. Everything is polled in one
//! place, so that each timeout knows who is being waited for; reads and writes happen as soon as the other
//! side allows, and a piece of a body is held once.

mod answer;
mod upload;
mod waits;

pub(crate) use upload::Source;
pub(crate) use waits::{Wait, Waits};

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::{Limits, Mode};
use crate::downstream::{Downstream, FieldSink};
use crate::http1::BodyReader;
use crate::limits::LimitName;
use crate::message::{Framing, ResponseHead};
use crate::passage::Passage;
use crate::timer::Timer;
use crate::upstream::UpstreamConnection;
use answer::AnswerState;
use upload::Upload;

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
    /// Our own doing: the disk, descriptors, ports.
    Edge,
}

/// How an attempt ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// The answer was handed to the client; whether the upstream's connection can be used again.
    Answered { reusable: bool },
    /// 101: both sides speak something else from here.
    Upgraded,
}

/// What the relay needs besides the two sides.
pub(crate) struct Terms<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) clock: Clock,
    /// Writes the answer's fields as the route wants them.
    pub(crate) fields: &'a dyn Fn(&ResponseHead, &mut dyn FieldSink),
    /// How the body goes to the upstream.
    pub(crate) framing: Framing,
    /// Whether the process drains: the connection then ends with this answer.
    pub(crate) is_draining: &'a dyn Fn() -> bool,
    /// The answer tells in `Server-Timing` what the client waited for.
    pub(crate) tells_waits: bool,
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
    upload: Upload,
    answer: AnswerState,
    answer_body: BodyReader,
    interim: usize,
    waits: Waits,
}

impl<'a, 'c> Relay<'a, 'c> {
    pub(crate) fn new(
        terms: Terms<'a>,
        (client, upstream): (&'a mut Downstream<'c>, &'a mut UpstreamConnection),
        passage: &'a mut Passage,
        timer: &'a mut Timer,
        source: Source,
    ) -> Self {
        let upload = Upload::new(source, terms.framing, terms.keep_sent);
        Self {
            terms,
            client,
            upstream,
            passage,
            timer,
            upload,
            answer: AnswerState::Head,
            answer_body: BodyReader::Done,
            interim: 0,
            waits: Waits::default(),
        }
    }

    /// Runs the attempt; what was kept of the body comes back for another one.
    pub(crate) async fn run(mut self) -> (Result<Done, Failure>, Option<VecDeque<Bytes>>) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        (ended, self.upload.sent.take())
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
