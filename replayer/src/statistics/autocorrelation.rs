//! How much neighbours in a series resemble each other, and what its mean is worth then.

/// A series that only drifts has 1: worth nothing, not less than one hundredth.
const AUTOCORRELATION_MAX: f64 = 0.98;

/// Lag-1 autocorrelation of a series, at least 0; 0 for one that does not vary.
pub(crate) fn autocorrelation(series: &[f64]) -> f64 {
    let mean = series.iter().sum::<f64>() / series.len().max(1) as f64;
    let variance: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = series.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if variance > 0.0 { (products / variance).clamp(0.0, AUTOCORRELATION_MAX) } else { 0.0 }
}

/// Variance of the mean of a stationary series: s²/n · (1 + ρ₁)/(1 − ρ₁), for a correlation that decays geometrically.
pub(crate) fn variance_of_mean(series: &[f64]) -> f64 {
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
