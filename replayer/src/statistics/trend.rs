//! Whether a series grows, and how fast: for what leaks and drifts over a long run.
//!
//! The slope is the median of those between all pairs of points (Theil 1950, Sen 1968), which a third of outliers does not
//! move. Its interval is Sen's, from the variance of Kendall's S; whether it grows at all is the test of Mann (1945) and
//! Kendall, corrected for ties. What monitors see resembles what they saw before, which makes a test believe in trends that
//! are none: the variance is multiplied as Hamed and Rao do (Journal of Hydrology 204, 1998), by the correlations of the
//! ranks of what is left without the slope. Of these the first ones are taken, up to the first that is not significant, and
//! they never make the variance smaller.

use super::wilson::Z_95;
use super::{Interval, median_of_sorted};

/// Fewer say nothing: the variance of S is that of a normal distribution from so many on.
const POINTS_MIN: usize = 10;
/// More are averaged, neighbours with neighbours: all pairs of a thousand are half a million.
const POINTS_MAX: usize = 600;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// In the units of y by those of x.
    pub slope: f64,
    /// 95 %.
    pub interval: Interval,
    /// Of Mann and Kendall, corrected: beyond ±1.96 the series grows or shrinks.
    pub z: f64,
}

impl Trend {
    /// Of points (x, y) in order of x; `None` of too few.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let points = thinned(points);
        let slopes = slopes(&points, 0.0);
        if points.len() < POINTS_MIN || slopes.is_empty() {
            return None;
        }
        let slope = median_of_sorted(&slopes)?;
        let deviation = (kendall_variance(&points) * correction(&points, slope)).sqrt();
        Some(Self { slope, interval: interval(&slopes, deviation), z: z(kendall_s(&points), deviation) })
    }

    /// It surely grows or shrinks.
    pub fn is_sure(&self) -> bool {
        self.z.abs() > Z_95
    }

    /// What x lies between a `value` and when it reaches `limit`; `None` where it goes the other way.
    pub fn until(&self, value: f64, limit: f64) -> Option<f64> {
        let until = (limit - value) / self.slope;
        (until.is_finite() && until >= 0.0).then_some(until)
    }
}

/// The median of the slopes between all pairs that are more than `apart_min` apart in x.
pub fn theil_sen(points: &[(f64, f64)], apart_min: f64) -> Option<f64> {
    let slopes = slopes(points, apart_min);
    median_of_sorted(&slopes)
}

/// Ascending.
fn slopes(points: &[(f64, f64)], apart_min: f64) -> Vec<f64> {
    let far = pairs(points).filter(|(a, b)| (b.0 - a.0).abs() > apart_min);
    let mut slopes: Vec<f64> = far.map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect();
    slopes.sort_by(f64::total_cmp);
    slopes
}

fn pairs<T>(points: &[T]) -> impl Iterator<Item = (&T, &T)> {
    points.iter().enumerate().flat_map(|(at, a)| points[at + 1..].iter().map(move |b| (a, b)))
}

fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |points: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        points.iter().map(of).sum::<f64>() / points.len() as f64
    };
    let together = points.len().div_ceil(POINTS_MAX).max(1);
    points.chunks(together).map(|near| (mean(near, |point| point.0), mean(near, |point| point.1))).collect()
}

/// How many more pairs rise than fall.
fn kendall_s(points: &[(f64, f64)]) -> f64 {
    let sign = |(a, b): (&(f64, f64), &(f64, f64))| {
        let rise = b.1 - a.1;
        if rise > 0.0 {
            1.0
        } else if rise < 0.0 {
            -1.0
        } else {
            0.0
        }
    };
    pairs(points).map(sign).sum()
}

/// Of S where nothing grows: (n(n−1)(2n+5) − Σ t(t−1)(2t+5))/18 over groups of t equal values.
fn kendall_variance(points: &[(f64, f64)]) -> f64 {
    let term = |count: usize| (count * count.saturating_sub(1) * (2 * count + 5)) as f64;
    let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|group| term(group.len())).sum();
    (term(values.len()) - ties).max(0.0) / 18.0
}

/// What correlation multiplies the variance of S by: 1 + 2/(n(n−1)(n−2)) · Σ (n−k)(n−k−1)(n−k−2) ρ(k).
fn correction(points: &[(f64, f64)], slope: f64) -> f64 {
    let ranks = ranks(&points.iter().map(|(x, y)| y - slope * x).collect::<Vec<_>>());
    let n = ranks.len() as f64;
    let significant = Z_95 / n.sqrt();
    let lags = (1..ranks.len()).map(|lag| (lag as f64, correlation(&ranks, lag)));
    let weighted = lags
        .take_while(|(_, correlation)| *correlation > significant)
        .map(|(k, correlation)| (n - k) * (n - k - 1.0) * (n - k - 2.0) * correlation);
    1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * weighted.sum::<f64>()
}

/// From 1; equal values share theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for equal in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()) {
        let shared = below as f64 + (equal.len() + 1) as f64 / 2.0;
        for at in equal {
            ranks[*at] = shared;
        }
        below += equal.len();
    }
    ranks
}

fn correlation(series: &[f64], lag: usize) -> f64 {
    let mean = series.iter().sum::<f64>() / series.len() as f64;
    let variance: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = series.iter().zip(&series[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum();
    if variance > 0.0 { products / variance } else { 0.0 }
}

/// S moves by 2, so that it is brought one nearer to 0.
fn z(s: f64, deviation: f64) -> f64 {
    if deviation > 0.0 { (s.abs() - 1.0).max(0.0).copysign(s) / deviation } else { 0.0 }
}

/// The slopes between which so many lie as S may be off.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slopes by the clamp")]
fn interval(slopes: &[f64], deviation: f64) -> Interval {
    let count = slopes.len() as f64;
    let off = Z_95 * deviation;
    let at = |rank: f64| slopes[rank.clamp(0.0, count - 1.0) as usize];
    Interval { low: at(((count - off) / 2.0).floor() - 1.0), high: at(f64::midpoint(count, off).ceil()) }
}

#[cfg(test)]
mod tests {
    use kingtide_common::units::Seed;

    use super::*;
    use crate::plan::random::Draws;

    fn series(values: &[f64]) -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect()
    }

    #[test]
    fn four_points_by_hand() {
        let points = series(&[2.0, 4.0, 3.0, 5.0]);
        // Slopes −1, ½, ½, 1, 2, 2: five pairs rise, one falls; 4·3·13/18.
        assert!((theil_sen(&points, 0.0).unwrap() - 0.75).abs() < 1e-12);
        assert!((kendall_s(&points) - 4.0).abs() < 1e-12);
        assert!((kendall_variance(&points) - 156.0 / 18.0).abs() < 1e-12);
        assert_eq!((theil_sen(&points, 5.0), Trend::of(&points)), (None, None));
    }

    #[test]
    fn equal_values_are_worth_less() {
        // (5·4·15 − 2 · 2·1·9)/18.
        let points = series(&[1.0, 1.0, 2.0, 2.0, 3.0]);
        assert!((kendall_variance(&points) - 264.0 / 18.0).abs() < 1e-12);
        assert_eq!(ranks(&[7.0, 1.0, 7.0, 3.0]), [3.5, 1.0, 3.5, 2.0]);
        assert!(!Trend::of(&series(&[4.0; 30])).unwrap().is_sure());
    }

    #[test]
    fn ten_points_by_hand() {
        // One pair of 45 falls: S = 43, variance 10·9·25/18 = 125, z = 42/√125. Nothing is left that correlates.
        let trend = Trend::of(&series(&[1.0, 2.0, 3.0, 4.0, 6.0, 5.0, 7.0, 8.0, 9.0, 10.0])).unwrap();
        assert!(
            (trend.slope - 1.0).abs() < 1e-12 && (trend.z - 42.0 / 125.0_f64.sqrt()).abs() < 1e-9,
            "{trend:?}"
        );
        // 1.96·√125 = 21.9 of the 45 slopes lie between the limits: the 11th and the 35th.
        assert!(trend.interval.low <= 1.0 && trend.interval.high >= 1.0, "{trend:?}");
        assert_eq!(trend.until(10.0, 25.0).map(f64::round), Some(15.0));
        assert_eq!(trend.until(10.0, 5.0), None);
    }

    #[test]
    fn an_outlier_moves_nothing() {
        let mut values: Vec<f64> = (0..60).map(f64::from).collect();
        values[30] = 1e9;
        assert!((Trend::of(&series(&values)).unwrap().slope - 1.0).abs() < 1e-9);
    }

    /// A walk that forgets: each value keeps 0.7 of the one before.
    fn noise(seed: u64, count: usize, kept: f64) -> Vec<f64> {
        let mut draws = Draws::new(Seed(seed), 9);
        let mut value = 0.0;
        let mut next = || {
            value = kept * value + draws.normal();
            value
        };
        (0..count).map(|_| next()).collect()
    }

    fn found(share_of: impl Fn(u64) -> Vec<f64>) -> usize {
        (0..200).filter(|seed| Trend::of(&series(&share_of(*seed))).unwrap().is_sure()).count()
    }

    /// Twenty of 400 would be 5 %; without the correction a third of the correlated series seem to grow.
    #[test]
    fn what_only_resembles_itself_does_not_grow() {
        assert!(found(|seed| noise(seed, 120, 0.0)) <= 18, "{}", found(|seed| noise(seed, 120, 0.0)));
        let correlated = found(|seed| noise(seed, 120, 0.7));
        assert!(correlated <= 26, "{correlated} of 200");
    }

    #[test]
    fn a_leak_is_found_with_its_slope() {
        let leak = |seed| -> Vec<f64> {
            noise(seed, 120, 0.5).iter().enumerate().map(|(at, off)| 0.05 * at as f64 + off).collect()
        };
        assert!(found(leak) >= 190, "{}", found(leak));
        let holds = |seed: &u64| {
            let Interval { low, high } = Trend::of(&series(&leak(*seed))).unwrap().interval;
            (low..=high).contains(&0.05)
        };
        let held = (0..200).filter(holds).count();
        assert!(held >= 176, "{held} of 200 intervals hold the truth");
    }
}
