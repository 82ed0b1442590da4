//! The answer's direction: from the upstream to the client.

use std::task::{Context, Poll};

use super::upload::Progress;
use super::{Done, Failure, Relay, Wait};
use crate::downstream::{AnswerHead, BodyStep};
use crate::http1::{BodyReader, answer};
use crate::message::ResponseHead;
use crate::server_timing;

/// Interim answers (100, 103) passed over of one upstream.
const INTERIM_MAX: usize = 64;

/// What is awaited of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerState {
    Head,
    Body,
    /// Nothing more from the upstream; the client takes what is left.
    Flush,
}

impl Relay<'_, '_> {
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Result<Poll<Done>, Failure> {
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
        let answer =
            AnswerHead { status: head.status, framing: head.framing, close: (self.terms.is_draining)() };
        // Before the request was whole nobody waited.
        let tells_waits = self.terms.tells_waits && self.upload.progress == Progress::Done;
        let waits = tells_waits.then(|| server_timing::of_waits(&self.passage.marks)).flatten();
        self.client.begin_answer(answer, |sink| {
            (self.terms.fields)(&head, sink);
            if let Some(waits) = &waits {
                sink.field(b"Server-Timing", waits.as_bytes());
            }
        });
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
        self.client.finish(self.answer_body.trailers());
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
                if self.upload.progress != Progress::Running {
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
        Done::Answered {
            reusable: keeps && self.upload.progress == Progress::Done && self.upstream.input.bytes.is_empty(),
        }
    }
}
