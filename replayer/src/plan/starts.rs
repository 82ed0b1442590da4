//! When the clones of each mode start.
//!
//! `crowd` is the local session bootstrap: sessions drawn with replacement, each start moved by
//! Normal(0, h) and reflected at the capture's ends, so that the clock that users share survives and the
//! instants of single users do not. h is the width whose plan comes nearest to the dispersion that N times
//! the users have ([`super::dispersion`]).

use kingtide_common::units::{Multiple, Seed};

use super::dispersion::{self, Target, dispersion};
use super::random::Draws;
use super::{Captured, PlannedClone, rounded_us, scaled};

/// Widths to choose from, seconds; none wider than the capture.
const SHIFTS_S: [f64; 15] =
    [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Below this a dispersion is as good as none; keeps logarithms finite.
const DISPERSION_MIN: f64 = 0.01;

const PURPOSE_CROWD: u64 = 1;
const PURPOSE_STEADY: u64 = 2;
const PURPOSE_VOLLEY: u64 = 3;

/// Every session once, time divided by `speed`.
pub(super) fn each_once(captured: &Captured<'_>, speed: f64) -> Vec<PlannedClone> {
    let starts = captured.starts_us.iter().enumerate();
    ordered(starts.map(|(session, start_us)| PlannedClone { session, start_us: scaled(*start_us, speed) }))
}

/// The bootstrap with the best width: width in seconds, and the clones.
pub(super) fn crowd(captured: &Captured<'_>, multiple: Multiple, seed: Seed) -> (f64, Vec<PlannedClone>) {
    let draws = draw(captured, multiple, seed);
    let targets = dispersion::targets(captured.sessions, multiple.get());
    let span_s = captured.span_us as f64 / 1e6;
    let mut best = (f64::INFINITY, SHIFTS_S[0]);
    for shift_s in SHIFTS_S.into_iter().filter(|shift_s| *shift_s <= span_s) {
        let distance = distance(&instants_us(captured, &draws, shift_s), &targets);
        if distance < best.0 {
            best = (distance, shift_s);
        }
    }
    (best.1, shifted(captured, &draws, best.1))
}

/// The bootstrap with a given width.
pub(super) fn crowd_with_shift(
    captured: &Captured<'_>,
    multiple: Multiple,
    seed: Seed,
    shift_s: f64,
) -> Vec<PlannedClone> {
    shifted(captured, &draw(captured, multiple, seed), shift_s)
}

/// Starts spread uniformly over the capture's span: a Poisson process of the mean rate × N, given its count.
pub(super) fn steady(captured: &Captured<'_>, multiple: Multiple, seed: Seed) -> Vec<PlannedClone> {
    let mut draws = Draws::new(seed, PURPOSE_STEADY);
    let clones = (0..clone_count(captured, multiple)).map(|_| PlannedClone {
        session: draws.index(captured.sessions.len()),
        start_us: rounded_us(draws.unit() * captured.span_us as f64),
    });
    ordered(clones)
}

/// Every session ⌊N⌋ times at its own instant, and a random choice of them once more for the fraction.
pub(super) fn volley(captured: &Captured<'_>, multiple: Multiple, seed: Seed) -> Vec<PlannedClone> {
    let mut draws = Draws::new(seed, PURPOSE_VOLLEY);
    let sessions = captured.sessions.len();
    let whole = count(multiple.get().floor());
    let mut extra = clone_count(captured, multiple).saturating_sub(whole * sessions);
    let mut clones = Vec::new();
    for (session, start_us) in captured.starts_us.iter().enumerate() {
        let is_chosen = draws.index(sessions - session) < extra;
        extra -= usize::from(is_chosen);
        let copies = whole + usize::from(is_chosen);
        clones.extend(std::iter::repeat_n(PlannedClone { session, start_us: *start_us }, copies));
    }
    ordered(clones.into_iter())
}

/// A drawn session and its shift in units of h.
type Draw = (usize, f64);

/// The same draws serve every width, so that widths are compared on equal luck.
fn draw(captured: &Captured<'_>, multiple: Multiple, seed: Seed) -> Vec<Draw> {
    let mut draws = Draws::new(seed, PURPOSE_CROWD);
    let count = clone_count(captured, multiple);
    (0..count).map(|_| (draws.index(captured.sessions.len()), draws.normal())).collect()
}

fn shifted(captured: &Captured<'_>, draws: &[Draw], shift_s: f64) -> Vec<PlannedClone> {
    let clones = draws.iter().map(|&(session, normal)| PlannedClone {
        session,
        start_us: shift(captured.starts_us[session], normal * shift_s, captured.span_us),
    });
    ordered(clones)
}

fn instants_us(captured: &Captured<'_>, draws: &[Draw], shift_s: f64) -> Vec<u64> {
    let starts = draws.iter().map(|&(session, normal)| {
        (session, shift(captured.starts_us[session], normal * shift_s, captured.span_us))
    });
    starts.flat_map(|(session, start_us)| captured.requests_us(session, start_us)).collect()
}

/// Moves a start by `by_s` and reflects it at 0 and `span_us`.
fn shift(start_us: u64, by_s: f64, span_us: u64) -> u64 {
    let span = span_us as f64;
    let moved = (start_us as f64 + by_s * 1e6).rem_euclid(2.0 * span.max(1.0));
    let reflected = if moved > span { 2.0 * span - moved } else { moved };
    rounded_us(reflected).min(span_us)
}

/// Sum over the windows of the squared logarithm of planned over target.
fn distance(instants_us: &[u64], targets: &[Target]) -> f64 {
    let duration_us = dispersion::span_us(instants_us);
    let ratios = targets.iter().filter_map(|target| {
        let planned = dispersion(instants_us, target.window_s, duration_us)?;
        Some(planned.max(DISPERSION_MIN) / target.target.max(DISPERSION_MIN))
    });
    ratios.map(|ratio| ratio.ln().powi(2)).sum()
}

fn clone_count(captured: &Captured<'_>, multiple: Multiple) -> usize {
    count((multiple.get() * captured.sessions.len() as f64).round()).max(1)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a multiple is positive and ≤ 1000
fn count(number: f64) -> usize {
    number as usize
}

fn ordered(clones: impl Iterator<Item = PlannedClone>) -> Vec<PlannedClone> {
    let mut clones: Vec<PlannedClone> = clones.collect();
    clones.sort_by_key(|clone| (clone.start_us, clone.session));
    clones
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn starts_are_reflected_at_both_ends() {
        let shifts = [
            (2_000_000, 1.0, 3_000_000),
            (2_000_000, -3.0, 1_000_000),
            (9_000_000, 2.0, 9_000_000),
            (9_000_000, 25.0, 6_000_000),
            (0, 10.0, 10_000_000),
        ];
        for (start_us, by_s, expected_us) in shifts {
            assert_eq!(shift(start_us, by_s, 10_000_000), expected_us, "{start_us} by {by_s}");
        }
        assert_eq!(shift(0, 5.0, 0), 0);
    }

    proptest! {
        #[test]
        fn a_shifted_start_stays_within(start in 0..=1_000_000_u64, by_s in -100.0..100.0_f64) {
            prop_assert!(shift(start, by_s, 1_000_000) <= 1_000_000);
        }
    }
}
