//! The arrival curve of an upload in at most 64 points.
//!
//! Points are kept until there are twice as many, then thinned to the bound by taking away, one after
//! the other, the point whose loss changes the curve least (Visvalingam and Whyatt, 1993: least area of
//! the triangle with its neighbours). The first and last points always stay, so the total size and
//! duration are exact, and memory is bounded however long the upload.

use crate::exchange::PacingPoint;

/// Points of a curve at most.
pub const POINTS_MAX: usize = 64;

/// The curve of one upload while it arrives.
#[derive(Debug, Default)]
pub struct PacingCurve {
    points: Vec<PacingPoint>,
}

impl PacingCurve {
    /// `bytes` of the body, all in all, had arrived `at_us` after the headers.
    pub fn note(&mut self, at_us: u64, bytes: u64) {
        self.points.push(PacingPoint { at_us, bytes });
        if self.points.len() >= 2 * POINTS_MAX {
            thin(&mut self.points);
        }
    }

    pub fn into_points(mut self) -> Vec<PacingPoint> {
        thin(&mut self.points);
        self.points
    }
}

fn thin(points: &mut Vec<PacingPoint>) {
    while points.len() > POINTS_MAX {
        let least = (1..points.len() - 1).min_by(|a, b| area(points, *a).total_cmp(&area(points, *b)));
        let Some(least) = least else { return };
        points.remove(least);
    }
}

/// Twice the area of the triangle that a point makes with its neighbours, µs × bytes.
fn area(points: &[PacingPoint], at: usize) -> f64 {
    let [before, point, after] =
        [at - 1, at, at + 1].map(|i| (points[i].at_us as f64, points[i].bytes as f64));
    ((point.0 - before.0) * (after.1 - before.1) - (after.0 - before.0) * (point.1 - before.1)).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: impl IntoIterator<Item = (u64, u64)>) -> Vec<PacingPoint> {
        let mut curve = PacingCurve::default();
        points.into_iter().for_each(|(at_us, bytes)| curve.note(at_us, bytes));
        curve.into_points()
    }

    #[test]
    fn a_short_upload_is_kept_as_it_was() {
        assert_eq!(curve([(10, 65_536), (20, 100_000)]).len(), 2);
        assert!(curve([]).is_empty());
    }

    #[test]
    fn a_long_upload_keeps_its_ends_and_its_stall() {
        let stalled = |n: u64| (if n < 500 { n * 1_000 } else { n * 1_000 + 5_000_000 }, n * 1_400);
        let points = curve((1..=1_000).map(stalled));
        assert_eq!(points.len(), POINTS_MAX);
        assert_eq!((points[0].bytes, points[POINTS_MAX - 1].bytes), (1_400, 1_400_000));
        let longest_us = points.windows(2).map(|pair| pair[1].at_us - pair[0].at_us).max().unwrap();
        assert!((5_000_000..5_050_000).contains(&longest_us), "the stall of 5 s is still one: {longest_us}");
        assert!(
            points.windows(2).all(|pair| pair[0].at_us <= pair[1].at_us && pair[0].bytes <= pair[1].bytes)
        );
    }
}
