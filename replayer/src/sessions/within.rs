//! Values inside longer texts: what a client takes out of a URL, a `Link` header or a sentence.
//!
//! A response often gives an id only as part of something longer: `"next": "/items?cursor=abc"`,
//! `Location: /uploads/17/parts`, `"audio_url": "https://host/recordings/<uuid>.webm"`. [`find`] lists the parts of
//! a captured text that are worth tracing, [`TextPart::of`] takes the same part out of a live one. Only what has a
//! firm edge is taken: path segments, query parameters, UUIDs, and the stretch between two captured texts where a
//! fingerprint stands.

use std::borrow::Cow;
use std::ops::Range;

use kingtide_common::fingerprint::Fingerprint;

use super::fill::percent_decode;
use super::route;

/// Which stretch of a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextPart {
    /// A segment of the path of a URL, counted from its end: 0 is the last. Percent-decoded.
    Segment { from_end: usize },
    /// A query parameter of a URL, decoded.
    Query { key: String },
    /// The URL of a `Link` header with this relation (RFC 8288).
    Link { relation: String },
    /// The UUID with this index.
    Uuid { nth: usize },
    /// What stands between two texts; an empty one stands for the beginning or the end.
    Between { before: String, after: String },
}

/// Longer texts are not looked into.
const TEXT_BYTES_MAX: usize = 4096;
/// How much of the captured text around a fingerprint marks its place.
const MARK_CHARS_MAX: usize = 24;
const UUID_BYTES: usize = 36;

impl TextPart {
    /// The stretch itself; `None` where the text has no such part.
    pub(super) fn of<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        match self {
            Self::Segment { from_end } => {
                let segment = path_segments(text).rev().nth(*from_end)?;
                Some(percent_decode(segment, false).into())
            }
            Self::Query { key } => {
                let (_, value) = parameters(text).find(|(is, _)| is == key)?;
                Some(percent_decode(value, true).into())
            }
            Self::Link { relation } => {
                let (_, url) = links(text).find(|(is, _)| is.eq_ignore_ascii_case(relation))?;
                Some(url.into())
            }
            Self::Uuid { nth } => uuids(text).nth(*nth).map(|range| text[range].into()),
            Self::Between { before, after } => between(text, before, after).map(Into::into),
        }
    }

    /// For people: `segment 1 before the last`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Segment { from_end: 0 } => "last segment".to_owned(),
            Self::Segment { from_end } => format!("segment {from_end} before the last"),
            Self::Query { key } => format!("parameter {key}"),
            Self::Link { relation } => format!("link {relation}"),
            Self::Uuid { nth: 0 } => "uuid in it".to_owned(),
            Self::Uuid { nth } => format!("uuid {} in it", nth + 1),
            Self::Between { before, after } => format!("between `{before}` and `{after}`"),
        }
    }
}

/// The parts of a captured text that may name one thing; empty for a text that is itself a value.
pub(super) fn find(text: &str) -> Vec<TextPart> {
    if text.len() > TEXT_BYTES_MAX || Fingerprint::parse(text).is_some() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    if is_url(text) {
        let segments: Vec<&str> = path_segments(text).collect();
        let named = segments.iter().rev().enumerate().filter(|(_, segment)| names_one(segment));
        parts.extend(named.map(|(from_end, _)| TextPart::Segment { from_end }));
        parts.extend(parameters(text).map(|(key, _)| TextPart::Query { key: key.to_owned() }));
    }
    if text.len() > UUID_BYTES {
        let inside = uuids(text).enumerate().filter(|(_, range)| !is_whole(text, range));
        parts.extend(inside.map(|(nth, _)| TextPart::Uuid { nth }));
    }
    let prints = Fingerprint::find_all(text);
    let inside = |at: &usize| !is_whole(text, &prints[*at].0);
    parts.extend((0..prints.len()).filter(inside).filter_map(|at| marks(text, &prints, at)));
    parts
}

/// The relations of a `Link` header.
pub(super) fn relations(text: &str) -> impl Iterator<Item = TextPart> {
    links(text).map(|(relation, _)| TextPart::Link { relation: relation.to_owned() })
}

/// Absolute, or beginning at the root.
fn is_url(text: &str) -> bool {
    let is_spaced = || text.contains(char::is_whitespace);
    (text.starts_with('/') || text.starts_with("https://") || text.starts_with("http://")) && !is_spaced()
}

/// Whether a segment names one thing rather than a kind of things: an id, or a text with a digit.
fn names_one(segment: &str) -> bool {
    route::is_id(segment) || segment.bytes().any(|byte| byte.is_ascii_digit())
}

/// Path segments of a URL, absolute or not, without scheme and host.
pub(super) fn path_segments(url: &str) -> impl DoubleEndedIterator<Item = &str> {
    let path = url.trim().split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Query parameters of a URL, as written.
pub(super) fn parameters(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split('#').next().unwrap_or_default().split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.trim().split_once('='))
}

/// Relations and URLs of a `Link` header.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('<').skip(1).filter_map(|link| {
        let (url, parameters) = link.split_once('>')?;
        let (_, relation) = parameters.split_once("rel=")?;
        let relation = relation.split([';', ',']).next()?.trim().trim_matches('"');
        Some((relation, url))
    })
}

/// Where UUIDs stand that are not part of a longer word.
pub(super) fn uuids(text: &str) -> impl Iterator<Item = Range<usize>> {
    const FIRST_HYPHEN: usize = 8;
    let starts = text.match_indices('-').filter_map(|(at, _)| at.checked_sub(FIRST_HYPHEN));
    starts.filter_map(move |start| {
        let range = start..start + UUID_BYTES;
        let is_one = text.get(range.clone()).is_some_and(route::is_uuid);
        let in_word =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let bytes = text.as_bytes();
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        (is_one && !in_word(before) && !in_word(bytes.get(range.end))).then_some(range)
    })
}

/// Whether a range is a whole segment or parameter of a URL, which is traced as such.
fn is_whole(text: &str, range: &Range<usize>) -> bool {
    let starts = text[..range.start].ends_with(['/', '=']);
    let ends = range.end == text.len() || text[range.end..].starts_with(['/', '?', '#', '&']);
    is_url(text) && starts && ends
}

/// The texts around a fingerprint; `None` where another one touches it.
fn marks(text: &str, prints: &[(Range<usize>, Fingerprint)], at: usize) -> Option<TextPart> {
    let range = &prints[at].0;
    let from = at.checked_sub(1).map_or(0, |before| prints[before].0.end);
    let to = prints.get(at + 1).map_or(text.len(), |after| after.0.start);
    let before: String = last_chars(&text[from..range.start]).to_owned();
    let after: String = text[range.end..to].chars().take(MARK_CHARS_MAX).collect();
    let has_edges =
        (range.start == 0 || !before.is_empty()) && (range.end == text.len() || !after.is_empty());
    has_edges.then_some(TextPart::Between { before, after })
}

fn last_chars(text: &str) -> &str {
    let start = text.char_indices().rev().take(MARK_CHARS_MAX).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    let rest = &text[start..];
    let end = if after.is_empty() { rest.len() } else { rest.find(after)? };
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11";
    const OTHER: &str = "0b5a3f5e-93a1-4f0e-8d1f-6f5d8c7b2e90";
    const PRINT: &str = "{fp:0123456789abcdef.9}";

    fn found(text: &str) -> Vec<String> {
        find(text).iter().map(|part| part.of(text).expect("a part that was found").into_owned()).collect()
    }

    #[test]
    fn ids_are_found_in_urls_and_texts() {
        let texts = [
            (format!("/api/uploads/{UUID}/parts"), vec![UUID]),
            (format!("https://h/v2/files/{UUID}?cursor=a%2Fb&x=1#top"), vec![UUID, "v2", "a/b", "1"]),
            (format!("https://h/files/{UUID}.webm"), vec!["6f1c1b9e-4d0a-4c57-9a51-0d2f4f6f2a11.webm", UUID]),
            (format!("created {UUID} for {OTHER}."), vec![UUID, OTHER]),
            (format!("Dear {PRINT}, welcome"), vec![PRINT]),
            (format!("https://h/reset/{PRINT}?t={PRINT}"), vec![PRINT, PRINT]),
            ("just words, even with 4711".to_owned(), vec![]),
            (format!("x{UUID}"), vec![]),
            (PRINT.to_owned(), vec![]),
            (UUID.to_owned(), vec![]),
        ];
        for (text, parts) in texts {
            assert_eq!(found(&text), parts, "{text}");
        }
    }

    #[test]
    fn a_live_text_has_its_own_value_at_the_same_part() {
        let part = find(&format!("Dear {PRINT}, welcome back")).remove(0);
        assert_eq!(part.of("Dear Ann Lee, welcome back").as_deref(), Some("Ann Lee"));
        assert_eq!(part.of("Sir"), None);
        let cursor = TextPart::Query { key: "cursor".to_owned() };
        assert_eq!(cursor.of("/items?limit=20&cursor=n%20w").as_deref(), Some("n w"));
        assert_eq!(cursor.of("/items"), None);
    }

    #[test]
    fn links_are_told_apart_by_their_relation() {
        let header = r#"<https://h/i?page=1>; rel="prev", <https://h/i?page=3>; rel=next; title="x""#;
        let relations: Vec<_> = relations(header).collect();
        let urls: Vec<_> = relations.iter().filter_map(|part| part.of(header)).collect();
        assert_eq!(urls, ["https://h/i?page=1", "https://h/i?page=3"]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[/?=&<>{}fp:0-9a-f. é-]{0,80}") {
            for part in find(&text) {
                prop_assert!(part.of(&text).is_some(), "{:?}", part);
            }
        }
    }
}
