//! The values that a response offers to later requests.

use kingtide_common::exchange::{Body, Ending, Exchange, Header};
use kingtide_common::json;
use serde_json::Value;

use super::extract::{extract, parameters, path_segments, set_cookie};
use super::tokens::{Kind, keys};
use super::{ResponsePlace, names, route};

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
        let (key, container) = naming(&from, route_word);
        Some(Supply { from, value, key, container })
    });
    supplies.collect()
}

fn body_json(exchange: &Exchange) -> Option<Value> {
    match &exchange.response_body {
        Body::Json(text) => serde_json::from_str(text).ok(),
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
        _ => places.push(ResponsePlace::Json { pointer: pointer.clone() }),
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
    let name = || header.name.clone();
    if header.name.eq_ignore_ascii_case("set-cookie") {
        let cookie = set_cookie(&header.value);
        places.extend(cookie.map(|(name, _)| ResponsePlace::Cookie { name: name.to_owned() }));
    } else if names::may_supply(&header.name) {
        places.push(ResponsePlace::Header { name: name() });
    }
    if names::holds_url(&header.name) {
        let segments = path_segments(&header.value).count();
        places.extend((0..segments).map(|from_end| ResponsePlace::HeaderSegment { name: name(), from_end }));
        let keys = parameters(&header.value).map(|(key, _)| key.to_owned());
        places.extend(keys.map(|key| ResponsePlace::HeaderQuery { name: name(), key }));
    }
}

fn naming(from: &ResponsePlace, route_word: &str) -> (String, String) {
    match from {
        ResponsePlace::Json { pointer } => {
            let mut keys = keys(pointer);
            let key = keys.next().unwrap_or_default();
            (key.to_owned(), keys.next().unwrap_or(route_word).to_owned())
        }
        ResponsePlace::HeaderSegment { .. } => ("id".to_owned(), route_word.to_owned()),
        ResponsePlace::Header { name } | ResponsePlace::Cookie { name } => (name.clone(), String::new()),
        ResponsePlace::HeaderQuery { key, .. } => (key.clone(), String::new()),
    }
}

/// The last segment of a path that is no id: what its answer is about.
fn route_word(path: &str) -> &str {
    path.rsplit('/').find(|segment| !segment.is_empty() && !route::is_id(segment)).unwrap_or_default()
}
