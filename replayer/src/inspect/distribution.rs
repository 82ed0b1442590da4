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

/// Percentiles of sizes, bytes; `None` when there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    pub count: u64,
    pub sum: u64,
    pub p50: Option<u64>,
    pub p95: Option<u64>,
    pub p99: Option<u64>,
    pub max: Option<u64>,
}

impl Distribution {
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        Self { sorted: values }
    }

    pub fn count(&self) -> u64 {
        self.sorted.len() as u64
    }

    pub fn values(&self) -> &[u64] {
        &self.sorted
    }

    /// The value at a share given in thousandths (950 = p95).
    pub fn at_permille(&self, permille: usize) -> Option<u64> {
        let rank = (self.sorted.len() * permille).div_ceil(1000).max(1);
        self.sorted.get(rank - 1).copied()
    }

    /// Of values in microseconds.
    pub fn stage_times(&self) -> StageTimes {
        let ms = |permille| self.at_permille(permille).map(|us| us as f64 / 1e3);
        StageTimes { count: self.count(), p50: ms(500), p95: ms(950), p99: ms(990) }
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
        assert_eq!(Distribution::default().stage_times().p50, None);
    }

    proptest! {
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
