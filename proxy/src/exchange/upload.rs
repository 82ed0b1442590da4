//! Request buffering: the upload is read whole before the upstream is opened.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use tokio::time::Instant;

use super::Ends;
use crate::config::Limits;
use crate::downstream::{BodyError, BodyStep};
use crate::relay::{Failure, Wait, Waits, check_size, note_body_done, take_piece};
use crate::spool::{SpoolError, Upload};

/// What is looked at of a streamed body before the upstream is opened.
const HELD_BYTES_MAX: u64 = 64 << 10;

impl Ends<'_, '_> {
    pub(super) async fn spool_upload(&mut self, limits: &Limits, memory: usize) -> Result<Upload, Failure> {
        let clock = self.worker.shared.clock;
        let mut upload = self.worker.shared.spool.upload(memory);
        loop {
            match self.next_step(limits).await? {
                BodyStep::Announced(bytes) => {
                    let total = self.passage.request_body_bytes.saturating_add(bytes);
                    check_size(total, limits, self.passage)?;
                }
                BodyStep::Piece(piece) => {
                    take_piece(self.passage, &piece, self.client.body_is_done(), clock);
                    check_size(self.passage.request_body_bytes, limits, self.passage)?;
                    upload.push(&piece).await.map_err(|error| failed(&error))?;
                }
                BodyStep::End => {
                    note_body_done(self.passage, clock);
                    return Ok(upload);
                }
            }
        }
    }

    /// What of a chunked body has come with its head: a body that is broken or too large from the start costs
    /// the upstream no connection, as with Nginx.
    pub(super) async fn take_held(&mut self, limits: &Limits) -> Result<Option<VecDeque<Bytes>>, Failure> {
        let clock = self.worker.shared.clock;
        let (mut held, begun_with) = (VecDeque::new(), self.passage.request_body_bytes);
        while self.passage.request_body_bytes - begun_with < HELD_BYTES_MAX
            && let Some(step) = poll_fn(|cx| Poll::Ready(self.client.poll_held(cx))).await
        {
            match step.map_err(|_| Failure::ClientMalformed)? {
                BodyStep::Announced(bytes) => {
                    let total = self.passage.request_body_bytes.saturating_add(bytes);
                    check_size(total, limits, self.passage)?;
                }
                BodyStep::Piece(piece) => {
                    take_piece(self.passage, &piece, self.client.body_is_done(), clock);
                    check_size(self.passage.request_body_bytes, limits, self.passage)?;
                    held.push_back(piece);
                }
                BodyStep::End => {
                    note_body_done(self.passage, clock);
                    break;
                }
            }
        }
        Ok(Some(held).filter(|held| !held.is_empty()))
    }

    /// Tells the client to go on with its body.
    pub(super) async fn send_continue(&mut self) -> Result<(), Failure> {
        if !self.client.send_continue() {
            return Ok(());
        }
        poll_fn(|cx| {
            loop {
                match self.client.poll_send(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                }
            }
        })
        .await
    }

    /// The next of the body, within `client_body_timeout`.
    async fn next_step(&mut self, limits: &Limits) -> Result<BodyStep, Failure> {
        let mut waits = Waits::default();
        poll_fn(|cx| {
            loop {
                match self.client.poll_body(cx) {
                    Poll::Ready(Ok(step)) => return Poll::Ready(Ok(step)),
                    Poll::Ready(Err(BodyError::Gone)) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Ready(Err(BodyError::Malformed)) => {
                        return Poll::Ready(Err(Failure::ClientMalformed));
                    }
                    Poll::Pending => {}
                }
                waits.begin_pass();
                waits.blocked(Wait::ClientBody);
                let now = Instant::now();
                waits.end_pass(now);
                if let Some(wait) = waits.expired(limits, now, &mut self.passage.would_refuse) {
                    return Poll::Ready(Err(Failure::ClientTimeout(wait.limit())));
                }
                let deadline = waits.next_deadline(limits, self.passage.would_refuse);
                if self.timer.poll(deadline, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

fn failed(error: &SpoolError) -> Failure {
    tracing::error!(%error, "an upload cannot be spooled; it is answered 500");
    Failure::Edge
}
