//! One request on its way through the proxy, and what is known of it when it is over.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kingtide_common::exchange::{AnsweredBy, Ending};
use kingtide_common::stages::{Instants, Stage};

use crate::connection::Connection;
use crate::limits::{LimitName, LimitSet};
use crate::message::{RequestHead, ResponseHead};
use crate::tap::Recording;

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

/// One try at an upstream.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) peer: SocketAddr,
    pub(crate) picked_ns: u64,
    /// `None` when no connection came about.
    pub(crate) connected_ns: Option<u64>,
    /// `None` when no answer came.
    pub(crate) head_ns: Option<u64>,
    pub(crate) reused: bool,
    /// What the upstream answered; 502 or 504 where it did not.
    pub(crate) status: u16,
}

/// One request on its way through.
#[derive(Debug)]
pub(crate) struct Passage {
    pub(crate) connection: Arc<Connection>,
    /// Which request of its connection, from 1.
    pub(crate) number: u64,
    /// The client's address, also behind trusted proxies.
    pub(crate) client: IpAddr,
    /// It is believed what it says of itself.
    pub(crate) trusted: bool,
    pub(crate) request: RequestHead,
    /// Name of the route; empty before one was found.
    pub(crate) route: Arc<str>,
    pub(crate) marks: Marks,
    pub(crate) attempts: Vec<Attempt>,
    /// What the upstream answered.
    pub(crate) response: Option<ResponseHead>,
    /// What the client was answered; `None` when it got nothing.
    pub(crate) status: Option<u16>,
    pub(crate) answered_by: AnsweredBy,
    pub(crate) ending: Ending,
    pub(crate) refused_by: Option<LimitName>,
    pub(crate) would_refuse: LimitSet,
    /// Of the request's body, without transfer coding.
    pub(crate) request_body_bytes: u64,
    /// Of the answer's body, without transfer coding.
    pub(crate) response_body_bytes: u64,
    /// The answer with head and framing, as handed to the client's connection.
    pub(crate) bytes_sent: u64,
    /// `X-Request-Id`: 32 hexadecimal digits, or what a trusted client sent.
    pub(crate) request_id: String,
    /// `traceparent` towards the upstream.
    pub(crate) traceparent: String,
    /// The trace is the client's, and its `tracestate` goes on.
    pub(crate) trace_continued: bool,
    /// What the capture will hold of the bodies; `None` when it will not.
    pub(crate) recording: Option<Recording>,
}

impl Passage {
    pub(crate) fn new(connection: Arc<Connection>, request: RequestHead, marks: Marks) -> Self {
        Self {
            number: connection.count_request(),
            client: connection.client.ip(),
            trusted: false,
            connection,
            request,
            route: Arc::from(""),
            marks,
            attempts: Vec::new(),
            response: None,
            status: None,
            answered_by: AnsweredBy::Nobody,
            ending: Ending::EdgeFailure,
            refused_by: None,
            would_refuse: LimitSet::default(),
            request_body_bytes: 0,
            response_body_bytes: 0,
            bytes_sent: 0,
            request_id: String::new(),
            traceparent: String::new(),
            trace_continued: false,
            recording: None,
        }
    }

    /// A piece of the request's body came in.
    pub(crate) fn take_piece(&mut self, piece: &[u8], now_ns: u64) {
        self.request_body_bytes += piece.len() as u64;
        self.marks.body_first_ns.get_or_insert(now_ns);
        let at_us = now_ns.saturating_sub(self.marks.head_done_ns.unwrap_or(now_ns)) / 1000;
        if let Some(recording) = &mut self.recording {
            recording.request_piece(piece, at_us);
        }
    }

    /// The upstream's head is whole.
    pub(crate) fn begin_response(&mut self, head: &ResponseHead, now_ns: u64) {
        self.marks.response_head_ns = Some(now_ns);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.head_ns = Some(now_ns);
            attempt.status = head.status;
        }
        if let Some(recording) = &mut self.recording {
            recording.begin_response(&head.fields);
        }
    }

    /// A piece of the answer's body came from the upstream.
    pub(crate) fn take_answer_piece(&mut self, piece: &[u8]) {
        self.response_body_bytes += piece.len() as u64;
        if let Some(recording) = &mut self.recording {
            recording.response_piece(piece);
        }
    }

    /// Bytes of the answer were handed to the client's connection.
    pub(crate) fn note_sent(&mut self, bytes: usize, now_ns: u64) {
        self.bytes_sent += bytes as u64;
        self.marks.client_send_first_ns.get_or_insert(now_ns);
        self.marks.client_send_last_ns = Some(now_ns);
    }

    /// The TLS handshake, on its connection's first request: sums over requests count it once.
    pub(crate) fn handshake_us(&self) -> Option<u64> {
        let tls = self.connection.tls.as_ref().filter(|_| self.number == 1);
        tls.map(|tls| tls.handshake_ns / 1000)
    }

    pub(crate) fn upstream_reused(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.reused)
    }

    /// What Nginx would write as `$status`: 499 where the client left before an answer, 408 where it was too
    /// slow and was closed without one.
    pub(crate) fn logged_status(&self) -> u16 {
        match (self.status, self.ending) {
            (Some(status), _) => status,
            (None, Ending::ClientTimeout) => 408,
            (None, Ending::ClientAbort) => 499,
            (None, Ending::UpstreamTimeout) => 504,
            (None, Ending::UpstreamReset) => 502,
            (None, Ending::EdgeFailure | Ending::Complete) => 444,
        }
    }

    /// Who ended the exchange and where it stood then, as HAProxy writes it: `C`lient, `S`erver or `P`roxy,
    /// lower case where a timeout did; then `R` (request head), `B` (request body), `Q` (before the upstream),
    /// `C` (connecting), `H` (waiting for its head), `D` (data). `--`: complete.
    pub(crate) fn end_code(&self) -> [char; 2] {
        let who = match self.ending {
            _ if self.refused_by.is_some() && self.attempts.is_empty() => 'P',
            Ending::Complete => return ['-', '-'],
            Ending::ClientAbort => 'C',
            Ending::ClientTimeout => 'c',
            Ending::UpstreamReset => 'S',
            Ending::UpstreamTimeout => 's',
            Ending::EdgeFailure => 'P',
        };
        [who, self.stood_in()]
    }

    fn stood_in(&self) -> char {
        let marks = &self.marks;
        match marks.instants().broken_off_in() {
            Stage::RequestHead | Stage::Tls => 'R',
            _ if marks.response_head_ns.is_some() => 'D',
            _ if marks.upstream_connected_ns.is_none() && marks.upstream_pick_ns.is_some() => 'C',
            Stage::RequestBody if marks.body_done_ns.is_none() => 'B',
            _ if marks.upstream_pick_ns.is_none() => 'Q',
            _ => 'H',
        }
    }
}
