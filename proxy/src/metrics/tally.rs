//! Counts by a few small keys.

/// Keys counted apart; what is beyond is counted under none. Upstreams may answer any status: without a bound
/// a strange one could fill memory, key by key.
const KEYS_MAX: usize = 128;

/// A list, not a map: a route has a handful of outcomes, and the usual one stands first.
#[derive(Debug, Clone)]
pub(crate) struct Tally<K>(Vec<(K, u64)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq> Tally<K> {
    pub(crate) fn add(&mut self, key: K, count: u64) {
        if let Some((_, sum)) = self.0.iter_mut().find(|(known, _)| *known == key) {
            *sum += count;
        } else if self.0.len() < KEYS_MAX {
            self.0.push((key, count));
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(key, count)| self.add(key, count));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_up_to_a_bound() {
        let mut tally = Tally::default();
        for key in (0..KEYS_MAX + 5).chain([0, 0]) {
            tally.add(key, 1);
        }
        let mut twice = Tally::default();
        twice.merge(&tally);
        twice.merge(&tally);
        let counts: Vec<_> = twice.iter().collect();
        assert_eq!((counts[0], counts[1], counts.len()), ((0, 6), (1, 2), KEYS_MAX));
    }
}
