//! Redaction: what is secret or personal becomes a fingerprint before anything reaches the disk.
//!
//! Everything else keeps its bytes, so that sizes survive. A value is fingerprinted in its decoded form:
//! a token is the same in a JSON answer, behind `Bearer `, and percent-encoded in a query.

mod headers;
mod rules;
mod values;

pub use rules::Rules;

use std::borrow::Cow;

use crate::fingerprint::Fingerprinter;
use crate::json;

/// How much is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// Secrets and personal fields.
    #[default]
    Default,
    /// Every text value.
    Strict,
}

/// Applies the rules with one key.
#[derive(Debug)]
pub struct Redactor {
    rules: Rules,
    privacy: Privacy,
    fingerprinter: Fingerprinter,
}

impl Redactor {
    pub fn new(rules: Rules, privacy: Privacy, fingerprinter: Fingerprinter) -> Self {
        Self { rules, privacy, fingerprinter }
    }

    /// The token that stands for a value.
    pub fn fingerprint(&self, value: &[u8]) -> String {
        self.fingerprinter.fingerprint(value).to_string()
    }

    /// Hashes contents that come in pieces, under the same key.
    pub fn hasher(&self) -> blake3::Hasher {
        self.fingerprinter.hasher()
    }

    /// A JSON text with its hidden scalars replaced, and what matches a pattern in its keys; `None` when it
    /// is not JSON.
    pub fn json(&self, text: &str) -> Option<String> {
        let mut redacted = String::with_capacity(text.len());
        let mut end = 0;
        for scalar in json::scalars(text)? {
            redacted.push_str(&self.patterns(&text[end..scalar.range.start]));
            redacted.push_str(&self.json_scalar(&scalar.pointer, &text[scalar.range.clone()]));
            end = scalar.range.end;
        }
        redacted.push_str(&self.patterns(&text[end..]));
        Some(redacted)
    }

    fn json_scalar<'a>(&self, pointer: &str, raw: &'a str) -> Cow<'a, str> {
        let is_text = raw.starts_with('"');
        if raw == "null" {
            return raw.into();
        }
        if self.hides_pointer(pointer) || (is_text && self.privacy == Privacy::Strict) {
            return format!("\"{}\"", self.fingerprint(json::decoded(raw).as_bytes())).into();
        }
        if !is_text {
            return raw.into();
        }
        if raw.contains('\\') { self.escaped_text(raw) } else { self.patterns(raw) }
    }

    /// A string with escapes is looked at as what it says; it keeps its bytes unless something is hidden.
    fn escaped_text<'a>(&self, raw: &'a str) -> Cow<'a, str> {
        match self.patterns(&json::decoded(raw)) {
            Cow::Borrowed(_) => raw.into(),
            Cow::Owned(redacted) => serde_json::Value::String(redacted).to_string().into(),
        }
    }

    /// Secret anywhere on the way, or personal at the end.
    fn hides_pointer(&self, pointer: &str) -> bool {
        let is_index =
            |segment: &&str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        let mut names = pointer.rsplit('/').filter(|segment| !is_index(segment));
        names.clone().any(|name| self.rules.is_secret(name))
            || names.next().is_some_and(|name| self.rules.is_personal(name))
    }

    /// The value of a named field of a form, query or multipart body, decoded.
    pub fn field<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        let hidden =
            self.privacy == Privacy::Strict || self.rules.is_secret(name) || self.rules.is_personal(name);
        if hidden && !value.is_empty() {
            self.fingerprint(value.as_bytes()).into()
        } else {
            self.patterns(value)
        }
    }

    /// A text that is kept but for what matches a pattern.
    pub fn text(&self, text: &str) -> String {
        self.patterns(text).into_owned()
    }

    /// A kept text with all that matches a pattern replaced.
    fn patterns<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let pattern = &self.rules.pattern;
        // Nearly always; a search for captures would allocate before it finds nothing.
        if !pattern.is_match(text) {
            return text.into();
        }
        pattern.replace_all(text, |found: &regex::Captures<'_>| self.fingerprint(found[0].as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn redactor(privacy: Privacy) -> Redactor {
        Redactor::new(Rules::built_in(), privacy, Fingerprinter::with_key([3; 32]))
    }

    #[test]
    fn json_hides_secrets_and_keeps_the_rest_to_the_byte() {
        let redactor = redactor(Privacy::Default);
        let text = r#"{ "access_token" : "abc.def", "user":{"email":"anna@school.example","id":7}, "n": null, "unit":["x"] }"#;
        let token = |value: &str| redactor.fingerprint(value.as_bytes());
        let expected = text
            .replace("abc.def", &token("abc.def"))
            .replace("anna@school.example", &token("anna@school.example"));
        assert_eq!(redactor.json(text).unwrap(), expected);
        assert_eq!(redactor.json("not json"), None);
    }

    #[test]
    fn all_below_a_secret_key_is_hidden_numbers_too() {
        let redacted =
            redactor(Privacy::Default).json(r#"{"credentials":{"user":"u1","pin":1234},"pin":[9]}"#).unwrap();
        assert!(
            !redacted.contains("\"u1\"") && !redacted.contains(":1234") && !redacted.contains("[9]"),
            "{redacted}"
        );
    }

    #[test]
    fn patterns_are_hidden_within_kept_texts() {
        let redacted =
            redactor(Privacy::Default).json(r#"{"message":"sent to anna@school.example, thanks"}"#).unwrap();
        assert!(
            redacted.starts_with(r#"{"message":"sent to {fp:"#) && redacted.ends_with(r#"}, thanks"}"#),
            "{redacted}"
        );
    }

    #[test]
    fn keys_and_escaped_texts_hide_nothing_either() {
        let text = r#"{"anna@school.example":{"note":"mail anna\u0040school.example\n","path":"a\/b"}}"#;
        let redacted = redactor(Privacy::Default).json(text).unwrap();
        assert!(!redacted.contains("anna"), "{redacted}");
        assert!(redacted.ends_with(r#""path":"a\/b"}}"#), "what is kept keeps its bytes: {redacted}");
        assert!(serde_json::from_str::<serde_json::Value>(&redacted).is_ok(), "{redacted}");
    }

    #[test]
    fn strict_hides_every_text_and_keeps_numbers() {
        let redacted = redactor(Privacy::Strict).json(r#"{"title":"Unit 3","count":5}"#).unwrap();
        assert!(!redacted.contains("Unit") && redacted.ends_with(r#""count":5}"#), "{redacted}");
    }

    #[test]
    fn redacted_json_is_json_still() {
        let text = r#"{"password":"quo\"te\\","list":[{"phone":"+49 30 1234567"}],"note":"eyJhbGciOiJI.eyJzdWIiOiIx.sig"}"#;
        let redacted = redactor(Privacy::Default).json(text).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&redacted).is_ok(), "{redacted}");
        assert!(!redacted.contains("1234567") && !redacted.contains("eyJ"), "{redacted}");
    }
}
