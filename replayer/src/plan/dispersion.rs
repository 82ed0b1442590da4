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

use std::collections::BTreeMap;

use super::starts::Starts;
use crate::sessions::{Outline, Outlines};

/// Windows at which bursts are compared, seconds; each a multiple of the first.
pub const WINDOWS_S: [f64; 4] = [0.1, 1.0, 10.0, 60.0];

/// The finest window.
const TICK_US: u64 = 100_000;

/// Largest share by which a planned dispersion may miss its target.
pub(super) const DISPERSION_LIMIT: f64 = 0.15;

/// Fewer windows than this say nothing about a variance.
const WINDOW_COUNT_MIN: u64 = 3;

/// So many of the finest windows are counted in an array, nearly five days; a capture that spans years (a
/// clock that was set while it was recorded) has too many for that. A multiple of the widest window.
const DENSE_TICKS_MAX: usize = 600 * 7000;

/// How many of a stream of instants lie in each of the finest windows.
///
/// Memory follows the span of the instants, not their number. All sums are of whole numbers, so that an index
/// is the same on every machine and in any order.
#[derive(Debug, Clone, Default)]
pub struct WindowCounts {
    dense: Vec<u32>,
    /// Windows beyond the array, by number.
    far: BTreeMap<u64, u32>,
    span_us: u64,
}

impl WindowCounts {
    pub fn add(&mut self, instant_us: u64) {
        self.span_us = self.span_us.max(instant_us.saturating_add(1));
        let tick = instant_us / TICK_US;
        match usize::try_from(tick) {
            Ok(tick) if tick < DENSE_TICKS_MAX => {
                if tick >= self.dense.len() {
                    self.dense.resize(tick + 1, 0);
                }
                self.dense[tick] += 1;
            }
            _ => *self.far.entry(tick).or_default() += 1,
        }
    }

    /// Adds everything of other counts, exactly.
    pub fn merge(&mut self, other: &Self) {
        self.dense.resize(self.dense.len().max(other.dense.len()), 0);
        self.dense.iter_mut().zip(&other.dense).for_each(|(count, more)| *count += more);
        other.far.iter().for_each(|(tick, more)| *self.far.entry(*tick).or_default() += more);
        self.span_us = self.span_us.max(other.span_us);
    }

    /// The requests of a session that starts at `start_us`.
    pub(super) fn add_session(&mut self, session: Outline<'_>, start_us: u64) {
        requests_us(session, start_us).for_each(|at_us| self.add(at_us));
    }

    /// From 0 to the last instant.
    pub fn span_us(&self) -> u64 {
        self.span_us
    }

    /// Variance over mean of the counts in the whole windows of [`WINDOWS_S`] within `duration_us`.
    ///
    /// The variance is that of a sample (n − 1). `None` for fewer than three windows, or when all are empty.
    pub fn dispersion(&self, window_s: f64, duration_us: u64) -> Option<f64> {
        let ticks = window_us(window_s) / TICK_US;
        let windows = window_count(duration_us, window_s)?;
        let (mut sum, mut squares) = (0_u128, 0_u128);
        self.visit(ticks, windows, |count| {
            sum += u128::from(count);
            squares += u128::from(count) * u128::from(count);
        });
        let windows = u128::from(windows);
        (sum > 0).then(|| (windows * squares - sum * sum) as f64 / ((windows - 1) * sum) as f64)
    }

    /// The counts in the first windows of so many ticks; empty ones may be left out.
    fn visit(&self, ticks: u64, windows: u64, mut see: impl FnMut(u64)) {
        let (width, whole) = (to_index(ticks), to_index(windows));
        for counts in self.dense.chunks(width).take(whole) {
            see(counts.iter().map(|count| u64::from(*count)).sum());
        }
        let mut current = (0, 0);
        for (tick, count) in self.far.range(..ticks.saturating_mul(windows)) {
            if tick / ticks != current.0 {
                see(current.1);
                current = (tick / ticks, 0);
            }
            current.1 += u64::from(*count);
        }
        see(current.1);
    }
}

impl Extend<u64> for WindowCounts {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, instants_us: T) {
        instants_us.into_iter().for_each(|instant_us| self.add(instant_us));
    }
}

/// See [`WindowCounts::dispersion`]. The instants may be in any order.
pub fn dispersion(instants_us: &[u64], window_s: f64, duration_us: u64) -> Option<f64> {
    let mut counts = WindowCounts::default();
    counts.extend(instants_us.iter().copied());
    counts.dispersion(window_s, duration_us)
}

/// A window's name in reports: `0.1`, `1`, `10`, `60`.
pub fn label(window_s: f64) -> String {
    window_s.to_string()
}

/// When a session that starts at `start_us` sends its requests.
fn requests_us(session: Outline<'_>, start_us: u64) -> impl Iterator<Item = u64> {
    session.steps.iter().map(move |step| start_us.saturating_add(step.offset_us))
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
pub fn targets(sessions: &Outlines, multiple: f64) -> Vec<Target> {
    let starts = Starts::of(sessions);
    let mut counts = WindowCounts::default();
    for (session, start_us) in sessions.iter().zip(starts.by_session()) {
        counts.add_session(session, start_us);
    }
    let target = |window_s| {
        let index = counts.dispersion(window_s, counts.span_us())?;
        let clumping = clumping(sessions, &starts, window_s)?;
        let factor = chance_factor(window_count(counts.span_us(), window_s)?);
        let amplified = |index| amplified(index, clumping, multiple);
        let (low, high) = (amplified(index / factor), amplified(index * factor));
        Some(Target { window_s, captured: index, target: amplified(index), low, high })
    };
    WINDOWS_S.into_iter().filter_map(target).collect()
}

/// C(t): the dispersion that these sessions would have if they started independently of each other.
fn clumping(sessions: &Outlines, starts: &Starts, window_s: f64) -> Option<f64> {
    let window_us = window_us(window_s);
    let (mut sum, mut squares) = (0_u128, 0_u128);
    for (session, start_us) in sessions.iter().zip(starts.by_session()) {
        runs(requests_us(session, start_us).map(|at_us| at_us / window_us), |count| {
            sum += u128::from(count);
            squares += u128::from(count * count);
        });
    }
    (sum > 0).then(|| squares as f64 / sum as f64)
}

/// Lengths of the runs of equal neighbours.
fn runs(values: impl Iterator<Item = u64>, mut see: impl FnMut(u64)) {
    let (mut last, mut length) = (None, 0);
    for value in values {
        if last.is_some_and(|last| last != value) {
            see(length);
            length = 0;
        }
        last = Some(value);
        length += 1;
    }
    see(length);
}

/// Starts more regular than chance (I < C) are no shared clock; adding users leaves their index as it is.
fn amplified(index: f64, clumping: f64, multiple: f64) -> f64 {
    if index < clumping && multiple > 1.0 { index } else { clumping + multiple * (index - clumping) }
}

/// By what the index of so many windows may miss the truth, either way, in 95 % of cases.
fn chance_factor(windows: u64) -> f64 {
    (1.96 * (2.0 / (windows as f64 - 1.0)).sqrt()).exp()
}

fn window_us(window_s: f64) -> u64 {
    super::rounded_us(window_s * 1e6).max(TICK_US)
}

/// How many whole windows a span holds, when they are enough.
pub(super) fn window_count(duration_us: u64, window_s: f64) -> Option<u64> {
    let windows = duration_us / window_us(window_s);
    (windows >= WINDOW_COUNT_MIN).then_some(windows)
}

fn to_index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
        let mut counts = WindowCounts::default();
        counts.extend(instants_us);
        assert!(counts.dense.len() < 10 && counts.far.len() == 1, "no array over years");
    }

    #[test]
    fn windows_beyond_the_array_are_counted_like_those_within() {
        const BEYOND_US: u64 = DENSE_TICKS_MAX as u64 * TICK_US;
        let instants_us = [0, 500_000, 1_100_000, 1_900_000, 7_000_000, 59_999_999, 60_000_000, 130_000_000];
        for window_s in WINDOWS_S {
            let windows = 2_000_000_000 / window_us(window_s);
            let tally = |by_us: u64| {
                let mut counts = WindowCounts::default();
                counts.extend(instants_us.iter().map(|at_us| at_us + by_us));
                let (mut sum, mut squares) = (0, 0);
                let windows = windows + by_us / window_us(window_s);
                counts.visit(window_us(window_s) / TICK_US, windows, |count| {
                    sum += count;
                    squares += count * count;
                });
                (sum, squares)
            };
            assert_eq!(tally(0), tally(BEYOND_US), "{window_s} s");
        }
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
