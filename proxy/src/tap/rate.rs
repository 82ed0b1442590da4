//! How many exchanges a second are recorded at most, on average: one atomic number.
//!
//! The bound closes the door to newcomers and lets go on who is in: who is recorded whole may take more than
//! there was room for, and nobody new comes until that is made up for. Only who takes ten seconds' worth too
//! much is left out after all.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_NS: u64 = 1_000_000_000;

/// What those who are in may have taken too much.
const DEBT_NS_MAX: u64 = 10 * SECOND_NS;

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

    /// Takes one exchange, unless that is far too many.
    pub(super) fn take(&self, now_ns: u64) -> bool {
        let spend = |until_ns: u64| {
            let next_ns = until_ns.max(now_ns) + self.interval_ns;
            (next_ns <= now_ns + DEBT_NS_MAX).then_some(next_ns)
        };
        self.spent_until_ns.try_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// What was taken is half a second ahead of the rate: nobody new is let in.
    pub(super) fn is_pressed(&self, now_ns: u64) -> bool {
        self.spent_until_ns.load(Ordering::Relaxed) > now_ns + SECOND_NS / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_may_go_on_and_nobody_new_comes_until_it_is_made_up_for() {
        let bound = RateBound::new(100).unwrap();
        let taken = |now_ns: u64| (0..10_000).take_while(|_| bound.take(now_ns)).count();
        assert!(!bound.is_pressed(5));
        assert_eq!(taken(5), 1_000, "ten seconds' worth");
        assert!(bound.is_pressed(5) && bound.is_pressed(9 * SECOND_NS));
        assert!(!bound.is_pressed(10 * SECOND_NS));
        assert_eq!(taken(5 + SECOND_NS / 10), 10);
        assert!(RateBound::new(0).is_none());
    }
}
