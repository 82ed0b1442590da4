//! A straight piece of an arrival curve, stretched over arrivals for as long as it stays near each of them.

/// An arrival that may become a point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vertex {
    pub(super) at_us: u64,
    pub(super) bytes: u64,
    /// How far arrivals are, at most, from the chord that ends here.
    pub(super) error_us: u64,
}

/// From one arrival to a later one. What it replaces are shorter chords, each with an error of its own; between
/// two arrivals that follow one another there is nothing, so that error is 0.
///
/// Invariant: it passes no further than the bound from any arrival that it covers.
#[derive(Debug)]
pub(super) struct Chord {
    from: Vertex,
    /// The end, with the error of the *last* chord that it replaces.
    pub(super) to: Vertex,
    /// It replaces more than one.
    is_joined: bool,
    /// µs per byte that keep it near what it covers, but for its end.
    slope_min: f64,
    slope_max: f64,
}

impl Vertex {
    pub(super) fn exact(at_us: u64, bytes: u64) -> Self {
        Self { at_us, bytes, error_us: 0 }
    }
}

impl Chord {
    /// `to` is a later byte than `from`.
    pub(super) fn new(from: Vertex, to: Vertex) -> Self {
        Self { from, to, is_joined: false, slope_min: f64::NEG_INFINITY, slope_max: f64::INFINITY }
    }

    /// Ends at `next` from now on, if that keeps the bound; the arrivals before it now are those up to `to`, and
    /// those of the chord from `to` to `next`. Near both ends of a chord is near all of it.
    pub(super) fn reaches(&mut self, next: Vertex, bound_us: u64) -> bool {
        let room_us = bound_us.saturating_sub(self.to.error_us.max(next.error_us)) as f64;
        let slope_min = self.slope_min.max(self.slope(self.to, -room_us));
        let slope_max = self.slope_max.min(self.slope(self.to, room_us));
        let slope = self.slope(next, 0.0);
        // Neither the arrivals nor the chord leave its span, and both only grow.
        let is_short = next.at_us - self.from.at_us <= bound_us;
        if !is_short && !(slope_min..=slope_max).contains(&slope) {
            return false;
        }
        (self.to, self.is_joined, self.slope_min, self.slope_max) = (next, true, slope_min, slope_max);
        true
    }

    /// Its end as a point of the curve.
    pub(super) fn end(&self, bound_us: u64) -> Vertex {
        let span_us = self.to.at_us - self.from.at_us;
        let error_us = if self.is_joined { bound_us.min(span_us) } else { self.to.error_us };
        Vertex { error_us, ..self.to }
    }

    /// To a vertex moved by `by_us`.
    fn slope(&self, to: Vertex, by_us: f64) -> f64 {
        ((to.at_us - self.from.at_us) as f64 + by_us) / (to.bytes - self.from.bytes) as f64
    }
}

/// Joins neighbouring chords where one within the bound can stand for them. Both ends stay.
pub(super) fn join(points: &mut Vec<Vertex>, bound_us: u64) {
    let [first, second, ..] = points[..] else { return };
    let (mut chord, mut kept) = (Chord::new(first, second), 1);
    for index in 2..points.len() {
        let next = points[index];
        if !chord.reaches(next, bound_us) {
            points[kept] = chord.end(bound_us);
            kept += 1;
            chord = Chord::new(chord.to, next);
        }
    }
    points[kept] = chord.end(bound_us);
    points.truncate(kept + 1);
}
