//! What one request leaves behind: marks on the clock while it runs, an observation when it is over.

use std::sync::Arc;

use kingtide_common::exchange::{AnsweredBy, Ending, PacingPoint};
use kingtide_common::stages::Instants;
use pingora_http::{RequestHeader, ResponseHeader};

use super::body::{BodyCollector, Bounds, RawBody};
use super::budget::Reservation;
use super::pacing::PacingCurve;
use crate::accept::ConnectionMeter;

/// Instants of a request, nanoseconds of the process's clock; `None` = not reached.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_field_names, reason = "units end the name")]
pub(crate) struct Marks {
    /// First byte of the request.
    pub(crate) started_ns: u64,
    pub(crate) head_done_ns: Option<u64>,
    pub(crate) body_first_ns: Option<u64>,
    pub(crate) body_done_ns: Option<u64>,
    pub(crate) upstream_pick_ns: Option<u64>,
    pub(crate) upstream_connected_ns: Option<u64>,
    pub(crate) upstream_send_first_ns: Option<u64>,
    pub(crate) upstream_send_last_ns: Option<u64>,
    pub(crate) response_head_ns: Option<u64>,
    pub(crate) response_last_ns: Option<u64>,
    pub(crate) client_send_first_ns: Option<u64>,
    pub(crate) client_send_last_ns: Option<u64>,
    pub(crate) done_ns: Option<u64>,
}

impl Marks {
    /// Microseconds since the first byte.
    pub(crate) fn instants(&self) -> Instants {
        let since = |at_ns: Option<u64>| at_ns.map(|at_ns| at_ns.saturating_sub(self.started_ns) / 1000);
        Instants {
            head_done_us: since(self.head_done_ns),
            body_first_us: since(self.body_first_ns),
            body_done_us: since(self.body_done_ns),
            upstream_pick_us: since(self.upstream_pick_ns),
            upstream_connected_us: since(self.upstream_connected_ns),
            upstream_send_first_us: since(self.upstream_send_first_ns),
            upstream_send_last_us: since(self.upstream_send_last_ns),
            response_head_us: since(self.response_head_ns),
            response_last_us: since(self.response_last_ns),
            client_send_first_us: since(self.client_send_first_ns),
            client_send_last_us: since(self.client_send_last_ns),
            done_us: since(self.done_ns),
        }
    }
}

/// The bodies of a request while it runs.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) id: u64,
    bounds: Arc<Bounds>,
    request: Option<BodyCollector>,
    response: Option<BodyCollector>,
    pacing: PacingCurve,
}

/// The bodies of a request that is over.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    pub(crate) request: RawBody,
    pub(crate) request_bytes: u64,
    pub(crate) response: RawBody,
    pub(crate) response_bytes: u64,
    pub(crate) pacing: Vec<PacingPoint>,
}

impl Recording {
    pub(super) fn new(id: u64, bounds: Arc<Bounds>) -> Self {
        Self { id, bounds, request: None, response: None, pacing: PacingCurve::default() }
    }

    /// Headers are complete: what their body is to be taken for.
    pub(crate) fn begin_request(&mut self, header: &RequestHeader) {
        self.request = Some(collector(&header.headers, &self.bounds));
    }

    pub(crate) fn begin_response(&mut self, header: &ResponseHeader) {
        self.response = Some(collector(&header.headers, &self.bounds));
    }

    /// A piece of the request body arrived `at_us` after the headers.
    pub(crate) fn request_piece(&mut self, piece: &[u8], at_us: u64) {
        if let Some(collector) = &mut self.request {
            collector.take(piece);
            self.pacing.note(at_us, collector.bytes());
        }
    }

    pub(crate) fn response_piece(&mut self, piece: &[u8]) {
        if let Some(collector) = &mut self.response {
            collector.take(piece);
        }
    }

    /// The exchange is over; a body is whole when its end was seen.
    pub(crate) fn finish(self, request_whole: bool, response_whole: bool) -> Bodies {
        let bytes = |collector: &Option<BodyCollector>| collector.as_ref().map_or(0, BodyCollector::bytes);
        let (request_bytes, response_bytes) = (bytes(&self.request), bytes(&self.response));
        let finish =
            |collector: Option<BodyCollector>, whole| collector.map_or(RawBody::Empty, |c| c.finish(whole));
        Bodies {
            request: finish(self.request, request_whole),
            request_bytes,
            response: finish(self.response, response_whole),
            response_bytes,
            pacing: self.pacing.into_points(),
        }
    }
}

fn collector(headers: &http::HeaderMap, bounds: &Bounds) -> BodyCollector {
    let text = |name: http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    BodyCollector::new(text(http::header::CONTENT_TYPE), text(http::header::CONTENT_ENCODING), bounds)
}

/// An exchange that is over, as raw as it was: redaction happens on the writer's thread.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) id: u64,
    pub(crate) connection: Arc<ConnectionMeter>,
    pub(crate) marks: Marks,
    pub(crate) route: Arc<str>,
    pub(crate) upstream_reused: bool,
    pub(crate) request: Box<RequestHeader>,
    pub(crate) request_body: RawBody,
    pub(crate) request_body_bytes: u64,
    pub(crate) pacing: Vec<PacingPoint>,
    pub(crate) response: Option<Box<ResponseHeader>>,
    pub(crate) response_body: RawBody,
    pub(crate) response_body_bytes: u64,
    pub(crate) answered_by: AnsweredBy,
    pub(crate) ending: Ending,
    /// Its share of the memory budget.
    pub(crate) held: Option<Reservation>,
}

impl Observation {
    /// Bytes of header names and values.
    pub(crate) fn header_bytes(&self) -> u64 {
        let response = self.response.iter().flat_map(|response| &response.headers);
        let headers = self.request.headers.iter().chain(response);
        headers.map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
    }
}
