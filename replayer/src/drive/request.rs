//! Requests as a new user sends them: the captured one with its holes filled and its files synthesised.
//!
//! Headers keep their order and values, save those that belonged to the hop or to the edge: connection
//! management, forwarding and tracing go, `Host`, `Origin` and `Referer` name the new target, and
//! `Content-Length` is what will really be sent. `Expect` goes too: the body follows at once. A text that
//! was compressed goes out plain, as the capture holds it, and an answer whose JSON is needed is asked for
//! uncompressed.

mod prepared;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use kingtide_common::audio::{AudioBody, AudioFormat};
use kingtide_common::exchange::{Body, Exchange};
use rand_chacha::ChaCha8Rng;

pub(super) use self::prepared::Prepared;
use super::body::{BodySource, Segment};
use super::client::Client;
use super::cookies::{Habits, with_held};
use super::multipart;
use super::target::Target;
use super::uplink::Uplink;
use super::values::Filling;
use crate::measure::recorder::Preparation;
use crate::measure::{ErrorClass, Upload};
use crate::sessions::{Hole, Place, Source, Step, cookie_at, fill, is_drives};

/// RFC 2046, section 5.1.1.
const BOUNDARY_BYTES_MAX: u32 = 70;

/// What a request is built for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) target: &'a Target,
    pub(super) client: &'a Client,
    /// What the captured client did with cookies.
    pub(super) habits: &'a Habits,
    /// A later step needs a value of the answer's JSON.
    pub(super) needs_json: bool,
    pub(super) uplink: Uplink,
}

/// Fills a step's holes. Fails as [`ErrorClass::BindingMissing`] when an answer lacked a value, as
/// [`ErrorClass::SourceKeptBack`] when there is none because of this machine, and as [`ErrorClass::Unbuildable`] when the result is no HTTP request.
pub(super) fn prepare(
    step: &Step,
    purpose: Purpose<'_>,
    filling: &mut Filling<'_>,
    random: &mut ChaCha8Rng,
) -> Result<Prepared, ErrorClass> {
    let exchange = &step.exchange;
    let boundary = fresh_boundary(exchange, random);
    let target = filled(&exchange.target, step, Place::Target, filling);
    filling.held = purpose.client.held(path_of(&target));
    let mut headers = headers(step, purpose, boundary.as_deref(), filling)?;
    let (body, upload) = body(step, boundary.as_deref().unwrap_or_default(), filling, random);
    set_length(&mut headers, exchange, body.bytes);
    if filling.is_kept_back {
        return Err(ErrorClass::SourceKeptBack);
    }
    if filling.is_missing {
        return Err(ErrorClass::BindingMissing);
    }
    let preparation = Preparation { bindings: filling.bindings, is_approximated: is_approximated(exchange) };
    let method = Method::from_bytes(exchange.method.as_bytes()).map_err(|_| ErrorClass::Unbuildable)?;
    let uri = origin_form(&target).parse().map_err(|_| ErrorClass::Unbuildable)?;
    let pacing = purpose.uplink.pacing(exchange, body.bytes);
    let body = body.paced(pacing);
    let shown = std::mem::take(&mut filling.shown);
    let headers_http1 = with_one_cookie(&headers);
    let scheme = purpose.target.scheme();
    Ok(Prepared { method, uri, headers, headers_http1, scheme, body, upload, preparation, shown })
}

/// The crumbs of a cookie in one header, as HTTP/1.1 must have them (RFC 9113, section 8.2.3); `None` when there is no
/// more than one.
fn with_one_cookie(headers: &HeaderMap) -> Option<HeaderMap> {
    headers.get_all(header::COOKIE).iter().nth(1)?;
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok()?;
    let mut headers = headers.clone();
    headers.insert(header::COOKIE, cookie);
    Some(headers)
}

/// The path and query of a target; a capture may hold the absolute form that clients send to proxies.
fn origin_form(target: &str) -> &str {
    let after_scheme = target.split_once("://").filter(|_| !target.starts_with('/')).map(|(_, rest)| rest);
    after_scheme.map_or(target, |rest| rest.find('/').map_or("/", |path| &rest[path..]))
}

fn path_of(target: &str) -> &str {
    origin_form(target).split('?').next().unwrap_or_default()
}

fn filled(text: &str, step: &Step, place: Place, filling: &mut Filling<'_>) -> String {
    let holes = step.holes.iter().filter(|hole| hole.place == place);
    fill(text, holes, |hole: &Hole| filling.value(hole, &text[hole.range.clone()]))
}

fn headers(
    step: &Step,
    purpose: Purpose<'_>,
    boundary: Option<&str>,
    filling: &mut Filling<'_>,
) -> Result<HeaderMap, ErrorClass> {
    let mut headers = HeaderMap::new();
    let host = HeaderValue::from_str(purpose.target.authority()).map_err(|_| ErrorClass::Unbuildable)?;
    headers.insert(header::HOST, host);
    for (index, recorded) in step.exchange.request_headers.iter().enumerate() {
        let name = HeaderName::from_bytes(recorded.name.as_bytes()).map_err(|_| ErrorClass::Unbuildable)?;
        // A placeholder keeps the captured position.
        if name == header::CONTENT_LENGTH {
            headers.insert(name, HeaderValue::from_static("0"));
            continue;
        }
        if is_dropped(&name, &step.exchange, purpose) {
            continue;
        }
        let value = header_value(index, step, &name, filling);
        let value = retargeted(&name, value, &step.exchange.host, purpose.target);
        let value = with_boundary(&name, value, boundary);
        let value = HeaderValue::from_str(&value).map_err(|_| ErrorClass::Unbuildable)?;
        headers.try_append(name, value).map_err(|_| ErrorClass::Unbuildable)?;
    }
    purpose.habits.add(&mut headers, &filling.held).map_err(|_| ErrorClass::Unbuildable)?;
    if let Some(address) = &purpose.client.forwarded_for {
        headers.insert(HeaderName::from_static("x-forwarded-for"), address.clone());
    }
    purpose.client.marking.mark(&mut headers);
    Ok(headers)
}

fn header_value(index: usize, step: &Step, name: &HeaderName, filling: &mut Filling<'_>) -> String {
    let captured = &step.exchange.request_headers[index].value;
    let value = filled(captured, step, Place::Header(index), filling);
    if name != header::COOKIE {
        return value;
    }
    let holes: Vec<&Hole> = step.holes.iter().filter(|hole| hole.place == Place::Header(index)).collect();
    let unresolved = holes.iter().filter(|hole| hole.source == Source::Unresolved);
    // The target itself has set it, whatever the capture lacks.
    let is_held =
        |hole: &&&Hole| filling.held.iter().any(|(name, _)| name == cookie_at(captured, hole.range.start));
    let supplied = unresolved.filter(is_held).count() as u64;
    filling.bindings.unresolved -= supplied;
    filling.bindings.resolved += supplied;
    with_held(&value, captured, &holes, &filling.held)
}

fn is_dropped(name: &HeaderName, exchange: &Exchange, purpose: Purpose<'_>) -> bool {
    let compresses = purpose.needs_json && name == header::ACCEPT_ENCODING;
    // The capture holds such a text as it was before the coding, and so it is sent.
    let is_plain = matches!(exchange.request_body, Body::Json(_) | Body::Form(_));
    let was_coded = is_plain && name == header::CONTENT_ENCODING;
    compresses || was_coded || is_drives(name.as_str())
}

/// `Origin` and `Referer` of the captured host name the new target, as a browser on it would.
fn retargeted(name: &HeaderName, value: String, host: &str, target: &Target) -> String {
    if name != header::ORIGIN && name != header::REFERER {
        return value;
    }
    let after_host = value.split_once("://").and_then(|(_, rest)| rest.strip_prefix(host));
    match after_host.filter(|rest| !host.is_empty() && (rest.is_empty() || rest.starts_with('/'))) {
        Some(rest) => format!("{}{rest}", target.origin()),
        None => value,
    }
}

fn with_boundary(name: &HeaderName, mut value: String, boundary: Option<&str>) -> String {
    if let Some(boundary) = boundary.filter(|_| name == header::CONTENT_TYPE)
        && let Some(range) = multipart::boundary_range(&value)
    {
        value.replace_range(range, boundary);
    }
    value
}

/// `None` when the body is no multipart.
fn fresh_boundary(exchange: &Exchange, random: &mut ChaCha8Rng) -> Option<String> {
    let Body::Multipart(multipart) = &exchange.request_body else { return None };
    let content_type = exchange.request_header("content-type").unwrap_or_default();
    let captured = multipart::boundary_range(content_type).map(|range| &content_type[range]);
    let unknown = "x".repeat(multipart.boundary_bytes.clamp(1, BOUNDARY_BYTES_MAX) as usize);
    Some(multipart::fresh_boundary(captured.unwrap_or(&unknown), random))
}

fn body(
    step: &Step,
    boundary: &str,
    filling: &mut Filling<'_>,
    random: &mut ChaCha8Rng,
) -> (BodySource, Upload) {
    let exchange = &step.exchange;
    let segments = match &exchange.request_body {
        Body::Empty => Vec::new(),
        Body::Json(text) | Body::Form(text) => {
            vec![Segment::Text(Bytes::from(filled(text, step, Place::Body, filling)))]
        }
        Body::Multipart(multipart) => {
            let field = |index: usize, value: &str| filled(value, step, Place::Part(index), filling);
            multipart::segments(multipart, boundary, exchange.request_body_bytes, random, field)
        }
        Body::Html(_) | Body::Opaque | Body::Unread(_) => {
            let variation = rand::RngExt::random(random);
            vec![Segment::File(AudioBody::new(recording(exchange), exchange.request_body_bytes, variation))]
        }
    };
    let source = BodySource::new(segments);
    let body_bytes = source.bytes;
    let files = exchange.files().count() as u64;
    let file_bytes = exchange.files().map(|file| file.bytes).sum();
    (source, Upload { body_bytes, files, file_bytes })
}

/// The kind of recording that a body is by itself, without a form around it: `PUT /recordings/unit-3.webm`.
fn recording(exchange: &Exchange) -> Option<AudioFormat> {
    AudioFormat::of(exchange.request_header("content-type"), exchange.path_extension())
}

/// Whether a request goes out with filler of the captured size: the capture does not hold its body, and it
/// is no recording either.
pub(super) fn is_approximated(exchange: &Exchange) -> bool {
    matches!(exchange.request_body, Body::Html(_) | Body::Opaque | Body::Unread(_))
        && recording(exchange).is_none()
}

/// A body has a length even where the captured one came in chunks; a request without body says so only
/// where the captured one did.
fn set_length(headers: &mut HeaderMap, exchange: &Exchange, body_bytes: u64) {
    let was_said = headers.contains_key(header::CONTENT_LENGTH);
    let was_chunked = exchange.request_header("transfer-encoding").is_some();
    if body_bytes > 0 || was_said || was_chunked {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body_bytes));
    }
}

/// Whether a session's client wrote `Content-Type` rather than `content-type`.
pub(super) fn is_title_case(exchange: &Exchange) -> bool {
    exchange.request_headers.iter().any(|header| header.name.starts_with(|c: char| c.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Header;

    use super::*;

    #[test]
    fn a_body_by_itself_is_a_recording_by_its_type_or_its_path() {
        let put = |target: &str, content_type: &str| Exchange {
            target: target.to_owned(),
            request_headers: vec![Header { name: "Content-Type".to_owned(), value: content_type.to_owned() }],
            request_body: Body::Opaque,
            ..Exchange::default()
        };
        let octets = "application/octet-stream";
        for (target, content_type, format) in [
            ("/recordings/7", "audio/webm", Some(AudioFormat::WebmOpus)),
            ("/bucket/unit-3.m4a?signature=x.mp3", octets, Some(AudioFormat::Mp4Aac)),
            ("/v1.ogg/recordings", octets, None),
            ("/bucket/unit-3.m4a", "image/png", None),
        ] {
            let exchange = put(target, content_type);
            assert_eq!(recording(&exchange), format, "{target}");
            assert_eq!(is_approximated(&exchange), format.is_none(), "{target}");
        }
    }
}
