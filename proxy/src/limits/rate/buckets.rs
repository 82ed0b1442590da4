//! Buckets by key, never more than so many: a new key takes the place of the one unused for longest.
//!
//! Entries are linked by use in a list of positions, so that finding, using and forgetting one take the same
//! time however many there are. Invariant: `used` is a list of all entries, from the latest to the oldest.

use std::collections::HashMap;

use super::Bucket;
use crate::limits::Key;

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Entry {
    key: Key,
    bucket: Bucket,
    later: u32,
    earlier: u32,
}

#[derive(Debug)]
pub(super) struct Buckets {
    places: HashMap<Key, u32>,
    entries: Vec<Entry>,
    latest: u32,
    oldest: u32,
    keys_max: usize,
}

impl Buckets {
    /// At least one key is held, and fewer than 2³² − 1.
    pub(super) fn new(keys_max: usize) -> Self {
        let keys_max = keys_max.clamp(1, NONE as usize - 1);
        Self { places: HashMap::new(), entries: Vec::new(), latest: NONE, oldest: NONE, keys_max }
    }

    /// The bucket of a key, which counts as used now.
    pub(super) fn get(&mut self, key: Key) -> Option<Bucket> {
        let place = *self.places.get(&key)?;
        self.use_now(place);
        Some(self.entries[place as usize].bucket)
    }

    pub(super) fn set(&mut self, key: Key, bucket: Bucket) {
        if let Some(&place) = self.places.get(&key) {
            self.entries[place as usize].bucket = bucket;
            return self.use_now(place);
        }
        let place = self.free_place();
        let entry = Entry { key, bucket, later: NONE, earlier: NONE };
        match self.entries.get_mut(place as usize) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        self.places.insert(key, place);
        self.link(place);
    }

    /// A new place, or that of the oldest entry, which is forgotten.
    fn free_place(&mut self) -> u32 {
        if self.entries.len() < self.keys_max {
            return u32::try_from(self.entries.len()).unwrap_or(NONE - 1);
        }
        let place = self.oldest;
        self.unlink(place);
        self.places.remove(&self.entries[place as usize].key);
        place
    }

    fn use_now(&mut self, place: u32) {
        if self.latest != place {
            self.unlink(place);
            self.link(place);
        }
    }

    fn unlink(&mut self, place: u32) {
        let Entry { later, earlier, .. } = self.entries[place as usize];
        match self.entries.get_mut(later as usize) {
            Some(entry) => entry.earlier = earlier,
            None => self.latest = earlier,
        }
        match self.entries.get_mut(earlier as usize) {
            Some(entry) => entry.later = later,
            None => self.oldest = later,
        }
    }

    fn link(&mut self, place: u32) {
        let before = std::mem::replace(&mut self.latest, place);
        let entry = &mut self.entries[place as usize];
        (entry.later, entry.earlier) = (NONE, before);
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.later = place,
            None => self.oldest = place,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same with a plain list, the latest first.
    struct Plain(Vec<(u64, u64)>, usize);

    impl Plain {
        fn get(&mut self, key: u64) -> Option<u64> {
            let place = self.0.iter().position(|(own, _)| *own == key)?;
            let entry = self.0.remove(place);
            self.0.insert(0, entry);
            Some(entry.1)
        }

        fn set(&mut self, key: u64, value: u64) {
            self.0.retain(|(own, _)| *own != key);
            self.0.insert(0, (key, value));
            self.0.truncate(self.1);
        }
    }

    fn bucket(excess: u64) -> Bucket {
        Bucket { excess, last_ms: 0 }
    }

    #[test]
    fn the_key_unused_for_longest_goes_first() {
        let mut buckets = Buckets::new(2);
        buckets.set(Key(1), bucket(10));
        buckets.set(Key(2), bucket(20));
        assert_eq!(buckets.get(Key(1)), Some(bucket(10)));
        buckets.set(Key(3), bucket(30));
        assert_eq!(buckets.get(Key(2)), None);
        assert_eq!(buckets.get(Key(1)), Some(bucket(10)));
    }

    proptest! {
        #[test]
        fn it_forgets_what_a_plain_list_forgets(
            keys_max in 1_usize..6,
            steps in prop::collection::vec((0_u64..9, prop::option::of(0_u64..100)), 0..200),
        ) {
            let (mut buckets, mut plain) = (Buckets::new(keys_max), Plain(Vec::new(), keys_max));
            for (key, value) in steps {
                if let Some(value) = value {
                    buckets.set(Key(key), bucket(value));
                    plain.set(key, value);
                } else {
                    prop_assert_eq!(buckets.get(Key(key)), plain.get(key).map(bucket));
                }
                prop_assert!(buckets.entries.len() <= keys_max && buckets.places.len() <= keys_max);
            }
        }
    }
}
