//! Texts that are secret by what they look like: regular expressions, some with a check of what was found.

use std::ops::Range;

use regex::Regex;
use serde::Deserialize;

/// What a match must be, besides matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    #[serde(skip)]
    None,
    /// The check digit of payment cards (ISO/IEC 7812-1).
    Luhn,
    /// The check digits of IBANs (ISO 13616: modulo 97 is 1).
    Mod97,
    /// Has a digit, or an upper-case letter after a lower-case one.
    Mixed,
}

/// All patterns of the rules.
#[derive(Debug)]
pub(super) struct Patterns {
    /// All in one: nearly every text matches none, and is gone through once.
    any: Regex,
    each: Vec<(Regex, Check)>,
    /// A pattern may look at the beginning or end of a text, so a part matches differently from the whole.
    is_anchored: bool,
}

const GROUP: &str = "secret";

impl Patterns {
    /// Each is tried alone first, so that an error speaks of the one that is wrong. Case and words are those of
    /// ASCII: Unicode's would cost ten times as much on every text.
    pub(super) fn new(patterns: &[(String, Check)]) -> Result<Self, regex::Error> {
        let compile = |(pattern, check): &(String, Check)| Ok((Regex::new(&ascii(pattern))?, *check));
        let each = patterns.iter().map(compile).collect::<Result<Vec<_>, regex::Error>>()?;
        let unnamed =
            |pattern: &str| ascii(pattern).replace("(?<secret>", "(?:").replace("(?P<secret>", "(?:");
        let alternatives: Vec<String> =
            patterns.iter().map(|(pattern, _)| format!("(?:{})", unnamed(pattern))).collect();
        // No pattern at all matches nowhere.
        let whole = if alternatives.is_empty() { "[^\\s\\S]".to_owned() } else { alternatives.join("|") };
        let anchors = ["^", "$", "\\A", "\\z"];
        let is_anchored = patterns.iter().any(|(pattern, _)| {
            let outside_classes = pattern.replace("[^", "");
            anchors.iter().any(|anchor| outside_classes.contains(anchor))
        });
        Ok(Self { any: Regex::new(&whole)?, each, is_anchored })
    }

    /// Whether anything may match within a text; when not, then neither within a part of it.
    pub(super) fn may_match_within(&self, text: &str) -> bool {
        self.is_anchored || self.any.is_match(text)
    }

    /// Where secrets stand in a text; in no order, and they may overlap.
    pub(super) fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        if !self.any.is_match(text) {
            return;
        }
        for (pattern, check) in &self.each {
            let matches =
                pattern.captures_iter(text).filter_map(|groups| groups.name(GROUP).or(groups.get(0)));
            found.extend(matches.filter(|found| check.holds(found.as_str())).map(|found| found.range()));
        }
    }
}

/// Word boundaries of ASCII; an escaped backslash before a `b` is none.
fn ascii(pattern: &str) -> String {
    let parts: Vec<String> = pattern.split(r"\\").map(|part| part.replace(r"\b", r"(?-u:\b)")).collect();
    parts.join(r"\\")
}

impl Check {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::None => true,
            Self::Luhn => is_luhn(text),
            Self::Mod97 => is_mod97(text),
            Self::Mixed => is_mixed(text),
        }
    }
}

/// Whether the digits of a text end in their check digit.
pub fn is_luhn(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let weighted = digits.enumerate().map(|(at, digit)| match (at % 2, digit * 2) {
        (0, _) => digit,
        (_, twice) if twice > 9 => twice - 9,
        (_, twice) => twice,
    });
    weighted.sum::<u32>() % 10 == 0
}

/// Whether a text without its spaces is an IBAN.
pub fn is_mod97(text: &str) -> bool {
    let plain: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    if !(15..=34).contains(&plain.len()) {
        return false;
    }
    let (head, tail) = plain.split_at(4);
    let remainder = tail.iter().chain(head).try_fold(0_u32, |remainder, byte| {
        let value = char::from(*byte).to_digit(36)?;
        Some(if value < 10 { (remainder * 10 + value) % 97 } else { (remainder * 100 + value) % 97 })
    });
    remainder == Some(1)
}

fn is_mixed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hump = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    bytes.iter().any(u8::is_ascii_digit) || bytes.windows(2).any(is_hump)
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        Rules::built_in().patterns.find(text, &mut found);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn check_digits_tell_numbers_from_cards_and_accounts() {
        assert_eq!(found("paid by 4111 1111 1111 1111."), ["4111 1111 1111 1111"]);
        assert_eq!(found("4111111111111112 is none"), [""; 0]);
        assert_eq!(found("378282246310005"), ["378282246310005"]);
        assert_eq!(found("to DE89 3704 0044 0532 0130 00 please"), ["DE89 3704 0044 0532 0130 00"]);
        assert_eq!(found("DE88370400440532013000"), [""; 0]);
    }

    #[test]
    fn keys_and_numbers_are_found_within_texts() {
        for secret in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
            "eyJhbGciOiJkaXIifQ..iv0iv0iv0.c1ph3rt3xt.t4g",
            "anna@school.example",
            "+49 30 1234567",
            "(555) 123-4567",
            "030 1234567",
            "078-05-1120",
        ] {
            assert_eq!(found(&format!("see {secret}, ok")), [secret], "{secret}");
        }
    }

    #[test]
    fn ordinary_texts_match_nothing() {
        for plain in [
            "risk-management-and-more-words",
            "2026-11-24T18:46:44+01:00",
            "e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd",
            "basic information about bearer authentication",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0",
            "1795464469206136606",
        ] {
            assert_eq!(found(plain), [""; 0], "{plain}");
        }
    }

    #[test]
    fn of_a_group_called_secret_only_the_group_is_hidden() {
        assert_eq!(found("Bearer abc123def"), ["abc123def"]);
        assert_eq!(found("use Basic YW5uYTpnZWhlaW0="), ["YW5uYTpnZWhlaW0="]);
    }

    #[test]
    fn a_private_key_is_hidden_to_its_end_or_the_texts() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE/abc\n/def+==\n-----END RSA PRIVATE KEY-----";
        assert!(found(&format!("x {key}\ny")).contains(&key));
        let torn = &key[..70];
        assert!(found(torn).contains(&torn));
    }

    #[test]
    fn no_patterns_match_nothing() {
        let none = Patterns::new(&[]).unwrap();
        assert!(!none.may_match_within("anna@school.example \n"));
    }

    #[test]
    fn anchors_are_seen_and_negated_classes_are_none() {
        let is_anchored =
            |pattern: &str| Patterns::new(&[(pattern.to_owned(), Check::None)]).unwrap().is_anchored;
        assert!(is_anchored("^EMP") && is_anchored("EMP$") && !is_anchored("[^-]x"));
    }
}
