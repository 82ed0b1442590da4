//! The curve of an upload, recorded or made ([`super::uplink`]), as a rule for when bytes may go out.
//!
//! Between two points of the curve the bytes are taken to have come evenly; how far that is from how they came
//! `kingtide_common::pacing` says. A byte may never go out before the curve. It may go out late: when the target
//! takes it late, and by what is gained from waking up for several bytes at once, which is at most
//! [`HELD_US_MAX`]. The last bytes before a point are not held, so a stall keeps its length, and one recorded as
//! such (a step of one byte) is a stall whatever the body's size is now. Pure: time comes in as microseconds since
//! the body's start.

use std::time::Duration;

use kingtide_common::exchange::PacingPoint;
use kingtide_common::pacing;

/// A body whose last byte came this soon after the headers was not paced by anything worth repeating.
const UNPACED_US: u64 = 5_000;
/// Bytes that are worth waking up for, at most.
const QUANTUM_BYTES_MAX: u64 = 16 * 1024;
const QUANTUM_BYTES_MIN: u64 = 1024;
/// Wakes for the same body are at least this far apart.
const QUANTUM_US_MIN: u64 = 1_000;
/// No byte waits longer for others to go with it: far below the timeouts of edges, which are whole seconds.
const HELD_US_MAX: u64 = 250_000;

/// The curve of one body, scaled to the bytes that will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pacing {
    points: Vec<PacingPoint>,
    quantum_bytes: u64,
}

impl Pacing {
    /// `None` when the body may go out as fast as the target takes it.
    pub(super) fn new(recorded: &[PacingPoint], body_bytes: u64) -> Option<Self> {
        let last = recorded.last().filter(|last| last.at_us > UNPACED_US && last.bytes > 0)?;
        let quantum_bytes = (body_bytes / 64).clamp(QUANTUM_BYTES_MIN, QUANTUM_BYTES_MAX);
        Some(Self { points: stretched(recorded, body_bytes, last.bytes), quantum_bytes })
    }

    /// From the first byte to the last, when the target takes them as they come.
    pub(super) fn span(&self) -> Duration {
        Duration::from_micros(self.points.last().map_or(0, |last| last.at_us))
    }

    /// Bytes that may have gone out `at_us` after the body's start.
    pub(super) fn allowed_bytes(&self, at_us: u64) -> u64 {
        let next = self.points.partition_point(|point| point.at_us <= at_us);
        let from = self.point_before(next);
        self.points.get(next).map_or(u64::MAX, |to| {
            let bytes = scaled(at_us - from.at_us, to.bytes - from.bytes, to.at_us - from.at_us);
            from.bytes + bytes
        })
    }

    /// When it is worth waking up after `sent_bytes` have gone out at `now_us`.
    pub(super) fn wake_us(&self, sent_bytes: u64, now_us: u64) -> u64 {
        let next_point = self.points.partition_point(|point| point.bytes <= sent_bytes);
        let to_point = self.points.get(next_point).map_or(u64::MAX, |point| point.bytes);
        let in_time = self.allowed_bytes(self.due_us(sent_bytes + 1).saturating_add(HELD_US_MAX));
        let worth_it = (sent_bytes + self.quantum_bytes).min(to_point).min(in_time);
        self.due_us(worth_it).max(now_us + QUANTUM_US_MIN)
    }

    /// When the first `bytes` may all have gone out: the inverse of [`Pacing::allowed_bytes`].
    fn due_us(&self, bytes: u64) -> u64 {
        pacing::due_us(&self.points, bytes)
    }

    fn point_before(&self, index: usize) -> PacingPoint {
        let origin = PacingPoint { at_us: 0, bytes: 0 };
        index.checked_sub(1).map_or(origin, |before| self.points[before])
    }
}

/// The curve for `body_bytes` instead of `recorded_bytes`, in the same time.
fn stretched(recorded: &[PacingPoint], body_bytes: u64, recorded_bytes: u64) -> Vec<PacingPoint> {
    let (mut points, mut before) = (Vec::with_capacity(recorded.len()), PacingPoint { at_us: 0, bytes: 0 });
    for point in recorded {
        let bytes_at = |point: &PacingPoint| scaled(point.bytes, body_bytes, recorded_bytes);
        // Stretched, the one byte might become two, and one of them would come amid the stall.
        if point.bytes == before.bytes + 1 {
            points.push(PacingPoint { at_us: point.at_us, bytes: bytes_at(&before) });
        }
        points.push(PacingPoint { at_us: point.at_us, bytes: bytes_at(point) });
        before = *point;
    }
    points
}

/// `value × numerator / denominator`, rounded down; 0 over 0 is 0.
fn scaled(value: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(value) * u128::from(numerator);
    u64::try_from(product / u128::from(denominator.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(points: &[(u64, u64)]) -> Vec<PacingPoint> {
        points.iter().map(|&(at_us, bytes)| PacingPoint { at_us, bytes }).collect()
    }

    #[test]
    fn a_quick_body_is_not_paced() {
        assert_eq!(Pacing::new(&[], 1000), None);
        assert_eq!(Pacing::new(&curve(&[(4_999, 1000)]), 1000), None);
        assert!(Pacing::new(&curve(&[(5_001, 1000)]), 1000).is_some());
    }

    #[test]
    fn bytes_follow_the_curve() {
        let pacing = Pacing::new(&curve(&[(0, 100), (10_000, 100), (20_000, 1100)]), 1100).unwrap();
        let allowed = [0, 5_000, 10_000, 15_000, 19_999].map(|at_us| pacing.allowed_bytes(at_us));
        assert_eq!(allowed, [100, 100, 100, 600, 1099]);
        assert!(pacing.allowed_bytes(20_000) >= 1100);
        assert_eq!(
            [1, 100, 600, 1100, 5000].map(|bytes| pacing.due_us(bytes)),
            [0, 0, 15_000, 20_000, 20_000]
        );
    }

    #[test]
    fn the_curve_stretches_to_the_body_that_is_sent() {
        let pacing = Pacing::new(&curve(&[(10_000, 500), (20_000, 1000)]), 2000).unwrap();
        assert_eq!(pacing.allowed_bytes(10_000), 1000);
        assert!(pacing.allowed_bytes(20_000) >= 2000);
    }

    #[test]
    fn a_byte_a_second_goes_out_a_second_apart() {
        let pacing = Pacing::new(&curve(&[(1_000_000, 1), (60_000_000, 60)]), 60).unwrap();
        let mut now_us = pacing.wake_us(0, 0);
        for second in 1..=60 {
            assert_eq!((now_us, pacing.allowed_bytes(now_us).min(60)), (second * 1_000_000, second));
            now_us = pacing.wake_us(second, now_us);
        }
    }

    #[test]
    fn a_stall_stays_empty_in_a_larger_body_and_what_came_before_it_is_not_held() {
        let recorded = curve(&[(10_000, 100), (61_000_000, 101), (61_000_000, 1000)]);
        for body_bytes in [500, 1000, 1001, 7777] {
            let pacing = Pacing::new(&recorded, body_bytes).unwrap();
            let before = body_bytes / 10;
            let stalled = [10_000, 30_000_000, 60_999_999].map(|at_us| pacing.allowed_bytes(at_us));
            assert_eq!(stalled, [before; 3], "{body_bytes}");
            assert_eq!(pacing.wake_us(before - 1, 5_000), 10_000);
            assert_eq!(pacing.wake_us(before, 10_000), 61_000_000);
        }
    }

    #[test]
    fn no_byte_waits_long_for_others() {
        let pacing = Pacing::new(&curve(&[(100_000_000, 100_000)]), 100_000).unwrap();
        assert_eq!(pacing.wake_us(0, 0), 1_000 + HELD_US_MAX);
    }

    prop_compose! {
        fn any_curve()(steps in prop::collection::vec((0_u64..200_000, 0_u64..500_000), 1..64)) -> Vec<PacingPoint> {
            steps.iter().scan((0, 0), |sum, step| {
                *sum = (sum.0 + step.0, sum.1 + step.1);
                Some(PacingPoint { at_us: sum.0, bytes: sum.1 })
            }).collect()
        }
    }

    proptest! {
        #[test]
        fn every_body_ends_with_its_curve_and_never_runs_ahead(points in any_curve(), body_bytes in 1_u64..3_000_000) {
            let last_us = points.last().map_or(0, |point| point.at_us);
            let Some(pacing) = Pacing::new(&points, body_bytes) else { return Ok(()) };
            prop_assert!(pacing.allowed_bytes(last_us) >= body_bytes);
            let (mut now_us, mut sent, mut wakes) = (0, pacing.allowed_bytes(0), 0);
            while sent < body_bytes {
                let wake_us = pacing.wake_us(sent, now_us);
                prop_assert!(wake_us > now_us);
                prop_assert!(pacing.allowed_bytes(wake_us) >= sent);
                (now_us, sent, wakes) = (wake_us, pacing.allowed_bytes(wake_us), wakes + 1);
            }
            prop_assert!(now_us <= last_us + QUANTUM_US_MIN);
            prop_assert!(wakes <= 3_000, "{} wakes", wakes);
        }
    }
}
