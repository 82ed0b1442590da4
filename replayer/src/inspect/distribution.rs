//! Exact percentiles of a set of whole numbers, by nearest rank: the smallest value that at least the
//! share `q` of all values do not exceed. Nothing is binned, so a size or a time that is printed occurred.

use serde::{Deserialize, Serialize};

/// Values in order.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    sorted: Vec<u64>,
}

/// Percentiles of a stage, milliseconds; `None` when nothing passed through it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTimes {
    pub count: u64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// Percentiles of sizes (bytes) or counts; `None` when there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    pub count: u64,
    pub sum: u64,
    pub p50: Option<u64>,
    pub p95: Option<u64>,
    pub p99: Option<u64>,
    pub max: Option<u64>,
}

/// Percentiles of speeds, bytes per second; `None` when there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speeds {
    pub count: u64,
    pub p5: Option<u64>,
    pub p50: Option<u64>,
    pub p95: Option<u64>,
}

impl StageTimes {
    /// Of values in microseconds, in any order.
    pub fn of(mut values_us: Vec<u64>) -> Self {
        let count = values_us.len() as u64;
        let [p50, p95, p99] = percentiles(&mut values_us).map(|us| us.map(|us| us as f64 / 1e3));
        Self { count, p50, p95, p99 }
    }
}

/// p50, p95 and p99 without sorting everything: each lies among the values from the one before it on.
fn percentiles(values: &mut [u64]) -> [Option<u64>; 3] {
    let (count, mut from) = (values.len(), 0);
    [500, 950, 990].map(|permille| {
        let at = rank(count, permille);
        (at < count).then(|| {
            let (_, value, _) = values[from..].select_nth_unstable(at - from);
            from = at;
            *value
        })
    })
}

/// Index in order of the value at a share in thousandths.
fn rank(count: usize, permille: usize) -> usize {
    (count * permille).div_ceil(1000).max(1) - 1
}

impl Distribution {
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        Self { sorted: values }
    }

    /// The other end of it, for values of which the small ones are bad.
    pub fn speeds(&self) -> Speeds {
        Speeds {
            count: self.count(),
            p5: self.at_permille(50),
            p50: self.at_permille(500),
            p95: self.at_permille(950),
        }
    }

    pub fn count(&self) -> u64 {
        self.sorted.len() as u64
    }

    pub fn values(&self) -> &[u64] {
        &self.sorted
    }

    /// The value at a share given in thousandths (950 = p95).
    pub fn at_permille(&self, permille: usize) -> Option<u64> {
        self.sorted.get(rank(self.sorted.len(), permille)).copied()
    }

    /// Of values in bytes.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            count: self.count(),
            sum: self.sorted.iter().sum(),
            p50: self.at_permille(500),
            p95: self.at_permille(950),
            p99: self.at_permille(990),
            max: self.sorted.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred = Distribution::of((1..=100).rev().collect());
        let at = [500, 950, 990, 1000].map(|permille| hundred.at_permille(permille));
        assert_eq!(at, [Some(50), Some(95), Some(99), Some(100)]);
        assert_eq!(Distribution::of(vec![7]).at_permille(1), Some(7));
    }

    #[test]
    fn nothing_is_unknown_not_zero() {
        assert_eq!(Distribution::default().sizes(), Sizes::default());
        assert_eq!(StageTimes::of(Vec::new()), StageTimes::default());
    }

    proptest! {
        #[test]
        fn percentiles_are_the_same_without_sorting(values in prop::collection::vec(0..5_000_u64, 0..200)) {
            let sorted = Distribution::of(values.clone());
            let times = StageTimes::of(values);
            let sorted = [500, 950, 990].map(|permille| sorted.at_permille(permille).map(|us| us as f64 / 1e3));
            prop_assert_eq!([times.p50, times.p95, times.p99], sorted);
        }

        #[test]
        fn at_least_the_share_does_not_exceed_the_percentile(
            values in prop::collection::vec(0..5_000_u64, 1..200), permille in 1..=1000_usize,
        ) {
            let all = values.len();
            let at = Distribution::of(values.clone()).at_permille(permille).unwrap();
            let below = values.iter().filter(|value| **value < at).count();
            let up_to = values.iter().filter(|value| **value <= at).count();
            prop_assert!(up_to * 1000 >= all * permille);
            prop_assert!(below * 1000 < all * permille);
        }
    }
}
