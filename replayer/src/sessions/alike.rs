//! A text in place of a captured one that its client invented: as long, and of the same make.

use kingtide_common::fingerprint::Fingerprint;
use rand::{Rng, RngExt as _};

/// Each letter and digit by a random one of its kind, everything else as it stands; letters are hexadecimal digits
/// where the captured ones are, and the first digit of all is no 0, so that a number stays one. Of a fingerprint, which
/// only tells the length, lower-case letters.
pub fn alike(captured: &str, random: &mut impl Rng) -> String {
    if let Some(fingerprint) = Fingerprint::parse(captured) {
        return (0..fingerprint.bytes.min(BYTES_MAX)).map(|_| letter('a', 26, random)).collect();
    }
    let is_hex = captured.chars().all(|c| c.is_ascii_hexdigit() || !c.is_ascii_alphanumeric());
    let letters = if is_hex { 6 } else { 26 };
    let mut has_digit = false;
    let fresh = captured.chars().map(|c| match c {
        '0'..='9' if !std::mem::replace(&mut has_digit, true) => letter('1', 9, random),
        '0'..='9' => letter('0', 10, random),
        'a'..='z' => letter('a', letters, random),
        'A'..='Z' => letter('A', letters, random),
        other => other,
    });
    fresh.collect()
}

/// A fingerprint's length comes from a file; it is not trusted to size a buffer.
const BYTES_MAX: usize = 4 * 1024;

/// One of the `count` characters from `first` on.
fn letter(first: char, count: u8, random: &mut impl Rng) -> char {
    char::from(first as u8 + random.random_range(0..count))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn length_and_make_stay_and_the_text_is_another() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for captured in [
            "my-key-0001/A",
            "9f86d081884c7d65",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "V1StGXR8_Z5jdHi6B-myT",
            "ü-12",
        ] {
            let fresh = alike(captured, &mut random);
            assert_ne!(fresh, captured);
            let kinds = |text: &str| {
                let kind = |c: char| match c {
                    '0'..='9' => '0',
                    'a'..='z' => 'a',
                    'A'..='Z' => 'A',
                    other => other,
                };
                text.chars().map(kind).collect::<String>()
            };
            assert_eq!(kinds(&fresh), kinds(captured), "{fresh}");
            let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert_eq!(is_hex(&fresh), is_hex(captured), "{fresh}");
        }
        for _ in 0..100 {
            assert!(!alike("1234567", &mut random).starts_with('0'), "a number in JSON has no leading zero");
            assert!(!alike("-12", &mut random).starts_with("-0"), "nor has a negative one");
        }
        let hidden = alike("{fp:0123456789abcdef.21}", &mut random);
        assert!(hidden.len() == 21 && hidden.bytes().all(|byte| byte.is_ascii_lowercase()), "{hidden}");
    }
}
