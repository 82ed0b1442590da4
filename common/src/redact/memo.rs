//! Answers about names, remembered: traffic has few different names, and each is asked about at every exchange.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Names remembered at most; a client that invents more makes its own exchanges dearer, and nothing grows.
const NAMES_MAX: usize = 4096;
/// Bytes of a remembered name at most.
const NAME_BYTES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Memo<V>(Mutex<HashMap<Box<str>, V>>);

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Copy> Memo<V> {
    /// `answer` must depend on the name alone.
    pub(super) fn get(&self, name: &str, answer: impl FnOnce(&str) -> V) -> V {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(name) {
            return *value;
        }
        let value = answer(name);
        if known.len() < NAMES_MAX && name.len() <= NAME_BYTES_MAX {
            known.insert(name.into(), value);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_once_and_does_not_grow_without_bound() {
        let (memo, mut asked) = (Memo::default(), 0);
        for _ in 0..3 {
            let length = memo.get("name", |name| {
                asked += 1;
                name.len()
            });
            assert_eq!(length, 4);
        }
        assert_eq!(asked, 1);
        for number in 0..2 * NAMES_MAX {
            memo.get(&number.to_string(), str::len);
        }
        assert_eq!(memo.get("late", str::len), 4);
        assert_eq!(memo.0.lock().unwrap().len(), NAMES_MAX);
    }
}
