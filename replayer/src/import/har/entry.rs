//! One entry of a HAR → what it is of a backend's traffic.

use std::collections::BTreeSet;

use kingtide_common::exchange::{AnsweredBy, Ending};
use serde_json::Value;
use url::Url;

use super::super::foreign::{Connection, Content, Foreign, Message, made_up};
use super::super::times::iso8601_ns;
use super::super::{Finding, Source};
use super::node::Node;
use super::timings::Timings;
use super::{body, message};

const WEBSOCKET: &str = "WebSocket";
const NOT_HTTP: &str = "no HTTP: data, blob, extension and the like";
const CACHED: &str = "answered by the browser's own cache or service worker";
const NO_ANSWER: &str = "no answer: status 0, aborted or blocked";

/// Bodies that announce a length and have none.
const BODILESS: [u16; 2] = [204, 304];

pub(super) fn finding(source: Source<'_>, place: String, entry: &Value) -> Finding {
    let entry = Node::of(entry);
    let unreadable = |place, why: &str| Finding::Unreadable { place, why: why.to_owned() };
    let Some(url) = entry.get("request").get("url").text() else {
        return unreadable(place, "no request.url");
    };
    if let Some(reason) = left_out(entry, url) {
        return Finding::LeftOut(reason);
    }
    let Some(place_of) = Place::of(url) else { return unreadable(place, "request.url is no URL") };
    let started_ns = entry.get("startedDateTime").text().and_then(iso8601_ns);
    let Some(started_ns) = started_ns else {
        return unreadable(place, "no startedDateTime, or none that is ISO 8601");
    };
    Finding::Exchange(Box::new(exchange(source, entry, &place_of, started_ns)))
}

fn left_out(entry: Node<'_>, url: &str) -> Option<&'static str> {
    let (request, response) = (entry.get("request"), entry.get("response"));
    let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let is_socket = entry.get("_resourceType").text() == Some("websocket") || scheme.starts_with("ws");
    match scheme.as_str() {
        _ if is_socket || status(response) == Some(101) => Some(WEBSOCKET),
        "http" | "https" if is_cached(entry) => Some(CACHED),
        "http" | "https" if status(response).is_none() => Some(NO_ANSWER),
        "http" | "https" => None,
        _ if request.get("url").text().is_some_and(|url| !url.contains(':')) => None,
        _ => Some(NOT_HTTP),
    }
}

/// Each browser says it in its own way; Chromium before version 100 only by sizes.
fn is_cached(entry: Node<'_>) -> bool {
    let response = entry.get("response");
    let marks = [
        entry.get("_fromCache"),
        entry.get("fromCache"),
        response.get("_fromCache"),
        response.get("fromCache"),
        response.get("fromDiskCache"),
        response.get("_fromDiskCache"),
        response.get("_fetchedViaServiceWorker"),
        entry.get("_fetchedViaServiceWorker"),
    ];
    let transferred = response.get("_transferSize").bytes();
    let held = response.get("content").get("size").bytes().unwrap_or_default();
    let by_size = transferred == Some(0) && held > 0 && entry.get("connection").text().is_none();
    marks.into_iter().any(Node::is_set) || by_size
}

fn status(response: Node<'_>) -> Option<u16> {
    let status = u16::try_from(response.get("status").bytes()?).ok()?;
    (100..=999).contains(&status).then_some(status)
}

/// What a URL says of where a request goes.
struct Place {
    authority: String,
    target: String,
    port: u16,
}

impl Place {
    /// The target keeps its bytes unless they could not stand in a request line.
    fn of(url: &str) -> Option<Self> {
        let parsed = Url::parse(url).ok()?;
        let (_, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest[..end].rsplit('@').next()?.to_owned();
        let raw = rest[end..].split('#').next()?;
        let target = if raw.starts_with('/') && raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            raw.to_owned()
        } else {
            parsed[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
        };
        Some(Self { authority, target, port: parsed.port_or_known_default()? })
    }
}

fn exchange(source: Source<'_>, entry: Node<'_>, place: &Place, started_ns: i64) -> Foreign {
    let (sent, received) = (entry.get("request"), entry.get("response"));
    let mut synthesised = BTreeSet::new();
    let timings = Timings::of(entry);
    if timings.is_total_only {
        synthesised.insert(made_up::TIMINGS);
    }
    let request = request(sent, &mut synthesised);
    let host = message::pseudo(sent, ":authority").or(request.header("host")).unwrap_or(&place.authority);
    let host = host.to_owned();
    let method = sent.get("method").text().unwrap_or("GET").to_owned();
    let status = status(received);
    let has_body = request.content != Content::Absent || request.body_bytes.is_some_and(|bytes| bytes > 0);
    let before_ns = i64::try_from(timings.before_us.saturating_mul(1000)).unwrap_or_default();
    Foreign {
        started_ns: started_ns.saturating_add(before_ns),
        connection: connection(source, entry, place, &timings, &mut synthesised),
        tls_us: timings.tls_us,
        instants: timings.instants(has_body),
        response: response(received, &method, status),
        method,
        host,
        target: message::pseudo(sent, ":path").unwrap_or(&place.target).to_owned(),
        client: format!("har {}", source.number),
        http_version: http_version(sent, received, &mut synthesised),
        request,
        upload_us: Some(timings.send_us),
        status,
        answered_by: AnsweredBy::Upstream,
        ending: Ending::Complete,
        synthesised,
    }
}

fn request(sent: Node<'_>, synthesised: &mut BTreeSet<&'static str>) -> Message {
    let mut headers = message::headers(sent);
    if headers.is_empty() {
        synthesised.insert(made_up::REQUEST_HEADERS);
    }
    message::add_cookies(&mut headers, sent);
    message::add_content_type(&mut headers, sent.get("postData").get("mimeType"));
    let mut message = Message { headers, ..Message::default() };
    let posted = body::posted(sent.get("postData"), message.header("content-type"));
    if posted.is_rebuilt {
        synthesised.insert(made_up::REQUEST_BODY);
    }
    let noted = sent.get("bodySize").bytes().filter(|bytes| *bytes > 0);
    message.body_bytes = message.content_length().or(noted);
    message.content = posted.content;
    message.is_decoded = !posted.is_binary;
    message
}

fn response(received: Node<'_>, method: &str, status: Option<u16>) -> Message {
    let content = received.get("content");
    let mut headers = message::headers(received);
    message::add_set_cookies(&mut headers, received);
    message::add_content_type(&mut headers, content.get("mimeType"));
    let mut message = Message { headers, is_decoded: true, ..Message::default() };
    let is_bodiless = method == "HEAD" || status.is_some_and(|status| BODILESS.contains(&status));
    if is_bodiless {
        message.body_bytes = Some(0);
        return message;
    }
    let noted = received.get("bodySize").bytes().filter(|bytes| *bytes > 0);
    message.body_bytes = message.content_length().or(noted).or(content.get("size").bytes());
    message.content = body::answered(content);
    message
}

/// Firefox writes the server's port, which names no connection.
fn connection(
    source: Source<'_>,
    entry: Node<'_>,
    place: &Place,
    timings: &Timings,
    synthesised: &mut BTreeSet<&'static str>,
) -> Connection {
    let of_host = format!("{}/{}", source.number, place.authority);
    let name = entry.get("connection").text().filter(|name| *name != "0" && *name != place.port.to_string());
    let Some(name) = name else {
        synthesised.insert(made_up::CONNECTION);
        return Connection::OfClient(of_host);
    };
    Connection::Named { name: format!("{of_host}/{name}"), begins: timings.connects }
}

/// A capture has no number for HTTP/3: its requests are those of HTTP/2.
fn http_version(sent: Node<'_>, received: Node<'_>, synthesised: &mut BTreeSet<&'static str>) -> u8 {
    let versions = [received, sent].map(|message| message.get("httpVersion").text());
    let known =
        versions.into_iter().flatten().find_map(|version| match version.to_ascii_lowercase().as_str() {
            "http/1.0" => Some(10),
            "http/1.1" => Some(11),
            "h2" | "http/2" | "http/2.0" | "h2c" => Some(20),
            _ => None,
        });
    known.unwrap_or_else(|| {
        synthesised.insert(made_up::HTTP_VERSION);
        let is_three = |version: Option<&str>| version.is_some_and(|version| version.contains('3'));
        if versions.into_iter().any(is_three) { 20 } else { 11 }
    })
}
