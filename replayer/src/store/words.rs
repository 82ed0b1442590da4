//! Texts that many sessions share (names of headers, browsers, routes), kept once and named by a number.
//!
//! A text is taken up when a second session has it: what only one user sends, such as a token, stands where it is.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

/// Longer texts are hardly the same twice.
const TEXT_BYTES_MAX: usize = 1024;
/// Of all texts; what comes after stands where it is.
const BYTES_MAX: usize = 8 << 20;
/// Places in which texts that one session had are remembered. Another text may take its place: it is then taken up later.
const SEEN: usize = 1 << 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Words {
    texts: Vec<Arc<str>>,
    numbers: FxHashMap<Arc<str>, u32>,
    bytes: usize,
    /// By the text's digest: 32 other bits of it, and the session that had it.
    seen: Vec<(u32, u32)>,
}

impl Words {
    pub(super) fn text(&self, number: u32) -> Option<&str> {
        self.texts.get(number as usize).map(|text| &**text)
    }

    /// The number of a text that a session has, if it is or becomes one of these.
    pub(super) fn number(&mut self, text: &str, session: u32) -> Option<u32> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        let is_wanted = self.bytes + text.len() <= BYTES_MAX && self.is_of_another(text, session);
        is_wanted.then(|| self.take_up(text))
    }

    /// Whether another session had the text; remembers that this one has it.
    fn is_of_another(&mut self, text: &str, session: u32) -> bool {
        self.seen.resize(SEEN, (0, u32::MAX));
        let digest = FxBuildHasher.hash_one(text);
        #[allow(clippy::cast_possible_truncation)] // two halves of a digest
        let (place, tag) = ((digest >> 48) as usize % SEEN, digest as u32);
        let (known, by) = std::mem::replace(&mut self.seen[place], (tag, session));
        known == tag && by != session && by != u32::MAX
    }

    fn take_up(&mut self, text: &str) -> u32 {
        let number = u32::try_from(self.texts.len()).expect("texts of a few megabytes are fewer");
        let text: Arc<str> = text.into();
        self.bytes += text.len();
        self.numbers.insert(Arc::clone(&text), number);
        self.texts.push(text);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_up_when_a_second_session_has_it() {
        let mut words = Words::default();
        assert_eq!([words.number("a", 0), words.number("a", 0)], [None, None], "one session alone");
        assert_eq!([words.number("a", 1), words.number("a", 2)], [Some(0), Some(0)]);
        assert_eq!([words.number("b", 2), words.number("b", 3)], [None, Some(1)]);
        assert_eq!([words.text(0), words.text(1), words.text(2)], [Some("a"), Some("b"), None]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut words = Words::default();
        let text = |number: u32| format!("{number:01000}");
        for number in 0..20_000 {
            let _ = [words.number(&text(number), 1), words.number(&text(number), 2)];
        }
        assert!(words.bytes <= BYTES_MAX && words.bytes > BYTES_MAX - 1_000, "{}", words.bytes);
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!([words.number(&long, 1), words.number(&long, 2)], [None, None]);
    }
}
