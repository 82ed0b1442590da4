//! Redaction of percent-encoded texts: paths, queries, forms.

use std::borrow::Cow;

use super::texts::Manner;
use super::{Privacy, Redactor};
use crate::fingerprint::Fingerprint;

impl Redactor {
    /// Path and query of a request, or a URL in a header.
    pub fn target(&self, target: &str) -> String {
        if self.privacy == Privacy::Strict {
            return self.strict_target(target);
        }
        self.kept(target, Manner::TARGET).into_owned()
    }

    /// `application/x-www-form-urlencoded`; the order and the encoding of what is kept stay.
    pub fn form(&self, text: &str) -> String {
        if self.privacy == Privacy::Strict {
            return self.strict_pairs(text, '&');
        }
        self.kept(text, Manner::FORM).into_owned()
    }

    /// Every segment with a digit and the value of every parameter are hidden.
    fn strict_target(&self, target: &str) -> String {
        let (rest, fragment) = split_at_sign(target, '#');
        let (path, query) = split_at_sign(rest, '?');
        // What the default hides in a path is hidden here as well.
        let path = self.kept(path, Manner::TARGET);
        let segments: Vec<Cow<'_, str>> =
            path.split('/').map(|segment| self.strict_segment(segment)).collect();
        let mut kept = segments.join("/");
        for (sign, part) in [('?', query), ('#', fragment)] {
            if let Some(part) = part {
                kept.push(sign);
                kept.push_str(&self.strict_pairs(part, '&'));
            }
        }
        kept
    }

    fn strict_segment<'a>(&self, segment: &'a str) -> Cow<'a, str> {
        if !Fingerprint::find_all(segment).is_empty() || !segment.bytes().any(|byte| byte.is_ascii_digit()) {
            return segment.into();
        }
        self.fingerprint(percent_decoded(segment).as_bytes()).into()
    }

    fn strict_pairs(&self, text: &str, separator: char) -> String {
        let pairs: Vec<Cow<'_, str>> = text.split(separator).map(|pair| self.strict_pair(pair)).collect();
        pairs.join("&")
    }

    fn strict_pair<'a>(&self, pair: &'a str) -> Cow<'a, str> {
        let Some((name, value)) = pair.split_once('=') else {
            return if pair.is_empty() { pair.into() } else { self.hidden(&form_decoded(pair)).into() };
        };
        if value.is_empty() {
            return self.kept(pair, Manner::FORM);
        }
        format!("{}={}", self.kept(name, Manner::FORM), self.hidden(&form_decoded(value))).into()
    }
}

fn split_at_sign(text: &str, sign: char) -> (&str, Option<&str>) {
    text.split_once(sign).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// `+` is a space in forms, then as in URLs.
pub(super) fn form_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decoded(text);
    }
    percent_decoded(&text.replace('+', " ")).into_owned().into()
}

/// A text without percent-encoding; what is none stays.
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let decoded = (*first == b'%').then(|| hex_byte(after)).flatten();
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..2)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

/// Percent-encoded again, tokens excepted: they stand raw in paths and queries.
pub(super) fn encoded(text: &str, is_space_plus: bool) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    let mut from = 0;
    for (range, _) in Fingerprint::find_all(text) {
        encode(&text[from..range.start], is_space_plus, &mut encoded);
        encoded.push_str(&text[range.clone()]);
        from = range.end;
    }
    encode(&text[from..], is_space_plus, &mut encoded);
    encoded
}

fn encode(text: &str, is_space_plus: bool, encoded: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' if is_space_plus => encoded.push('+'),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                encoded.push('%');
                encoded.extend(digits.map(char::from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::redactor;
    use super::*;

    #[test]
    fn targets_keep_ids_and_lose_secrets() {
        let redactor = redactor(Privacy::Default);
        let token = |value: &str| redactor.fingerprint(value.as_bytes());
        let kept = "/api/assignments/17/activities?page=2&sort=-due&q=caf%C3%A9";
        assert_eq!(redactor.target(kept), kept);
        assert!(!redactor.target("/x?anna%40school.example=1").contains("anna"), "names are looked at too");
        for (target, expected) in [
            ("/reset?token=a%2Bb&x=1", format!("/reset?token={}&x=1", token("a+b"))),
            ("/users/anna%40school.example", format!("/users/{}", token("anna@school.example"))),
            ("/s;jsessionid=AB12/x", format!("/s;jsessionid={}/x", token("AB12"))),
            ("/cb?x=1#access_token=zz&n=1", format!("/cb?x=1#access_token={}&n=1", token("zz"))),
            ("/x?pass%77ord=hunter2", format!("/x?pass%77ord={}", token("hunter2"))),
            ("/x?a=1;token=zz;b=2", format!("/x?a=1;token={};b=2", token("zz"))),
            ("/x?q=%2B49301234567", format!("/x?q={}", token("+49301234567"))),
            ("/x?q=+49301234567", format!("/x?q={}", token("+49301234567"))),
            ("/x?q=call%20anna%40school.example", format!("/x?q=call%20{}", token("anna@school.example"))),
        ] {
            assert_eq!(redactor.target(target), expected, "{target}");
        }
    }

    #[test]
    fn the_same_value_has_the_same_fingerprint_in_every_encoding() {
        let redactor = redactor(Privacy::Default);
        let in_json = redactor.json(r#"{"refresh_token":"a+b/c=="}"#).unwrap();
        let in_form = redactor.form("grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D%3D");
        let token = redactor.fingerprint(b"a+b/c==");
        assert!(in_json.contains(&token), "{in_json}");
        assert_eq!(in_form, format!("grant_type=refresh_token&refresh_token={token}"));
    }

    #[test]
    fn forms_hide_array_names_repeated_fields_and_json_within() {
        let redactor = redactor(Privacy::Default);
        for form in [
            "user%5Bpassword%5D=hunter2",
            "user[pin]=hunter2",
            "password[]=a&password[]=hunter2",
            "x=1;user.password=hunter2",
            "password=my hunter2 & x",
            "data=%7B%22password%22%3A%22hunter2%22%7D",
            r#"{"password":"hunter2"}"#,
            r#"{"password":"hunter2""#,
            "{'password': 'hunter2'}",
        ] {
            assert!(!redactor.form(form).contains("hunter2"), "{form}: {}", redactor.form(form));
        }
    }

    #[test]
    fn broken_encodings_are_taken_as_they_stand() {
        for text in ["%", "%4", "%zz", "a%f", "%C3"] {
            let _ = redactor(Privacy::Default).target(text);
        }
        assert_eq!(percent_decoded("%4a%zz%"), "J%zz%");
    }

    #[test]
    fn strict_hides_ids_in_paths_and_every_query_value() {
        let redactor = redactor(Privacy::Strict);
        let redacted = redactor.target("/api/assignments/17?page=2&flag");
        assert!(redacted.starts_with("/api/assignments/{fp:") && !redacted.contains("=2"), "{redacted}");
        assert!(!redacted.contains("flag"), "{redacted}");
        assert!(!redactor.target("/cb#access_token=zz").contains("zz"));
        assert!(redactor.form("a=1&b=").ends_with("&b="), "nothing is nothing");
    }
}
