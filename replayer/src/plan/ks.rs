//! The Kolmogorov–Smirnov distance of a sample at hand and of one that streams by.
//!
//! Exact, in memory that follows the first sample only. Between two neighbouring values of the first its
//! distribution function is flat and the other's rises, so that the two are furthest apart at one of them or
//! just below it: it suffices to count how many streamed values lie between each two and on each.

/// See the module.
#[derive(Debug)]
pub(super) struct Distance {
    /// Each value of the first sample, in order, and how many of the sample are not above it.
    values: Vec<(f64, u64)>,
    /// Streamed values between the value before and this one; above all of them.
    below: Vec<u64>,
    /// Streamed values that equal it.
    equal: Vec<u64>,
}

impl Distance {
    pub(super) fn from(sample: impl IntoIterator<Item = f64>) -> Self {
        let mut sample: Vec<f64> = sample.into_iter().collect();
        sample.sort_by(f64::total_cmp);
        let mut values: Vec<(f64, u64)> = Vec::new();
        for (at, value) in sample.into_iter().enumerate() {
            match values.last_mut() {
                Some((last, upto)) if *last >= value => *upto += 1,
                _ => values.push((value, at as u64 + 1)),
            }
        }
        Self { below: vec![0; values.len() + 1], equal: vec![0; values.len()], values }
    }

    /// So many times the same value.
    pub(super) fn add(&mut self, value: f64, times: u64) {
        let at = self.values.partition_point(|(known, _)| *known < value);
        match self.values.get(at) {
            Some((known, _)) if *known <= value => self.equal[at] += times,
            _ => self.below[at] += times,
        }
    }

    /// Largest difference of the two empirical distribution functions; `None` when either sample is empty.
    pub(super) fn value(&self) -> Option<f64> {
        let total = self.values.last()?.1 as f64;
        let streamed = self.below.iter().chain(&self.equal).sum::<u64>();
        let apart = |one: u64, other: u64| (one as f64 / total - other as f64 / streamed as f64).abs();
        let (mut largest, mut before, mut seen) = (0.0_f64, 0, 0);
        for (at, (_, upto)) in self.values.iter().enumerate() {
            seen += self.below[at];
            largest = largest.max(apart(before, seen));
            seen += self.equal[at];
            largest = largest.max(apart(*upto, seen));
            before = *upto;
        }
        (streamed > 0).then_some(largest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distance(one: &[f64], other: &[f64]) -> Option<f64> {
        let mut distance = Distance::from(one.iter().copied());
        for value in other {
            distance.add(*value, 1);
        }
        distance.value()
    }

    #[test]
    fn it_is_the_largest_step_between_two_samples() {
        // F1 jumps at 1, 2, 3, 4; F2 at 3, 4, 5, 6: furthest apart just below 3 (0.5 against 0).
        let cases = [
            (vec![4.0, 2.0, 1.0, 3.0], vec![3.0, 4.0, 5.0, 6.0], Some(0.5)),
            (vec![1.0, 1.0, 2.0], vec![1.0], Some(1.0 / 3.0)),
            (vec![1.0, 2.0], vec![1.0, 2.0, 1.0, 2.0], Some(0.0)),
            (vec![1.0], vec![2.0], Some(1.0)),
            (vec![2.0], vec![1.0], Some(1.0)),
            (vec![1.0, 9.0], vec![5.0], Some(0.5)),
            (vec![], vec![1.0], None),
            (vec![1.0], vec![], None),
        ];
        for (one, other, expected) in cases {
            let value = distance(&one, &other);
            let is_close = value.zip(expected).map(|(value, expected)| (value - expected).abs() < 1e-12);
            assert!(is_close.unwrap_or(value == expected), "{one:?} {other:?}: {value:?}");
        }
    }

    proptest! {
        #[test]
        fn streaming_gives_what_the_definition_gives(
            one in prop::collection::vec(0..20_u8, 1..30), other in prop::collection::vec(0..20_u8, 1..30),
        ) {
            let share = |sample: &[u8], at: u8| {
                sample.iter().filter(|value| **value <= at).count() as f64 / sample.len() as f64
            };
            let defined = (0..20).map(|at| (share(&one, at) - share(&other, at)).abs()).fold(0.0, f64::max);
            let floats = |sample: &[u8]| sample.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
            let streamed = distance(&floats(&one), &floats(&other)).unwrap();
            prop_assert!((streamed - defined).abs() < 1e-12, "{streamed} {defined}");
        }
    }
}
