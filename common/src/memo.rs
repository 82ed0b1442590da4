//! Answers about texts, remembered: traffic repeats its names, header values and part heads, and each is asked about
//! at every exchange.
//!
//! Bounded by number and length. There are two generations: when the young one is full it becomes the old one, and
//! what was not asked about since is forgotten with the old one; so a client that invents texts makes its own exchanges
//! dearer, and what is common stays.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Texts of a generation at most.
const GENERATION_MAX: usize = 1024;
/// Bytes of a remembered text at most.
const TEXT_BYTES_MAX: usize = 512;

pub(crate) struct Memo<V>(Mutex<Generations<V>>);

struct Generations<V> {
    young: HashMap<Box<[u8]>, V>,
    old: HashMap<Box<[u8]>, V>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self(Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() }))
    }
}

/// The texts are as clients sent them: they must not reach a log.
impl<V> fmt::Debug for Memo<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo { texts: <in memory only> }")
    }
}

impl<V: Clone> Memo<V> {
    /// `answer` must depend on the text alone.
    pub(crate) fn get(&self, text: &[u8], answer: impl FnOnce() -> V) -> V {
        if text.len() > TEXT_BYTES_MAX {
            return answer();
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.young.get(text) {
            return value.clone();
        }
        let value = known.old.get(text).cloned().unwrap_or_else(answer);
        known.remember(text, value.clone());
        value
    }
}

impl<V> Generations<V> {
    fn remember(&mut self, text: &[u8], value: V) {
        if self.young.len() == GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks, and says whether the answer had to be found.
    fn is_asked(memo: &Memo<usize>, text: &str) -> bool {
        let mut asked = false;
        let value = memo.get(text.as_bytes(), || {
            asked = true;
            text.len()
        });
        assert_eq!(value, text.len());
        asked
    }

    #[test]
    fn it_asks_once() {
        let memo = Memo::default();
        assert_eq!(
            ["name", "name", "other", "name"].map(|text| is_asked(&memo, text)),
            [true, false, true, false]
        );
    }

    #[test]
    fn it_does_not_grow_without_bound_and_keeps_what_is_common() {
        let memo = Memo::default();
        assert!(is_asked(&memo, "common"));
        for number in 0..10 * GENERATION_MAX {
            assert!(is_asked(&memo, &number.to_string()), "{number}");
            assert!(!is_asked(&memo, "common"), "after {number} others");
        }
        assert!(is_asked(&memo, "0"), "what nobody asks about is forgotten");
        let known = memo.0.lock().unwrap();
        assert!(known.young.len() <= GENERATION_MAX && known.old.len() <= GENERATION_MAX);
    }

    #[test]
    fn a_long_text_is_not_remembered() {
        let (memo, long) = (Memo::default(), "x".repeat(TEXT_BYTES_MAX + 1));
        assert!(is_asked(&memo, &long) && is_asked(&memo, &long));
    }
}
