//! Writing live values into the holes of a captured text.

use std::borrow::Cow;

use kingtide_common::fingerprint::Fingerprint;
use kingtide_common::redact::percent_decoded;

use super::{Escape, Hole};

/// Replaces each hole of `text` by its value, escaped for its place.
///
/// `holes` are those of one place, in order and without overlap, as [`super::Step::holes`] has them. A hole
/// without a value keeps what was captured; a fingerprint there becomes as many `x` as the value had bytes,
/// so that the text stays valid and keeps its size.
pub fn fill<'h>(
    text: &str,
    holes: impl IntoIterator<Item = &'h Hole>,
    mut value: impl FnMut(&Hole) -> Option<String>,
) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut from = 0;
    for hole in holes {
        filled.push_str(&text[from..hole.range.start]);
        match value(hole) {
            Some(value) => write(&mut filled, &value, hole.escape),
            None => filled.push_str(&filler(&text[hole.range.clone()])),
        }
        from = hole.range.end;
    }
    filled.push_str(&text[from..]);
    filled
}

fn write(out: &mut String, value: &str, escape: Escape) {
    match escape {
        Escape::Raw => out.push_str(value),
        Escape::JsonString => out.push_str(unquoted(&json_string(value))),
        Escape::JsonScalar if is_json_scalar(value) => out.push_str(value),
        Escape::JsonScalar => out.push_str(&json_string(value)),
        Escape::Percent => percent_encode(out, value),
    }
}

fn filler(captured: &str) -> String {
    match Fingerprint::parse(captured) {
        Some(fingerprint) => "x".repeat(fingerprint.bytes.min(FILLER_BYTES_MAX)),
        None => captured.to_owned(),
    }
}

/// A fingerprint's length comes from a file; it is not trusted to size a buffer.
const FILLER_BYTES_MAX: usize = 64 * 1024;

fn json_string(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// A number or boolean, which stands without quotes. Anything else is written as a string.
fn is_json_scalar(value: &str) -> bool {
    matches!(
        serde_json::from_str(value),
        Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_) | serde_json::Value::Null)
    )
}

/// A JSON string without the quotes at both ends.
fn unquoted(string: &str) -> &str {
    &string[1..string.len() - 1]
}

/// Everything but the unreserved characters of RFC 3986, which is right in a path, a query and a form.
fn percent_encode(out: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The opposite of the percent encoding; what is no valid escape stays. `plus_is_space` for queries and forms.
pub(super) fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let text = if plus_is_space { Cow::from(text.replace('+', " ")) } else { Cow::from(text) };
    percent_decoded(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Choice, Place, Source};
    use super::*;

    fn hole(text: &str, part: &str, escape: Escape) -> Hole {
        let start = text.find(part).unwrap();
        let (range, choice) = (start..start + part.len(), Choice::default());
        Hole { place: Place::Body, range, escape, source: Source::Unresolved, choice }
    }

    fn filled(text: &str, part: &str, escape: Escape, value: &str) -> String {
        fill(text, &[hole(text, part, escape)], |_| Some(value.to_owned()))
    }

    #[test]
    fn values_are_escaped_for_their_place() {
        assert_eq!(filled("Bearer OLD", "OLD", Escape::Raw, "a b"), "Bearer a b");
        assert_eq!(filled("/u/OLD/x", "OLD", Escape::Percent, "a/é"), "/u/a%2F%C3%A9/x");
        assert_eq!(filled(r#"{"a":"OLD"}"#, "OLD", Escape::JsonString, "q\"\n"), r#"{"a":"q\"\n"}"#);
        assert_eq!(filled(r#"{"a":4711}"#, "4711", Escape::JsonScalar, "17"), r#"{"a":17}"#);
        assert_eq!(filled(r#"{"a":4711}"#, "4711", Escape::JsonScalar, "x7"), r#"{"a":"x7"}"#);
    }

    #[test]
    fn several_holes_are_filled_in_order() {
        let text = "a=ONE&b=TWO&c=3";
        let holes = [hole(text, "ONE", Escape::Percent), hole(text, "TWO", Escape::Percent)];
        let mut values = ["1", "2"].into_iter();
        assert_eq!(fill(text, &holes, |_| values.next().map(str::to_owned)), "a=1&b=2&c=3");
    }

    #[test]
    fn a_hole_without_value_keeps_a_text_that_can_be_sent() {
        let text = "/s/{fp:0123456789abcdef.5}/OLD";
        let holes = [hole(text, "{fp:0123456789abcdef.5}", Escape::Percent), hole(text, "OLD", Escape::Raw)];
        assert_eq!(fill(text, &holes, |_| None), "/s/xxxxx/OLD");
    }

    proptest! {
        #[test]
        fn percent_encoding_is_undone(value in ".*") {
            let mut encoded = String::new();
            percent_encode(&mut encoded, &value);
            prop_assert_eq!(&percent_decode(&encoded, true), &value);
            prop_assert!(encoded.is_ascii());
        }

        #[test]
        fn a_filled_json_text_says_the_value(value in ".*") {
            let text = filled(r#"["OLD"]"#, "OLD", Escape::JsonString, &value);
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), vec![value]);
        }

        #[test]
        fn decoding_never_panics(text in "[%+a0é]{0,12}") {
            let _ = percent_decode(&text, true);
        }
    }
}
