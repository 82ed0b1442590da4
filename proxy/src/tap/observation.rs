//! What one request leaves to the capture: its bodies while it runs, an observation when it is over.

use std::sync::Arc;

use kingtide_common::body::budget::Reservation;
use kingtide_common::body::{BodyCollector, Bounds, RawBody};
use kingtide_common::exchange::PacingPoint;
use kingtide_common::pacing::PacingCurve;

use super::Tap;
use crate::message::Fields;
use crate::passage::Passage;

/// The bodies of a request while it runs.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) id: u64,
    /// Where it goes when it is over.
    tap: Arc<Tap>,
    request: BodyCollector,
    response: Option<BodyCollector>,
    pacing: PacingCurve,
}

/// The bodies of a request that is over.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    pub(crate) request: RawBody,
    pub(crate) response: RawBody,
    pub(crate) pacing: Vec<PacingPoint>,
}

impl Recording {
    /// Headers are complete: what their body is to be taken for.
    pub(super) fn new(id: u64, tap: Arc<Tap>, fields: &Fields) -> Self {
        let request = collector(fields, &tap.bounds);
        Self { id, tap, request, response: None, pacing: PacingCurve::default() }
    }

    pub(crate) fn begin_response(&mut self, fields: &Fields) {
        self.response = Some(collector(fields, &self.tap.bounds));
    }

    /// A piece of the request body arrived `at_us` after the headers.
    pub(crate) fn request_piece(&mut self, piece: &[u8], at_us: u64) {
        self.request.take(piece);
        self.pacing.note(at_us, self.request.bytes());
    }

    pub(crate) fn response_piece(&mut self, piece: &[u8]) {
        if let Some(collector) = &mut self.response {
            collector.take(piece);
        }
    }

    /// The exchange is over; a body is whole when its end was seen.
    fn finish(self, request_whole: bool, response_whole: bool) -> Bodies {
        Bodies {
            request: self.request.finish(request_whole),
            response: self.response.map_or(RawBody::Empty, |collector| collector.finish(response_whole)),
            pacing: self.pacing.into_points(),
        }
    }
}

fn collector(fields: &Fields, bounds: &Bounds) -> BodyCollector {
    BodyCollector::new(fields.text("content-type"), fields.text("content-encoding"), bounds)
}

/// An exchange that is over, as raw as it was: redaction happens on the writer's thread.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) id: u64,
    pub(crate) passage: Box<Passage>,
    pub(crate) bodies: Bodies,
    /// Its share of the memory budget.
    pub(crate) held: Option<Reservation>,
}

impl Observation {
    /// With the tap that it is for; `None` for what is not captured.
    pub(crate) fn of(mut passage: Passage) -> Option<(Arc<Tap>, Self)> {
        let recording = passage.recording.take()?;
        let tap = Arc::clone(&recording.tap);
        let marks = &passage.marks;
        let (id, whole) = (recording.id, (marks.body_done_ns.is_some(), marks.response_last_ns.is_some()));
        let bodies = recording.finish(whole.0, whole.1);
        Some((tap, Self { id, passage: Box::new(passage), bodies, held: None }))
    }

    /// Bytes of both heads.
    pub(crate) fn header_bytes(&self) -> u64 {
        let response = self.passage.response.as_ref();
        self.passage.request.fields.bytes() + response.map_or(0, |response| response.fields.bytes())
    }
}
