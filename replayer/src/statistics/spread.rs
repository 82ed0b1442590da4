//! What several runs say of one figure: its mean, its extremes, and where the mean of many such runs would lie.
//!
//! The interval is Student's, mean ± t(K − 1) · s / √K with the sample's standard deviation s: exact for figures that
//! are normally distributed from run to run, good for those that are not far from it (NIST/SEMATECH e-Handbook of
//! Statistical Methods, 1.3.5.2). It is cut to what the figure can be; the truth is in there too, so that nothing of its
//! coverage is lost. An interval of no width says that all values were the same, not that the next one will be.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::student;

/// How often intervals made in this way hold the truth.
pub const CONFIDENCE: f64 = 0.95;

/// One figure over several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// In the order of the runs.
    pub values: Vec<f64>,
    pub mean: f64,
    pub lowest: f64,
    pub highest: f64,
    /// `null` for a single value.
    pub interval: Option<Interval>,
}

/// Of the mean, 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// Of a figure that is always within `bounds`; `None` without values.
    pub fn of(values: Vec<f64>, bounds: &RangeInclusive<f64>) -> Option<Self> {
        let lowest = values.iter().copied().reduce(f64::min)?;
        let highest = values.iter().copied().reduce(f64::max)?;
        let count = values.len() as f64;
        // Rounding must not carry the mean past its values.
        let mean = (values.iter().sum::<f64>() / count).clamp(lowest, highest);
        let interval = half_width(&values, mean).map(|half| Interval {
            low: (mean - half).max(*bounds.start()),
            high: (mean + half).min(*bounds.end()),
        });
        Some(Self { values, mean, lowest, highest, interval })
    }

    /// Half of the interval's width before it was cut, as a share of the mean; `None` without either.
    pub fn relative_half_width(&self) -> Option<f64> {
        let half = half_width(&self.values, self.mean)?;
        (self.mean > 0.0).then(|| half / self.mean)
    }

    /// How many runs in all would halve the interval if further ones vary as these did. Fewer than four times as many
    /// when these are few: each degree of freedom narrows it too.
    pub fn count_to_halve(&self) -> Option<usize> {
        let count = self.values.len();
        let half = factor(count)? / 2.0;
        (count..=4 * count).find(|more| factor(*more).is_some_and(|factor| factor <= half))
    }
}

fn half_width(values: &[f64], mean: f64) -> Option<f64> {
    let factor = factor(values.len())?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(factor * (squares / (values.len() - 1) as f64).sqrt())
}

/// What the standard deviation of so many values is multiplied by.
fn factor(count: usize) -> Option<f64> {
    let degrees = u32::try_from(count.checked_sub(1)?).ok().filter(|degrees| *degrees > 0)?;
    Some(student::two_sided(CONFIDENCE, degrees) / (count as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use kingtide_common::units::Seed;
    use proptest::prelude::*;

    use super::*;
    use crate::plan::random::Draws;

    const ANY: RangeInclusive<f64> = f64::NEG_INFINITY..=f64::INFINITY;

    fn spread(values: &[f64], bounds: &RangeInclusive<f64>) -> Spread {
        Spread::of(values.to_vec(), bounds).unwrap()
    }

    #[test]
    fn the_interval_of_a_small_sample_by_hand() {
        let Spread { mean, lowest, highest, interval, .. } = spread(&[4.0, 1.0, 7.0], &ANY);
        assert_eq!((mean, lowest, highest), (4.0, 1.0, 7.0));
        let Interval { low, high } = interval.unwrap();
        // s = 3, t = 4.3027, √3.
        assert!((high - 4.0 - 7.4524).abs() < 1e-3 && (low + high - 8.0).abs() < 1e-9, "{low} to {high}");
    }

    #[test]
    fn one_value_has_no_interval_and_none_has_nothing() {
        assert_eq!(Spread::of(Vec::new(), &ANY), None);
        let one = spread(&[3.0], &ANY);
        assert_eq!(
            (one.mean, one.interval, one.relative_half_width(), one.count_to_halve()),
            (3.0, None, None, None)
        );
    }

    #[test]
    fn shares_stay_shares() {
        let interval = spread(&[0.0, 0.02, 0.9], &(0.0..=1.0)).interval.unwrap();
        assert_eq!((interval.low, interval.high), (0.0, 1.0));
        assert_eq!(spread(&[0.0; 3], &(0.0..=1.0)).interval, Some(Interval { low: 0.0, high: 0.0 }));
    }

    #[test]
    fn so_many_runs_halve_the_interval_and_one_fewer_does_not() {
        for (count, expected) in [(2, 3), (3, 5), (5, 13), (10, 33), (50, 193)] {
            let values: Vec<f64> = (0..count).map(f64::from).collect();
            assert_eq!(spread(&values, &ANY).count_to_halve(), Some(expected), "{count}");
        }
    }

    /// Five standard errors of a share of 10,000 are 1.1 %.
    #[test]
    fn nineteen_of_twenty_intervals_hold_the_truth() {
        const SAMPLES: u32 = 10_000;
        let truth = 250.0;
        for count in [2, 3, 5, 20] {
            let mut draws = Draws::new(Seed(7), count);
            let holds = |_: &u32| {
                let values: Vec<f64> = (0..count).map(|_| truth + 40.0 * draws.normal()).collect();
                let Interval { low, high } = spread(&values, &ANY).interval.unwrap();
                (low..=high).contains(&truth)
            };
            let held = (0..SAMPLES).filter(holds).count();
            let share = held as f64 / f64::from(SAMPLES);
            assert!((share - CONFIDENCE).abs() < 0.011, "{share} of the intervals of {count} values");
        }
    }

    proptest! {
        #[test]
        fn the_mean_lies_within_the_interval_and_the_values(
            values in prop::collection::vec(0.0..1e6_f64, 2..12),
        ) {
            let Spread { mean, lowest, highest, interval, .. } = spread(&values, &(0.0..=f64::INFINITY));
            let Interval { low, high } = interval.unwrap();
            prop_assert!(lowest <= mean && mean <= highest);
            prop_assert!(0.0 <= low && low <= mean && mean <= high);
        }
    }
}
