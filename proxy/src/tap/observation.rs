//! What one request leaves to the capture: its bodies while it runs, an observation when it is over.

use std::sync::Arc;

use kingtide_common::body::budget::Reservation;
use kingtide_common::body::{BodyCollector, Bounds, RawBody};
use kingtide_common::exchange::PacingPoint;
use kingtide_common::pacing::PacingCurve;

use super::Tap;
use super::door::Standing;
use super::users::{Issued, may_issue};
use crate::message::Fields;
use crate::passage::Passage;

/// The bodies of a request while it runs.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) id: u64,
    /// Where it goes when it is over.
    tap: Arc<Tap>,
    standing: Standing,
    /// Of the process's clock.
    started_ns: u64,
    /// Its answer is looked at, whatever its fate: it may tell whose later requests are.
    may_issue: bool,
    /// The credentials in its answer.
    issued: Vec<Issued>,
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
    /// Headers are complete: what their body is to be taken for. Of who is left out nothing is kept.
    pub(super) fn new(id: u64, tap: Arc<Tap>, standing: Standing, passage: &Passage) -> Self {
        let fields = &passage.request.fields;
        let request =
            if standing.fate.is_recorded() { collector(fields, &tap.bounds) } else { nothing(&tap.bounds) };
        let may_issue = may_issue(&passage.request);
        let (response, issued, pacing) = (None, Vec::new(), PacingCurve::default());
        let started_ns = passage.marks.started_ns;
        Self { id, tap, standing, started_ns, may_issue, issued, request, response, pacing }
    }

    pub(crate) fn begin_response(&mut self, fields: &Fields) {
        let cookies = self.tap.door.users.issued_by_head(fields);
        self.note_issued(cookies);
        if self.standing.fate.is_recorded() || self.may_issue {
            self.response = Some(collector(fields, &self.tap.bounds));
        }
    }

    /// The client does not have them yet: whoever shows one from now on is known.
    fn note_issued(&mut self, credentials: Vec<Issued>) {
        if let Some(first) = credentials.first() {
            self.tap.know_by(first.key, &mut self.standing);
            self.tap.inherit(&credentials, self.standing.fate, self.started_ns);
            self.issued.extend(credentials);
        }
    }

    /// A piece of the request body arrived `at_us` after the headers.
    pub(crate) fn request_piece(&mut self, piece: &[u8], at_us: u64) {
        self.request.take(piece);
        if self.standing.fate.is_recorded() {
            self.pacing.note(at_us, self.request.bytes());
        }
    }

    pub(crate) fn response_piece(&mut self, piece: &[u8]) {
        let Some(collector) = &mut self.response else { return };
        collector.take(piece);
        if self.may_issue
            && let Some(text) = collector.plain_text()
        {
            let tokens = self.tap.door.users.issued_by_text(text);
            self.note_issued(tokens);
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

/// Takes nothing but the size.
fn nothing(bounds: &Bounds) -> BodyCollector {
    BodyCollector::new(None, None, bounds)
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
    pub(super) standing: Standing,
    /// The credentials in its answer.
    pub(super) issued: Vec<Issued>,
    /// Its share of the memory budget.
    pub(crate) held: Option<Reservation>,
}

impl Observation {
    /// With the tap that it is for; `None` for what is not captured.
    pub(crate) fn of(mut passage: Passage) -> Option<(Arc<Tap>, Self)> {
        let mut recording = passage.recording.take()?;
        let tap = Arc::clone(&recording.tap);
        let marks = &passage.marks;
        let (id, standing) = (recording.id, recording.standing);
        let issued = std::mem::take(&mut recording.issued);
        let bodies = recording.finish(marks.body_done_ns.is_some(), marks.response_last_ns.is_some());
        Some((tap, Self { id, passage: Box::new(passage), bodies, standing, issued, held: None }))
    }

    /// Bytes of both heads.
    pub(crate) fn header_bytes(&self) -> u64 {
        let response = self.passage.response.as_ref();
        self.passage.request.fields.bytes() + response.map_or(0, |response| response.fields.bytes())
    }
}
