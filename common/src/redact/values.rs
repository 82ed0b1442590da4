//! Redaction of percent-encoded texts: paths, queries, forms.

use std::borrow::Cow;
use std::ops::Range;

use super::{Privacy, Redactor};

impl Redactor {
    /// Path and query of a request, or a URL in a header.
    pub fn target(&self, target: &str) -> String {
        match target.split_once('?') {
            Some((path, query)) => format!("{}?{}", self.path(path), self.form(query)),
            None => self.path(target),
        }
    }

    /// A path, or a URL up to its query.
    fn path(&self, path: &str) -> String {
        let Some(hidden) = user_info(path) else { return self.segments(path) };
        let token = self.fingerprint(&path.as_bytes()[hidden.clone()]);
        format!("{}{token}{}", &path[..hidden.start], self.segments(&path[hidden.end..]))
    }

    fn segments(&self, path: &str) -> String {
        let segments: Vec<Cow<'_, str>> = path.split('/').map(|segment| self.segment(segment)).collect();
        segments.join("/")
    }

    fn segment<'a>(&self, segment: &'a str) -> Cow<'a, str> {
        let decoded = percent_decoded(segment);
        let is_id = || segment.bytes().any(|byte| byte.is_ascii_digit());
        if self.privacy == Privacy::Strict && is_id() {
            return self.fingerprint(decoded.as_bytes()).into();
        }
        match self.patterns(&decoded) {
            Cow::Borrowed(_) => segment.into(),
            Cow::Owned(_) => self.fingerprint(decoded.as_bytes()).into(),
        }
    }

    /// `application/x-www-form-urlencoded`; the order and the encoding of what is kept stay.
    pub fn form(&self, text: &str) -> String {
        let pairs: Vec<Cow<'_, str>> = text.split('&').map(|pair| self.pair(pair)).collect();
        pairs.join("&")
    }

    fn pair<'a>(&self, pair: &'a str) -> Cow<'a, str> {
        let Some((name, value)) = pair.split_once('=') else { return self.segment(pair) };
        let (decoded_name, decoded) = (form_decoded(name), form_decoded(value));
        let (kept_name, kept) = (self.patterns(&decoded_name), self.field(&decoded_name, &decoded));
        match (kept_name, kept) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => pair.into(),
            (Cow::Borrowed(_), Cow::Owned(redacted)) => format!("{name}={redacted}").into(),
            (Cow::Owned(name), _) => format!("{name}={}", self.fingerprint(decoded.as_bytes())).into(),
        }
    }
}

/// Where `user:password` stands in `scheme://user:password@host/...` (RFC 3986 section 3.2.1).
fn user_info(url: &str) -> Option<Range<usize>> {
    let start = url.find("://")? + 3;
    let authority = url[start..].split('/').next()?;
    Some(start..start + authority.rfind('@')?)
}

/// `+` is a space in forms, then as in URLs.
fn form_decoded(text: &str) -> String {
    percent_decoded(&text.replace('+', " ")).into_owned()
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
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
        assert_eq!(redactor.target("/reset?token=a%2Bb&x=1"), format!("/reset?token={}&x=1", token("a+b")));
        assert_eq!(
            redactor.target("/users/anna%40school.example"),
            format!("/users/{}", token("anna@school.example"))
        );
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
    fn broken_encodings_are_taken_as_they_stand() {
        for text in ["%", "%4", "%zz", "a%f", "%C3"] {
            let _ = redactor(Privacy::Default).target(text);
        }
        assert_eq!(percent_decoded("%4a%zz%"), "J%zz%");
    }

    #[test]
    fn strict_hides_ids_in_paths_and_every_query_value() {
        let redacted = redactor(Privacy::Strict).target("/api/assignments/17?page=2");
        assert!(redacted.starts_with("/api/assignments/{fp:") && !redacted.contains("=2"), "{redacted}");
    }
}
