//! The latency recorder: an HDR histogram of nanoseconds that is as large as what it holds.
//!
//! 3 significant digits from 1 µs to a day, in the buckets of `HdrHistogram` (Tene, hdrhistogram.org): 2,048 of
//! 512 ns, then 1,024 per octave. Recorders merge exactly, percentiles are never averaged. The stock one
//! allocates all 29,696 counts, 238 KB; there is one per route, stage and worker, and most hold a few
//! neighbouring buckets. So only buckets that were hit are kept, in order.
//!
//! A longer duration is kept as a day and counted in [`LatencyRecorder::clamped`], so that no sample is lost.

mod distance;

pub use distance::Slack;

const HIGHEST_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// log2 of the width of the narrowest bucket: 512 ns.
const UNIT_LOG2: u32 = 9;
/// log2 of the buckets that an octave has.
const OCTAVE_LOG2: u32 = 10;

/// A distribution of durations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LatencyRecorder {
    /// (bucket, samples in it), by bucket; none is empty.
    buckets: Vec<(u16, u64)>,
    count: u64,
    max_ns: u64,
    clamped: u64,
}

impl LatencyRecorder {
    /// Counts one duration, nanoseconds.
    pub fn record_ns(&mut self, duration_ns: u64) {
        let kept_ns = duration_ns.min(HIGHEST_NS);
        self.clamped += u64::from(duration_ns > HIGHEST_NS);
        self.max_ns = self.max_ns.max(kept_ns);
        self.count += 1;
        self.add(bucket_of(kept_ns), 1);
    }

    /// Adds all samples of another recorder, exactly.
    pub fn merge(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.clamped += other.clamped;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// Samples longer than the histogram's day.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.buckets.capacity() * size_of::<(u16, u64)>()
    }

    /// The value at a quantile of 0 to 1, milliseconds; `None` without samples.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = rank(self.count, quantile);
        let mut below = 0;
        let reached = self.buckets.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        reached.map(|(bucket, _)| ms(highest_ns(*bucket).min(self.max_ns)))
    }

    pub fn max_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| ms(self.max_ns))
    }

    /// As exact as its bucket; the maximum alone is kept as it was.
    pub fn min_ms(&self) -> Option<f64> {
        self.buckets.first().map(|(bucket, _)| ms(highest_ns(*bucket).min(self.max_ns)))
    }

    /// Of the middles of the buckets.
    pub fn mean_ms(&self) -> Option<f64> {
        let sum: f64 = self.buckets.iter().map(|(bucket, count)| middle_ns(*bucket) * *count as f64).sum();
        (self.count > 0).then(|| sum / self.count as f64 / 1e6)
    }

    /// (share of samples, milliseconds) along the distribution, denser towards the tail: five points for each
    /// halving of what is left, as long as that is a sample.
    pub fn curve_ms(&self) -> Vec<(f64, f64)> {
        const POINTS_PER_HALVING: u32 = 5;
        let halvings = 64 - self.count.leading_zeros();
        let share = |point: u32| {
            let left = 0.5_f64.powi((point / POINTS_PER_HALVING).cast_signed());
            1.0 - left * (1.0 - 0.5 * f64::from(point % POINTS_PER_HALVING) / f64::from(POINTS_PER_HALVING))
        };
        let shares = (0..halvings * POINTS_PER_HALVING).map(share).chain([1.0]);
        shares.filter_map(|share| Some((share, self.quantile_ms(share)?))).collect()
    }

    fn add(&mut self, bucket: u16, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }
}

/// The sample, counted from 1, that stands at a quantile.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn rank(count: u64, quantile: f64) -> u64 {
    ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1))
}

fn bucket_of(duration_ns: u64) -> u16 {
    let units = duration_ns >> UNIT_LOG2;
    // The first two octaves have buckets of one unit.
    let octave = (units | (1 << OCTAVE_LOG2)).ilog2() - OCTAVE_LOG2;
    let bucket = (u64::from(octave) << OCTAVE_LOG2) + (units >> octave);
    u16::try_from(bucket).expect("a day lies in the 27th octave of 1,024 buckets")
}

/// The highest value that falls into a bucket.
fn highest_ns(bucket: u16) -> u64 {
    let octave = (u32::from(bucket) >> OCTAVE_LOG2).saturating_sub(1);
    let within = u64::from(bucket) - (u64::from(octave) << OCTAVE_LOG2);
    ((within + 1) << (octave + UNIT_LOG2)) - 1
}

fn middle_ns(bucket: u16) -> f64 {
    let before_ns = bucket.checked_sub(1).map_or(0, |before| highest_ns(before) + 1);
    f64::midpoint(before_ns as f64, highest_ns(bucket) as f64)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn recorder_of(durations_ns: &[u64]) -> LatencyRecorder {
        let mut recorder = LatencyRecorder::default();
        for ns in durations_ns {
            recorder.record_ns(*ns);
        }
        recorder
    }

    #[test]
    fn nothing_recorded_is_none_not_zero() {
        let nothing = LatencyRecorder::default();
        assert_eq!((nothing.quantile_ms(0.5), nothing.max_ms()), (None, None));
        assert_eq!(nothing.curve_ms(), []);
    }

    #[test]
    fn the_mean_and_the_least_are_within_a_bucket() {
        let recorder = recorder_of(&[10 * MS, 20 * MS, 60 * MS]);
        let near = |found: Option<f64>, ms: f64| (found.unwrap() / ms - 1.0).abs() < 1e-3;
        assert!(near(recorder.mean_ms(), 30.0) && near(recorder.min_ms(), 10.0), "{recorder:?}");
        let nothing = LatencyRecorder::default();
        assert_eq!((nothing.mean_ms(), nothing.min_ms()), (None, None));
    }

    #[test]
    fn a_duration_over_a_day_is_kept_and_counted() {
        let recorder = recorder_of(&[2 * HIGHEST_NS]);
        assert_eq!((recorder.count(), recorder.clamped()), (1, 1));
        assert_eq!(recorder.max_ms(), Some(86_400_000.0));
    }

    #[test]
    fn it_is_as_large_as_what_it_holds() {
        let stock = Histogram::<u64>::new_with_bounds(1_000, HIGHEST_NS, 3).unwrap();
        let stock_bytes = stock.distinct_values() * size_of::<u64>();
        let uploads: Vec<u64> = (0..40).map(|upload| 80 * MS + upload * 3 * MS).collect();
        let many: Vec<u64> = (0..100_000).map(|n| 50 * MS + (n * n) % (200 * MS)).collect();
        let sizes = [vec![], uploads, many].map(|durations_ns| recorder_of(&durations_ns).bytes());
        assert_eq!((stock_bytes, sizes[0]), (237_568, 48));
        assert!(sizes[1] <= 1_100 && sizes[2] <= 66_000, "{sizes:?}");
    }

    #[test]
    fn the_curve_ends_at_the_slowest_sample() {
        let curve = recorder_of(&[MS, 2 * MS, 3 * MS, 40 * MS]).curve_ms();
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        assert_eq!(curve.last(), Some(&(1.0, 40.0)));
        assert!(curve.first().is_some_and(|(share, ms)| *share < 0.001 && (*ms - 1.0).abs() < 0.001));
    }

    proptest! {
        #[test]
        fn it_says_what_the_stock_histogram_says(
            durations_ns in prop::collection::vec(prop_oneof![0..5 * MS, 0..HIGHEST_NS], 1..200),
            quantile in 0.0001_f64..=1.0,
        ) {
            let mut stock = Histogram::<u64>::new_with_bounds(1_000, HIGHEST_NS, 3).unwrap();
            for ns in &durations_ns {
                stock.record(*ns).unwrap();
            }
            let recorder = recorder_of(&durations_ns);
            let slowest_ns = *durations_ns.iter().max().unwrap();
            let expected_ns = stock.value_at_quantile(quantile).min(slowest_ns);
            prop_assert_eq!(recorder.quantile_ms(quantile), Some(ms(expected_ns)));
            prop_assert_eq!(recorder.max_ms(), Some(ms(slowest_ns)));
        }

        #[test]
        fn merging_equals_recording_together(
            left in prop::collection::vec(0..2 * HIGHEST_NS, 0..100),
            right in prop::collection::vec(0..2 * HIGHEST_NS, 0..100),
        ) {
            let mut merged = recorder_of(&left);
            merged.merge(&recorder_of(&right));
            prop_assert_eq!(merged, recorder_of(&[left, right].concat()));
        }
    }
}
