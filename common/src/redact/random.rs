//! Text that looks random: keys and tokens that no name and no known form gives away.
//!
//! A run of letters and digits (and `-`, `_`, `+`, `/`, with `=` at its end) counts when lower case, upper case and
//! digits follow each other without order. Entropy alone would not do: `assignmentsOfTheSecondTerm2` has as many bits
//! as a token of its length. In random text of these three kinds two neighbours differ in kind 62 times of 100, in
//! names made of words about 30 times. UUIDs and hexadecimal digests are of one case and never count.

use std::ops::Range;

/// Neighbours of different kinds, per hundred.
const CHANGES_PERCENT_MIN: usize = 40;
/// Different characters; in 22 random ones of 64 about 18.6 are.
const DISTINCT_MIN: u32 = 11;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    Sign,
}

/// Whether a byte may stand in a run.
pub(super) const fn is_run_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/')
}

/// Runs of at least `chars_min` in a text that look random. In a path or URL each segment is a run of its own, so that
/// an id has the fingerprint there that it has elsewhere.
pub fn find(text: &str, chars_min: usize, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let is_path = text.starts_with('/') || text.contains("://");
    let mut at = 0;
    while at < bytes.len() {
        let is_in = |byte: &&u8| is_run_byte(**byte) && !(is_path && **byte == b'/');
        let end = at + bytes[at..].iter().take_while(is_in).count();
        let run = without_words(bytes, at..end);
        if run.len() >= chars_min && is_random(&bytes[run.clone()]) {
            let padding = bytes[run.end..].iter().take(2).take_while(|byte| **byte == b'=').count();
            found.push(run.start..run.end + padding);
        }
        at = end + 1;
    }
}

/// A run without the words and numbers at its ends that slashes separate: `uploads/2026/KEY`.
fn without_words(bytes: &[u8], run: Range<usize>) -> Range<usize> {
    let is_word =
        |part: &[u8]| part.iter().all(u8::is_ascii_lowercase) || part.iter().all(u8::is_ascii_digit);
    let Range { mut start, mut end } = run;
    while let Some(slash) = bytes[start..end].iter().position(|byte| *byte == b'/')
        && is_word(&bytes[start..start + slash])
    {
        start += slash + 1;
    }
    while let Some(slash) = bytes[start..end].iter().rposition(|byte| *byte == b'/')
        && is_word(&bytes[start + slash + 1..end])
    {
        end = start + slash;
    }
    start..end
}

/// Whether a run has the order of random text.
pub(super) fn is_random(run: &[u8]) -> bool {
    let mut counts = [0_usize; 4];
    let (mut changes, mut last, mut seen) = (0, None, 0_u128);
    for &byte in run {
        let kind = kind(byte);
        counts[kind as usize] += 1;
        changes += usize::from(last.is_some_and(|last| last != kind));
        last = Some(kind);
        seen |= 1_u128.checked_shl(u32::from(byte)).unwrap_or_default();
    }
    let [lower, upper, digits, signs] = counts;
    let is_of_all = lower > 0 && upper > 0 && digits > 0 && signs * 6 <= run.len();
    is_of_all
        && changes * 100 >= CHANGES_PERCENT_MIN * run.len().saturating_sub(1)
        && seen.count_ones() >= DISTINCT_MIN
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' => Kind::Lower,
        b'A'..=b'Z' => Kind::Upper,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::Sign,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, 22, &mut found);
        found.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn keys_and_tokens_are_found() {
        for secret in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPL3KEY",
            "T0pS3cr3tV4lu3Th4tN0b0dyKn0ws",
            "q0gF2bL3Wm8cVt1k2ZkRr7==",
        ] {
            assert_eq!(found(&format!("key: {secret}, next")), [secret], "{secret}");
        }
    }

    #[test]
    fn in_paths_and_urls_a_segment_is_found_as_it_stands_elsewhere() {
        const KEY: &str = "q0gF2bL3Wm8cVt1k2ZkRr7Xa";
        for text in
            ["/uploads/KEY/parts/7?x=1", "https://a.example/KEY", "uploads/2026/KEY", "KEY/parts", "KEY"]
        {
            assert_eq!(found(&text.replace("KEY", KEY)), [KEY], "{text}");
        }
    }

    #[test]
    fn ids_digests_and_words_are_not() {
        for plain in [
            "e78c4e0a-29f4-4b5e-b43b-72d39e5ef8fd",
            "E78C4E0A-29F4-4B5E-B43B-72D39E5EF8FD",
            "5f0c9a1e33b2d8745f0c9a1e33b2d8745f0c9a1e33b2d874",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "assignmentsOfTheSecondTerm2",
            "getStudentAssignments2ForClassById",
            "how-to-Do-x-in-2026-and-2027-Again",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "V1StGXR8_Z5jdHi6B-myT",
            "aaaaaaaaaaaaaaaaaaaaaaA1",
        ] {
            assert_eq!(found(plain), [""; 0], "{plain}");
        }
    }

    /// Of each of 64 digits alike, as encoded random bytes are.
    fn key() -> impl Strategy<Value = String> {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let digits = prop::collection::vec(0..64_usize, 43);
        digits.prop_map(|digits| digits.into_iter().map(|digit| char::from(DIGITS[digit])).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn nearly_every_random_key_is_found(keys in prop::collection::vec(key(), 200)) {
            let missed = keys.iter().filter(|key| !is_random(key.as_bytes())).count();
            prop_assert!(missed <= 6, "{missed} of 200 are missed");
        }
    }
}
