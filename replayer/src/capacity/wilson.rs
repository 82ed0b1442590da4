//! Wilson's score interval of a share (Wilson 1927), and the variance of a correlated series' mean.
//!
//! Wilson's interval stays inside 0 to 1 and is right for small shares, where the textbook p ± z·√(p(1−p)/n) is empty at
//! p = 0.

/// Two-sided 95 %.
pub(super) const Z_95: f64 = 1.959_963_985;

/// Lower and upper limit of `share` seen in `n` independent observations; 0 to 1 when there are none.
pub(super) fn interval(share: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let z2 = z * z;
    let middle = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// Lag-1 autocorrelation of a series, at least 0; 0 for one that does not vary.
fn autocorrelation(series: &[f64]) -> f64 {
    let mean = series.iter().sum::<f64>() / series.len().max(1) as f64;
    let variance: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = series.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if variance > 0.0 { (products / variance).clamp(0.0, AUTOCORRELATION_MAX) } else { 0.0 }
}

/// A series that only drifts has 1: worth nothing, not less than one hundredth.
const AUTOCORRELATION_MAX: f64 = 0.98;

/// Variance of the mean of a stationary series: s²/n · (1 + ρ₁)/(1 − ρ₁), for a correlation that decays geometrically.
pub(super) fn variance_of_mean(series: &[f64]) -> f64 {
    let n = series.len() as f64;
    let mean = series.iter().sum::<f64>() / n.max(1.0);
    let variance = series.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let correlation = autocorrelation(series);
    variance / n.max(1.0) * (1.0 + correlation) / (1.0 - correlation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        let table = [
            (81.0, 263.0, 0.2553, 0.3662),
            (15.0, 148.0, 0.0624, 0.1605),
            (0.0, 20.0, 0.0, 0.1611),
            (1.0, 29.0, 0.0061, 0.1718),
        ];
        for (bad, n, low, high) in table {
            let (lower, upper) = interval(bad / n, n, Z_95);
            assert!((lower - low).abs() < 1e-4 && (upper - high).abs() < 1e-4, "{bad}/{n}: {lower} {upper}");
        }
        assert_eq!(interval(0.5, 0.0, Z_95), (0.0, 1.0));
    }

    #[test]
    fn a_correlated_series_is_worth_less() {
        let independent = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let blocks = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        assert!(autocorrelation(&independent) < 0.01);
        assert!((autocorrelation(&blocks) - 0.625).abs() < 1e-9);
        assert!(autocorrelation(&[3.0; 5]).abs() < 1e-9);
        let (apart, together) = (variance_of_mean(&independent), variance_of_mean(&blocks));
        assert!((together / apart - 1.625 / 0.375).abs() < 1e-9, "{apart} {together}");
    }
}
