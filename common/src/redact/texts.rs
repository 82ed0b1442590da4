//! What is hidden within a kept text, wherever a text may stand: a header, a path, a query, a form, a string of JSON.
//!
//! One search for all places, so that a secret cannot hide in the place that somebody forgot: patterns, random runs,
//! `name=value` and `name: value`, user names in URLs, segments after `/reset/` and its like, JSON within texts, and
//! all of it again in what percent-encoding hides. Each finding is a cut; cuts that touch become one, so that no end
//! of a secret survives because two rules saw different parts of it. Everything between cuts keeps its bytes.

use std::borrow::Cow;
use std::ops::Range;

use super::values::{encoded, form_decoded, percent_decoded};
use super::{Redactor, assignments, random};
use crate::fingerprint::Fingerprint;

/// How often a text may be wrapped in JSON or percent-encoding; what is wrapped deeper is hidden whole.
const DEPTH_MAX: u8 = 4;

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) kind: Kind,
    /// Random text in it is a secret.
    pub(super) is_random_secret: bool,
    /// Patterns are looked for; else it is known that none matches.
    pub(super) has_patterns: bool,
    /// `name=value` says what its value is.
    pub(super) has_names: bool,
    pub(super) depth: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Path and query; `+` is a space after `?`.
    Target,
    /// `application/x-www-form-urlencoded`.
    Form,
}

impl Manner {
    pub(super) const TEXT: Self =
        Self { kind: Kind::Text, is_random_secret: true, has_patterns: true, has_names: true, depth: 0 };
    pub(super) const TARGET: Self = Self { kind: Kind::Target, ..Self::TEXT };
    pub(super) const FORM: Self = Self { kind: Kind::Form, ..Self::TEXT };
    /// A header whose random text is a hash or a boundary.
    pub(super) const HASHES: Self = Self { is_random_secret: false, ..Self::TEXT };

    fn within(self) -> Self {
        Self { kind: Kind::Text, has_patterns: true, depth: self.depth + 1, ..self }
    }
}

/// A place to be replaced, by `instead` or by the fingerprint of what stands there.
#[derive(Debug)]
struct Cut {
    range: Range<usize>,
    coding: Coding,
    instead: Option<String>,
}

/// How what stands in a cut is decoded before it is fingerprinted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Coding {
    Plain,
    Percent,
    Form,
}

impl Cut {
    fn new(range: Range<usize>, coding: Coding) -> Self {
        Self { range, coding, instead: None }
    }
}

/// Cuts that leave the tokens of an earlier redaction whole: one inside a token is none, one that reaches into a
/// token takes all of it, since what stands beside it belongs to the same secret.
fn around_tokens(text: &str, cuts: Vec<Cut>) -> Vec<Cut> {
    let tokens: Vec<Range<usize>> = Fingerprint::find_all(text).into_iter().map(|(range, _)| range).collect();
    let around = |mut cut: Cut| {
        for token in &tokens {
            let is_apart = cut.range.end <= token.start || token.end <= cut.range.start;
            let is_inside = token.start <= cut.range.start && cut.range.end <= token.end;
            let is_around = cut.range.start <= token.start && token.end <= cut.range.end;
            if is_inside {
                return None;
            }
            if !is_apart && !is_around {
                let (start, end) = (cut.range.start.min(token.start), cut.range.end.max(token.end));
                cut = Cut { range: start..end, instead: None, ..cut };
            }
        }
        Some(cut)
    };
    cuts.into_iter().filter_map(around).collect()
}

impl Redactor {
    /// A kept text with all that is secret in it replaced; borrowed where nothing is.
    pub(super) fn kept<'a>(&self, text: &'a str, manner: Manner) -> Cow<'a, str> {
        let traits = Traits::of(text);
        if traits.has(JSON_START) && is_json_like(text) {
            if manner.depth >= DEPTH_MAX {
                return self.fingerprint(text.as_bytes()).into();
            }
            if let Some(redacted) = self.json_within(text, manner.depth + 1) {
                return if redacted == text { text.into() } else { redacted.into() };
            }
        }
        let mut cuts = self.cuts(text, traits, manner);
        if self.fingerprinter.keeps_tokens() {
            cuts = around_tokens(text, cuts);
        }
        if cuts.is_empty() { text.into() } else { self.replaced(text, cuts).into() }
    }

    fn cuts(&self, text: &str, traits: Traits, manner: Manner) -> Vec<Cut> {
        let mut cuts = self.looks(text, traits, manner);
        if traits.has(PERCENT) || (traits.has(PLUS) && manner.kind != Kind::Text) {
            self.add_encoded(text, manner, &mut cuts);
        }
        if traits.has(ASSIGN) && manner.has_names {
            self.add_assignments(text, manner, &mut cuts);
        }
        if traits.has(SLASH) {
            self.add_segments(text, &mut cuts);
        }
        if traits.has(SLASH) && traits.has(AT) {
            add_user_info(text, &mut cuts);
        }
        cuts
    }

    /// What is secret by what it looks like.
    fn looks(&self, text: &str, traits: Traits, manner: Manner) -> Vec<Cut> {
        let mut found = Vec::new();
        if manner.has_patterns {
            self.rules.patterns.find(text, &mut found);
        }
        if manner.is_random_secret && traits.longest_run >= self.rules.random_chars_min {
            random::find(text, self.rules.random_chars_min, &mut found);
        }
        found.into_iter().map(|range| Cut::new(range, Coding::Plain)).collect()
    }

    fn add_assignments(&self, text: &str, manner: Manner, cuts: &mut Vec<Cut>) {
        for pair in assignments::find(text, manner.kind == Kind::Form) {
            if self.name(&pair.name(text)).verdict.is_hidden() {
                let coding = if pair.is_query { Coding::Form } else { Coding::Plain };
                cuts.push(Cut::new(pair.value, coding));
            }
        }
    }

    /// Pieces that say something else once they are decoded. What a rule saw in such a piece as it stands gives way
    /// to what the rules see in its decoded form.
    fn add_encoded(&self, text: &str, manner: Manner, cuts: &mut Vec<Cut>) {
        let query_from = match manner.kind {
            Kind::Text => usize::MAX,
            Kind::Target => text.find('?').unwrap_or(usize::MAX),
            Kind::Form => 0,
        };
        for range in pieces(text) {
            let piece = &text[range.clone()];
            let is_query = range.start >= query_from;
            let decoded = if is_query { form_decoded(piece) } else { percent_decoded(piece) };
            if decoded == piece {
                continue;
            }
            if manner.depth >= DEPTH_MAX {
                cuts.push(Cut::new(range, Coding::Percent));
                continue;
            }
            if let Cow::Owned(redacted) = self.kept(&decoded, manner.within()) {
                cuts.retain(|cut| cut.range.start < range.start || cut.range.end > range.end);
                let instead = Some(encoded(&redacted, is_query && piece.contains('+')));
                cuts.push(Cut { range, coding: Coding::Percent, instead });
            }
        }
    }

    fn add_segments(&self, text: &str, cuts: &mut Vec<Cut>) {
        let mut before = "";
        for range in segments(text) {
            let segment = &text[range.clone()];
            let is_below = range.start > 0 && text.as_bytes()[range.start - 1] == b'/';
            let is_after_secret = is_below && !before.is_empty() && self.name(before).is_secret_path;
            if is_after_secret && !segment.is_empty() && !is_word(&percent_decoded(segment)) {
                cuts.push(Cut::new(range, Coding::Percent));
            }
            before = segment;
        }
    }

    fn replaced(&self, text: &str, cuts: Vec<Cut>) -> String {
        let mut replaced = String::with_capacity(text.len() + 32);
        let mut from = 0;
        for cut in joined(cuts) {
            replaced.push_str(&text[from..cut.range.start]);
            let found = &text[cut.range.clone()];
            match (cut.instead, cut.coding) {
                (Some(instead), _) => replaced.push_str(&instead),
                (None, Coding::Plain) => replaced.push_str(&self.hidden(found)),
                (None, Coding::Percent) => replaced.push_str(&self.hidden(&percent_decoded(found))),
                (None, Coding::Form) => replaced.push_str(&self.hidden(&form_decoded(found))),
            }
            from = cut.range.end;
        }
        replaced.push_str(&text[from..]);
        replaced
    }
}

/// In order and without overlap; what overlaps is hidden as one.
fn joined(mut cuts: Vec<Cut>) -> Vec<Cut> {
    cuts.sort_by_key(|cut| (cut.range.start, cut.range.end));
    let mut joined: Vec<Cut> = Vec::with_capacity(cuts.len());
    for cut in cuts {
        match joined.last_mut() {
            Some(last) if cut.range.start < last.range.end => last.join(&cut),
            _ => joined.push(cut),
        }
    }
    joined
}

impl Cut {
    fn join(&mut self, other: &Self) {
        // The same place seen twice needs no other value.
        if self.range != other.range || self.instead != other.instead {
            self.instead = None;
        }
        self.range.end = self.range.end.max(other.range.end);
        self.coding = self.coding.max(other.coding);
    }
}

/// Where `user:password` stands in `scheme://user:password@host/...` (RFC 3986 section 3.2.1). An e-mail address that
/// seems to begin in it is none.
fn add_user_info(text: &str, cuts: &mut Vec<Cut>) {
    for start in memchr::memmem::find_iter(text.as_bytes(), "://").map(|at| at + 3) {
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '\\');
        let authority = text[start..].split(is_end).next().unwrap_or_default();
        let Some(length) = authority.rfind('@').filter(|length| *length > 0) else { continue };
        let range = start..start + length;
        cuts.retain(|cut| !(range.start..=range.end).contains(&cut.range.start));
        cuts.push(Cut::new(range, Coding::Percent));
    }
}

/// A text that may be JSON once more: an object, an array, or a string with one of them.
fn is_json_like(text: &str) -> bool {
    let inner = text.trim_start();
    inner.starts_with(['{', '['])
        || inner.starts_with("\"{")
        || inner.starts_with("\"[")
        || inner.starts_with("\"\\\"")
}

/// Not a token: letters, dashes and dots in at most three words.
fn is_word(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let humps = bytes.windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.');
    segment.len() <= 24 && bytes.iter().all(is_letter) && humps.count() <= 2
}

/// Stretches that are percent-encoded each for itself.
fn pieces(text: &str) -> impl Iterator<Item = Range<usize>> {
    ranges(text, |byte| {
        matches!(byte, b'/' | b'?' | b'&' | b';' | b'=' | b'#' | b'"' | b'<' | b'>')
            || byte.is_ascii_whitespace()
    })
}

/// Segments of every path in a text.
fn segments(text: &str) -> impl Iterator<Item = Range<usize>> {
    ranges(text, |byte| {
        matches!(byte, b'/' | b'?' | b'&' | b';' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b',')
            || byte.is_ascii_whitespace()
    })
}

fn ranges(text: &str, is_end: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.as_bytes().split(move |byte| is_end(*byte)).map(move |piece| {
        let range = start..start + piece.len();
        start = range.end + 1;
        range
    })
}

const ASSIGN: u8 = 1;
const PERCENT: u8 = 2;
const PLUS: u8 = 4;
const SLASH: u8 = 8;
const AT: u8 = 16;
const JSON_START: u8 = 32;
const RUN: u8 = 64;

/// Which signs a text has: most texts have none, and are through after one pass.
#[derive(Debug, Clone, Copy)]
struct Traits {
    signs: u8,
    longest_run: usize,
}

static SIGNS: [u8; 256] = signs();

const fn signs() -> [u8; 256] {
    let mut signs = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let sign = match byte {
            b'=' | b':' => ASSIGN,
            b'%' => PERCENT,
            b'+' => PLUS,
            b'/' => SLASH,
            b'@' => AT,
            b'{' | b'[' => JSON_START,
            _ => 0,
        };
        signs[byte as usize] = if random::is_run_byte(byte) { sign | RUN } else { sign };
        byte += 1;
    }
    signs
}

impl Traits {
    fn of(text: &str) -> Self {
        let (mut signs, mut run, mut longest_run) = (0, 0, 0);
        for byte in text.bytes() {
            let sign = SIGNS[usize::from(byte)];
            signs |= sign;
            run = if sign & RUN == 0 { 0 } else { run + 1 };
            longest_run = run.max(longest_run);
        }
        Self { signs, longest_run }
    }

    fn has(self, sign: u8) -> bool {
        self.signs & sign != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Privacy;
    use super::super::tests::redactor;
    use super::*;

    fn kept(text: &str) -> String {
        redactor(Privacy::Default).kept(text, Manner::TEXT).into_owned()
    }

    fn token(value: &str) -> String {
        redactor(Privacy::Default).fingerprint(value.as_bytes())
    }

    #[test]
    fn urls_within_texts_lose_their_secrets_and_keep_the_rest() {
        let text = "see https://anna:pw@s3.example/b/k?X-Amz-Credential=AK%2F1&n=2&X-Amz-Signature=00ff#state=zz now";
        let expected = format!(
            "see https://{}@s3.example/b/k?X-Amz-Credential={}&n=2&X-Amz-Signature={}#state={} now",
            token("anna:pw"),
            token("AK/1"),
            token("00ff"),
            token("zz")
        );
        assert_eq!(kept(text), expected);
    }

    #[test]
    fn what_is_wrapped_is_looked_at_as_what_it_says() {
        let json = kept(r#"{"note":"{\"password\":\"hunter2\",\"n\":1}"}"#);
        assert!(json.contains(&token("hunter2")) && json.contains(r#"\"n\":1"#), "{json}");
        let query = kept("/x?filter=%7B%22token%22%3A%22abc%22%2C%22n%22%3A1%7D");
        assert_eq!(query, format!("/x?filter=%7B%22token%22%3A%22{}%22%2C%22n%22%3A1%7D", token("abc")));
        let next = kept("/login?next=%2Fcb%3Fcode%3Dabc%26x%3D1");
        assert!(next.contains(&token("abc")) && next.ends_with("%26x%3D1"), "{next}");
    }

    #[test]
    fn what_is_wrapped_too_deep_is_hidden_whole() {
        let mut text = r#"{"password":"hunter2"}"#.to_owned();
        for _ in 0..8 {
            text = serde_json::Value::from(text).to_string();
            text = format!("{{\"a\":{text}}}");
        }
        assert!(!kept(&text).contains("hunter2"));
        let mut target = "password=hunter2".to_owned();
        for _ in 0..8 {
            target = format!("x={}", encoded(&target, false));
        }
        assert!(!kept(&target).contains("hunter2"), "{target}");
    }

    #[test]
    fn cuts_that_touch_hide_as_one() {
        assert_eq!(
            kept("/x?password=anna@school.example!1"),
            format!("/x?password={}", token("anna@school.example!1"))
        );
        assert_eq!(kept("/x?token=Bearer%20abc"), format!("/x?token=Bearer {}", token("abc")));
    }

    #[test]
    fn segments_after_a_reset_are_secret_unless_they_are_words() {
        assert_eq!(kept("/password/reset/Ab3x9"), format!("/password/reset/{}", token("Ab3x9")));
        assert_eq!(
            kept("https://x.example/verify/839201?a=1"),
            format!("https://x.example/verify/{}?a=1", token("839201"))
        );
        for plain in ["/password/new", "/verify/email", "/reset/request-link", "/assignments/17"] {
            assert_eq!(kept(plain), plain);
        }
    }

    #[test]
    fn ordinary_texts_keep_their_bytes() {
        for plain in [
            "gzip, deflate;q=0.9",
            "db;dur=5.2, store;dur=121.482;desc=\"wait for a slot\"",
            "scope: read user:email",
            "a: b, c=d",
            "max-age=0, must-revalidate",
            "Sentence with 100 % and a + sign / slash",
            "{not json}",
            "[1] first",
        ] {
            assert_eq!(kept(plain), plain);
        }
    }
}
