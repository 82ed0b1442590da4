//! One figure of one side, and where it may lie.

use std::sync::Arc;

use super::figure::Scale;
use crate::measure::ClientStage;
use crate::measure::run::Percentiles;
use crate::statistics::ratio::Count;
use crate::statistics::{Interval, Ratio, student, wilson};

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Estimate {
    Quantile(Quantile),
    Share(Ratio),
    Rate(Ratio),
    /// Over several runs.
    Mean {
        values: Vec<f64>,
        scale: Scale,
    },
    /// As somebody else found it; bounds may be infinite.
    Known {
        value: f64,
        interval: Option<Interval>,
    },
}

/// Times of requests, each with the second it was planned for.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    sorted: Arc<[f64]>,
    by_second: Vec<(u32, f64)>,
    seconds: usize,
}

/// A percentile of them.
#[derive(Debug, Clone)]
pub(super) struct Quantile {
    pub(super) value: f64,
    sorted: Arc<[f64]>,
    share_beyond: f64,
    beyond: Ratio,
}

impl Times {
    pub(super) fn of(by_second: Vec<(u32, f64)>, seconds: usize) -> Self {
        let mut sorted: Vec<f64> = by_second.iter().map(|(_, ms)| *ms).collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted: sorted.into(), by_second, seconds }
    }

    /// `share` of the times are at most the value; `None` without times.
    pub(super) fn quantile(&self, share: f64) -> Option<Quantile> {
        let value = *self.sorted.get(rank(share, self.sorted.len()).checked_sub(1)?)?;
        let mut seconds = vec![Count::default(); self.seconds];
        for (second, ms) in &self.by_second {
            let count = seconds.get_mut(*second as usize)?;
            count.asked += 1.0;
            count.counted += f64::from(u8::from(*ms > value));
        }
        let beyond = Ratio::of(&seconds)?;
        Some(Quantile { value, sorted: Arc::clone(&self.sorted), share_beyond: 1.0 - share, beyond })
    }
}

/// From 1; of no more than there are.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
fn rank(share: f64, count: usize) -> usize {
    // What is 95 of 100 must not become 96 by rounding.
    ((share * count as f64 - 1e-9).ceil().max(1.0) as usize).min(count)
}

impl Quantile {
    /// Where the share beyond it may lie is read back as values (Woodruff, JASA 47, 1952); `None` where that goes beyond the
    /// slowest request.
    fn at(&self, confidence: f64) -> Option<Interval> {
        let t = student::two_sided(confidence, self.beyond.degrees());
        let (few, many) = wilson::interval(self.share_beyond, self.beyond.n_effective(), t);
        let count = self.sorted.len();
        let [low, high] = [many, few].map(|beyond| rank(1.0 - beyond, count));
        (high < count || self.sorted[low - 1] >= self.sorted[count - 1])
            .then(|| Interval { low: self.sorted[low - 1], high: self.sorted[high - 1] })
    }
}

impl Estimate {
    pub(super) fn value(&self) -> f64 {
        match self {
            Self::Quantile(quantile) => quantile.value,
            Self::Share(ratio) | Self::Rate(ratio) => ratio.value,
            Self::Mean { values, scale } => scale.back(mean(&scaled(values, *scale))),
            Self::Known { value, .. } => *value,
        }
    }

    /// `None` where there is nothing to tell it from.
    pub(super) fn at(&self, confidence: f64) -> Option<Interval> {
        match self {
            Self::Quantile(quantile) => quantile.at(confidence),
            Self::Share(ratio) => {
                let t = student::two_sided(confidence, ratio.degrees());
                let (low, high) = wilson::interval(ratio.value, ratio.n_effective(), t);
                Some(Interval { low, high })
            }
            Self::Rate(ratio) => {
                let half = student::two_sided(confidence, ratio.degrees()) * ratio.variance().sqrt();
                Some(Interval { low: (ratio.value - half).max(0.0), high: ratio.value + half })
            }
            Self::Mean { values, scale } => {
                let Interval { low, high } = of_mean(&scaled(values, *scale), confidence)?;
                Some(Interval { low: scale.back(low), high: scale.back(high) })
            }
            Self::Known { interval, .. } => *interval,
        }
    }

    /// By second, of what was seen by second.
    pub(super) fn ratio(&self) -> Option<&Ratio> {
        match self {
            Self::Quantile(Quantile { beyond: ratio, .. }) | Self::Share(ratio) | Self::Rate(ratio) => {
                Some(ratio)
            }
            Self::Mean { .. } | Self::Known { .. } => None,
        }
    }
}

fn scaled(values: &[f64], scale: Scale) -> Vec<f64> {
    values.iter().map(|value| scale.of(*value)).collect()
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Student's; `None` of fewer than two.
pub(super) fn of_mean(values: &[f64], confidence: f64) -> Option<Interval> {
    let degrees = u32::try_from(values.len().checked_sub(1)?).ok().filter(|degrees| *degrees > 0)?;
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / f64::from(degrees) / values.len() as f64).sqrt();
    let half = student::two_sided(confidence, degrees) * deviation;
    Some(Interval { low: mean - half, high: mean + half })
}

/// The percentiles that are compared, by name.
pub(super) const PERCENTILES: [(&str, f64); 3] = [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)];

/// Of a report that has no samples beside it.
pub(super) fn reported(times: &Percentiles, name: &str) -> Option<f64> {
    match name {
        "p50" => times.p50,
        "p95" => times.p95,
        _ => times.p99,
    }
}

/// Of a stage's p95.
pub(super) fn stage_name(stage: ClientStage) -> String {
    format!("{}_ms_p95", stage.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request in each of 400 seconds: 1 to 400 ms, in an order without spells.
    fn even() -> Times {
        Times::of((0..400).map(|at| (at, f64::from(at * 171 % 400 + 1))).collect(), 400)
    }

    #[test]
    fn a_percentile_and_its_interval_by_hand() {
        let quantile = even().quantile(0.95).unwrap();
        assert!((quantile.value - 380.0).abs() < 1e-9);
        // Wilson of 5 % of 400 with t(≥ 199) = 1.97: 3.3 % to 7.6 %.
        let Interval { low, high } = quantile.at(0.95).unwrap();
        assert!((369.0..=371.0).contains(&low) && (387.0..=388.0).contains(&high), "{low} to {high}");
    }

    #[test]
    fn beyond_the_slowest_nobody_knows() {
        let few = Times::of((0..50).map(|at| (at, f64::from(at * 19 % 50))).collect(), 50);
        assert!(few.quantile(0.5).unwrap().at(0.95).is_some());
        assert_eq!(few.quantile(0.99).unwrap().at(0.95), None);
        assert!(Times::default().quantile(0.5).is_none());
        // All alike: whatever the share, it is this value.
        let alike = Times::of((0..50).map(|at| (at, 7.0)).collect(), 50);
        assert_eq!(alike.quantile(0.99).unwrap().at(0.95), Some(Interval { low: 7.0, high: 7.0 }));
    }

    #[test]
    fn the_mean_of_runs_is_in_its_scale() {
        let of = |scale| Estimate::Mean { values: vec![1.0, 4.0, 16.0], scale };
        assert!((of(Scale::Ratio).value() - 4.0).abs() < 1e-9);
        assert!((of(Scale::Points).value() - 7.0).abs() < 1e-9);
        // ln 4 · 4.3027 / √3 to either side.
        let Interval { low, high } = of(Scale::Ratio).at(0.95).unwrap();
        assert!((low * high - 16.0).abs() < 1e-6 && (high / 4.0 - 31.3).abs() < 0.2, "{low} to {high}");
        assert_eq!(Estimate::Mean { values: vec![1.0], scale: Scale::Ratio }.at(0.95), None);
    }
}
