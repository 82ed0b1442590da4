//! A line of a log → an exchange. Nginx writes the line when the request is over.

use std::collections::BTreeSet;

use kingtide_common::exchange::{AnsweredBy, Ending};
use kingtide_common::stages::Instants;

use super::super::foreign::{Connection, Foreign, Message, made_up};
use super::super::times::{iso8601_ns, nginx_ns, seconds_ns};
use super::fields::Fields;

const NO_REQUEST: &str = "no HTTP request in the line";
const WEBSOCKET: &str = "WebSocket";
/// Nginx's own statuses: the client left, the connection was closed without an answer.
const CLIENT_LEFT: u16 = 499;
const CLOSED: u16 = 444;
/// Bytes of a request's head beside its first line and the headers that the log holds.
const HEAD_REST_BYTES: u64 = 200;

/// What a line is.
#[derive(Debug)]
pub(super) enum Line {
    Exchange(Box<Foreign>),
    Left(&'static str),
}

pub(super) fn finding(fields: &Fields) -> Result<Line, &'static str> {
    let Some((method, target, protocol)) = request_line(fields) else { return Ok(Line::Left(NO_REQUEST)) };
    let status = fields.number("status").and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (100..=999).contains(status)).ok_or("it has no status")?;
    if status == 101 {
        return Ok(Line::Left(WEBSOCKET));
    }
    let mut synthesised = BTreeSet::from([made_up::REQUEST_HEADERS]);
    let times = Times::of(fields, &mut synthesised);
    let ended_ns = ended_ns(fields, &mut synthesised).ok_or("it has no time, or none that is Nginx's")?;
    let host = ["http_host", "host", "server_name"].into_iter().find_map(|name| fields.text(name));
    if host.is_none() {
        synthesised.insert(made_up::HOST);
    }
    let mut request = Message { headers: request_headers(fields, host), ..Message::default() };
    request.body_bytes = Some(body_bytes(fields, &request, method, target, &mut synthesised));
    let took_ns = i64::try_from(times.total_us.saturating_mul(1000)).unwrap_or_default();
    Ok(Line::Exchange(Box::new(Foreign {
        started_ns: ended_ns.saturating_sub(took_ns),
        connection: connection(fields, &mut synthesised),
        tls_us: None,
        instants: times.instants(),
        method: method.to_owned(),
        host: host.unwrap_or_default().to_owned(),
        target: target.to_owned(),
        client: fields.text("remote_addr").unwrap_or_default().to_owned(),
        http_version: http_version(protocol, &mut synthesised),
        request,
        upload_us: times.upload_us(),
        response: response(fields, method, status),
        answered_by: answered_by(fields, status),
        ending: if status == CLIENT_LEFT { Ending::ClientAbort } else { Ending::Complete },
        status: Some(status).filter(|status| !matches!(*status, CLIENT_LEFT | CLOSED)),
        synthesised,
    })))
}

/// Method, target and protocol, of `$request` or of its parts.
fn request_line(fields: &Fields) -> Option<(&str, &str, Option<&str>)> {
    let (method, target, protocol) = match fields.text("request") {
        Some(line) => {
            let (method, rest) = line.split_once(' ')?;
            let (target, protocol) =
                rest.rsplit_once(' ').map_or((rest, None), |(target, protocol)| (target, Some(protocol)));
            (method, target, protocol)
        }
        None => (fields.text("request_method")?, fields.text("request_uri").or(fields.text("uri"))?, None),
    };
    let is_request = !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        && target.starts_with('/')
        && target.bytes().all(|byte| byte.is_ascii_graphic());
    is_request.then_some((method, target, protocol.or(fields.text("server_protocol"))))
}

/// The end of the request, ns UTC; to the second where the log tells no more.
fn ended_ns(fields: &Fields, synthesised: &mut BTreeSet<&'static str>) -> Option<i64> {
    if let Some(ns) = fields.text("msec").and_then(seconds_ns) {
        return Some(ns);
    }
    synthesised.insert(made_up::STARTED);
    let iso = fields.text("time_iso8601").and_then(iso8601_ns);
    iso.or_else(|| fields.text("time_local").and_then(nginx_ns))
}

/// Durations of one request, µs.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units end the names")]
struct Times {
    total_us: u64,
    connect_us: Option<u64>,
    head_us: Option<u64>,
    upstream_us: Option<u64>,
}

impl Times {
    fn of(fields: &Fields, synthesised: &mut BTreeSet<&'static str>) -> Self {
        let total_us = fields.seconds_us("request_time");
        let head_us = fields.seconds_us("upstream_header_time");
        if total_us.is_none() || head_us.is_none() {
            synthesised.insert(made_up::TIMINGS);
        }
        Self {
            total_us: total_us.unwrap_or_default(),
            connect_us: fields.seconds_us("upstream_connect_time"),
            head_us,
            upstream_us: fields.seconds_us("upstream_response_time"),
        }
    }

    /// Nginx reads a request whole before it asks an upstream: what the upstream did not take is the upload.
    fn upload_us(&self) -> Option<u64> {
        Some(self.total_us.saturating_sub(self.upstream_us?))
    }

    fn instants(&self) -> Instants {
        let asked_us = self.upload_us().unwrap_or_default();
        let then = |us: Option<u64>| us.map(|us| asked_us.saturating_add(us));
        let connected_us = then(self.connect_us);
        Instants {
            head_done_us: Some(0),
            body_done_us: Some(asked_us),
            upstream_pick_us: self.upstream_us.map(|_| asked_us),
            upstream_connected_us: connected_us,
            upstream_send_last_us: connected_us.or(Some(asked_us)),
            response_head_us: then(self.head_us).or(Some(self.total_us)),
            response_last_us: then(self.upstream_us).or(Some(self.total_us)),
            done_us: Some(self.total_us),
            ..Instants::default()
        }
    }
}

/// `$http_NAME` and their like; `$cookie_NAME` where the whole header was not logged.
fn request_headers(fields: &Fields, host: Option<&str>) -> Vec<(String, String)> {
    let host = host.map(|host| ("Host".to_owned(), host.to_owned()));
    let logged = fields.with_prefix("http_").filter(|(name, _)| *name != "host");
    let logged = logged.map(|(name, value)| (header_name(name), value.to_owned()));
    let own = [("Content-Type", "content_type"), ("Content-Length", "content_length")];
    let own = own
        .into_iter()
        .filter_map(|(name, variable)| Some((name.to_owned(), fields.text(variable)?.to_owned())));
    let cookies: Vec<String> =
        fields.with_prefix("cookie_").map(|(name, value)| format!("{name}={value}")).collect();
    let is_whole = cookies.is_empty() || fields.text("http_cookie").is_some();
    let cookies = (!is_whole).then(|| ("Cookie".to_owned(), cookies.join("; ")));
    host.into_iter().chain(logged).chain(own).chain(cookies).collect()
}

fn response(fields: &Fields, method: &str, status: u16) -> Message {
    let sent = fields.with_prefix("sent_http_").chain(fields.with_prefix("upstream_http_"));
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in sent {
        let name = header_name(name);
        if !headers.iter().any(|(other, _)| *other == name) {
            headers.push((name, value.to_owned()));
        }
    }
    let is_bodiless = method == "HEAD" || matches!(status, 204 | 304 | CLIENT_LEFT | CLOSED);
    let bytes = fields.number("body_bytes_sent").filter(|_| !is_bodiless);
    Message { headers, body_bytes: Some(bytes.unwrap_or_default()), ..Message::default() }
}

/// `x_request_id` → `X-Request-Id`.
fn header_name(variable: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    variable.split('_').map(capitalised).collect::<Vec<_>>().join("-")
}

/// `$content_length`; else what `$request_length` leaves when the head is taken away as far as it is known.
fn body_bytes(
    fields: &Fields,
    request: &Message,
    method: &str,
    target: &str,
    synthesised: &mut BTreeSet<&'static str>,
) -> u64 {
    if let Some(bytes) = fields.number("content_length") {
        return bytes;
    }
    if !matches!(method, "POST" | "PUT" | "PATCH") {
        return 0;
    }
    synthesised.insert(made_up::REQUEST_BODY_BYTES);
    let line = method.len() + target.len() + "  HTTP/1.1\r\n\r\n".len();
    let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let head = (line + headers) as u64 + HEAD_REST_BYTES;
    fields.number("request_length").unwrap_or_default().saturating_sub(head)
}

/// Numbers of connections are unique while Nginx runs; a first request after a first one is another run.
fn connection(fields: &Fields, synthesised: &mut BTreeSet<&'static str>) -> Connection {
    let address = fields.text("remote_addr").unwrap_or_default();
    if let Some(number) = fields.text("connection") {
        let begins = fields.number("connection_requests") == Some(1);
        return Connection::Named { name: format!("{address}/{number}"), begins };
    }
    synthesised.insert(made_up::CONNECTION);
    if address.is_empty() {
        return Connection::Own;
    }
    Connection::OfClient(format!("{address}/{}", fields.text("http_user_agent").unwrap_or_default()))
}

fn http_version(protocol: Option<&str>, synthesised: &mut BTreeSet<&'static str>) -> u8 {
    match protocol {
        Some("HTTP/1.0") => 10,
        Some("HTTP/1.1") => 11,
        Some("HTTP/2.0") => 20,
        other => {
            synthesised.insert(made_up::HTTP_VERSION);
            if other == Some("HTTP/3.0") { 20 } else { 11 }
        }
    }
}

/// Where the log would tell of an upstream and does not, Nginx answered by itself.
fn answered_by(fields: &Fields, status: u16) -> AnsweredBy {
    let asked = !fields.tells_upstreams() || fields.with_prefix("upstream_").next().is_some();
    match status {
        CLIENT_LEFT | CLOSED => AnsweredBy::Nobody,
        502 | 504 => AnsweredBy::EdgeError,
        413 | 414 | 429 | 431 | 503 if !asked => AnsweredBy::EdgeLimit,
        400.. if !asked => AnsweredBy::EdgeError,
        _ => AnsweredBy::Upstream,
    }
}
