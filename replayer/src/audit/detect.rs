//! Secrets by their looks and by their names. What is a fingerprint already is none.

use std::sync::LazyLock;

use kingtide_common::fingerprint::Fingerprint;
use kingtide_common::redact::{
    HeaderVerdict, Rules, Verdict, find_random, is_luhn, is_mod97, percent_decoded,
};
use regex::Regex;
use serde::Serialize;

use super::leaves::Leaf;
use super::places;

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Jwt,
    /// After `Bearer` or `Basic`.
    Credential,
    PrivateKey,
    AwsKey,
    GithubToken,
    SlackToken,
    StripeKey,
    GoogleKey,
    Email,
    Phone,
    PaymentCard,
    Iban,
    SocialSecurityNumber,
    /// User and password within a URL.
    UserInfo,
    /// `;jsessionid=…`, or what follows `/reset/`.
    PathSecret,
    /// The value of a header that is hidden by its name.
    SecretHeader,
    /// A field whose name says that it is secret.
    SecretField,
    PersonalField,
    /// A cookie with a plain value.
    Cookie,
    /// Letters and digits in no order.
    RandomText,
}

/// A secret, not to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) kind: Kind,
    pub(super) secret: String,
}

/// Random runs of so many characters are findings.
const RANDOM_CHARS_MIN: usize = 22;
/// How often a text is percent-decoded to be looked at again.
const DECODE_MAX: usize = 3;

type Check = fn(&str) -> bool;

static DETECTORS: LazyLock<Vec<(Kind, Regex, Check)>> = LazyLock::new(|| {
    let any: Check = |_| true;
    [
        (Kind::Jwt, r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]*", any),
        (Kind::Credential, r"(?-u:\b)(?i:bearer|basic)[ \t]+(?<secret>[A-Za-z0-9._~+/-]{8,}=*)", is_no_word),
        (Kind::PrivateKey, r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----", any),
        (Kind::AwsKey, r"(?-u:\b)(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)", any),
        (Kind::GithubToken, r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})", any),
        (Kind::SlackToken, r"(?-u:\b)(?:xox[abeprs]|xapp)-[A-Za-z0-9-]{10,}", any),
        (Kind::StripeKey, r"(?-u:\b)(?:[spr]k_(?:live|test)_|whsec_)[A-Za-z0-9]{10,}", any),
        (Kind::GoogleKey, r"(?-u:\b)(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,})", any),
        (Kind::Email, r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", any),
        (Kind::Phone, r"\+[1-9][0-9 ()/.-]{7,18}[0-9]", any),
        (
            Kind::PaymentCard,
            r"(?-u:\b)[2-6][0-9]{3}[ -]?[0-9]{4,6}[ -]?[0-9]{4,5}(?:[ -]?[0-9]{1,7})?(?-u:\b)",
            is_card,
        ),
        (Kind::Iban, r"(?-u:\b)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?-u:\b)", is_mod97),
        (Kind::SocialSecurityNumber, r"(?-u:\b)[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}(?-u:\b)", any),
        (Kind::UserInfo, r#"://(?<secret>[^/\s?#"'<>\\@]+)@"#, any),
        (
            Kind::PathSecret,
            r"(?i);(?:jsessionid|phpsessid|sessionid|session|sid|token)=(?<secret>[^/?\x23;&\s]+)",
            any,
        ),
    ]
    .map(|(kind, pattern, check)| (kind, Regex::new(pattern).expect("the detectors are tested"), check))
    .into()
});

static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"(?<name>[A-Za-z_][A-Za-z0-9_.\[\]-]{0,63})(?:=|["']\s*[:=]\s*|:\s+)\\?["']?(?<secret>[^\s"'&;,\x23<>\\{}]+)"#;
    Regex::new(pattern).expect("the detectors are tested")
});

/// In a value with a place.
pub(super) fn in_leaf(leaf: &Leaf, rules: &Rules) -> Vec<Hit> {
    let plain = plain_pieces(&leaf.value);
    if plain.is_empty() {
        return Vec::new();
    }
    let mut hits = by_looks(&leaf.value);
    if looks_random_matters(leaf, rules) {
        add_random(&plain, &mut hits);
    }
    if leaf.place.kind == places::Kind::Path {
        add_path_secrets(&leaf.value, rules, &mut hits);
    }
    if !matches!(leaf.place.kind, places::Kind::PartHead | places::Kind::JsonKeys) {
        add_assigned(&leaf.value, rules, &mut hits);
    }
    if hits.is_empty() {
        hits.extend(by_name(leaf, rules, &plain));
    }
    hits
}

/// In a text of which nothing is known.
pub(super) fn in_text(text: &str) -> Vec<Hit> {
    by_looks(text)
}

/// The parts of a value that are no fingerprints, without the words that may stand before one.
pub(super) fn plain_pieces(value: &str) -> Vec<&str> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for (range, _) in Fingerprint::find_all(value) {
        pieces.push(&value[from..range.start]);
        from = range.end;
    }
    pieces.push(&value[from..]);
    let says_something =
        |piece: &&str| piece.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80);
    pieces.retain(says_something);
    pieces
}

/// As it stands, and as what percent-encoding and JSON make of it.
fn by_looks(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut text = text.to_owned();
    for _ in 0..=DECODE_MAX {
        for piece in plain_pieces(&text) {
            for (kind, pattern, check) in DETECTORS.iter() {
                let found =
                    pattern.captures_iter(piece).filter_map(|groups| groups.name("secret").or(groups.get(0)));
                let secrets = found.map(|found| found.as_str()).filter(|secret| check(secret));
                hits.extend(secrets.map(|secret| Hit { kind: *kind, secret: secret.to_owned() }));
            }
        }
        let decoded = percent_decoded(&text).into_owned();
        if decoded == text {
            break;
        }
        text = decoded;
    }
    let mut seen = std::collections::HashSet::new();
    hits.retain(|hit| seen.insert((hit.kind, hit.secret.clone())));
    hits
}

fn by_name(leaf: &Leaf, rules: &Rules, plain: &[&str]) -> Option<Hit> {
    let is_after_scheme = |piece: &&str| {
        let word = piece.trim();
        leaf.value.starts_with(piece) && leaf.value.len() > piece.len() && !word.contains(' ')
    };
    let hit = |kind: Kind| Some(Hit { kind, secret: leaf.value.clone() });
    match leaf.place.kind {
        places::Kind::Cookie => hit(Kind::Cookie),
        places::Kind::Header
            if is_credential(&leaf.place.name) || rules.header(&leaf.place.name) == HeaderVerdict::Hidden =>
        {
            // A scheme before the fingerprint says nothing.
            let is_plain = plain.iter().any(|piece| !is_after_scheme(piece));
            if is_plain { hit(Kind::SecretHeader) } else { None }
        }
        places::Kind::Json | places::Kind::Form | places::Kind::Part | places::Kind::Query => {
            let is_plain = plain.iter().any(|piece| !is_after_scheme(piece) && !is_no_value(piece));
            match verdict(leaf, rules) {
                Verdict::Secret if is_plain => hit(Kind::SecretField),
                Verdict::Personal | Verdict::PersonalObject if is_plain => hit(Kind::PersonalField),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Of the label beside it, of the whole path of names, and of the last of them.
fn verdict(leaf: &Leaf, rules: &Rules) -> Verdict {
    if let Some(label) = &leaf.label {
        let verdict = rules.field(label);
        if verdict.is_hidden() {
            return verdict;
        }
    }
    let is_json = leaf.place.kind == places::Kind::Json;
    let above_is_secret = is_json && leaf.place.name.split('/').any(|key| rules.is_secret(key));
    if above_is_secret { Verdict::Secret } else { rules.field(&leaf.place.field()) }
}

fn is_credential(header: &str) -> bool {
    ["authorization", "proxy-authorization"].iter().any(|name| name.eq_ignore_ascii_case(header))
}

fn is_no_value(text: &str) -> bool {
    matches!(text, "null" | "true" | "false")
}

/// Random text in these places is a hash, a boundary or the name of a program.
fn looks_random_matters(leaf: &Leaf, rules: &Rules) -> bool {
    match leaf.place.kind {
        places::Kind::Header => {
            !matches!(rules.header(&leaf.place.name), HeaderVerdict::Hash | HeaderVerdict::Plain)
        }
        places::Kind::PartHead | places::Kind::JsonKeys | places::Kind::Unread => false,
        _ => true,
    }
}

fn add_random(plain: &[&str], hits: &mut Vec<Hit>) {
    for piece in plain {
        let mut ranges = Vec::new();
        find_random(piece, RANDOM_CHARS_MIN, &mut ranges);
        let found = ranges.into_iter().map(|range| piece[range].to_owned());
        let is_new = |secret: &String| !hits.iter().any(|hit| hit.secret.contains(secret.as_str()));
        let new: Vec<Hit> =
            found.filter(is_new).map(|secret| Hit { kind: Kind::RandomText, secret }).collect();
        hits.extend(new);
    }
}

/// What follows `/reset/` and its like and is no plain word.
fn add_path_secrets(path: &str, rules: &Rules, hits: &mut Vec<Hit>) {
    let segments: Vec<&str> = path.split('/').collect();
    for pair in segments.windows(2) {
        let is_plain = |segment: &str| {
            Fingerprint::find_all(segment).is_empty() && segment.bytes().any(|b| b.is_ascii_digit())
        };
        if rules.is_secret_path(pair[0]) && is_plain(pair[1]) {
            hits.push(Hit { kind: Kind::PathSecret, secret: pair[1].to_owned() });
        }
    }
}

/// `password=…` and its like within a text.
fn add_assigned(text: &str, rules: &Rules, hits: &mut Vec<Hit>) {
    let decoded = percent_decoded(text);
    for groups in ASSIGNMENT.captures_iter(&decoded) {
        let (Some(name), Some(secret)) = (groups.name("name"), groups.name("secret")) else { continue };
        let after = &decoded[secret.start()..];
        let is_token = after.starts_with("{fp:") || secret.as_str().eq_ignore_ascii_case("bearer");
        if rules.is_secret(name.as_str()) && !is_token && !is_no_value(secret.as_str()) {
            hits.push(Hit { kind: Kind::SecretField, secret: secret.as_str().to_owned() });
        }
    }
}

/// The lengths that cards have, and the check digit.
fn is_card(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| digits.starts_with(prefix.as_bytes()));
    let is_issued = match digits.len() {
        13 | 19 => starts(&["4"]),
        15 => starts(&["34", "37"]),
        16 => starts(&[
            "4", "51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27", "35", "6011", "64", "65",
        ]),
        _ => false,
    };
    is_issued && is_luhn(text)
}

/// Has a digit, or an upper-case letter after a lower-case one.
fn is_no_word(text: &str) -> bool {
    let is_hump = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    text.bytes().any(|byte| byte.is_ascii_digit()) || text.as_bytes().windows(2).any(is_hump)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_texts_hold_no_secret() {
        for text in [
            "e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "5f0c9a1e33b2d8745f0c9a1e33b2d8745f0c9a1e33b2d8745f0c9a1e33b2d874",
            "2026-11-24T18:46:44.120+01:00",
            "1795464469206136606",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
            "basic information about bearer authentication",
            "Bearer {fp:524fdbffbbfd087a.248}",
            "https://{fp:524fdbffbbfd087a.8}@school.example/x",
        ] {
            assert_eq!(in_text(text), [], "{text}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_first() {
        let kinds = |text: &str| in_text(text).into_iter().map(|hit| hit.kind).collect::<Vec<_>>();
        assert_eq!(kinds("x=anna%40school.example"), [Kind::Email]);
        assert_eq!(kinds("x=anna%2540school.example"), [Kind::Email]);
    }
}
