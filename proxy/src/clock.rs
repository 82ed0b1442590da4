//! The one clock of a process: monotonic nanoseconds, and what they are in UTC.
//!
//! Wall-clock time is read once, at start; everything after is monotonic, so that a clock that jumps
//! neither stretches a stage nor reorders exchanges.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time with an anchor in UTC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    origin_utc_ns: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin_utc_ns = i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX);
        Self { origin: Instant::now(), origin_utc_ns }
    }

    /// Nanoseconds since the start of the clock, never 0.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// The instant `at_ns` of this clock in nanoseconds UTC.
    pub(crate) fn utc_ns(&self, at_ns: u64) -> i64 {
        self.origin_utc_ns.saturating_add_unsigned(at_ns)
    }
}
