//! The values that a response offers to later requests.

use kingtide_common::exchange::{Body, Ending, Exchange, Header};
use kingtide_common::json;
use serde_json::Value;

use super::extract::{extract, set_cookie};
use super::tokens::{Kind, keys};
use super::{ResponsePlace, TextPart, names, route, within};

/// A value of a response worth tracing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Supply {
    pub(super) from: ResponsePlace,
    pub(super) value: String,
    /// What the place is called: the last key, the header, the cookie.
    pub(super) key: String,
    /// What contains it: the key before, or the last word of the route.
    pub(super) container: String,
}

/// All values of a complete response, body first; empty when it broke off.
pub(super) fn supplies(exchange: &Exchange) -> Vec<Supply> {
    if exchange.ending != Ending::Complete {
        return Vec::new();
    }
    let body = body_json(exchange);
    let mut places = Vec::new();
    if let Some(body) = &body {
        json_places(body, &mut String::new(), &mut places);
    }
    exchange.response_headers.iter().for_each(|header| header_places(header, &mut places));
    let headers = || exchange.response_headers.iter().map(|h| (h.name.as_str(), h.value.as_str()));
    let route_word = route_word(exchange.path());
    let supplies = places.into_iter().filter_map(|from| {
        let value = extract(&from, headers(), body.as_ref())?;
        Kind::of(&value)?;
        let (key, container) = naming(&from, route_word, &|of| extract(of, headers(), body.as_ref()));
        Some(Supply { from, value, key, container })
    });
    supplies.collect()
}

/// The JSON of a response, or the description of its page, where it was looked at.
pub(super) fn body_json(exchange: &Exchange) -> Option<Value> {
    match &exchange.response_body {
        Body::Json(text) | Body::Html(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

fn json_places(value: &Value, pointer: &mut String, places: &mut Vec<ResponsePlace>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                below(&json::escape_key(key), value, pointer, places);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                below(&index.to_string(), value, pointer, places);
            }
        }
        _ => {
            let whole = ResponsePlace::Json { pointer: pointer.clone() };
            let parts = value.as_str().map(within::find).unwrap_or_default();
            places.extend(parts.into_iter().map(|part| whole.part(part)));
            places.push(whole);
        }
    }
}

fn below(key: &str, value: &Value, pointer: &mut String, places: &mut Vec<ResponsePlace>) {
    let parent = pointer.len();
    pointer.push('/');
    pointer.push_str(key);
    json_places(value, pointer, places);
    pointer.truncate(parent);
}

fn header_places(header: &Header, places: &mut Vec<ResponsePlace>) {
    if header.name.eq_ignore_ascii_case("set-cookie") {
        let cookie = set_cookie(&header.value);
        places.extend(cookie.map(|(name, _)| ResponsePlace::Cookie { name: name.to_owned() }));
    } else if names::may_supply(&header.name) {
        let whole = ResponsePlace::Header { name: header.name.clone() };
        places.extend(header_parts(header).into_iter().flat_map(|part| nested(&whole, part, &header.value)));
        places.push(whole);
    }
}

fn header_parts(header: &Header) -> Vec<TextPart> {
    if header.name.eq_ignore_ascii_case("link") {
        return within::relations(&header.value).collect();
    }
    let mut parts = within::find(&header.value);
    if names::holds_url(&header.name) {
        let segments = 0..within::path_segments(&header.value).count();
        let all = segments.map(|from_end| TextPart::Segment { from_end });
        let keys = within::parameters(&header.value).map(|(key, _)| TextPart::Query { key: key.to_owned() });
        let all: Vec<TextPart> = all.chain(keys).filter(|part| !parts.contains(part)).collect();
        parts.extend(all);
    }
    parts
}

/// A part of a header, and what stands in it where it is itself a URL.
fn nested(whole: &ResponsePlace, part: TextPart, text: &str) -> Vec<ResponsePlace> {
    let url = part.of(text).filter(|_| matches!(part, TextPart::Link { .. }));
    let inner = url.map(|url| within::find(&url)).unwrap_or_default();
    let part = whole.part(part);
    let mut places: Vec<ResponsePlace> = inner.into_iter().map(|inner| part.part(inner)).collect();
    places.push(part);
    places
}

/// What a place is called, and what contains it. `text` reads another place of the same response.
fn naming(
    from: &ResponsePlace,
    route_word: &str,
    text: &dyn Fn(&ResponsePlace) -> Option<String>,
) -> (String, String) {
    match from {
        ResponsePlace::Json { pointer } => {
            let mut keys = keys(pointer);
            let key = keys.next().unwrap_or_default();
            (key.to_owned(), keys.next().unwrap_or(route_word).to_owned())
        }
        ResponsePlace::Header { name } | ResponsePlace::Cookie { name } => (name.clone(), String::new()),
        ResponsePlace::Within { of, part: TextPart::Segment { from_end } } => {
            let url = text(of).unwrap_or_default();
            let before = within::path_segments(&url).rev().skip(from_end + 1).find(|it| !route::is_id(it));
            ("id".to_owned(), before.unwrap_or(route_word).to_owned())
        }
        ResponsePlace::Within { part: TextPart::Query { key }, .. } => (key.clone(), String::new()),
        ResponsePlace::Within { of, .. } => naming(of, route_word, text),
    }
}

/// The last segment of a path that is no id: what its answer is about.
fn route_word(path: &str) -> &str {
    path.rsplit('/').find(|segment| !segment.is_empty() && !route::is_id(segment)).unwrap_or_default()
}
