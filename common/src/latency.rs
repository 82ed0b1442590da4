//! The latency recorder: an HDR histogram of nanoseconds.
//!
//! 3 significant digits from 1 µs to 1 h; histograms merge exactly, percentiles are never averaged.
//! A longer duration is kept as 1 h and counted in [`LatencyRecorder::clamped`], so that no sample is lost.

use hdrhistogram::Histogram;

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600 * 1_000_000_000;
const DIGITS: u8 = 3;

/// A distribution of durations.
#[derive(Debug, Clone)]
pub struct LatencyRecorder {
    histogram: Histogram<u64>,
    clamped: u64,
}

impl Default for LatencyRecorder {
    fn default() -> Self {
        let histogram =
            Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("constant bounds are valid");
        Self { histogram, clamped: 0 }
    }
}

impl LatencyRecorder {
    /// Counts one duration, nanoseconds.
    pub fn record_ns(&mut self, duration_ns: u64) {
        self.clamped += u64::from(duration_ns > HIGHEST_NS);
        self.histogram.saturating_record(duration_ns);
    }

    /// Adds all samples of another recorder, exactly.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all recorders have the same bounds");
        self.clamped += other.clamped;
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Samples longer than the histogram's hour.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The value at a quantile of 0 to 1, milliseconds; `None` without samples.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (self.count() > 0).then(|| self.histogram.value_at_quantile(quantile) as f64 / 1e6)
    }

    pub fn max_ms(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.histogram.max() as f64 / 1e6)
    }

    pub fn mean_ms(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.histogram.mean() / 1e6)
    }

    /// (share of samples, milliseconds) along the distribution, denser towards the tail.
    pub fn curve_ms(&self) -> Vec<(f64, f64)> {
        const TICKS_PER_HALF_DISTANCE: u32 = 5;
        let steps = self.histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE);
        steps.map(|step| (step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1e6)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_equals_recording_together() {
        let (mut together, mut left, mut right) =
            (LatencyRecorder::default(), LatencyRecorder::default(), LatencyRecorder::default());
        for ms in 1..=1000_u64 {
            together.record_ns(ms * 1_000_000);
            let half = if ms % 3 == 0 { &mut left } else { &mut right };
            half.record_ns(ms * 1_000_000);
        }
        left.merge(&right);
        assert_eq!(left.count(), 1000);
        assert_eq!(left.quantile_ms(0.99), together.quantile_ms(0.99));
        let p99_ms = left.quantile_ms(0.99).unwrap();
        assert!((p99_ms - 990.0).abs() < 1.0, "{p99_ms}");
    }

    #[test]
    fn nothing_recorded_is_none_not_zero() {
        assert_eq!(LatencyRecorder::default().quantile_ms(0.5), None);
        assert_eq!(LatencyRecorder::default().max_ms(), None);
    }

    #[test]
    fn a_duration_over_an_hour_is_kept_and_counted() {
        let mut recorder = LatencyRecorder::default();
        recorder.record_ns(2 * HIGHEST_NS);
        assert_eq!((recorder.count(), recorder.clamped()), (1, 1));
    }
}
