//! HTTP/2 towards clients: streams of one connection, each an exchange of its own.
//!
//! Framing, flow control and protection against floods are the `h2` crate's; what is ours is to give window
//! back only when bytes were forwarded, so that a slow upstream slows the client and nothing piles up.

mod head;
mod trailers;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, HeaderValue, Response};
use tokio::time::Instant;

use crate::config::Mode;
use crate::connection::Connection;
use crate::downstream::{AnswerHead, BodyError, BodyStep, Downstream, FieldSink};
use crate::exchange::{Ends, LocalAnswer, answered_by};
use crate::message::Framing;
use crate::passage::{Marks, Passage};
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::Worker;

/// What a client may send of one body before it was forwarded: a fast link is filled, and a connection
/// holds at most [`CONNECTION_WINDOW`].
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAMS_MAX: u32 = 128;
/// What is buffered of answers that the client does not take.
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// Where `client_header_timeout` does not close: a connection that never begins is not kept for ever.
const PREFACE_PATIENCE: Duration = Duration::from_hours(1);
/// After the drain began: how long a client has to see it.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, connection: Arc<Connection>, stream: Stream) {
    let site = worker.shared.site.load_full();
    let header_bytes = site.limits.large_client_header_buffers.value;
    let list_bytes = header_bytes.size.0.saturating_mul(header_bytes.count as u64);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(list_bytes).unwrap_or(u32::MAX));
    let handshake = builder.handshake::<_, Bytes>(stream);
    let limit = site.limits.client_header_timeout;
    let patience = if limit.mode == Mode::Enforce { limit.value.0 } else { PREFACE_PATIENCE };
    let Ok(Ok(mut http)) = tokio::time::timeout(patience, handshake).await else {
        return;
    };
    let idle_timeout = site.limits.keepalive_timeout.0;
    drop(site);
    let mut draining = worker.shared.draining.clone();
    let mut drain = pin!(async move { drop(draining.wait_for(|draining| *draining).await) });
    let (mut timer, mut drained) = (Timer::new(), false);
    let active = Rc::new(());
    let mut idle_since = Instant::now();
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(accepted) = http.poll_accept(cx) {
                return Poll::Ready(Some(accepted));
            }
            if !drained && drain.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let is_idle = Rc::strong_count(&active) == 1;
            if !is_idle {
                idle_since = Instant::now();
            }
            // A client that does not answer to its GOAWAY is not waited for.
            let patience = if drained { DRAIN_GRACE.min(idle_timeout) } else { idle_timeout };
            timer.poll(Some(idle_since + patience), cx).map(|()| None)
        });
        match next.await {
            Some(Some(Ok((request, respond)))) => {
                idle_since = Instant::now();
                let last = !may_ask_again(&worker, &connection);
                let (worker, connection) = (Rc::clone(&worker), Arc::clone(&connection));
                let active = Rc::clone(&active);
                tokio::task::spawn_local(async move {
                    exchange(&worker, connection, request, respond).await;
                    drop(active);
                });
                if last && !drained {
                    http.graceful_shutdown();
                    drained = true;
                }
            }
            Some(Some(Err(_)) | None) => return,
            None if !drained && worker.shared.is_draining() => {
                // GOAWAY announces the end; streams that are open, or on their way, are served.
                http.graceful_shutdown();
                drained = true;
            }
            None if Rc::strong_count(&active) == 1
                && idle_since.elapsed() >= idle_timeout.min(DRAIN_GRACE) =>
            {
                http.graceful_shutdown();
                if drained {
                    return;
                }
                drained = true;
            }
            None => idle_since = Instant::now(),
        }
    }
}

fn may_ask_again(worker: &Worker, connection: &Connection) -> bool {
    let limit = worker.shared.site.load().limits.keepalive_requests;
    connection.requests() + 1 < limit.value || limit.mode != Mode::Enforce
}

async fn exchange(
    worker: &Rc<Worker>,
    connection: Arc<Connection>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let site = worker.shared.site.load_full();
    let now_ns = worker.shared.clock.now_ns();
    let _in_flight = worker.shared.metrics.gauges.requests_in_flight.raise();
    let (parts, receive) = request.into_parts();
    let head = head::of(&parts, receive.is_end_stream());
    let mut timer = Timer::new();
    let mut client = Downstream::Http2(Box::new(Http2::new(receive, respond)));
    let (request, bad) = match head {
        Ok(head) => (head, false),
        Err(head::BadHead) => (crate::message::RequestHead::default(), true),
    };
    let body_done_ns = request.facts.framing.is_empty().then_some(now_ns);
    let marks = Marks { started_ns: now_ns, head_done_ns: Some(now_ns), body_done_ns, ..Marks::default() };
    let mut passage = Passage::new(connection, request, marks);
    let mut ends = Ends { worker, client: &mut client, passage: &mut passage, timer: &mut timer };
    // What the stream's end means for the connection is nothing: others go on.
    if bad {
        ends.answer(&LocalAnswer::status(400), &site.limits).await;
    } else {
        ends.run(&site).await;
    }
    passage.answered_by = answered_by(&passage);
    if let Downstream::Http2(mut client) = client {
        client.close(passage.status.is_some());
    }
    worker.finish(passage);
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Http2 {
    receive: RecvStream,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    piece: Bytes,
    end: End,
    /// Bytes of the request's body that were not forwarded yet.
    held: usize,
    body_ended: bool,
    /// Lines behind the request's body.
    request_trailers: Vec<u8>,
    /// Behind the answer's.
    answer_trailers: Option<http::HeaderMap>,
}

/// The answer's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Pieces may still come.
    Open,
    /// All were pushed; the client is still to be told.
    Reached,
    Told,
}

impl Http2 {
    fn new(receive: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self {
            receive,
            respond,
            send: None,
            piece: Bytes::new(),
            end: End::Open,
            held: 0,
            body_ended: false,
            request_trailers: Vec::new(),
            answer_trailers: None,
        }
    }

    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyStep, BodyError>> {
        let forwarded = std::mem::take(&mut self.held);
        if forwarded > 0 && self.receive.flow_control().release_capacity(forwarded).is_err() {
            return Poll::Ready(Err(BodyError::Gone));
        }
        match ready!(self.receive.poll_data(cx)) {
            Some(Ok(piece)) => {
                self.held = piece.len();
                Poll::Ready(Ok(BodyStep::Piece(piece)))
            }
            Some(Err(_)) => Poll::Ready(Err(BodyError::Gone)),
            None => {
                let Ok(trailers) = ready!(self.receive.poll_trailers(cx)) else {
                    return Poll::Ready(Err(BodyError::Gone));
                };
                self.request_trailers =
                    trailers.map(|trailers| trailers::lines(&trailers)).unwrap_or_default();
                self.body_ended = true;
                Poll::Ready(Ok(BodyStep::End))
            }
        }
    }

    /// Trailers may still lie behind a body that was received to its end.
    pub(crate) fn body_is_done(&self) -> bool {
        self.body_ended || self.receive.is_end_stream()
    }

    /// The connection's task sends it, so nothing is left to be sent here.
    pub(crate) fn send_continue(&mut self) -> bool {
        let mut interim = Response::new(());
        *interim.status_mut() = http::StatusCode::CONTINUE;
        // A stream that is gone already is noticed where its body is read.
        let _ = self.respond.send_informational(interim);
        false
    }

    pub(crate) fn request_trailers(&self) -> &[u8] {
        &self.request_trailers
    }

    pub(crate) fn begin_answer(&mut self, head: AnswerHead, fields: impl FnOnce(&mut dyn FieldSink)) {
        let mut answer = Response::new(());
        *answer.status_mut() =
            http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        fields(&mut MapSink(answer.headers_mut()));
        if let Framing::Length(bytes) = head.framing {
            answer.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        let is_whole = head.framing == Framing::None;
        self.send = self.respond.send_response(answer, is_whole).ok();
        self.end = if is_whole && self.send.is_some() { End::Told } else { End::Open };
    }

    pub(crate) fn has_room(&self) -> bool {
        self.piece.is_empty()
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.piece = piece;
    }

    pub(crate) fn finish(&mut self, trailers: &[u8]) {
        self.answer_trailers = Some(trailers::of_lines(trailers)).filter(|trailers| !trailers.is_empty());
        if self.end == End::Open {
            self.end = End::Reached;
        }
    }

    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let gone = |_| io::Error::from(io::ErrorKind::ConnectionReset);
        let Some(send) = &mut self.send else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        if self.piece.is_empty() {
            if self.end == End::Reached {
                match self.answer_trailers.take() {
                    Some(trailers) => send.send_trailers(trailers).map_err(gone)?,
                    None => send.send_data(Bytes::new(), true).map_err(gone)?,
                }
                self.end = End::Told;
            }
            return Poll::Ready(Ok(0));
        }
        send.reserve_capacity(self.piece.len());
        let granted = loop {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(granted) => break granted.map_err(gone)?,
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        };
        let part = self.piece.split_to(granted.min(self.piece.len()));
        let bytes = part.len();
        let is_last = self.piece.is_empty() && self.end == End::Reached && self.answer_trailers.is_none();
        send.send_data(part, is_last).map_err(gone)?;
        if is_last {
            self.end = End::Told;
        }
        Poll::Ready(Ok(bytes))
    }

    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.send {
            Some(send) => send.poll_reset(cx).map(drop),
            None => self.respond.poll_reset(cx).map(drop),
        }
    }

    /// The exchange is over: a stream whose answer is not whole is reset. One whose body is still coming is told
    /// to stop by `h2`, behind the answer: a reset from here would take the answer back out of the queue.
    fn close(&mut self, answered: bool) {
        if self.end == End::Told {
            return;
        }
        let reason = if answered { Reason::INTERNAL_ERROR } else { Reason::CANCEL };
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

struct MapSink<'m>(&'m mut http::HeaderMap);

impl FieldSink for MapSink<'_> {
    /// A field that HTTP/2 cannot carry is left out.
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            self.0.append(name, value);
        }
    }
}
