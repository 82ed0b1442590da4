//! A distribution of durations (microseconds) or sizes (bytes).
//!
//! An HDR histogram of two digits: values keep their place within 0.8 %, count, sum and maximum are exact. It
//! grows with the largest value it holds; beyond [`HIGHEST`] a value is kept as that.

use hdrhistogram::Histogram;

/// 71 minutes, or 4 GiB.
const HIGHEST: u64 = 1 << 32;
const DIGITS: u8 = 2;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Distribution {
    histogram: Histogram<u64>,
    sum: u64,
    max: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        let histogram = Histogram::new(DIGITS).expect("two digits are a valid precision");
        Self { histogram, sum: 0, max: 0 }
    }
}

impl Distribution {
    pub(crate) fn record(&mut self, value: u64) {
        self.histogram.record(value.min(HIGHEST)).expect("it grows");
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Adds all values of another, exactly.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("it grows");
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest value; 0 without values.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The value at a quantile of 0 to 1, at most 0.8 % too high; 0 without values.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile).min(self.max)
    }

    /// How many values are at most each of the bounds (ascending); a value within 0.8 % above a bound may be
    /// counted with it.
    pub(crate) fn cumulative(&self, bounds: &[u64]) -> Vec<u64> {
        let mut counts = vec![0; bounds.len()];
        for bucket in self.histogram.iter_recorded() {
            let lowest = self.histogram.lowest_equivalent(bucket.value_iterated_to());
            if let Some(count) = counts.get_mut(bounds.partition_point(|bound| *bound < lowest)) {
                *count += bucket.count_at_value();
            }
        }
        let mut sum = 0;
        for count in &mut counts {
            sum += *count;
            *count = sum;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        for value in values {
            distribution.record(*value);
        }
        distribution
    }

    #[test]
    fn counts_up_to_a_bound_include_it() {
        let distribution = of(&[0, 1000, 1010, 50_000, 60_000_000]);
        assert_eq!(distribution.cumulative(&[1000, 50_000, 1_000_000]), [2, 4, 4]);
        assert_eq!(
            (distribution.count(), distribution.sum(), distribution.max()),
            (5, 60_052_010, 60_000_000)
        );
    }

    #[test]
    fn a_size_at_a_power_of_two_is_not_over_it() {
        assert_eq!(of(&[1 << 20]).cumulative(&[1 << 19, 1 << 20]), [0, 1]);
    }

    #[test]
    fn quantiles_are_near_and_never_over_the_largest_value() {
        let distribution = of(&(1..=1000).map(|ms| ms * 1000).collect::<Vec<_>>());
        let p95 = distribution.quantile(0.95);
        assert!((950_000..958_000).contains(&p95), "{p95}");
        assert_eq!(distribution.quantile(1.0), 1_000_000);
        assert_eq!(Distribution::default().quantile(0.5), 0);
    }

    #[test]
    fn a_value_beyond_the_highest_is_counted() {
        let distribution = of(&[u64::MAX]);
        assert_eq!((distribution.count(), distribution.max()), (1, u64::MAX));
    }

    /// The figures of the module above.
    #[test]
    fn memory_is_what_the_documentation_says() {
        let kb = |value: u64| of(&[value]).histogram.distinct_values() * size_of::<u64>() / 1000;
        assert_eq!([1_000_000, 60_000_000, u64::MAX].map(kb), [14, 20, 27]);
    }
}
