//! Observation → exchange: the only way into a capture, and it leads through the redactor.

use kingtide_common::exchange::{
    Body, Exchange, FilePart, Header, Multipart, Part, PartContent, ServerTiming,
};
use pingora_http::{RequestHeader, ResponseHeader};

use super::Observation;
use super::body::{RawBody, TextKind, decoded};
use super::disposition;
use super::multipart::{RawContent, RawPart};
use crate::clock::Clock;
use crate::redact::Redactor;

/// Inner stages kept of one answer at most.
const SERVER_TIMINGS_MAX: usize = 16;

/// Turns observations into exchanges.
#[derive(Debug)]
pub(super) struct Describer {
    pub(super) redactor: Redactor,
    pub(super) clock: Clock,
    pub(super) body_bytes_max: usize,
}

impl Describer {
    pub(super) fn exchange(&self, observation: Observation) -> Exchange {
        let (connection, marks) = (&observation.connection, &observation.marks);
        let response = observation.response.as_deref();
        Exchange {
            id: observation.id,
            connection: connection.id,
            started_ns: self.clock.utc_ns(marks.started_ns),
            connection_age_us: marks.started_ns.saturating_sub(connection.accepted_ns) / 1000,
            tls_us: None,
            instants: marks.instants(),
            upstream_reused: observation.upstream_reused,
            method: observation.request.method.as_str().to_owned(),
            host: host(&observation.request),
            target: self.redactor.target(&String::from_utf8_lossy(observation.request.raw_path())),
            route: observation.route.to_string(),
            client: self.redactor.fingerprint(connection.peer.ip().to_string().as_bytes()),
            http_version: version(observation.request.version),
            request_headers: self.request_headers(&observation.request),
            request_body: self.body(observation.request_body),
            request_body_bytes: observation.request_body_bytes,
            pacing: observation.pacing,
            status: response.map(|response| response.status.as_u16()),
            response_headers: response.map(|response| self.response_headers(response)).unwrap_or_default(),
            response_body: self.body(observation.response_body),
            response_body_bytes: observation.response_body_bytes,
            server_timing: response.map(server_timings).unwrap_or_default(),
            answered_by: observation.answered_by,
            ending: observation.ending,
        }
    }

    fn request_headers(&self, request: &RequestHeader) -> Vec<Header> {
        if request.has_case() {
            return self.headers(request.case_header_iter().map(|(name, value)| (name.as_slice(), value)));
        }
        self.headers(request.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value)))
    }

    fn response_headers(&self, response: &ResponseHeader) -> Vec<Header> {
        if response.has_case() {
            return self.headers(response.case_header_iter().map(|(name, value)| (name.as_slice(), value)));
        }
        self.headers(response.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value)))
    }

    fn headers<'a>(&self, headers: impl Iterator<Item = (&'a [u8], &'a http::HeaderValue)>) -> Vec<Header> {
        let header = |(name, value): (&[u8], &http::HeaderValue)| {
            let name = String::from_utf8_lossy(name).into_owned();
            let value = self.redactor.header(&name, &String::from_utf8_lossy(value.as_bytes()));
            Header { name, value }
        };
        headers.map(header).collect()
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

fn file_part(head: &[u8], bytes: u64, hash: u64) -> FilePart {
    let file_name = disposition::file_name(head).map(|range| &head[range]);
    FilePart {
        content_type: disposition::content_type(head),
        extension: file_name.and_then(disposition::extension),
        bytes,
        hash: format!("{hash:016x}"),
    }
}

fn host(request: &RequestHeader) -> String {
    let header = request.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    header
        .or_else(|| request.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or_default()
        .to_owned()
}

fn version(version: http::Version) -> u8 {
    match version {
        http::Version::HTTP_09 => 9,
        http::Version::HTTP_10 => 10,
        http::Version::HTTP_2 => 20,
        http::Version::HTTP_3 => 30,
        _ => 11,
    }
}

/// `Server-Timing: auth;dur=48, store;dur=2710.5;desc="s3"`; durations are milliseconds.
/// Source: W3C Server Timing.
fn server_timings(response: &ResponseHeader) -> Vec<ServerTiming> {
    let values = response.headers.get_all("server-timing").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(server_timing).take(SERVER_TIMINGS_MAX).collect()
}

fn server_timing(metric: &str) -> Option<ServerTiming> {
    let mut parts = metric.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
    let duration = parts.find_map(|part| part.strip_prefix("dur="))?.trim_matches('"');
    let duration_us = duration.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0)? * 1000.0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "finite and not negative; saturates"
    )]
    Some(ServerTiming { name, duration_us: duration_us.round() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_is_read_leniently() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response
            .append_header(
                "Server-Timing",
                "auth;dur=48, store;desc=\"s3\";dur=2710.5, cache;desc=hit, ;dur=1",
            )
            .unwrap();
        response.append_header("Server-Timing", "db;dur=-1, total;dur=x, app;dur=\"3\"").unwrap();
        let timings = server_timings(&response);
        let pairs: Vec<(&str, u64)> =
            timings.iter().map(|timing| (timing.name.as_str(), timing.duration_us)).collect();
        assert_eq!(pairs, [("auth", 48_000), ("store", 2_710_500), ("app", 3_000)]);
    }
}
