//! A request body that is made while it is sent: texts, and files synthesised at their exact size.
//!
//! It yields at most one piece at a time, so an upload in flight holds one piece and what hyper buffers,
//! never the body. With a pacing it yields no byte before the recorded curve did.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use kingtide_common::audio::AudioBody;

use super::pacing::Pacing;
use super::timer::{PreciseTimer, Sleep};
use crate::measure::distinct::Print;

/// Bytes handed on at once, at most.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// A stretch of a body.
#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Text(Bytes),
    File(AudioBody),
}

/// What a body consists of; cheap to clone, so that a request can be made again.
#[derive(Debug, Clone)]
pub(super) struct BodySource {
    segments: Rc<[Segment]>,
    pub(super) bytes: u64,
    pacing: Option<Rc<Pacing>>,
}

/// A body on its way. Its pacing begins when its first byte is asked for: after the headers.
#[derive(Debug)]
pub(super) struct ReplayBody {
    source: BodySource,
    segment: usize,
    /// Bytes of the current segment that went out.
    offset: u64,
    sent_bytes: u64,
    timer: PreciseTimer,
    began: Option<Instant>,
    sleep: Option<Sleep>,
}

impl Segment {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(file) => file.len(),
        }
    }

    pub(crate) fn piece(&self, offset: u64, bytes: usize) -> Bytes {
        match self {
            Self::Text(text) => {
                let start = usize::try_from(offset).expect("an offset inside a text in memory");
                text.slice(start..start + bytes)
            }
            Self::File(file) => {
                let mut piece = vec![0; bytes];
                file.copy_at(offset, &mut piece);
                piece.into()
            }
        }
    }
}

impl BodySource {
    pub(super) fn new(segments: Vec<Segment>) -> Self {
        let segments: Vec<Segment> = segments.into_iter().filter(|segment| segment.bytes() > 0).collect();
        let bytes = segments.iter().map(Segment::bytes).sum();
        Self { segments: segments.into(), bytes, pacing: None }
    }

    pub(super) fn paced(self, pacing: Option<Pacing>) -> Self {
        Self { pacing: pacing.map(Rc::new), ..self }
    }

    /// What tells its files from any other request's; `None` without files. Two variations of a file differ in
    /// its bytes from eight bytes on, so smaller ones do not count.
    pub(super) fn print(&self) -> Option<Print> {
        const TOLD_APART_BYTES_MIN: u64 = 8;
        let files = self.segments.iter().filter_map(|segment| match segment {
            Segment::File(file) if file.len() >= TOLD_APART_BYTES_MIN => Some((file.len(), file.variation())),
            _ => None,
        });
        let files: Vec<(u64, u64)> = files.collect();
        (!files.is_empty()).then(|| Print::of(files))
    }

    /// How long sending takes by itself, however fast the target is.
    pub(super) fn span(&self) -> Duration {
        self.pacing.as_ref().map_or(Duration::ZERO, |pacing| pacing.span())
    }

    pub(super) fn body(&self, timer: &PreciseTimer) -> ReplayBody {
        ReplayBody {
            source: self.clone(),
            segment: 0,
            offset: 0,
            sent_bytes: 0,
            timer: timer.clone(),
            began: None,
            sleep: None,
        }
    }
}

impl ReplayBody {
    fn left_bytes(&self) -> u64 {
        self.source.bytes - self.sent_bytes
    }

    /// Bytes that may go out now; sleeps until some may.
    fn poll_allowed(&mut self, context: &mut Context<'_>) -> Poll<u64> {
        let Some(pacing) = self.source.pacing.clone() else { return Poll::Ready(u64::MAX) };
        let began = *self.began.get_or_insert_with(Instant::now);
        loop {
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(Pin::new(sleep).poll(context));
                self.sleep = None;
            }
            let now_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let allowed = pacing.allowed_bytes(now_us).saturating_sub(self.sent_bytes);
            if allowed > 0 {
                return Poll::Ready(allowed);
            }
            let wake_us = pacing.wake_us(self.sent_bytes, now_us);
            self.sleep = Some(self.timer.sleep_until(began + Duration::from_micros(wake_us)));
        }
    }

    fn next_piece(&mut self, allowed_bytes: u64) -> Bytes {
        let segment = &self.source.segments[self.segment];
        let left = segment.bytes() - self.offset;
        let bytes = left.min(allowed_bytes).min(PIECE_BYTES as u64);
        let piece = segment.piece(self.offset, usize::try_from(bytes).expect("a piece is small"));
        self.sent_bytes += bytes;
        self.offset += bytes;
        if bytes == left {
            self.segment += 1;
            self.offset = 0;
        }
        piece
    }
}

impl http_body::Body for ReplayBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left_bytes() == 0 {
            return Poll::Ready(None);
        }
        let allowed = std::task::ready!(self.poll_allowed(context));
        Poll::Ready(Some(Ok(Frame::data(self.next_piece(allowed)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes())
    }
}
