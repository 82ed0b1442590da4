//! The index of dispersion of counts, I(t) = variance / mean of the number of requests in windows of t
//! seconds, and what it must become at N times the users. 1 is a Poisson process; bursts raise it.
//!
//! N times as many users under the same clock: each user's requests come in clumps of their own, and the
//! users share the clock that makes all of them busy at once. The first adds up like the mean, the second
//! like its square. With the clumping C(t) = Σ k² / Σ k over the counts k of single sessions in single
//! windows, I_N(t) = C(t) + N·(I(t) − C(t)). Where no session sends twice within a window, C = 1, and this
//! is the known 1 + N·(I(t) − 1) of a rate-modulated Poisson process. That simpler formula taken for whole
//! sessions would call for volleys that no crowd makes: ten requests in a row from each of many independent
//! users have I = C = 10 at any multiple.

#![allow(clippy::similar_names)] // units end the names: `window_s`, `window_us`

use super::Captured;
use crate::sessions::Session;

/// Windows at which bursts are compared, seconds.
pub const WINDOWS_S: [f64; 4] = [0.1, 1.0, 10.0, 60.0];

/// Fewer windows than this say nothing about a variance.
const WINDOW_COUNT_MIN: usize = 3;

/// Up to so many windows are counted in an array; a capture that spans years (a clock that was set while it
/// was recorded) has too many for that.
const DENSE_WINDOWS_MAX: usize = 1 << 22;

/// Variance over mean of the counts of `instants_us` in the whole windows within `duration_us`.
///
/// The variance is that of a sample (n − 1). `None` for fewer than three windows, or when all are empty.
/// The instants may be in any order.
pub fn dispersion(instants_us: &[u64], window_s: f64, duration_us: u64) -> Option<f64> {
    let window_us = window_us(window_s);
    let windows = window_count(duration_us, window_us)?;
    let hit = instants_us.iter().map(|instant_us| window_of(*instant_us, window_us));
    let hit = hit.filter(|window| *window < windows);
    let counts = if windows <= DENSE_WINDOWS_MAX { dense_counts(hit, windows) } else { sparse_counts(hit) };
    variance_over_mean(&counts, windows as f64)
}

/// Counts of all windows.
fn dense_counts(hit: impl Iterator<Item = usize>, windows: usize) -> Vec<f64> {
    let mut counts = vec![0.0; windows];
    hit.for_each(|window| counts[window] += 1.0);
    counts
}

/// Counts of the windows that are not empty.
fn sparse_counts(hit: impl Iterator<Item = usize>) -> Vec<f64> {
    let mut hit: Vec<usize> = hit.collect();
    hit.sort_unstable();
    runs(hit.into_iter())
}

/// Of counts in so many windows; those without a count are empty.
fn variance_over_mean(counts: &[f64], windows: f64) -> Option<f64> {
    let mean = counts.iter().sum::<f64>() / windows;
    let empty = (windows - counts.len() as f64) * mean.powi(2);
    let squares = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() + empty;
    (mean > 0.0).then(|| squares / (windows - 1.0) / mean)
}

/// A window's name in reports: `0.1`, `1`, `10`, `60`.
pub fn label(window_s: f64) -> String {
    window_s.to_string()
}

/// I(t) of a capture, and what it must be at a multiple.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    pub window_s: f64,
    pub captured: f64,
    pub target: f64,
    /// The target for either end of the 95 % interval of `captured`. Of n independent windows the logarithm
    /// of their index has a standard error of about √(2 / (n − 1)) (a variance follows χ²).
    pub low: f64,
    pub high: f64,
}

/// The target at each window that fits three times into the capture.
pub fn targets(sessions: &[Session], multiple: f64) -> Vec<Target> {
    let captured = Captured::new(sessions);
    let instants_us = captured.instants_us();
    let duration_us = span_us(&instants_us);
    let target = |window_s| {
        let index = dispersion(&instants_us, window_s, duration_us)?;
        let clumping = clumping(&captured, window_s)?;
        let factor = chance_factor(window_count(duration_us, window_us(window_s))?);
        let amplified = |index| amplified(index, clumping, multiple);
        let (low, high) = (amplified(index / factor), amplified(index * factor));
        Some(Target { window_s, captured: index, target: amplified(index), low, high })
    };
    WINDOWS_S.into_iter().filter_map(target).collect()
}

/// C(t): the dispersion that these sessions would have if they started independently of each other.
fn clumping(captured: &Captured<'_>, window_s: f64) -> Option<f64> {
    let window_us = window_us(window_s);
    let (mut sum, mut squares) = (0.0, 0.0);
    for (session, start_us) in captured.starts_us.iter().enumerate() {
        let windows = captured.requests_us(session, *start_us).map(|at_us| window_of(at_us, window_us));
        for count in runs(windows) {
            sum += count;
            squares += count * count;
        }
    }
    (sum > 0.0).then(|| squares / sum)
}

/// Lengths of the runs of equal neighbours.
fn runs(values: impl Iterator<Item = usize>) -> Vec<f64> {
    let mut lengths: Vec<f64> = Vec::new();
    let mut last = None;
    for value in values {
        match lengths.last_mut() {
            Some(length) if last == Some(value) => *length += 1.0,
            _ => lengths.push(1.0),
        }
        last = Some(value);
    }
    lengths
}

/// Starts more regular than chance (I < C) are no shared clock; adding users leaves their index as it is.
fn amplified(index: f64, clumping: f64, multiple: f64) -> f64 {
    if index < clumping && multiple > 1.0 { index } else { clumping + multiple * (index - clumping) }
}

/// By what the index of so many windows may miss the truth, either way, in 95 % of cases.
fn chance_factor(windows: usize) -> f64 {
    (1.96 * (2.0 / (windows as f64 - 1.0)).sqrt()).exp()
}

/// From 0 to the last instant.
pub(super) fn span_us(instants_us: &[u64]) -> u64 {
    instants_us.iter().max().map_or(0, |last| last + 1)
}

fn window_us(window_s: f64) -> u64 {
    super::rounded_us(window_s * 1e6).max(1)
}

fn window_count(duration_us: u64, window_us: u64) -> Option<usize> {
    let windows = usize::try_from(duration_us / window_us).ok()?;
    (windows >= WINDOW_COUNT_MIN).then_some(windows)
}

fn window_of(instant_us: u64, window_us: u64) -> usize {
    usize::try_from(instant_us / window_us).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dispersion_is_variance_over_mean() {
        // Counts per second 3, 0, 1, 0: mean 1, squares 4 + 1 + 0 + 1 = 6, variance 6 / 3 = 2.
        let instants_us = [0, 500_000, 999_999, 2_000_000];
        assert_eq!(dispersion(&instants_us, 1.0, 4_000_000), Some(2.0));
        // The started fifth window does not count.
        assert_eq!(dispersion(&instants_us, 1.0, 4_900_000), Some(2.0));
    }

    #[test]
    fn a_capture_over_years_is_counted_too() {
        const YEARS_US: u64 = 56 * 365 * 86_400 * 1_000_000;
        let instants_us = [0, 10, YEARS_US - 1];
        let index = dispersion(&instants_us, 0.1, YEARS_US).unwrap();
        // 2 and 1 in a sea of empty windows: Σk² / Σk.
        assert!((index - 5.0 / 3.0).abs() < 1e-6, "{index}");
        let windows = [3_usize, 1, 3, 9];
        let dense = variance_over_mean(&dense_counts(windows.into_iter(), 12), 12.0);
        let sparse = variance_over_mean(&sparse_counts(windows.into_iter()), 12.0);
        assert!((dense.unwrap() - sparse.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn too_few_windows_have_no_dispersion() {
        assert_eq!(dispersion(&[1, 2, 3], 1.0, 2_999_999), None);
        assert_eq!(dispersion(&[], 1.0, 9_000_000), None);
    }

    #[test]
    fn regular_counts_have_no_dispersion_and_stay_regular() {
        let instants_us: Vec<u64> = (0..50).map(|at| at * 100_000).collect();
        assert_eq!(dispersion(&instants_us, 1.0, 5_000_000), Some(0.0));
        assert!((amplified(0.2, 1.0, 5.0) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn lone_requests_follow_the_known_formula() {
        assert!((amplified(3.0, 1.0, 5.0) - 11.0).abs() < 1e-12);
        assert!((amplified(3.0, 1.0, 0.5) - 2.0).abs() < 1e-12);
        assert!((amplified(10.0, 10.0, 5.0) - 10.0).abs() < 1e-12);
    }
}
