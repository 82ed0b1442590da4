//! Each value of an exchange with its place.

use kingtide_common::exchange::{Body, Exchange, Header, Multipart, PartContent};
use kingtide_common::json;
use kingtide_common::redact::percent_decoded;

use super::places::{Kind, Place, Side};

/// A value as a row holds it, decoded.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) place: Place,
    pub(super) value: String,
    /// A name beside it says what it is: `{"name": "password", "value": …}`.
    pub(super) label: Option<String>,
}

/// How deep JSON within strings is followed.
const NESTED_MAX: u8 = 4;

pub(super) fn each(exchange: &Exchange, visit: &mut dyn FnMut(Leaf)) {
    let mut walk = Walk { side: Side::Request, visit };
    walk.leaf(Kind::Method, "", &exchange.method);
    walk.leaf(Kind::Host, "", &exchange.host);
    walk.target(&exchange.target);
    walk.headers(&exchange.request_headers);
    walk.body(&exchange.request_body);
    walk.side = Side::Response;
    walk.headers(&exchange.response_headers);
    walk.body(&exchange.response_body);
    for timing in &exchange.server_timing {
        walk.leaf(Kind::ServerTiming, "", &timing.name);
    }
}

struct Walk<'v> {
    side: Side,
    visit: &'v mut dyn FnMut(Leaf),
}

impl Walk<'_> {
    fn leaf(&mut self, kind: Kind, name: &str, value: &str) {
        self.labelled(kind, name, value, None);
    }

    fn labelled(&mut self, kind: Kind, name: &str, value: &str, label: Option<String>) {
        if !value.is_empty() {
            (self.visit)(Leaf { place: Place::new(self.side, kind, name), value: value.to_owned(), label });
        }
    }

    fn target(&mut self, target: &str) {
        let (rest, fragment) = target.split_once('#').unwrap_or((target, ""));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        self.leaf(Kind::Path, "", path);
        self.pairs(Kind::Query, query);
        self.pairs(Kind::Query, fragment);
    }

    fn pairs(&mut self, kind: Kind, text: &str) {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or(("", pair));
            let decoded = |text: &str| percent_decoded(&text.replace('+', " ")).into_owned();
            let name = decoded(name);
            self.leaf(kind, &name, &decoded(value));
            // What stands before the first `=` may be no name at all.
            if !name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
                self.leaf(kind, "", &name);
            }
        }
    }

    fn headers(&mut self, headers: &[Header]) {
        for Header { name, value } in headers {
            match name.to_ascii_lowercase().as_str() {
                "cookie" => value.split(';').for_each(|pair| self.cookie(pair)),
                "set-cookie" => {
                    self.cookie(value.split(';').next().unwrap_or_default());
                    self.leaf(Kind::Header, name, value.split_once(';').map_or("", |(_, rest)| rest));
                }
                _ => self.leaf(Kind::Header, name, value),
            }
        }
    }

    fn cookie(&mut self, pair: &str) {
        let (name, value) = pair.trim().split_once('=').unwrap_or(("", pair.trim()));
        self.leaf(Kind::Cookie, name, value);
    }

    fn body(&mut self, body: &Body) {
        match body {
            Body::Empty | Body::Opaque => {}
            Body::Unread(why) => self.leaf(Kind::Unread, "", why),
            Body::Form(text) => self.pairs(Kind::Form, text),
            Body::Json(text) | Body::Html(text) => self.json("", text, 0),
            Body::Multipart(multipart) => self.parts(multipart),
        }
    }

    fn parts(&mut self, multipart: &Multipart) {
        for part in &multipart.parts {
            self.leaf(Kind::PartHead, &part.name, &part.head);
            match &part.content {
                PartContent::Field { value }
                    if value.starts_with(['{', '[']) && json::scalars(value).is_some() =>
                {
                    self.json(&part.name, value, 0);
                }
                PartContent::Field { value } => self.leaf(Kind::Part, &part.name, value),
                PartContent::File { file } => {
                    self.leaf(Kind::PartHead, &part.name, file.content_type.as_deref().unwrap_or_default());
                    self.leaf(Kind::PartHead, &part.name, file.extension.as_deref().unwrap_or_default());
                }
            }
        }
    }

    /// Scalars below `under`; a string that holds JSON is followed.
    fn json(&mut self, under: &str, text: &str, depth: u8) {
        let scalars = json::scalars(text).unwrap_or_default();
        for scalar in &scalars {
            let raw = &text[scalar.range.clone()];
            let value = json::decoded(raw);
            let is_nested =
                raw.starts_with('"') && depth < NESTED_MAX && value.trim_start().starts_with(['{', '[']);
            if is_nested && json::scalars(&value).is_some() {
                self.json(&format!("{under}{}", general(&scalar.pointer)), &value, depth + 1);
            } else if !matches!(raw, "null" | "true" | "false") {
                let label = label(&scalars, &scalar.pointer, text);
                self.labelled(Kind::Json, &format!("{under}{}", general(&scalar.pointer)), &value, label);
            }
            self.leaf(Kind::JsonKeys, under, &scalar.pointer.replace("~1", "/").replace("~0", "~"));
        }
    }
}

/// `*` for every index, so that all items of a list are one place.
fn general(pointer: &str) -> String {
    let is_index = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    let keys: Vec<&str> = pointer.split('/').map(|key| if is_index(key) { "*" } else { key }).collect();
    keys.join("/")
}

/// What the `name` beside a `value` says.
fn label(scalars: &[json::Scalar], pointer: &str, text: &str) -> Option<String> {
    let parent = pointer.strip_suffix("/value")?;
    let is_label = |scalar: &&json::Scalar| {
        scalar.pointer.strip_prefix(parent).is_some_and(|key| matches!(key, "/name" | "/key" | "/field"))
    };
    scalars.iter().find(is_label).map(|scalar| json::decoded(&text[scalar.range.clone()]))
}
