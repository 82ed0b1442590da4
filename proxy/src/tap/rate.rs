//! How many exchanges a second are recorded at most: a bucket that drains evenly, as one atomic number.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_NS: u64 = 1_000_000_000;

/// Holds a second's worth of exchanges.
#[derive(Debug)]
pub(super) struct RateBound {
    /// Between two exchanges at exactly the rate.
    interval_ns: u64,
    /// Until when what was let through so far would take at exactly the rate.
    spent_until_ns: AtomicU64,
}

impl RateBound {
    /// `None` for 0: no bound.
    pub(super) fn new(per_s: u32) -> Option<Self> {
        let interval_ns = SECOND_NS.checked_div(u64::from(per_s))?;
        Some(Self { interval_ns, spent_until_ns: AtomicU64::new(0) })
    }

    /// Lets one exchange through, if there is room.
    pub(super) fn take(&self, now_ns: u64) -> bool {
        let spend = |until_ns: u64| {
            let next_ns = until_ns.max(now_ns) + self.interval_ns;
            (next_ns <= now_ns + SECOND_NS).then_some(next_ns)
        };
        self.spent_until_ns.try_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// Half of the room is gone: what is begun should be finished before more is.
    pub(super) fn is_pressed(&self, now_ns: u64) -> bool {
        self.spent_until_ns.load(Ordering::Relaxed) > now_ns + SECOND_NS / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_a_second_passes_and_then_the_rate() {
        let bound = RateBound::new(100).unwrap();
        let passed = |now_ns: u64| (0..1_000).take_while(|_| bound.take(now_ns)).count();
        assert!(!bound.is_pressed(5));
        assert_eq!(passed(5), 100);
        assert!(bound.is_pressed(5));
        assert_eq!(passed(5 + SECOND_NS / 10), 10);
        assert_eq!(passed(5 + 60 * SECOND_NS), 100);
        assert!(RateBound::new(0).is_none());
    }
}
