//! `name=value` and `name: value` within a text: queries, fragments, parameters of paths and headers, and the pieces
//! of JSON that stand where JSON should not.

use std::borrow::Cow;
use std::ops::Range;

use super::values::percent_decoded;

/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 128;

/// A name with the value that follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    /// In a query or form, where values are percent-encoded and `+` is a space.
    pub(super) is_query: bool,
}

/// All assignments of a text. In a form the whole text is pairs, so that a value may hold spaces and quotes.
pub(super) fn find(text: &str, is_form: bool) -> impl Iterator<Item = Assignment> {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'=', b':', bytes)
        .filter_map(move |at| if bytes[at] == b'=' { equals(bytes, at, is_form) } else { colon(bytes, at) })
}

impl Assignment {
    /// The name without its encoding.
    pub(super) fn name<'t>(&self, text: &'t str) -> Cow<'t, str> {
        percent_decoded(&text[self.name.clone()])
    }
}

fn equals(bytes: &[u8], at: usize, is_form: bool) -> Option<Assignment> {
    let name_end = quoted_end(bytes, skip_spaces_back(bytes, at));
    let name = name_before(bytes, name_end)?;
    let before = name.start.checked_sub(1).map(|before| bytes[before]);
    let is_query =
        matches!(before, Some(b'?' | b'&' | b'#')) || (is_form && matches!(before, None | Some(b';')));
    let value = match (is_query, before) {
        (_, Some(b';')) => until(bytes, at + 1, |byte| is_end(byte) || matches!(byte, b'?' | b'/')),
        (true, _) if is_form => until(bytes, at + 1, |byte| matches!(byte, b'&' | b'#')),
        (true, _) => until(bytes, at + 1, |byte| matches!(byte, b'&' | b'#') || is_gap(byte)),
        (false, _) => quoted_or(bytes, skip_spaces(bytes, at + 1), is_end),
    };
    (!value.is_empty()).then_some(Assignment { name, value, is_query })
}

/// `"name": value`, `name: value`, `name:"value"`; a colon within a word (`user:email`, `10:30`) assigns nothing.
fn colon(bytes: &[u8], at: usize) -> Option<Assignment> {
    let name_end = quoted_end(bytes, skip_spaces_back(bytes, at));
    let from = skip_spaces(bytes, at + 1);
    let is_apart = name_end < at || from > at + 1 || bytes.get(from).is_some_and(|byte| is_quote(*byte));
    let name = is_apart.then(|| name_before(bytes, name_end))??;
    let value = quoted_or(bytes, from, is_end);
    (!value.is_empty()).then_some(Assignment { name, value, is_query: false })
}

fn name_before(bytes: &[u8], end: usize) -> Option<Range<usize>> {
    let floor = end.saturating_sub(NAME_BYTES_MAX);
    let length = bytes[floor..end].iter().rev().take_while(|byte| is_name_byte(**byte)).count();
    (length > 0).then_some(end - length..end)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$')
}

/// Before a closing quote, which may be escaped.
fn quoted_end(bytes: &[u8], end: usize) -> usize {
    let unquoted = end - usize::from(end > 0 && is_quote(bytes[end - 1]));
    let is_escaped = unquoted < end && unquoted > 0 && bytes[unquoted - 1] == b'\\';
    unquoted - usize::from(is_escaped)
}

/// What stands in quotes, which may be escaped, without them; else up to an end.
fn quoted_or(bytes: &[u8], from: usize, is_end: fn(u8) -> bool) -> Range<usize> {
    let escaped = usize::from(bytes.get(from) == Some(&b'\\'));
    match bytes.get(from + escaped) {
        Some(quote) if is_quote(*quote) => {
            let start = from + escaped + 1;
            let mut end = start;
            while end < bytes.len() && bytes[end] != *quote {
                end += if bytes[end] == b'\\' && escaped == 0 { 2 } else { 1 };
            }
            let end = end.min(bytes.len());
            // The backslash of an escaped closing quote is none of the value.
            start..if escaped == 1 && end > start && bytes[end - 1] == b'\\' { end - 1 } else { end }
        }
        _ => until(bytes, from, is_end),
    }
}

fn until(bytes: &[u8], from: usize, is_end: impl Fn(u8) -> bool) -> Range<usize> {
    let length = bytes[from..].iter().take_while(|byte| !is_end(**byte)).count();
    from..from + length
}

/// Only as much space as people and programs put around a sign.
fn skip_spaces(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take(4).take_while(|byte| **byte == b' ').count()
}

fn skip_spaces_back(bytes: &[u8], end: usize) -> usize {
    end - bytes[..end].iter().rev().take(4).take_while(|byte| **byte == b' ').count()
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

fn is_gap(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'<' | b'>' | b'\\')
}

fn is_end(byte: u8) -> bool {
    is_gap(byte) || matches!(byte, b'&' | b'#' | b';' | b',' | b'}' | b']' | b')' | b'\'')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str, is_form: bool) -> Vec<(&str, &str)> {
        let pairs = find(text, is_form);
        pairs.map(|pair| (&text[pair.name], &text[pair.value])).collect()
    }

    #[test]
    fn pairs_are_found_wherever_they_are_written() {
        for (text, expected) in [
            (
                "https://a.example/x?token=a%2Bb&n=1#state=zz",
                vec![("token", "a%2Bb"), ("n", "1"), ("state", "zz")],
            ),
            ("/s;jsessionid=ABC/x?y=1;2", vec![("jsessionid", "ABC"), ("y", "1;2")]),
            (r#"Digest username="anna", realm="a b""#, vec![("username", "anna"), ("realm", "a b")]),
            (r#"{"password":"x\"y", 'pin' : 1234}"#, vec![("password", r#"x\"y"#), ("pin", "1234")]),
            (r#"{\"password\":\"hunter2\"}"#, vec![("password", "hunter2")]),
            ("your code: 839201, user:email 10:30", vec![("code", "839201")]),
            ("0; url=/x", vec![("url", "/x")]),
            ("password=", vec![]),
            ("=x", vec![]),
        ] {
            assert_eq!(found(text, false), expected, "{text}");
        }
    }

    #[test]
    fn in_a_form_a_value_ends_at_the_next_pair_only() {
        assert_eq!(
            found("password=my \"secret\" words;&x=1", true),
            [("password", "my \"secret\" words;"), ("x", "1")]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_searched_without_a_panic(text in r#"[a=:&;?#"'\\ é%]{0,40}"#, is_form in any::<bool>()) {
            for pair in find(&text, is_form) {
                prop_assert!(text.is_char_boundary(pair.value.end) && text.is_char_boundary(pair.name.start));
                let _ = &text[pair.value];
            }
        }
    }
}
