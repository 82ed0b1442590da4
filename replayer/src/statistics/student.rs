//! Student's t distribution: how far the mean of a few draws may lie from the truth.
//!
//! For whole degrees of freedom P(|T| ≤ t) is a finite sum of positive terms (Abramowitz and Stegun, Handbook of
//! Mathematical Functions, 26.7.3 and 26.7.4, with θ = atan(t / √ν)), so that nothing is approximated but the root of
//! its inverse.

use std::f64::consts::FRAC_PI_2;

/// The t that |T| does not exceed with this probability: 0.95 gives the factor of a 95 % interval. Within 10⁻⁹.
///
/// From one degree of freedom on; of a probability of 0 to 1, both excluded.
pub fn two_sided(probability: f64, degrees: u32) -> f64 {
    assert!(degrees > 0, "a single value has no spread");
    let root = f64::from(degrees).sqrt();
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Halved until neighbouring floats are left.
    for _ in 0..f64::MANTISSA_DIGITS {
        let angle = f64::midpoint(low, high);
        *(if within(angle, degrees) < probability { &mut low } else { &mut high }) = angle;
    }
    root * f64::midpoint(low, high).tan()
}

/// P(|T| ≤ t) by the angle atan(t / √ν).
fn within(angle: f64, degrees: u32) -> f64 {
    let (sin, cos) = angle.sin_cos();
    match degrees {
        1 => angle / FRAC_PI_2,
        _ if degrees.is_multiple_of(2) => sin * sum(1.0, cos, degrees / 2, 0),
        _ => (angle + sin * sum(cos, cos, (degrees - 1) / 2, 1)) / FRAC_PI_2,
    }
}

/// `terms` of: each is the one before it · cos² · (2k − 1 + odd) / (2k + odd).
fn sum(first: f64, cos: f64, terms: u32, odd: u32) -> f64 {
    let term = |term: f64, k: u32| term * cos * cos * f64::from(2 * k - 1 + odd) / f64::from(2 * k + odd);
    let next = |before: &mut f64, k| {
        let now = *before;
        *before = term(now, k);
        Some(now)
    };
    (1..=terms).scan(first, next).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As printed in tables.
    const TABLE: [(u32, f64, f64, f64); 34] = [
        (1, 6.3138, 12.7062, 63.6567),
        (2, 2.9200, 4.3027, 9.9248),
        (3, 2.3534, 3.1824, 5.8409),
        (4, 2.1318, 2.7764, 4.6041),
        (5, 2.0150, 2.5706, 4.0321),
        (6, 1.9432, 2.4469, 3.7074),
        (7, 1.8946, 2.3646, 3.4995),
        (8, 1.8595, 2.3060, 3.3554),
        (9, 1.8331, 2.2622, 3.2498),
        (10, 1.8125, 2.2281, 3.1693),
        (11, 1.7959, 2.2010, 3.1058),
        (12, 1.7823, 2.1788, 3.0545),
        (13, 1.7709, 2.1604, 3.0123),
        (14, 1.7613, 2.1448, 2.9768),
        (15, 1.7531, 2.1314, 2.9467),
        (16, 1.7459, 2.1199, 2.9208),
        (17, 1.7396, 2.1098, 2.8982),
        (18, 1.7341, 2.1009, 2.8784),
        (19, 1.7291, 2.0930, 2.8609),
        (20, 1.7247, 2.0860, 2.8453),
        (21, 1.7207, 2.0796, 2.8314),
        (22, 1.7171, 2.0739, 2.8188),
        (23, 1.7139, 2.0687, 2.8073),
        (24, 1.7109, 2.0639, 2.7969),
        (25, 1.7081, 2.0595, 2.7874),
        (26, 1.7056, 2.0555, 2.7787),
        (27, 1.7033, 2.0518, 2.7707),
        (28, 1.7011, 2.0484, 2.7633),
        (29, 1.6991, 2.0452, 2.7564),
        (30, 1.6973, 2.0423, 2.7500),
        (60, 1.6706, 2.0003, 2.6603),
        (120, 1.6577, 1.9799, 2.6174),
        (1_000, 1.6464, 1.9623, 2.5808),
        // The normal distribution's, to four places.
        (1_000_000, 1.6449, 1.9600, 2.5758),
    ];

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, p90, p95, p99) in TABLE {
            for (probability, expected) in [(0.90, p90), (0.95, p95), (0.99, p99)] {
                let t = two_sided(probability, degrees);
                assert!((t - expected).abs() < 1e-4, "{probability} at {degrees}: {t}, not {expected}");
            }
        }
    }

    #[test]
    fn one_and_two_degrees_have_closed_forms() {
        for probability in [0.001, 0.5, 0.95, 0.999_999] {
            let one = (FRAC_PI_2 * probability).tan();
            let two = probability * (2.0 / (1.0 - probability * probability)).sqrt();
            for (degrees, expected) in [(1, one), (2, two)] {
                let t = two_sided(probability, degrees);
                assert!((t / expected - 1.0).abs() < 1e-9, "{probability} at {degrees}: {t}, not {expected}");
            }
        }
    }
}
