//! How many answers a second come of how many requests in flight: the Universal Scalability Law (Gunther 2007), as a
//! description of the trials. No verdict and no bound rests on it.
//!
//! X(N) = λN / (1 + σ(N − 1) + κN(N − 1)): λ answers a second of one request alone, contention σ (what is done one after
//! another) and coherency κ (what grows with the square, as locks that all wait for). As N / X = a + b(N − 1) + cN(N − 1)
//! it is linear, with σ = b / a and κ = c / a; fitted by least squares of relative errors, none of them negative. κ decides
//! whether throughput falls beyond a peak, and a few loads hardly tell it: its interval is that of a bootstrap of the
//! residuals (Efron 1979). A knee, as slots that are all taken make it, looks like a little κ too: a peak is named only where the trials
//! themselves gave fewer answers at more load.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::finding::TrialRecord;
use super::verdict::Verdict;
use crate::report::format::number;

/// Fewer points, or fewer beyond the knee, leave the curve open.
const POINTS_MIN: usize = 6;
const FAILED_MIN: usize = 2;
const RESAMPLES: usize = 1000;
const TAIL: f64 = 0.025;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scalability {
    pub trials: usize,
    /// λ.
    pub alone_per_s: f64,
    /// σ.
    pub contention: f64,
    /// κ, and its 95 % interval.
    pub coherency: f64,
    pub coherency_low: f64,
    pub coherency_high: f64,
    /// √((1 − σ) / κ): more in flight, fewer answers; `None` where no trial showed that.
    pub peak_in_flight: Option<f64>,
}

/// One load: what was in flight, and what was answered a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    in_flight: f64,
    per_s: f64,
}

/// a, b and c.
type Fit = [f64; 3];

/// `None` where the trials leave it open; `is_retrograde`: they gave fewer answers at more load.
pub fn scalability(records: &[TrialRecord], is_retrograde: bool) -> Option<Scalability> {
    let tells = |record: &&TrialRecord| {
        let judged = &record.judged;
        // Below one in flight the law speaks of nothing.
        let has_point = judged.in_flight >= 1.0 && judged.completed_per_s > 0.0;
        record.trial.purpose.classifies() && judged.verdict != Verdict::Invalid && has_point
    };
    let told: Vec<&TrialRecord> = records.iter().filter(tells).collect();
    if told.iter().filter(|record| record.judged.has_failed()).count() < FAILED_MIN {
        return None;
    }
    let point = |record: &&TrialRecord| Point {
        in_flight: record.judged.in_flight,
        per_s: record.judged.completed_per_s,
    };
    of_points(&told.iter().map(point).collect::<Vec<_>>(), is_retrograde)
}

fn of_points(points: &[Point], is_retrograde: bool) -> Option<Scalability> {
    if points.len() < POINTS_MIN {
        return None;
    }
    let [a, b, c] = fit(points)?;
    let (coherency_low, coherency_high) = coherency_interval(points)?;
    let (contention, coherency) = (b / a, c / a);
    let most = points.iter().map(|point| point.in_flight).max_by(f64::total_cmp)?;
    let peak = (coherency > 0.0 && contention < 1.0).then(|| ((1.0 - contention) / coherency).sqrt());
    Some(Scalability {
        trials: points.len(),
        alone_per_s: 1.0 / a,
        contention,
        coherency,
        coherency_low: coherency_low.clamp(0.0, coherency),
        coherency_high: coherency_high.max(coherency),
        peak_in_flight: peak.filter(|peak| is_retrograde && coherency_low > 0.0 && *peak < most),
    })
}

/// The best of those that are not negative: with both terms, with one, with none.
fn fit(points: &[Point]) -> Option<Fit> {
    let fits = [[true, true], [true, false], [false, true], [false, false]]
        .map(|terms| least_squares(points, terms));
    let allowed = fits.into_iter().flatten().filter(|[a, b, c]| *a > 0.0 && *b >= 0.0 && *c >= 0.0);
    allowed.min_by(|one, other| error(points, one).total_cmp(&error(points, other)))
}

fn terms_of(point: &Point) -> [f64; 3] {
    let n = point.in_flight;
    [1.0, n - 1.0, n * (n - 1.0)]
}

fn predicted(fit: &Fit, point: &Point) -> f64 {
    fit.iter().zip(terms_of(point)).map(|(factor, term)| factor * term).sum()
}

fn error(points: &[Point], fit: &Fit) -> f64 {
    let relative = |point: &Point| (predicted(fit, point) / (point.in_flight / point.per_s) - 1.0).powi(2);
    points.iter().map(relative).sum()
}

/// Of relative errors, by the normal equations; a term that is not asked for is 0. `None` where the points do not tell
/// the terms apart.
fn least_squares(points: &[Point], [with_b, with_c]: [bool; 2]) -> Option<Fit> {
    let asked = [true, with_b, with_c];
    let mut system = [[0.0; 4]; 3];
    for point in points {
        let y = point.in_flight / point.per_s;
        let row = terms_of(point).map(|term| term / y);
        for at in 0..3 {
            for to in 0..3 {
                system[at][to] += row[at] * row[to];
            }
            system[at][3] += row[at];
        }
    }
    for at in (0..3).filter(|at| !asked[*at]) {
        system[at] = [0.0; 4];
        (0..3).for_each(|row| system[row][at] = 0.0);
        system[at][at] = 1.0;
    }
    solve(system)
}

/// Gauss's elimination with pivots.
fn solve(mut system: [[f64; 4]; 3]) -> Option<Fit> {
    for at in 0..3 {
        let pivot =
            (at..3).max_by(|one, other| system[*one][at].abs().total_cmp(&system[*other][at].abs()))?;
        system.swap(at, pivot);
        if system[at][at].abs() < f64::EPSILON {
            return None;
        }
        let pivot = system[at];
        for row in (0..3).filter(|row| *row != at) {
            let factor = system[row][at] / pivot[at];
            (at..4).for_each(|column| system[row][column] -= factor * pivot[column]);
        }
    }
    Some([0, 1, 2].map(|at| system[at][3] / system[at][at]))
}

/// Of κ, where it is let be negative: an interval that ends at 0 by force would say that it is above.
fn coherency_interval(points: &[Point]) -> Option<(f64, f64)> {
    let free = least_squares(points, [true, true])?;
    let residuals: Vec<f64> =
        points.iter().map(|point| point.in_flight / point.per_s / predicted(&free, point)).collect();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut resampled = || {
        let mut again = |point: &Point| {
            let y = predicted(&free, point) * residuals[random.random_range(0..residuals.len())];
            Point { per_s: point.in_flight / y, ..*point }
        };
        let points: Vec<Point> = points.iter().map(&mut again).collect();
        least_squares(&points, [true, true]).map(|[a, _, c]| c / a)
    };
    let mut values: Vec<f64> =
        (0..RESAMPLES).filter_map(|_| resampled()).filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a part of a length
    let tail = (values.len() as f64 * TAIL) as usize;
    Some((*values.get(tail)?, *values.get(values.len().checked_sub(tail + 1)?)?))
}

impl Scalability {
    pub fn sentence(&self) -> String {
        let beyond = match self.peak_in_flight {
            Some(peak) => {
                format!("beyond {} in flight fewer answers come, not more", number(Some(peak.round())))
            }
            None if self.contention <= 0.0 && self.coherency <= 0.0 => "it grows with them".to_owned(),
            None => "it levels off; no load was seen at which it falls".to_owned(),
        };
        format!(
            "answers over requests in flight (USL, {} trials): {} a second of one alone, contention {:.1} %, coherency {:.1e} \
             [{:.1e}, {:.1e}]: {beyond}",
            self.trials,
            number(Some(self.alone_per_s)),
            self.contention * 100.0,
            self.coherency,
            self.coherency_low,
            self.coherency_high,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The law's own points, each off by the next of these shares.
    fn points(contention: f64, coherency: f64, noise: &[f64]) -> Vec<Point> {
        let loads = [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0];
        let point = |(at, n): (usize, f64)| {
            let x = 100.0 * n / (1.0 + contention * (n - 1.0) + coherency * n * (n - 1.0));
            Point { in_flight: n, per_s: x * (1.0 + noise[at % noise.len()]) }
        };
        loads.into_iter().enumerate().map(point).collect()
    }

    #[test]
    fn the_laws_own_points_give_its_parameters_back() {
        let found = of_points(&points(0.03, 0.0006, &[0.0]), true).unwrap();
        assert!((found.alone_per_s - 100.0).abs() < 1e-6, "{found:?}");
        assert!(
            (found.contention - 0.03).abs() < 1e-9 && (found.coherency - 0.0006).abs() < 1e-9,
            "{found:?}"
        );
        // √((1 − 0.03) / 0.0006), by hand.
        assert!((found.peak_in_flight.unwrap() - 40.207).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn a_peak_is_named_only_where_it_is_sure() {
        let noise = [0.03, -0.02, 0.01, -0.03, 0.02];
        let level = of_points(&points(0.05, 0.0, &noise), true).unwrap();
        assert!(level.coherency_low <= 0.0 && level.peak_in_flight.is_none(), "{level:?}");
        let falling = of_points(&points(0.05, 0.002, &noise), true).unwrap();
        let (low, high) = (falling.coherency_low, falling.coherency_high);
        assert!(
            low > 0.0 && (low..=high).contains(&0.002) && falling.peak_in_flight.is_some(),
            "{falling:?}"
        );
    }

    #[test]
    fn slots_that_are_all_taken_have_no_peak() {
        // 20 slots of 3 s.
        let knee = [6.0, 10.0, 14.0, 18.0, 20.0, 24.0, 30.0, 40.0];
        let points = knee.map(|n: f64| Point { in_flight: n, per_s: (n / 3.0).min(20.0 / 3.0) });
        let found = of_points(&points, false).unwrap();
        assert_eq!(found.peak_in_flight, None, "{found:?}");
        assert!(found.sentence().contains("it levels off"), "{}", found.sentence());
        assert!((found.coherency_low..=found.coherency_high).contains(&found.coherency), "{found:?}");
    }

    #[test]
    fn no_parameter_is_negative() {
        // Better than linear, as a cache that warms up: the law has no such term.
        let better: Vec<Point> =
            (1..=8).map(|n| Point { in_flight: f64::from(n), per_s: f64::from(n * n) }).collect();
        let found = of_points(&better, true).unwrap();
        assert!(found.contention >= 0.0 && found.coherency >= 0.0, "{found:?}");
        assert_eq!(found.peak_in_flight, None);
    }

    #[test]
    fn few_loads_tell_nothing() {
        assert_eq!(of_points(&points(0.03, 0.0006, &[0.0])[..5], true), None);
        let same = vec![Point { in_flight: 3.0, per_s: 10.0 }; 8];
        assert_eq!(of_points(&same, true), None, "one load many times");
    }
}
