//! Observation → exchange: the only way into a capture, and it leads through the redactor.

use kingtide_common::exchange::{Attempt, Body, Exchange, FilePart, Header, Multipart, Part, PartContent};

use super::Observation;
use super::body::{RawBody, TextKind, decoded};
use super::disposition;
use super::multipart::{RawContent, RawPart};
use crate::clock::Clock;
use crate::message::Fields;
use crate::passage::{self, Passage};
use crate::redact::Redactor;
use crate::server_timing::server_timings;

/// Turns observations into exchanges.
#[derive(Debug)]
pub(super) struct Describer {
    pub(super) redactor: Redactor,
    pub(super) clock: Clock,
    pub(super) body_bytes_max: usize,
}

impl Describer {
    pub(super) fn exchange(&self, observation: Observation) -> Exchange {
        let Observation { id, passage, bodies, .. } = observation;
        let (connection, marks, request) = (&passage.connection, &passage.marks, &passage.request);
        let response = passage.response.as_ref();
        Exchange {
            id,
            connection: connection.id,
            started_ns: self.clock.utc_ns(marks.started_ns),
            connection_age_us: marks.started_ns.saturating_sub(connection.accepted_ns) / 1000,
            tls_us: passage.handshake_us(),
            accept_queue_ms: connection.accept_queue_ms.filter(|_| passage.number == 1),
            instants: marks.instants(),
            upstream_reused: passage.upstream_reused(),
            method: request.method().to_owned(),
            host: request.host().to_owned(),
            target: self.redactor.target(&String::from_utf8_lossy(request.target())),
            route: passage.route.to_string(),
            client: self.redactor.fingerprint(passage.client.to_string().as_bytes()),
            http_version: request.facts.version.number(),
            request_headers: self.headers(&request.fields),
            request_body: self.body(bodies.request),
            request_body_bytes: passage.request_body_bytes,
            pacing: bodies.pacing,
            status: passage.status,
            response_headers: response.map(|response| self.headers(&response.fields)).unwrap_or_default(),
            response_body: self.body(bodies.response),
            response_body_bytes: passage.response_body_bytes,
            server_timing: response
                .map(|response| server_timings(&response.fields).collect())
                .unwrap_or_default(),
            answered_by: passage.answered_by,
            ending: passage.ending,
            end: Some(passage.end_code().iter().collect()),
            refused_by: passage.refused_by.map(|limit| limit.name().to_owned()),
            would_refuse: passage.would_refuse.iter().map(|limit| limit.name().to_owned()).collect(),
            attempts: attempts(&passage),
        }
    }

    fn headers(&self, fields: &Fields) -> Vec<Header> {
        let header = |(name, value): (&[u8], &[u8])| {
            let name = String::from_utf8_lossy(name).into_owned();
            let value = self.redactor.header(&name, &String::from_utf8_lossy(value));
            Header { name, value }
        };
        fields.iter().map(header).collect()
    }

    fn body(&self, body: RawBody) -> Body {
        match body {
            RawBody::Empty => Body::Empty,
            RawBody::Opaque => Body::Opaque,
            RawBody::Unread(why) => Body::Unread(why.to_owned()),
            RawBody::Text { kind, bytes, coding, .. } => self.text(kind, &bytes, coding.as_deref()),
            RawBody::Multipart { boundary_bytes, parts, .. } => match parts {
                Ok(parts) => self.multipart(boundary_bytes, parts),
                Err(why) => Body::Unread(why.to_string()),
            },
        }
    }

    fn text(&self, kind: TextKind, bytes: &[u8], coding: Option<&str>) -> Body {
        match (kind, decoded(bytes, coding, self.body_bytes_max)) {
            (_, Err(why)) => Body::Unread(why),
            (TextKind::Form, Ok(text)) => Body::Form(self.redactor.form(&text)),
            (TextKind::Json, Ok(text)) => match self.redactor.json(&text) {
                Some(redacted) => Body::Json(redacted),
                None => Body::Unread("malformed JSON".to_owned()),
            },
        }
    }

    fn multipart(&self, boundary_bytes: u32, parts: Vec<RawPart>) -> Body {
        let parts = parts.into_iter().map(|part| self.part(part)).collect();
        Body::Multipart(Multipart { boundary_bytes, parts })
    }

    fn part(&self, part: RawPart) -> Part {
        let name = disposition::name(&part.head).unwrap_or_default();
        let content = match part.content {
            RawContent::Field(value) => PartContent::Field { value: self.part_field(&name, value) },
            RawContent::File { bytes, hash } => {
                PartContent::File { file: file_part(&part.head, bytes, hash) }
            }
        };
        let head = self.redactor.text(&disposition::masked(&part.head));
        Part { head, name: self.redactor.text(&name), content }
    }

    /// A field may hold JSON; then its scalars are looked at one by one.
    fn part_field(&self, name: &str, value: Vec<u8>) -> String {
        let value =
            String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into());
        let is_nested = value.starts_with(['{', '[']);
        let nested = is_nested.then(|| self.redactor.json(&value)).flatten();
        nested.unwrap_or_else(|| self.redactor.field(name, &value).into_owned())
    }
}

/// A single attempt is told by the exchange's own instants.
fn attempts(passage: &Passage) -> Vec<Attempt> {
    let several = passage.attempts.len() > 1;
    passage.attempts.iter().filter(|_| several).map(attempt).collect()
}

fn attempt(attempt: &passage::Attempt) -> Attempt {
    let since_pick_us = |at_ns: u64| at_ns.saturating_sub(attempt.picked_ns) / 1000;
    Attempt {
        peer: attempt.peer.to_string(),
        connect_us: attempt.connected_ns.map(since_pick_us),
        head_us: attempt.head_ns.map(since_pick_us),
        reused: attempt.reused,
        status: attempt.status,
    }
}

fn file_part(head: &[u8], bytes: u64, hash: u64) -> FilePart {
    let file_name = disposition::file_name(head).map(|range| &head[range]);
    FilePart {
        content_type: disposition::content_type(head),
        extension: file_name.and_then(disposition::extension),
        bytes,
        hash: format!("{hash:016x}"),
    }
}
