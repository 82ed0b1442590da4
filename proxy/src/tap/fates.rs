//! What becomes of a user's requests, remembered for as many users as there is room for.
//!
//! A table of fixed size that workers read and write without a lock: buckets of eight words, one cache line
//! each, every word a whole entry (40 bits of the key, when it was last seen, the fate). Two keys of one
//! bucket share their 40 bits once in 10¹¹ look-ups; what that costs is one user's place in the capture. When
//! a bucket is full, the user seen longest ago is forgotten, and counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::counts::Shed;

/// How long a user who was shed stays so. Longer than people think between two requests of a visit, so that
/// what is recorded of them afterwards is another visit; short enough that they come back.
pub(super) const SILENCE_S: u16 = 60;

const BUCKETS: usize = 1 << 14;
const SLOTS: usize = 8;

/// What becomes of a user's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// To be recorded; nothing is yet.
    Admitted,
    /// Something of the user is in the capture, or on its way there.
    Recorded,
    SampledOut,
    Shed(Shed),
}

impl Fate {
    fn code(self) -> u8 {
        match self {
            Self::Admitted => 1,
            Self::Recorded => 2,
            Self::SampledOut => 3,
            Self::Shed(Shed::Queue) => 4,
            Self::Shed(Shed::Budget) => 5,
            Self::Shed(Shed::Disk) => 6,
        }
    }

    /// `None` for 0, an empty entry.
    fn of_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Admitted,
            2 => Self::Recorded,
            3 => Self::SampledOut,
            4 => Self::Shed(Shed::Queue),
            5 => Self::Shed(Shed::Budget),
            6 => Self::Shed(Shed::Disk),
            _ => return None,
        })
    }

    pub(crate) fn is_recorded(self) -> bool {
        matches!(self, Self::Admitted | Self::Recorded)
    }
}

/// A word of the table; 0 = empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u64,
    seen_s: u16,
    fate: Fate,
}

impl Entry {
    const TAG_BITS: u32 = 40;
    const TAG_MASK: u64 = (1 << Self::TAG_BITS) - 1;

    fn to_word(self) -> u64 {
        (self.tag << 24) | (u64::from(self.seen_s) << 8) | u64::from(self.fate.code())
    }

    fn of_word(word: u64) -> Option<Self> {
        let [code, low, high, ..] = word.to_le_bytes();
        Some(Self { tag: word >> 24, seen_s: u16::from_le_bytes([low, high]), fate: Fate::of_code(code)? })
    }

    /// Seconds wrap after 18 hours: an entry that nobody touched for so long may look fresh for a minute.
    fn silent_s(self, now_s: u16) -> u16 {
        now_s.wrapping_sub(self.seen_s)
    }

    /// Whether it stays although another fate is known: who was shed stays so until it is over, and who is
    /// recorded is no newcomer.
    fn outlasts(self, fate: Fate, now_s: u16) -> bool {
        match self.fate {
            Fate::Shed(_) => !matches!(fate, Fate::Shed(_)) && !self.is_over(now_s),
            Fate::Recorded => fate == Fate::Admitted,
            Fate::Admitted | Fate::SampledOut => false,
        }
    }

    fn is_over(self, now_s: u16) -> bool {
        matches!(self.fate, Fate::Shed(_)) && self.silent_s(now_s) > SILENCE_S
    }
}

/// Fates by the keys of users.
#[derive(Debug)]
pub(super) struct Fates {
    slots: Box<[AtomicU64]>,
    forgotten: AtomicU64,
}

impl Fates {
    pub(super) fn new() -> Self {
        let slots = (0..BUCKETS * SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { slots, forgotten: AtomicU64::new(0) }
    }

    /// Users that were forgotten because there was no room.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// What is known of a key, which is thereby seen.
    pub(super) fn get(&self, key: u64, now_s: u16) -> Option<Fate> {
        let (slot, word, entry) = self.find(key)?;
        if entry.is_over(now_s) {
            return None;
        }
        if entry.seen_s != now_s {
            let fresh = Entry { seen_s: now_s, ..entry }.to_word();
            // Whoever else changed it has seen the user too.
            let _ = slot.compare_exchange(word, fresh, Ordering::Relaxed, Ordering::Relaxed);
        }
        Some(entry.fate)
    }

    /// Sets a key's fate, unless the former outlasts it; what it was before.
    pub(super) fn put(&self, key: u64, fate: Fate, now_s: u16) -> Option<Fate> {
        let word = Entry { tag: key & Entry::TAG_MASK, seen_s: now_s, fate }.to_word();
        loop {
            let (slot, former_word, former) = match self.find(key) {
                Some((slot, former_word, former)) => (slot, former_word, Some(former)),
                None => self.victim(key, now_s),
            };
            let same = former.filter(|former| former.tag == key & Entry::TAG_MASK);
            if let Some(former) = same.filter(|former| former.outlasts(fate, now_s)) {
                return Some(former.fate);
            }
            if slot.compare_exchange(former_word, word, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                continue;
            }
            if same.is_none() && former.is_some_and(|former| !former.is_over(now_s)) {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            return same.filter(|former| !former.is_over(now_s)).map(|former| former.fate);
        }
    }

    fn bucket(&self, key: u64) -> &[AtomicU64] {
        let bucket = usize::try_from(key >> Entry::TAG_BITS).unwrap_or_default() % BUCKETS;
        &self.slots[bucket * SLOTS..(bucket + 1) * SLOTS]
    }

    fn find(&self, key: u64) -> Option<(&AtomicU64, u64, Entry)> {
        self.bucket(key).iter().find_map(|slot| {
            let word = slot.load(Ordering::Relaxed);
            let same = word >> 24 == key & Entry::TAG_MASK;
            Some((slot, word, Entry::of_word(word).filter(|_| same)?))
        })
    }

    /// An empty slot of the key's bucket, or that of the user seen longest ago.
    fn victim(&self, key: u64, now_s: u16) -> (&AtomicU64, u64, Option<Entry>) {
        let bucket = self.bucket(key).iter().map(|slot| {
            let word = slot.load(Ordering::Relaxed);
            (slot, word, Entry::of_word(word))
        });
        let silence = |entry: &Option<Entry>| entry.map_or(u16::MAX, |entry| entry.silent_s(now_s));
        bucket.max_by_key(|(_, _, entry)| silence(entry)).expect("a bucket has eight slots")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Fate; 6] = [
        Fate::Admitted,
        Fate::Recorded,
        Fate::SampledOut,
        Fate::Shed(Shed::Queue),
        Fate::Shed(Shed::Budget),
        Fate::Shed(Shed::Disk),
    ];

    #[test]
    fn a_fate_is_kept_and_every_fate_survives_its_word() {
        let fates = Fates::new();
        for (key, fate) in (1_u64..).map(|key| key << 41 | key).zip(ALL) {
            assert_eq!(fates.get(key, 0), None);
            assert_eq!(fates.put(key, fate, 0), None);
            assert_eq!(fates.get(key, 9), Some(fate));
            assert_eq!(fates.put(key, Fate::Recorded, 9), Some(fate));
            let stays = if matches!(fate, Fate::Shed(_)) { fate } else { Fate::Recorded };
            assert_eq!(fates.get(key, 9), Some(stays), "who is shed stays so");
            fates.put(key, Fate::Admitted, 9);
            assert_eq!(fates.get(key, 9), Some(stays), "who is recorded is no newcomer");
        }
        assert_eq!(fates.forgotten(), 0);
    }

    #[test]
    fn who_was_shed_comes_back_after_a_silence_and_who_is_recorded_stays() {
        let fates = Fates::new();
        fates.put(1, Fate::Shed(Shed::Disk), 10);
        fates.put(2, Fate::Recorded, 10);
        assert_eq!(fates.get(1, 10 + SILENCE_S), Some(Fate::Shed(Shed::Disk)), "not silent long enough");
        assert_eq!(fates.get(1, 10 + 2 * SILENCE_S), Some(Fate::Shed(Shed::Disk)), "seen in between");
        assert_eq!(fates.get(1, 11 + 3 * SILENCE_S), None);
        assert_eq!(fates.put(1, Fate::Admitted, 11 + 3 * SILENCE_S), None);
        assert_eq!(fates.get(2, 30_000), Some(Fate::Recorded));
    }

    #[test]
    fn a_full_bucket_forgets_who_was_silent_longest_and_counts_it() {
        let fates = Fates::new();
        for key in 0..8 {
            fates.put(key, Fate::Recorded, u16::try_from(key).unwrap());
        }
        fates.get(0, 20);
        fates.put(100, Fate::Recorded, 21);
        assert_eq!((fates.get(1, 21), fates.forgotten()), (None, 1));
        assert!((0..8).filter(|key| *key != 1).all(|key| fates.get(key, 21).is_some()));
    }

    #[test]
    fn threads_do_not_lose_each_others_entries() {
        let fates = Fates::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let fates = &fates;
                scope.spawn(move || {
                    for n in 0..2_000_u64 {
                        fates.put((n << 42) | (thread << 40) | n, Fate::SampledOut, 1);
                    }
                });
            }
        });
        let kept = (0..4_u64).flat_map(|thread| (0..2_000_u64).map(move |n| (n << 42) | (thread << 40) | n));
        let missing = kept.filter(|key| fates.get(*key, 1).is_none()).count() as u64;
        assert_eq!(missing, fates.forgotten());
    }
}
