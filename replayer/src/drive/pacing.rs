//! The recorded curve of an upload, as a rule for when bytes may go out.
//!
//! Between two points of the curve the bytes are taken to have come evenly: the capture keeps at most 64
//! points, chosen to keep the shape. A byte may never go out before the curve; it may go out late when
//! the target takes it late. Pure: time comes in as microseconds since the body's start.

use std::time::Duration;

use kingtide_common::exchange::{Exchange, PacingPoint};

/// A body whose last byte came this soon after the headers was not paced by anything worth repeating.
const UNPACED_US: u64 = 5_000;
/// Bytes that are worth waking up for, at most.
const QUANTUM_BYTES_MAX: u64 = 16 * 1024;
const QUANTUM_BYTES_MIN: u64 = 1024;
/// Wakes for the same body are at least this far apart.
const QUANTUM_US_MIN: u64 = 1_000;

/// The curve of one body, scaled to the bytes that will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pacing {
    points: Vec<PacingPoint>,
    quantum_bytes: u64,
}

/// How long the captured client took to send its body.
pub(super) fn span_us(exchange: &Exchange) -> u64 {
    exchange.pacing.last().map_or(0, |last| last.at_us)
}

impl Pacing {
    /// `None` when the body may go out as fast as the target takes it.
    pub(super) fn new(recorded: &[PacingPoint], body_bytes: u64) -> Option<Self> {
        let last = recorded.last().filter(|last| last.at_us > UNPACED_US && last.bytes > 0)?;
        let scale = |point: &PacingPoint| PacingPoint {
            at_us: point.at_us,
            bytes: scaled(point.bytes, body_bytes, last.bytes),
        };
        let quantum_bytes = (body_bytes / 64).clamp(QUANTUM_BYTES_MIN, QUANTUM_BYTES_MAX);
        Some(Self { points: recorded.iter().map(scale).collect(), quantum_bytes })
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
        self.due_us(sent_bytes + self.quantum_bytes).max(now_us + QUANTUM_US_MIN)
    }

    /// When the first `bytes` may all have gone out: the inverse of [`Pacing::allowed_bytes`].
    fn due_us(&self, bytes: u64) -> u64 {
        let next = self.points.partition_point(|point| point.bytes < bytes);
        let from = self.point_before(next);
        self.points.get(next).map_or(from.at_us, |to| {
            let span_us = to.at_us - from.at_us;
            from.at_us + scaled(bytes - from.bytes, span_us, to.bytes - from.bytes)
        })
    }

    fn point_before(&self, index: usize) -> PacingPoint {
        let origin = PacingPoint { at_us: 0, bytes: 0 };
        index.checked_sub(1).map_or(origin, |before| self.points[before])
    }
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
