//! Redaction of JSON, in place: scalars whose name or look is secret are replaced, all else keeps its bytes.

use std::borrow::Cow;
use std::ops::Range;

use super::texts::Manner;
use super::{NameFacts, Privacy, Redactor, Role, Verdict};
use crate::json::{self, Visitor};

impl Redactor {
    /// A JSON text with its hidden scalars replaced; `None` when it is not JSON.
    pub fn json(&self, text: &str) -> Option<String> {
        self.json_within(text, 0)
    }

    pub(super) fn json_within(&self, text: &str, depth: u8) -> Option<String> {
        let may_match = self.rules.patterns.may_match_within(text);
        let out = String::with_capacity(text.len() + text.len() / 4);
        let mut redaction =
            Redaction { redactor: self, text, depth, may_match, out, copied: 0, frames: Vec::new() };
        json::visit(text, &mut redaction)?;
        redaction.out.push_str(&text[redaction.copied..]);
        Some(redaction.out)
    }
}

/// One text while it is rewritten.
struct Redaction<'a> {
    redactor: &'a Redactor,
    text: &'a str,
    depth: u8,
    /// A pattern matches somewhere in the text.
    may_match: bool,
    out: String,
    /// Up to where the text has been copied or replaced.
    copied: usize,
    frames: Vec<Frame>,
}

/// An object or array that is being read.
#[derive(Debug, Default)]
struct Frame {
    /// What the names above hide in it.
    inherited: Verdict,
    is_object: bool,
    /// Of the key at hand; of an array, what its own key said.
    facts: NameFacts,
    /// `"name": "password"`: what it says about the `value` beside it.
    label: Verdict,
    /// Where the scalar called `value` stands, in the text and in the output.
    value: Option<(Range<usize>, Range<usize>)>,
}

impl Visitor for Redaction<'_> {
    fn open(&mut self, is_object: bool) {
        let (inherited, facts) = self.frames.last().map_or_else(Default::default, |frame| {
            let own = if is_object { frame.facts.verdict } else { Verdict::Plain };
            (below(frame.inherited, own), frame.facts)
        });
        let facts = if is_object { NameFacts::default() } else { facts };
        self.frames.push(Frame { inherited, is_object, facts, ..Frame::default() });
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        let Some((range, written)) = frame.value.filter(|_| frame.label.is_hidden()) else { return };
        let raw = &self.text[range.clone()];
        if is_hideable(raw) {
            if self.copied < range.end {
                self.out.push_str(&self.text[self.copied..range.end]);
                self.copied = range.end;
            }
            self.out.replace_range(written, &self.token(raw));
        }
    }

    fn key(&mut self, range: Range<usize>) {
        let raw = &self.text[range.clone()];
        let inner = &raw[1..raw.len() - 1];
        let facts = if inner.contains('\\') {
            self.redactor.name(&json::decoded(raw))
        } else {
            self.redactor.name(inner)
        };
        let is_below_secret = self.frames.last().is_some_and(|frame| frame.inherited == Verdict::Secret);
        if let Some(frame) = self.frames.last_mut() {
            frame.facts = facts;
        }
        if is_below_secret && !is_identifier(inner) {
            self.replace(range, |redaction, raw| redaction.token(raw).into());
        } else {
            self.replace(range, Self::kept_text);
        }
    }

    fn scalar(&mut self, range: Range<usize>) {
        let raw = &self.text[range.clone()];
        let start = self.out.len() + range.start - self.copied;
        let is_hidden = is_hideable(raw) && self.hides(raw);
        if is_hidden {
            self.replace(range.clone(), |redaction, raw| redaction.token(raw).into());
        } else if raw.starts_with('"') {
            self.replace(range.clone(), Self::kept_text);
        } else {
            self.replace(range.clone(), Self::kept_number);
        }
        self.note_pair(range, start);
    }
}

impl Redaction<'_> {
    fn hides(&self, raw: &str) -> bool {
        let is_text = raw.starts_with('"');
        if is_text && self.redactor.privacy == Privacy::Strict {
            return true;
        }
        let Some(frame) = self.frames.last() else { return false };
        match (frame.inherited, frame.facts.verdict) {
            (Verdict::Secret, _) => true,
            (_, verdict) if verdict.is_hidden() => true,
            (Verdict::PersonalObject, _) => is_text && !frame.facts.is_id && !is_uuid(raw),
            _ => false,
        }
    }

    /// Remembers `"name": "password"` and the `value` beside it, whichever comes first.
    fn note_pair(&mut self, range: Range<usize>, start: usize) {
        let end = self.out.len() + range.end - self.copied;
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.is_object) else { return };
        match frame.facts.role {
            Role::None => {}
            Role::Label => {
                let label = json::decoded(&self.text[range]);
                frame.label = self.redactor.name(&label).verdict;
            }
            Role::Value => frame.value = Some((range, start..end)),
        }
    }

    /// Copies up to a range and puts what `redacted` makes of it there; nothing is copied where nothing changes.
    fn replace(&mut self, range: Range<usize>, redacted: impl for<'t> Fn(&Self, &'t str) -> Cow<'t, str>) {
        let text = self.text;
        if let Cow::Owned(replaced) = redacted(self, &text[range.clone()]) {
            self.out.push_str(&text[self.copied..range.start]);
            self.out.push_str(&replaced);
            self.copied = range.end;
        }
    }

    fn token(&self, raw: &str) -> String {
        format!("\"{}\"", self.redactor.hidden(&json::decoded(raw)))
    }

    /// A string with escapes is looked at as what it says; it keeps its bytes unless something is hidden.
    fn kept_text<'t>(&self, raw: &'t str) -> Cow<'t, str> {
        let inner = &raw[1..raw.len() - 1];
        let manner = Manner { depth: self.depth, ..Manner::TEXT };
        if !inner.contains('\\') {
            let manner = Manner { has_patterns: self.may_match, ..manner };
            return match self.redactor.kept(inner, manner) {
                Cow::Borrowed(_) => raw.into(),
                Cow::Owned(redacted) => format!("\"{redacted}\"").into(),
            };
        }
        match self.redactor.kept(&json::decoded(raw), manner) {
            Cow::Borrowed(_) => raw.into(),
            Cow::Owned(redacted) => serde_json::Value::String(redacted).to_string().into(),
        }
    }

    /// A number is secret when it is one of a card.
    fn kept_number<'t>(&self, raw: &'t str) -> Cow<'t, str> {
        const CARD_DIGITS_MIN: usize = 12;
        if !self.may_match || raw.len() < CARD_DIGITS_MIN {
            return raw.into();
        }
        match self.redactor.kept(raw, Manner { depth: self.depth, ..Manner::TEXT }) {
            Cow::Borrowed(_) => raw.into(),
            Cow::Owned(redacted) => format!("\"{redacted}\"").into(),
        }
    }
}

/// What is inherited by what stands below a name.
fn below(inherited: Verdict, own: Verdict) -> Verdict {
    match (inherited, own) {
        (Verdict::Secret, _) | (_, Verdict::Secret) => Verdict::Secret,
        (Verdict::PersonalObject, _) | (_, Verdict::PersonalObject) => Verdict::PersonalObject,
        _ => Verdict::Plain,
    }
}

/// `true` and `false` tell as little as their lengths would; they stay, as `null` and the empty string do.
fn is_hideable(raw: &str) -> bool {
    !matches!(raw, "null" | "true" | "false" | "\"\"")
}

fn is_uuid(raw: &str) -> bool {
    let inner = raw.trim_matches('"').as_bytes();
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    inner.len() == 36
        && inner
            .iter()
            .enumerate()
            .all(|(at, byte)| if is_dash(at) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// A key that is a name of the program's, not data.
fn is_identifier(key: &str) -> bool {
    key.len() <= 32 && key.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::super::tests::redactor;
    use super::*;

    fn redacted(text: &str) -> String {
        let redacted = redactor(Privacy::Default).json(text).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&redacted).is_ok(), "no JSON any more: {redacted}");
        redacted
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
    fn all_below_a_secret_key_is_hidden_numbers_and_odd_keys_too() {
        let text = redacted(
            r#"{"credentials":{"user":"u1","pin":1234},"pin":[9],"tokens":{"abc123":{"n":5}},"has_password":true}"#,
        );
        for secret in ["\"u1\"", ":1234", "[9]", "abc123", "\"n\":5"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert!(text.ends_with("\"has_password\":true}"), "{text}");
    }

    #[test]
    fn below_a_personal_object_texts_are_hidden_and_ids_stay() {
        let text = redacted(
            r#"{"address":{"line":"Main St","id":"a-1","floor":3,"ref":"e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd"},"user":{"role":"student"}}"#,
        );
        assert!(!text.contains("Main"), "{text}");
        for kept in ["\"a-1\"", ":3", "e78c4e0a", "student"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }

    #[test]
    fn a_value_beside_its_name_is_hidden_in_either_order() {
        let text = redacted(
            r#"[{"name":"password","value":"hunter2"},{"value":"hunter3","key":"api_key"},{"name":"page","value":"2"}]"#,
        );
        assert!(!text.contains("hunter") && text.contains("\"value\":\"2\""), "{text}");
    }

    #[test]
    fn patterns_are_hidden_within_kept_texts_and_numbers() {
        let text = redacted(
            r#"{"message":"sent to anna@school.example, thanks","n":4111111111111111,"at":1795464469206136606}"#,
        );
        assert!(text.starts_with(r#"{"message":"sent to {fp:"#) && text.contains("}, thanks"), "{text}");
        assert!(!text.contains("4111") && text.ends_with("1795464469206136606}"), "{text}");
    }

    #[test]
    fn keys_and_escaped_texts_hide_nothing_either() {
        let text = redacted(
            r#"{"anna@school.example":{"note":"mail anna\u0040school.example\n","path":"a\/b"},"anna\u0040school.example":1,"pass\u0077ord":"anna"}"#,
        );
        assert!(!text.contains("anna"), "{text}");
        assert!(text.contains(r#""path":"a\/b""#), "what is kept keeps its bytes: {text}");
    }

    #[test]
    fn json_within_strings_is_json() {
        let text =
            redacted(r#"{"payload":"{\"password\":\"hunter2\",\"n\":[1]}","log":"password=hunter2 x"}"#);
        assert!(!text.contains("hunter2") && text.contains(r#"\"n\":[1]"#), "{text}");
    }

    #[test]
    fn strict_hides_every_text_and_keeps_numbers() {
        let redacted = redactor(Privacy::Strict).json(r#"{"title":"Unit 3","count":5}"#).unwrap();
        assert!(!redacted.contains("Unit") && redacted.ends_with(r#""count":5}"#), "{redacted}");
    }

    #[test]
    fn redacted_json_is_json_still() {
        let text = redacted(
            r#"{"password":"quo\"te\\","list":[{"phone":"+49 30 1234567"}],"note":"eyJhbGciOiJI.eyJzdWIiOiIx.sig"}"#,
        );
        assert!(!text.contains("1234567") && !text.contains("eyJ"), "{text}");
    }
}
