//! `crowd`, the local session bootstrap: sessions drawn with replacement, each start moved by Normal(0, h) and
//! reflected at the capture's ends, so that the clock that users share survives and the instants of single
//! users do not. h is the width whose plan comes nearest to the dispersion that N times the users have
//! ([`super::dispersion`]).

use super::blocks::{Batch, Blocks, InOrder};
use super::dispersion::{self, DISPERSION_LIMIT, Target, WindowCounts};
use super::random::NORMAL_MAX;
use super::starts::Starts;
use super::{Plan, PlannedClone, rounded_us};
use crate::sessions::Outlines;

/// Widths to choose from, seconds; none wider than the capture.
const SHIFTS_S: [f64; 15] =
    [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Below this a dispersion is as good as none; keeps ratios finite.
const DISPERSION_MIN: f64 = 0.01;

const PURPOSE_CROWD: u64 = 1;

/// A drawn session and its shift in units of h.
type Drawn = (usize, f64);

/// The clones of a plan, in order of start.
pub(super) fn clones(plan: &Plan) -> impl Iterator<Item = PlannedClone> {
    let starts = &plan.starts;
    let blocks = blocks(plan);
    let reach_us = rounded_us(NORMAL_MAX * plan.shift_s * 1e6) + 1;
    InOrder::new(blocks.numbers().map(move |block| {
        let next = blocks.first_place(block + 1, starts.len() as u64);
        let is_last = block + 1 == blocks.numbers().end;
        let next_us = if is_last { u64::MAX } else { starts.of_session(starts.at(next)) };
        let clone = |(session, normal)| shifted(starts, session, normal * plan.shift_s);
        Batch {
            clones: drawn(starts, &blocks, block).map(clone).collect(),
            later_us: next_us.saturating_sub(reach_us),
        }
    }))
}

/// The width that comes nearest to the targets, seconds. All widths share the draws, so that they are
/// compared on equal luck. A capture too short for any target takes the narrowest.
pub(super) fn fitted_s(plan: &Plan, sessions: &Outlines) -> f64 {
    let targets = dispersion::targets(sessions, plan.multiple.get());
    let span_s = plan.starts.span_us as f64 / 1e6;
    let widths = SHIFTS_S.into_iter().filter(|shift_s| !targets.is_empty() && *shift_s <= span_s);
    let mut tried: Vec<(f64, WindowCounts)> =
        widths.map(|shift_s| (shift_s, WindowCounts::default())).collect();
    let blocks = blocks(plan);
    for (session, normal) in blocks.numbers().flat_map(|block| drawn(&plan.starts, &blocks, block)) {
        for (shift_s, counts) in &mut tried {
            counts.add_session(
                sessions.get(session),
                shifted(&plan.starts, session, normal * *shift_s).start_us,
            );
        }
    }
    let mut best = (f64::INFINITY, SHIFTS_S[0]);
    for (shift_s, counts) in &tried {
        let distance = distance(counts, &targets);
        if distance < best.0 {
            best = (distance, *shift_s);
        }
    }
    best.1
}

fn blocks(plan: &Plan) -> Blocks {
    Blocks::new(plan.users(), plan.seed, PURPOSE_CROWD)
}

fn drawn(starts: &Starts, blocks: &Blocks, block: usize) -> impl Iterator<Item = Drawn> {
    let mut draws = blocks.sequence(block);
    (0..blocks.draws(block)).map(move |_| {
        let place = blocks.place(block, starts.len() as u64, &mut draws);
        (starts.at(place), draws.normal())
    })
}

fn shifted(starts: &Starts, session: usize, by_s: f64) -> PlannedClone {
    PlannedClone { start_us: shift(starts.of_session(session), by_s, starts.span_us), session }
}

/// Moves a start by `by_s` and reflects it at 0 and `span_us`.
fn shift(start_us: u64, by_s: f64, span_us: u64) -> u64 {
    let span = span_us as f64;
    let moved = (start_us as f64 + by_s * 1e6).rem_euclid(2.0 * span.max(1.0));
    let reflected = if moved > span { 2.0 * span - moved } else { moved };
    rounded_us(reflected).min(span_us)
}

/// How far the planned indices are from the targets, over all windows.
fn distance(counts: &WindowCounts, targets: &[Target]) -> f64 {
    let span_us = counts.span_us();
    let off = targets.iter().filter_map(|target| {
        let planned = counts.dispersion(target.window_s, span_us)?;
        Some(off(planned, target.target, dispersion::window_count(span_us, target.window_s)?))
    });
    off.sum()
}

/// The square of how many times too large or too small an index is, less 1, in units of what passes and of what so
/// many windows tell by chance (the variance of the index's logarithm is about 2 / (n − 1)). Else the few long windows
/// of a short capture would decide by their noise.
fn off(planned: f64, wanted: f64, windows: u64) -> f64 {
    let (planned, wanted) = (planned.max(DISPERSION_MIN), wanted.max(DISPERSION_MIN));
    let off = (planned / wanted).max(wanted / planned) - 1.0;
    off * off / (DISPERSION_LIMIT * DISPERSION_LIMIT + 2.0 / (windows as f64 - 1.0))
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

    #[test]
    fn the_noise_of_a_few_long_windows_does_not_choose_the_width() {
        let narrow = off(24.3, 14.9, 40) + off(16.3, 2.53, 4);
        let fitting = off(14.9, 14.9, 40) + off(16.7, 2.53, 4);
        assert!(fitting < narrow, "{fitting} {narrow}");
    }

    proptest! {
        #[test]
        fn a_shifted_start_stays_within_the_capture_and_the_shift(
            start in 0..=1_000_000_u64, by_s in -100.0..100.0_f64,
        ) {
            let shifted = shift(start, by_s, 1_000_000);
            prop_assert!(shifted <= 1_000_000);
            prop_assert!(shifted.abs_diff(start) <= rounded_us(by_s.abs() * 1e6) + 1);
        }
    }
}
