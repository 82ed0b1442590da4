//! The edge: Pingora's phases, each a few lines that note an instant and delegate.
//!
//! Traps of Pingora 0.9 that this file goes round: keep-alive is infinite unless set, and setting it where
//! it is off would undo the close after a smuggling attempt; `Expect` is answered here, or a silent
//! backend would leave the client waiting; errors map to 502 for timeouts too unless mapped here.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kingtide_common::exchange::{AnsweredBy, Ending};
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use crate::accept::ConnectionMeter;
use crate::clock::Clock;
use crate::config::Timeouts;
use crate::rejection;
use crate::tap::{Marks, Observation, Recording, Tap};
use crate::upstream::Routes;

/// The proxy's logic, shared by all connections.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) routes: Routes,
    pub(crate) timeouts: Timeouts,
    pub(crate) clock: Clock,
    /// `None` when nothing is recorded.
    pub(crate) tap: Option<Arc<Tap>>,
}

/// One request on its way through.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    marks: Marks,
    connection: Option<Arc<ConnectionMeter>>,
    recording: Option<Recording>,
    route: Option<Arc<str>>,
    upstream_reused: bool,
    /// Bytes of the request body that came by, each once.
    body_bytes: u64,
    /// Bytes that come by again because another attempt at the upstream begins with them.
    replayed_bytes: u64,
}

impl Edge {
    fn begin(&self, session: &mut Session, passage: &mut Passage) {
        let now_ns = self.clock.now_ns();
        passage.connection = session.digest().and_then(ConnectionMeter::of);
        let first_read_ns = passage.connection.as_ref().and_then(|meter| meter.request_first_read_ns());
        passage.marks.started_ns = first_read_ns.unwrap_or(now_ns);
        passage.marks.head_done_ns = Some(now_ns);
        if session.is_body_empty() {
            passage.marks.body_done_ns = Some(now_ns);
        }
        let header = session.req_header();
        passage.recording = self.tap.as_ref().and_then(|tap| tap.begin(header.uri.path()));
        if let Some(recording) = &mut passage.recording {
            recording.begin_request(header);
        }
    }

    fn set_client_timeouts(&self, session: &mut Session) {
        session.set_read_timeout(Some(self.timeouts.client_body.0));
        session.set_write_timeout(Some(self.timeouts.send.0));
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(self.timeouts.keepalive.0.as_secs().max(1)));
        }
    }
}

fn observe(session: &Session, error: Option<&Error>, passage: &mut Passage) -> Option<Observation> {
    let (recording, connection) = (passage.recording.take()?, passage.connection.clone()?);
    let (marks, response) = (passage.marks, session.response_written());
    let id = recording.id;
    let bodies = recording.finish(marks.body_done_ns.is_some(), marks.response_last_ns.is_some());
    Some(Observation {
        id,
        connection,
        marks,
        route: passage.route.clone().unwrap_or_else(|| "".into()),
        upstream_reused: passage.upstream_reused,
        request: Box::new(session.req_header().clone()),
        request_body: bodies.request,
        request_body_bytes: bodies.request_bytes,
        pacing: bodies.pacing,
        response: response.cloned().map(Box::new),
        response_body: bodies.response,
        response_body_bytes: bodies.response_bytes,
        answered_by: answered_by(response.is_some(), &marks, error),
        ending: error.map_or(Ending::Complete, rejection::ending),
        held: None,
    })
}

fn answered_by(answered: bool, marks: &Marks, error: Option<&Error>) -> AnsweredBy {
    let refused = error.is_some_and(|error| matches!(error.etype(), ErrorType::HTTPStatus(_)));
    match (answered, marks.response_head_ns.is_some()) {
        (false, _) => AnsweredBy::Nobody,
        (true, true) => AnsweredBy::Upstream,
        (true, false) if refused => AnsweredBy::EdgeLimit,
        (true, false) => AnsweredBy::EdgeError,
    }
}

impl Passage {
    /// Pingora hands what it kept of the body to each new attempt; it is not to be recorded twice.
    fn begin_attempt(&mut self, now_ns: u64) {
        self.marks.upstream_pick_ns = Some(now_ns);
        self.replayed_bytes = self.body_bytes;
    }

    /// The part of a piece that came by for the first time.
    fn fresh_part(&mut self, piece: &Bytes) -> Bytes {
        let again = piece.len().min(usize::try_from(self.replayed_bytes).unwrap_or(usize::MAX));
        let fresh = piece.slice(again..);
        self.replayed_bytes -= again as u64;
        self.body_bytes += fresh.len() as u64;
        fresh
    }

    fn take_piece(&mut self, piece: &Bytes, now_ns: u64) {
        let fresh = self.fresh_part(piece);
        if fresh.is_empty() {
            return;
        }
        self.marks.body_first_ns.get_or_insert(now_ns);
        let at_us = now_ns.saturating_sub(self.marks.head_done_ns.unwrap_or(now_ns)) / 1000;
        if let Some(recording) = &mut self.recording {
            recording.request_piece(&fresh, at_us);
        }
    }

    fn note_client_writes(&mut self) {
        if let Some((first_ns, last_ns)) =
            self.connection.as_ref().and_then(|meter| meter.response_written_ns())
        {
            self.marks.client_send_first_ns = Some(first_ns);
            self.marks.client_send_last_ns = Some(last_ns);
        }
    }

    /// An answer without a body has its last byte in its head.
    fn note_empty_answer(&mut self, error: Option<&Error>) {
        if error.is_none() {
            self.marks.response_last_ns = self.marks.response_last_ns.or(self.marks.response_head_ns);
        }
    }

    /// The connection is free for the next request; its first byte will count from here.
    fn release_connection(&self) {
        if let Some(meter) = &self.connection {
            meter.begin_idle(self.marks.body_done_ns.is_some());
        }
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Passage;

    fn new_ctx(&self) -> Passage {
        Passage::default()
    }

    async fn early_request_filter(&self, session: &mut Session, passage: &mut Passage) -> Result<()> {
        self.begin(session, passage);
        self.set_client_timeouts(session);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, passage: &mut Passage) -> Result<bool> {
        let header = session.req_header();
        let Some(route) = self.routes.find(host(header), header.uri.path()) else {
            return Err(Error::new_in(ErrorType::HTTPStatus(rejection::NO_ROUTE)));
        };
        passage.route = Some(Arc::clone(&route.name));
        if header.headers.contains_key(http::header::EXPECT) {
            session.write_continue_response().await?;
        }
        if let Some(meter) = &passage.connection {
            meter.begin_response();
        }
        Ok(false)
    }

    async fn upstream_peer(&self, session: &mut Session, passage: &mut Passage) -> Result<Box<HttpPeer>> {
        passage.begin_attempt(self.clock.now_ns());
        let header = session.req_header();
        let route = self.routes.find(host(header), header.uri.path());
        let route = route.ok_or_else(|| Error::new_in(ErrorType::HTTPStatus(rejection::NO_ROUTE)))?;
        Ok(Box::new(self.routes.peer(route)))
    }

    /// Nothing was sent, so the next peer may be tried whatever the method.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        _passage: &mut Passage,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(true);
        error
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        passage: &mut Passage,
    ) -> Result<()> {
        passage.marks.upstream_connected_ns = Some(self.clock.now_ns());
        passage.upstream_reused = reused;
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        passage: &mut Passage,
    ) -> Result<()> {
        let now_ns = self.clock.now_ns();
        passage.marks.upstream_send_first_ns = Some(now_ns);
        if passage.marks.body_done_ns.is_some() {
            passage.marks.upstream_send_last_ns = Some(now_ns);
        }
        request.remove_header(&http::header::EXPECT);
        forward_headers(session, request)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        passage: &mut Passage,
    ) -> Result<()> {
        let now_ns = self.clock.now_ns();
        if let Some(piece) = body {
            passage.take_piece(piece, now_ns);
        }
        if end_of_stream {
            passage.marks.body_done_ns.get_or_insert(now_ns);
            passage.marks.upstream_send_last_ns.get_or_insert(now_ns);
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        passage: &mut Passage,
    ) -> Result<()> {
        if !response.status.is_informational() {
            passage.marks.response_head_ns = Some(self.clock.now_ns());
            if let Some(recording) = &mut passage.recording {
                recording.begin_response(response);
            }
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        passage: &mut Passage,
    ) -> Result<Option<std::time::Duration>> {
        if let (Some(piece), Some(recording)) = (body.as_ref(), &mut passage.recording) {
            recording.response_piece(piece);
        }
        if end_of_stream {
            passage.marks.response_last_ns = Some(self.clock.now_ns());
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _passage: &mut Passage,
    ) -> FailToProxy {
        let status = rejection::status(error);
        if let Some(status) = status
            && session.response_written().is_none()
            && let Err(error) = session.respond_error(status).await
        {
            tracing::debug!(%error, "the client could not be told");
        }
        FailToProxy { error_code: status.unwrap_or(0), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, passage: &mut Passage) {
        passage.note_client_writes();
        passage.note_empty_answer(error);
        passage.marks.done_ns = Some(self.clock.now_ns());
        passage.release_connection();
        if let (Some(tap), Some(observation)) = (&self.tap, observe(session, error, passage)) {
            tap.offer(observation);
        }
    }
}

fn host(header: &RequestHeader) -> &str {
    let named = header.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| header.uri.host()).unwrap_or_default()
}

/// Tells the backend who the client is and what it asked for, as Nginx is usually set up to.
fn forward_headers(session: &Session, request: &mut RequestHeader) -> Result<()> {
    let client =
        session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip().to_string());
    if let Some(client) = client {
        let before = request.headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
        let chain = before.map_or_else(|| client.clone(), |before| format!("{before}, {client}"));
        request.insert_header("X-Forwarded-For", chain)?;
        request.insert_header("X-Real-IP", client)?;
    }
    request.insert_header("X-Forwarded-Host", host(session.req_header()).to_owned())?;
    request.insert_header("X-Forwarded-Proto", "http")
}
