//! Fingerprints: what stands in a capture where a secret stood.
//!
//! A fingerprint is a keyed hash (BLAKE3 in keyed mode, cut to 64 bits). The key is made at start, lives
//! in memory only and is never written: equal values have equal fingerprints within a capture, so
//! sessions and bindings survive, and nobody can test a guess against them afterwards.
//!
//! The token is `{fp:<16 hex digits>.<bytes of the value>}`: braces cannot stand raw in a header token,
//! a path or an unescaped query, so it is not mistaken for a value; the length lets a replay keep sizes.

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use zeroize::Zeroizing;

const PREFIX: &str = "{fp:";
static TOKEN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX));
const HEX_DIGITS: usize = 16;

/// Makes fingerprints; holds the key. Deliberately neither `Serialize` nor printable.
#[derive(Clone)]
pub struct Fingerprinter {
    /// Overwritten when it is dropped.
    key: Zeroizing<[u8; 32]>,
    keeps_tokens: bool,
}

/// The fingerprint of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    pub hash: u64,
    /// Bytes of the value it stands for.
    pub bytes: usize,
}

impl Fingerprinter {
    /// With a key from the operating system's random source.
    pub fn with_random_key() -> std::io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let filled = rustix::rand::getrandom(key.as_mut_slice(), rustix::rand::GetRandomFlags::empty())?;
        let is_filled = filled == key.len();
        if is_filled {
            Ok(Self { key, keeps_tokens: false })
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// With a given key: for tests, which must be repeatable.
    pub fn with_key(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key), keeps_tokens: false }
    }

    /// For texts that hold tokens already, of a key that is gone: a token stays as it is, and counts with the
    /// length of the value it stands for.
    #[must_use]
    pub fn keeping_tokens(self) -> Self {
        Self { keeps_tokens: true, ..self }
    }

    pub fn keeps_tokens(&self) -> bool {
        self.keeps_tokens
    }

    pub fn fingerprint(&self, value: &[u8]) -> Fingerprint {
        let hash = || leading_u64(&blake3::keyed_hash(&self.key, value));
        if !self.keeps_tokens {
            return Fingerprint { hash: hash(), bytes: value.len() };
        }
        let text = String::from_utf8_lossy(value);
        Fingerprint::parse(&text).unwrap_or_else(|| Fingerprint { hash: hash(), bytes: bytes_before(&text) })
    }

    /// An incremental keyed hash, for contents that come in pieces.
    pub fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.key)
    }
}

/// Bytes of a text before tokens took the place of values.
pub fn bytes_before(text: &str) -> usize {
    let tokens = Fingerprint::find_all(text);
    let (now, before) = tokens.iter().fold((0, 0_usize), |(now, before), (range, print)| {
        (now + range.len(), before.saturating_add(print.bytes))
    });
    (text.len() - now).saturating_add(before)
}

/// The 64 bits that a fingerprint keeps of a hash.
pub fn leading_u64(hash: &blake3::Hash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter { key: <in memory only> }")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:016x}.{}}}", self.hash, self.bytes)
    }
}

impl Fingerprint {
    /// Reads a text that is one token and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix(PREFIX)?.strip_suffix('}')?;
        let (hash, bytes) = inner.split_once('.')?;
        let is_hash =
            hash.len() == HEX_DIGITS && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let hash = is_hash.then(|| u64::from_str_radix(hash, 16).ok())??;
        Some(Self { hash, bytes: bytes.parse().ok()? })
    }

    /// Where tokens stand in a text, in order.
    pub fn find_all(text: &str) -> Vec<(Range<usize>, Self)> {
        TOKEN.find_iter(text.as_bytes()).filter_map(|start| Self::at(text, start)).collect()
    }

    fn at(text: &str, start: usize) -> Option<(Range<usize>, Self)> {
        let end = start + text[start..].find('}')? + 1;
        Some((start..end, Self::parse(&text[start..end])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_fingerprints_under_one_key_only() {
        let (one, other) = (Fingerprinter::with_key([1; 32]), Fingerprinter::with_key([2; 32]));
        assert_eq!(one.fingerprint(b"token"), one.fingerprint(b"token"));
        assert_ne!(one.fingerprint(b"token"), one.fingerprint(b"Token"));
        assert_ne!(one.fingerprint(b"token"), other.fingerprint(b"token"));
    }

    #[test]
    fn random_keys_differ_and_are_not_printed() {
        let (one, other) =
            (Fingerprinter::with_random_key().unwrap(), Fingerprinter::with_random_key().unwrap());
        assert_ne!(one.fingerprint(b"x"), other.fingerprint(b"x"));
        assert_eq!(format!("{one:?}"), "Fingerprinter { key: <in memory only> }");
    }

    #[test]
    fn the_key_is_not_in_what_a_hasher_prints() {
        let key: [u8; 32] = std::array::from_fn(|at| 200 + u8::try_from(at).unwrap());
        let printed = format!("{:?}", Fingerprinter::with_key(key).hasher());
        assert!(!printed.contains("200, 201") && !printed.contains("c8c9"), "{printed}");
    }

    #[test]
    fn tokens_are_found_in_texts() {
        let token = Fingerprinter::with_key([7; 32]).fingerprint(b"secret");
        let text = format!("Bearer {token}; other={token}");
        let found = Fingerprint::find_all(&text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (7..7 + token.to_string().len(), token));
        assert_eq!(Fingerprint::parse(&token.to_string()), Some(token));
    }

    #[test]
    fn a_second_fingerprinter_may_keep_the_tokens_of_the_first() {
        let token = Fingerprinter::with_key([1; 32]).fingerprint(b"secret");
        let again = Fingerprinter::with_key([2; 32]).keeping_tokens();
        assert_eq!(again.fingerprint(token.to_string().as_bytes()), token);
        assert_eq!(again.fingerprint(b"secret"), Fingerprinter::with_key([2; 32]).fingerprint(b"secret"));
        assert_eq!(again.fingerprint(format!("id-{token}").as_bytes()).bytes, "id-secret".len());
    }

    #[test]
    fn what_only_looks_like_a_token_is_none() {
        for text in [
            "{fp:}",
            "{fp:12.3}",
            "{fp:zzzzzzzzzzzzzzzz.3}",
            "{fp:0123456789abcdef.}",
            "{fp:0123456789abcdef.3",
        ] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
            assert!(Fingerprint::find_all(text).is_empty(), "{text}");
        }
    }
}
