//! The values of a request, each with its place, range and name.
//!
//! A value is a fingerprint wherever it stands, or a whole scalar: a path segment, a query or form value,
//! a header, a cookie, a JSON scalar, the text of a multipart field. What is done with it is decided in
//! [`super::bind`].

use std::ops::Range;

use kingtide_common::exchange::{Body, Exchange, PartContent};
use kingtide_common::fingerprint::Fingerprint;
use kingtide_common::json;

use super::fill::percent_decode;
use super::{Escape, Hole, Place, names, route, within};

/// The kind of place a token stands in, for rules and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    Path,
    Query,
    Header,
    Cookie,
    Json,
    Form,
    Part,
}

/// One value of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) place: Place,
    pub(super) range: Range<usize>,
    pub(super) escape: Escape,
    pub(super) spot: Spot,
    /// Name of the field, header or cookie; in a path the nearest segment before it that is no id.
    pub(super) name: String,
    /// Without escapes; of a fingerprint, its text.
    pub(super) value: String,
    /// UUIDs in a longer value, which may have a source of their own where the whole has none.
    pub(super) inner: Vec<(Range<usize>, String)>,
    /// In JSON, where it stands.
    pub(super) pointer: String,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fingerprint,
    Uuid,
    /// At least 1,000.
    Integer,
    /// 8 to 1,024 bytes.
    Text,
}

const TEXT_BYTES_MIN: usize = 8;
const TEXT_BYTES_MAX: usize = 1024;

impl Kind {
    /// `None` for values too common to be traced.
    pub(super) fn of(value: &str) -> Option<Self> {
        if Fingerprint::parse(value).is_some() {
            Some(Self::Fingerprint)
        } else if route::is_uuid(value) {
            Some(Self::Uuid)
        } else if value.bytes().all(|byte| byte.is_ascii_digit()) {
            (value.len() >= 4 && !value.starts_with('0')).then_some(Self::Integer)
        } else {
            (TEXT_BYTES_MIN..=TEXT_BYTES_MAX).contains(&value.len()).then_some(Self::Text)
        }
    }
}

impl Spot {
    fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Json => "json",
            Self::Form => "form",
            Self::Part => "part",
        }
    }

    /// Bodies, which the client composes.
    pub(super) fn is_field(self) -> bool {
        matches!(self, Self::Json | Self::Form | Self::Part)
    }
}

impl Token {
    /// The UUIDs within it as values of their own.
    pub(super) fn inner(&self) -> Vec<Self> {
        let token = |(range, value): &(Range<usize>, String)| Self {
            range: range.clone(),
            value: value.clone(),
            inner: Vec::new(),
            name: self.name.clone(),
            pointer: self.pointer.clone(),
            ..*self
        };
        self.inner.iter().map(token).collect()
    }
}

/// All values of a request, in the order of [`Place`] and position. They never overlap.
pub(super) fn tokens(exchange: &Exchange) -> Vec<Token> {
    let mut found = Tokens::default();
    found.target(&exchange.target);
    for (index, header) in exchange.request_headers.iter().enumerate() {
        if !names::is_drives(&header.name) {
            found.header(index, &header.name, &header.value);
        }
    }
    match &exchange.request_body {
        Body::Json(text) => found.json(Place::Body, text),
        Body::Form(text) => found.pairs(Place::Body, Spot::Form, text, 0..text.len()),
        Body::Multipart(multipart) => {
            for (index, part) in multipart.parts.iter().enumerate() {
                if let PartContent::Field { value } = &part.content {
                    found.part(index, &part.name, value);
                }
            }
        }
        Body::Empty | Body::Html(_) | Body::Opaque | Body::Unread(_) => {}
    }
    found.0
}

/// Where a hole stands, for people: `part activity_id`, `path after assignments`.
pub(super) fn describe(exchange: &Exchange, hole: &Hole) -> String {
    let holds = |token: &Token| token.range.start <= hole.range.start && hole.range.end <= token.range.end;
    let is_it = |token: &Token| token.place == hole.place && holds(token);
    match tokens(exchange).into_iter().find(is_it) {
        Some(token) if token.spot == Spot::Path => format!("path after {}", token.name),
        Some(token) => format!("{} {}", token.spot.name(), token.name),
        None => format!("{:?}", hole.place),
    }
}

#[derive(Default)]
struct Tokens(Vec<Token>);

/// What the values of one stretch of text have in common.
#[derive(Clone, Copy)]
struct Site<'a> {
    place: Place,
    escape: Escape,
    spot: Spot,
    name: &'a str,
    pointer: &'a str,
}

impl<'a> Site<'a> {
    fn new(place: Place, escape: Escape, spot: Spot, name: &'a str) -> Self {
        Self { place, escape, spot, name, pointer: "" }
    }
}

impl Tokens {
    fn target(&mut self, target: &str) {
        let path_end = target.find(['?', '#']).unwrap_or(target.len());
        let mut name = "";
        for range in pieces(target, 0..path_end, '/') {
            let segment = &target[range.clone()];
            let site = Site::new(Place::Target, Escape::Percent, Spot::Path, name);
            self.value(site, target, range, percent_decode(segment, false));
            if !segment.is_empty() && !route::is_id(segment) {
                name = segment;
            }
        }
        if target[path_end..].starts_with('?') {
            let end = target.find('#').unwrap_or(target.len());
            self.pairs(Place::Target, Spot::Query, target, path_end + 1..end);
        }
    }

    fn header(&mut self, index: usize, name: &str, value: &str) {
        let place = Place::Header(index);
        if name.eq_ignore_ascii_case("cookie") {
            return self.cookies(place, value);
        }
        let site = Site::new(place, Escape::Raw, Spot::Header, name);
        if !names::is_constant(name) || !Fingerprint::find_all(value).is_empty() {
            self.value(site, value, 0..value.len(), value.to_owned());
        }
    }

    fn cookies(&mut self, place: Place, text: &str) {
        for pair in pieces(text, 0..text.len(), ';') {
            let Some((name, value)) = split_pair(text, pair) else { continue };
            let site = Site::new(place, Escape::Raw, Spot::Cookie, text[name].trim());
            let decoded = text[value.clone()].to_owned();
            self.value(site, text, value, decoded);
        }
    }

    /// `key=value&…`
    fn pairs(&mut self, place: Place, spot: Spot, text: &str, within: Range<usize>) {
        for pair in pieces(text, within, '&') {
            let Some((name, value)) = split_pair(text, pair) else { continue };
            let name = percent_decode(&text[name], true);
            let site = Site::new(place, Escape::Percent, spot, &name);
            let decoded = percent_decode(&text[value.clone()], true);
            self.value(site, text, value, decoded);
        }
    }

    fn part(&mut self, index: usize, name: &str, value: &str) {
        let place = Place::Part(index);
        if value.trim_start().starts_with(['{', '[']) && Fingerprint::parse(value).is_none() {
            self.json(place, value);
        } else {
            let site = Site::new(place, Escape::Raw, Spot::Part, name);
            self.value(site, value, 0..value.len(), value.to_owned());
        }
    }

    fn json(&mut self, place: Place, text: &str) {
        for scalar in json::scalars(text).unwrap_or_default() {
            let name = last_key(&scalar.pointer);
            let raw = &text[scalar.range.clone()];
            let is_string = raw.starts_with('"');
            let escape = if is_string { Escape::JsonString } else { Escape::JsonScalar };
            let quotes = usize::from(is_string);
            let inner = scalar.range.start + quotes..scalar.range.end - quotes;
            let site = Site { pointer: &scalar.pointer, ..Site::new(place, escape, Spot::Json, name) };
            self.value(site, text, inner, json::decoded(raw));
        }
    }

    /// The fingerprints in a stretch of text, or the stretch itself as one value.
    fn value(&mut self, site: Site<'_>, text: &str, range: Range<usize>, decoded: String) {
        let Site { place, escape, spot, name, pointer } = site;
        let token = |range, value, inner| {
            let (name, pointer) = (name.to_owned(), pointer.to_owned());
            Token { place, range, escape, spot, name, value, inner, pointer }
        };
        let prints = Fingerprint::find_all(&text[range.clone()]);
        if prints.is_empty() && !decoded.is_empty() {
            let inner = uuids_in(text, &range);
            return self.0.push(token(range, decoded, inner));
        }
        let at = |at: Range<usize>| range.start + at.start..range.start + at.end;
        self.0.extend(
            prints.into_iter().map(|(within, print)| token(at(within), print.to_string(), Vec::new())),
        );
    }
}

/// UUIDs in a stretch that is longer than one.
fn uuids_in(text: &str, range: &Range<usize>) -> Vec<(Range<usize>, String)> {
    let inside = within::uuids(&text[range.clone()]).map(|at| range.start + at.start..range.start + at.end);
    inside.filter(|inner| inner != range).map(|inner| (inner.clone(), text[inner].to_owned())).collect()
}

/// The last key of a JSON pointer that is no index of an array.
pub(super) fn last_key(pointer: &str) -> &str {
    keys(pointer).next().unwrap_or_default()
}

/// Keys of a JSON pointer from its end, without indices of arrays.
pub(super) fn keys(pointer: &str) -> impl Iterator<Item = &str> {
    let is_key = |key: &&str| !key.is_empty() && !key.bytes().all(|byte| byte.is_ascii_digit());
    pointer.rsplit('/').filter(is_key)
}

/// Ranges of the pieces of `text[within]` between separators.
fn pieces(text: &str, within: Range<usize>, separator: char) -> impl Iterator<Item = Range<usize>> {
    let mut start = within.start;
    text[within].split(separator).map(move |piece| {
        let range = start..start + piece.len();
        start = range.end + separator.len_utf8();
        range
    })
}

fn split_pair(text: &str, pair: Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    let equals = pair.start + text[pair.clone()].find('=')?;
    Some((pair.start..equals, equals + 1..pair.end))
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Header;

    use super::*;

    fn names_and_values(exchange: &Exchange) -> Vec<(Spot, String, String)> {
        tokens(exchange).into_iter().map(|token| (token.spot, token.name, token.value)).collect()
    }

    fn expect(exchange: &Exchange, expected: &[(Spot, &str, &str)]) {
        let expected = expected.iter().map(|(spot, name, value)| (*spot, (*name).into(), (*value).into()));
        assert_eq!(names_and_values(exchange), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_target_has_segments_and_parameters() {
        let target = "/api/users/17/a%20b?q=x+y&empty=&t={fp:0123456789abcdef.9}".to_owned();
        let exchange = Exchange { target, ..Exchange::default() };
        let expected = [
            (Spot::Path, "", "api"),
            (Spot::Path, "api", "users"),
            (Spot::Path, "users", "17"),
            (Spot::Path, "users", "a b"),
            (Spot::Query, "q", "x y"),
            (Spot::Query, "t", "{fp:0123456789abcdef.9}"),
        ];
        expect(&exchange, &expected);
    }

    #[test]
    fn headers_have_tokens_unless_constant_or_the_drives() {
        let print = "{fp:0123456789abcdef.9}";
        let headers = [
            ("Host", "x".to_owned()),
            ("User-Agent", "curl/8".to_owned()),
            ("Authorization", format!("Bearer {print}")),
            ("Cookie", format!("a=1; sid={print}")),
            ("X-Forwarded-For", print.to_owned()),
            ("If-None-Match", "\"v1\"".to_owned()),
        ];
        let request_headers = headers.map(|(name, value)| Header { name: name.into(), value }).to_vec();
        let expected = [
            (Spot::Header, "Authorization", print),
            (Spot::Cookie, "a", "1"),
            (Spot::Cookie, "sid", print),
            (Spot::Header, "If-None-Match", "\"v1\""),
        ];
        expect(&Exchange { request_headers, ..Exchange::default() }, &expected);
    }

    #[test]
    fn a_json_body_has_its_scalars() {
        let text = r#"{"user":{"e-mail":"{fp:0123456789abcdef.9}","n":4711},"tags":["aé",null]}"#;
        let exchange = Exchange { request_body: Body::Json(text.to_owned()), ..Exchange::default() };
        let expected = [
            (Spot::Json, "e-mail", "{fp:0123456789abcdef.9}"),
            (Spot::Json, "n", "4711"),
            (Spot::Json, "tags", "aé"),
            (Spot::Json, "tags", "null"),
        ];
        expect(&exchange, &expected);
        let at = |token: &Token| text[token.range.clone()].to_owned();
        assert_eq!(tokens(&exchange).iter().map(at).nth(2).unwrap(), "aé");
    }

    #[test]
    fn values_worth_tracing_are_told_from_common_ones() {
        let kinds = [
            ("{fp:0123456789abcdef.9}", Some(Kind::Fingerprint)),
            ("6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11", Some(Kind::Uuid)),
            ("1000", Some(Kind::Integer)),
            ("999", None),
            ("0001", None),
            ("abcdefgh", Some(Kind::Text)),
            ("abcdefg", None),
            ("", None),
        ];
        for (value, kind) in kinds {
            assert_eq!(Kind::of(value), kind, "{value}");
        }
    }
}
