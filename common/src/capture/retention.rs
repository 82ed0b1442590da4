//! Which of the oldest segments have to go. Pure; the writer takes them away.
//!
//! Segments go oldest first and never one out of the middle: what is left of a capture is one stretch of
//! time, and a single number tells what is gone (see [`super::Removed`]).

use std::time::Duration;

/// How much of a capture is kept; `None` = all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of all segments and their indexes, the open one included.
    pub bytes: Option<u64>,
    /// From the last exchange of a segment.
    pub age: Option<Duration>,
}

/// A segment that nobody writes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: u32,
    /// Its index included.
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) last_ns: i64,
}

impl Retention {
    /// How many of `kept`, which begins with the oldest, have to go.
    pub(super) fn surplus(&self, kept: &[Kept], open_bytes: u64, now_ns: i64) -> usize {
        self.too_many_bytes(kept, open_bytes).max(self.too_old(kept, now_ns))
    }

    fn too_many_bytes(&self, kept: &[Kept], open_bytes: u64) -> usize {
        let Some(bytes_max) = self.bytes else { return 0 };
        let mut bytes = open_bytes + kept.iter().map(|segment| segment.bytes).sum::<u64>();
        let goes = |segment: &&Kept| {
            let over = bytes > bytes_max;
            bytes -= segment.bytes;
            over
        };
        kept.iter().take_while(goes).count()
    }

    fn too_old(&self, kept: &[Kept], now_ns: i64) -> usize {
        let Some(age) = self.age else { return 0 };
        let age_ns = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        kept.iter().take_while(|segment| now_ns.saturating_sub(segment.last_ns) > age_ns).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn kept(sizes: &[u64]) -> Vec<Kept> {
        let segment = |(number, bytes): (usize, &u64)| Kept {
            number: u32::try_from(number).unwrap() + 1,
            bytes: *bytes,
            rows: 1,
            last_ns: i64::try_from(number).unwrap() * SECOND_NS,
        };
        sizes.iter().enumerate().map(segment).collect()
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let surplus = |bytes: u64, open: u64| {
            Retention { bytes: Some(bytes), age: None }.surplus(&kept(&[10, 20, 30]), open, 0)
        };
        assert_eq!(surplus(60, 0), 0);
        assert_eq!(surplus(59, 0), 1);
        assert_eq!(surplus(60, 11), 2);
        assert_eq!(surplus(1, 5), 3, "the open one stays whatever its size");
    }

    #[test]
    fn what_is_older_goes_and_the_longer_list_counts() {
        let retention = Retention { bytes: Some(59), age: Some(Duration::from_secs(2)) };
        assert_eq!(retention.surplus(&kept(&[10, 20, 30]), 0, 2 * SECOND_NS), 1);
        assert_eq!(retention.surplus(&kept(&[10, 20, 30]), 0, 4 * SECOND_NS), 2);
        assert_eq!(Retention::default().surplus(&kept(&[10, 20, 30]), 0, i64::MAX), 0);
    }
}
