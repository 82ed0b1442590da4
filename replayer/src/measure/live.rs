//! Counters that the progress display reads while workers write: atomics, no lock, no waiting.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::series::{BUCKETS, CoarseHistogram, bucket_of};

/// What all workers did so far.
#[derive(Debug, Default)]
pub struct Live {
    zero: OnceLock<Instant>,
    sent: AtomicU64,
    /// Sent requests that ended.
    settled: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
    good: AtomicU64,
    given_up: AtomicU64,
    late: AtomicU64,
    arrived: AtomicU64,
    gone: AtomicU64,
    /// Good answers slower than this are late ones; `None`: nobody asks.
    late_above_ns: Option<u64>,
    sent_bytes: AtomicU64,
    latency: LiveHistogram,
    lag: LiveHistogram,
}

/// A moment of [`Live`]; the difference of two is what happened between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub in_flight: u64,
    pub done: u64,
    pub failed: u64,
    /// Whatever ended, sent or not.
    pub ended: u64,
    /// Complete answers no worse than the captured ones.
    pub good: u64,
    /// Of the failed ones those that were given up for want of an answer.
    pub given_up: u64,
    /// Of the good ones the ones that took longer than the watch allows.
    pub late: u64,
    pub sent_bytes: u64,
    /// Who are under way.
    pub users: u64,
}

#[derive(Debug)]
struct LiveHistogram {
    buckets: Vec<AtomicU64>,
}

impl Default for LiveHistogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Live {
    /// Counts good answers that take longer.
    pub fn with_late_above(late_above_ns: u64) -> Self {
        Self { late_above_ns: Some(late_above_ns), ..Self::default() }
    }

    /// The plan's zero is known; it may lie ahead.
    pub fn begins(&self, zero: Instant) {
        self.zero.get_or_init(|| zero);
    }

    /// The plan's zero; `None` while the run is being prepared.
    pub fn zero(&self) -> Option<Instant> {
        self.zero.get().copied()
    }

    pub fn sent(&self, lag_ns: u64) {
        self.sent.fetch_add(1, Relaxed);
        self.lag.record(lag_ns);
    }

    pub fn sent_bytes(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Relaxed);
    }

    pub fn ended(&self, end: &super::series::End) {
        self.settled.fetch_add(u64::from(end.was_sent), Relaxed);
        self.done.fetch_add(u64::from(end.is_done), Relaxed);
        self.failed.fetch_add(u64::from(end.is_failed), Relaxed);
        self.ended.fetch_add(1, Relaxed);
        self.given_up.fetch_add(u64::from(end.is_given_up), Relaxed);
        if end.is_good() {
            self.good.fetch_add(1, Relaxed);
            let is_late = self.late_above_ns.zip(end.latency_ns).is_some_and(|(above, took)| took > above);
            self.late.fetch_add(u64::from(is_late), Relaxed);
        }
        if let Some(latency_ns) = end.latency_ns {
            self.latency.record(latency_ns);
        }
    }

    pub fn arrived(&self) {
        self.arrived.fetch_add(1, Relaxed);
    }

    pub fn gone(&self) {
        self.gone.fetch_add(1, Relaxed);
    }

    /// A planned request that was not needed.
    pub fn spared(&self) {
        self.ended.fetch_add(1, Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let settled = self.settled.load(Relaxed);
        let sent = self.sent.load(Relaxed);
        let gone = self.gone.load(Relaxed);
        Counts {
            sent,
            in_flight: sent.saturating_sub(settled),
            done: self.done.load(Relaxed),
            failed: self.failed.load(Relaxed),
            ended: self.ended.load(Relaxed),
            good: self.good.load(Relaxed),
            given_up: self.given_up.load(Relaxed),
            late: self.late.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            users: self.arrived.load(Relaxed).saturating_sub(gone),
        }
    }

    /// p95 of the latencies since the last call, milliseconds; `None` when nothing ended.
    pub fn take_latency_ms_p95(&self) -> Option<f64> {
        self.latency.take().quantile_ms(0.95)
    }

    /// p99 of the schedule lag since the last call, milliseconds.
    pub fn take_lag_ms_p99(&self) -> Option<f64> {
        self.lag.take().quantile_ms(0.99)
    }
}

impl LiveHistogram {
    fn record(&self, duration_ns: u64) {
        self.buckets[usize::from(bucket_of(duration_ns))].fetch_add(1, Relaxed);
    }

    fn take(&self) -> CoarseHistogram {
        let mut taken = CoarseHistogram::default();
        for (bucket, count) in (0_u16..).zip(&self.buckets) {
            match count.swap(0, Relaxed) {
                0 => {}
                count => taken.add(bucket, count),
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::series::End;

    #[test]
    fn percentiles_are_of_what_happened_since_the_last_look() {
        let live = Live::default();
        let end = |latency_ns| End {
            at_ns: 0,
            was_sent: true,
            is_done: true,
            is_failed: false,
            is_given_up: false,
            latency_ns: Some(latency_ns),
        };
        live.sent(1_000);
        live.sent(1_000);
        live.ended(&end(50_000_000));
        let counts = Counts { sent: 2, in_flight: 1, done: 1, ended: 1, good: 1, ..Counts::default() };
        assert_eq!(live.counts(), counts);
        let p95_ms = live.take_latency_ms_p95().unwrap();
        assert!((p95_ms - 50.0).abs() < 1.0, "{p95_ms}");
        assert_eq!(live.take_latency_ms_p95(), None);
    }
}
