//! Redaction: what is secret or personal becomes a fingerprint before anything reaches the disk.
//!
//! Everything else keeps its bytes, so that sizes survive. A value is fingerprinted in its decoded form:
//! a token is the same in a JSON answer, behind `Bearer `, and percent-encoded in a query.
//!
//! Names decide where there are any ([`names`]), looks decide everywhere ([`patterns`], [`random`]); [`texts`] is the
//! one search that every place uses.

mod assignments;
mod headers;
mod json;
mod names;
mod patterns;
mod random;
mod rules;
mod texts;
mod values;

pub use names::Verdict;
pub use patterns::{is_luhn, is_mod97};
pub use random::find as find_random;
pub use rules::{HeaderVerdict, Rules};
pub use values::percent_decoded;

use std::borrow::Cow;

use crate::fingerprint::Fingerprinter;
use crate::memo::Memo;
use headers::{HeaderFacts, HeaderValues};
use texts::Manner;

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
    names: Memo<NameFacts>,
    headers: Memo<HeaderFacts>,
    header_values: HeaderValues,
}

/// What the name of a field says.
#[derive(Debug, Clone, Copy, Default)]
struct NameFacts {
    verdict: Verdict,
    role: Role,
    is_id: bool,
    /// As the segment of a path: the next one is a secret.
    is_secret_path: bool,
}

/// Which half of `{"name": …, "value": …}` a field may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    None,
    Label,
    Value,
}

impl Redactor {
    pub fn new(rules: Rules, privacy: Privacy, fingerprinter: Fingerprinter) -> Self {
        Self {
            rules,
            privacy,
            fingerprinter,
            names: Memo::default(),
            headers: Memo::default(),
            header_values: HeaderValues::default(),
        }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The token that stands for a value.
    pub fn fingerprint(&self, value: &[u8]) -> String {
        self.fingerprinter.fingerprint(value).to_string()
    }

    /// Hashes contents that come in pieces, under the same key.
    pub fn hasher(&self) -> blake3::Hasher {
        self.fingerprinter.hasher()
    }

    /// The value of a named field of a multipart body, decoded. It may hold JSON; then its scalars are looked at one
    /// by one.
    pub fn field<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if self.privacy == Privacy::Strict
            && value.starts_with(['{', '['])
            && let Some(nested) = self.json(value)
        {
            return nested.into();
        }
        if self.privacy == Privacy::Strict || self.name(name).verdict.is_hidden() {
            return self.hidden_whole(value).into();
        }
        self.text(value)
    }

    /// A text that is kept but for what is secret in it.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.kept(text, Manner::TEXT)
    }

    /// The head of a part, in which `name="…"` is the name of a field.
    pub fn part_head<'a>(&self, head: &'a str) -> Cow<'a, str> {
        self.kept(head, Manner { has_names: false, ..Manner::HASHES })
    }

    fn name(&self, name: &str) -> NameFacts {
        self.names.get(name.as_bytes(), || self.name_facts(name))
    }

    fn name_facts(&self, name: &str) -> NameFacts {
        let role = match names::normal(name).as_str() {
            "name" | "key" | "field" | "label" | "param" | "parameter" | "property" | "header" => Role::Label,
            "value" | "val" | "content" => Role::Value,
            _ => Role::None,
        };
        let is_id = ["id", "Id", "ID", "uuid"].iter().any(|ending| name.ends_with(ending));
        let is_secret_path = self.rules.is_secret_path(name);
        NameFacts { verdict: self.rules.field(name), role, is_id, is_secret_path }
    }

    /// What stands for a secret: its token, behind `Bearer` where that word was.
    fn hidden(&self, value: &str) -> String {
        match value.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") && !secret.contains(' ') => {
                format!("{scheme} {}", self.fingerprint(secret.as_bytes()))
            }
            _ => self.fingerprint(value.as_bytes()),
        }
    }

    /// Nothing stays nothing.
    fn hidden_whole(&self, value: &str) -> String {
        if value.is_empty() { String::new() } else { self.hidden(value) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn redactor(privacy: Privacy) -> Redactor {
        Redactor::new(Rules::built_in(), privacy, Fingerprinter::with_key([3; 32]))
    }

    #[test]
    fn the_key_is_in_nothing_that_is_printed() {
        let key: [u8; 32] = std::array::from_fn(|at| 200 + u8::try_from(at).unwrap());
        let redactor = Redactor::new(Rules::built_in(), Privacy::Default, Fingerprinter::with_key(key));
        let printed = format!("{redactor:?}{redactor:#?}");
        assert!(
            printed.contains("<in memory only>")
                && !printed.contains("200, 201")
                && !printed.contains("c8c9")
        );
    }

    #[test]
    fn what_is_remembered_is_in_nothing_that_is_printed() {
        let redactor = redactor(Privacy::Default);
        for name in ["Referer", "X-Page", "ETag"] {
            redactor.header(name, "https://school.example/anna?token=zz9");
        }
        let printed = format!("{redactor:?}");
        assert!(!printed.contains("anna") && !printed.contains("97, 110, 110, 97"), "{printed}");
    }

    #[test]
    fn fields_of_multipart_bodies_are_looked_at_as_what_they_hold() {
        let redactor = redactor(Privacy::Default);
        for (name, value) in [
            ("password", "hunter2"),
            ("user[pin]", "hunter2"),
            ("meta", r#"{"token":"hunter2"}"#),
            ("note", "https://x.example/y?token=hunter2"),
        ] {
            assert!(!redactor.field(name, value).contains("hunter2"), "{name}");
        }
        assert_eq!(redactor.field("activity_id", "17"), "17");
        assert_eq!(redactor.field("password", ""), "");
    }

    /// A secret-named place for a value.
    fn places(name: &str, value: &str) -> Vec<(&'static str, String)> {
        let redactor = redactor(Privacy::Default);
        let quoted = serde_json::Value::from(value).to_string();
        let percent = values::encoded(value, false);
        let nested = serde_json::Value::from(format!("{{\"{name}\":{quoted}}}")).to_string();
        vec![
            ("json", redactor.json(&format!("{{\"a\":[{{\"{name}\":{quoted},\"n\":1}}]}}")).unwrap()),
            ("list", redactor.json(&format!("{{\"{name}\":[1,{quoted}]}}")).unwrap()),
            ("below", redactor.json(&format!("{{\"{name}\":{{\"x\":{quoted}}}}}")).unwrap()),
            ("nested", redactor.json(&format!("{{\"payload\":{nested}}}")).unwrap()),
            ("pair", redactor.json(&format!("{{\"name\":\"{name}\",\"value\":{quoted}}}")).unwrap()),
            ("form", redactor.form(&format!("a=1&{name}={percent}&b=2"))),
            ("array form", redactor.form(&format!("user%5B{name}%5D={percent}"))),
            ("part", redactor.field(name, value).into_owned()),
            ("query", redactor.target(&format!("/x?a=1&{name}={percent}&b=2"))),
            ("fragment", redactor.target(&format!("/x#{name}={percent}"))),
            ("matrix", redactor.target(&format!("/x;{name}={percent}/y?z=1"))),
            (
                "nested query",
                redactor
                    .target(&format!("/x?next={}", values::encoded(&format!("/y?{name}={percent}"), false))),
            ),
            ("referer", redactor.header("Referer", &format!("https://x.example/y?{name}={percent}"))),
            ("link", redactor.header("Link", &format!("<https://x.example/y?{name}={percent}>; rel=next"))),
            ("header", redactor.header(&format!("X-{name}"), value)),
            ("authorization", redactor.header("Authorization", &format!("Bearer {value}"))),
            ("cookie", redactor.header("Cookie", &format!("a=1; {name}={percent}"))),
            ("set-cookie", redactor.header("Set-Cookie", &format!("{name}={percent}; Path=/"))),
            (
                "url in json",
                redactor.json(&format!("{{\"u\":\"https://x.example/y?{name}={percent}\"}}")).unwrap(),
            ),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_secret_in_a_secret_named_place_never_survives(
            name in prop::sample::select(vec!["password", "access_token", "clientSecret", "api-key", "sid", "otp", "card_cvv"]),
            value in "Zq[ -~é]{1,20}Zq[0-9]{4}",
        ) {
            for (place, redacted) in places(name, &value) {
                // Marks that stand at both ends of the value, and no rule's sign is among them.
                for mark in [&value[..2], &value[value.len() - 6..]] {
                    prop_assert!(!redacted.contains(mark), "{place}: {redacted}");
                }
            }
        }

        #[test]
        fn plain_json_forms_and_targets_keep_every_byte(
            words in prop::collection::vec("[a-z]{1,8}", 1..6), number in 0..100_000_u32,
        ) {
            let redactor = redactor(Privacy::Default);
            let json = format!("{{\"q\": [{number}, \"{}\"], \"z\":null}}", words.join(" "));
            prop_assert_eq!(redactor.json(&json), Some(json));
            let form = format!("q={}&n={number}", words.join("+"));
            prop_assert_eq!(redactor.form(&form), form.clone());
            let target = format!("/q/{number}?{form}");
            prop_assert_eq!(redactor.target(&target), target);
        }

        #[test]
        fn any_text_is_redacted_without_a_panic(text in r#"[a-z0-9=:&;?#/@%+{}\[\]"'\\ é.,-]{0,60}"#) {
            for privacy in [Privacy::Default, Privacy::Strict] {
                let redactor = redactor(privacy);
                let _ = (redactor.text(&text), redactor.form(&text), redactor.target(&text));
                let _ = (redactor.json(&text), redactor.header("Cookie", &text), redactor.header("Set-Cookie", &text));
                let _ = (redactor.header("Authorization", &text), redactor.header("Content-Disposition", &text));
            }
        }
    }
}
