//! The arrival curve of an upload in at most 64 points, with a bound on its error.
//!
//! A point says *which byte came when*: byte number `bytes` (from 1) arrived `at_us` after the headers.
//! Between two points the bytes are taken to have come evenly ([`due_us`]); so a stall is an edge of one byte,
//! from the last before it to the first after it, and nothing is made up within it. The points are taken
//! from the arrivals themselves: first and last byte of the pieces that were read. The very first and the very
//! last instant are exact.
//!
//! The error is measured in time, for each byte, because that is what a receiver's timeouts see: how much
//! earlier or later than it came does the curve say that byte k came? **At most 4 % of the time from the first
//! byte to the last, or 1 ms, whichever is more** ([`error_us_max`]), for every byte of every upload; then no
//! stall is longer or shorter by more than twice that. It is what the worst arrivals cost; most curves need
//! far less.
//!
//! How: one pass stretches a chord from the last point over the arrivals for as long as it stays within the
//! bound of each of them (a cone of slopes that narrows, as in O'Rourke, "An on-line algorithm for fitting
//! straight lines between data ranges", CACM 24(9), 1981; its ends are arrivals here). At 128 points the
//! chords are themselves joined in the same way, the bound raised by a quarter until 64 are enough. Each
//! point carries the error of its chord, so errors never add up beyond the bound. Why 4 %: arrivals only grow, so
//! a chord that lasts no longer than the bound is within it whatever happens in between. Had 65 points not
//! sufficed, each two chords would last longer than the bound, and 32 such pairs longer than the upload; so the
//! bound that failed is below 1/32 of it, and the one a quarter above below 1/25.
//!
//! Memory is bounded however long the upload: 128 points of 24 bytes. A piece costs 30 to 60 ns, joining
//! included, 100 at worst (`cargo bench -p kingtide-common --bench pacing`).

mod chord;

use self::chord::{Chord, Vertex};
use crate::exchange::PacingPoint;

/// Points of a curve at most.
pub const POINTS_MAX: usize = 64;
/// Points while it arrives, at most.
const BUFFERED_MAX: usize = 2 * POINTS_MAX;
/// Errors up to this are always accepted: a replay does not wake up more often than that.
const ERROR_US_MIN: u64 = 1_000;
/// The bound is below this part of the upload's span; see the module.
const SPAN_PER_ERROR: u64 = 25;

/// How far, at most, a recorded curve is from the arrival of any byte.
pub fn error_us_max(points: &[PacingPoint]) -> u64 {
    let (first, last) = (points.first(), points.last());
    let span_us = first.zip(last).map_or(0, |(first, last)| last.at_us.saturating_sub(first.at_us));
    (span_us / SPAN_PER_ERROR).max(ERROR_US_MIN)
}

/// When byte number `byte` (from 1) came according to a curve, rounded up; what is beyond its end, with its end.
/// The curve begins with no byte at 0 and must never decrease.
pub fn due_us(points: &[PacingPoint], byte: u64) -> u64 {
    let next = points.partition_point(|point| point.bytes < byte);
    let from = next.checked_sub(1).map_or(PacingPoint { at_us: 0, bytes: 0 }, |before| points[before]);
    let Some(to) = points.get(next) else { return from.at_us };
    let product = u128::from(byte - from.bytes) * u128::from(to.at_us - from.at_us);
    let after_us = product.div_ceil(u128::from(to.bytes - from.bytes));
    from.at_us + u64::try_from(after_us).unwrap_or(u64::MAX)
}

/// The curve of one upload while it arrives.
#[derive(Debug)]
pub struct PacingCurve {
    /// Ends of closed chords.
    points: Vec<Vertex>,
    /// From the last point to what arrived last.
    chord: Option<Chord>,
    bound_us: u64,
}

impl Default for PacingCurve {
    fn default() -> Self {
        Self { points: Vec::new(), chord: None, bound_us: ERROR_US_MIN }
    }
}

impl PacingCurve {
    /// `bytes` of the body, all in all, had arrived `at_us` after the headers.
    pub fn note(&mut self, at_us: u64, bytes: u64) {
        let Some(before) = self.last() else { return self.begin(at_us, bytes) };
        if bytes <= before.bytes {
            return;
        }
        let at_us = at_us.max(before.at_us);
        if bytes - before.bytes > 1 {
            self.extend(Vertex::exact(at_us, before.bytes + 1));
        }
        self.extend(Vertex::exact(at_us, bytes));
    }

    pub fn into_points(mut self) -> Vec<PacingPoint> {
        if let Some(chord) = self.chord.take() {
            self.points.push(chord.end(self.bound_us));
            self.thin();
        }
        self.points.iter().map(|point| PacingPoint { at_us: point.at_us, bytes: point.bytes }).collect()
    }

    fn last(&self) -> Option<Vertex> {
        self.chord.as_ref().map(|chord| chord.to).or_else(|| self.points.last().copied())
    }

    /// The first piece. Most bodies come whole with their headers, and are one point.
    fn begin(&mut self, at_us: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let is_at_once = at_us <= ERROR_US_MIN;
        self.points.push(Vertex::exact(at_us, if is_at_once { bytes } else { 1 }));
        self.note(at_us, bytes);
    }

    fn extend(&mut self, next: Vertex) {
        let Some(chord) = &mut self.chord else {
            self.chord = self.points.last().map(|from| Chord::new(*from, next));
            return;
        };
        if chord.reaches(next, self.bound_us) {
            return;
        }
        self.points.push(chord.end(self.bound_us));
        *chord = Chord::new(chord.to, next);
        if self.points.len() >= BUFFERED_MAX {
            self.thin();
        }
    }

    /// Raises the bound until the points are few enough.
    fn thin(&mut self) {
        if self.points.len() <= POINTS_MAX {
            return;
        }
        chord::join(&mut self.points, self.bound_us);
        while self.points.len() > POINTS_MAX {
            self.bound_us += self.bound_us / 4;
            chord::join(&mut self.points, self.bound_us);
        }
    }
}

#[cfg(test)]
mod tests;
