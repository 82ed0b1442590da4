//! The frames of a clip, repeated without end.
//!
//! A *unit* is the smallest run of frames a container can end after: a WebM cluster, an Ogg page, an MP4 fragment.
//! Units lie back to back in one shared buffer. The bytes that tell a unit's place in the recording (timestamps,
//! sequence numbers, checksums) are stamped over the copy, so the buffer itself never changes.

use std::fmt::Debug;

/// Which unit of a recording is being copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Counted over the whole recording.
    pub(super) index: u64,
    /// Counted within the cycle.
    pub(super) unit: usize,
    pub(super) last: bool,
}

/// Writes what is particular to one place.
pub(super) trait Stamp: Debug + Send + Sync {
    /// Calls `put` with an offset within the unit and the bytes that belong there.
    fn stamp(&self, place: Place, put: &mut dyn FnMut(usize, &[u8]));
}

/// For formats whose frames carry neither time nor number.
#[derive(Debug)]
pub(super) struct Unstamped;

impl Stamp for Unstamped {
    fn stamp(&self, _place: Place, _put: &mut dyn FnMut(usize, &[u8])) {}
}

#[derive(Debug)]
pub(super) struct Cycle {
    bytes: Vec<u8>,
    /// Where each unit starts, and where the last one ends.
    starts: Vec<u64>,
    stamp: Box<dyn Stamp>,
}

impl Cycle {
    /// `units` is not empty, and no unit is.
    pub(super) fn new<U: AsRef<[u8]>>(units: &[U], stamp: impl Stamp + 'static) -> Self {
        let mut starts = vec![0];
        let mut bytes = Vec::new();
        for unit in units {
            assert!(!unit.as_ref().is_empty(), "a unit holds at least one frame");
            bytes.extend_from_slice(unit.as_ref());
            starts.push(bytes.len() as u64);
        }
        assert!(starts.len() > 1, "a cycle holds at least one unit");
        Self { bytes, starts, stamp: Box::new(stamp) }
    }

    fn units(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    fn cycle_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes of the first `units` units.
    pub(super) fn bytes_of(&self, units: u64) -> u64 {
        let part = in_memory(units % self.units());
        (units / self.units()) * self.cycle_bytes() + self.starts[part]
    }

    /// How many whole units fit into `bytes`.
    pub(super) fn units_within(&self, bytes: u64) -> u64 {
        let part = bytes % self.cycle_bytes();
        let whole = self.starts.partition_point(|start| *start <= part) as u64 - 1;
        (bytes / self.cycle_bytes()) * self.units() + whole
    }

    /// Fills `out` with the bytes from `offset` on of a recording of `units` units; it must not reach past its end.
    pub(super) fn copy_at(&self, units: u64, offset: u64, out: &mut [u8]) {
        let mut index = self.units_within(offset);
        let mut skip = in_memory(offset - self.bytes_of(index));
        let mut rest = out;
        while !rest.is_empty() {
            let place = Place { index, unit: in_memory(index % self.units()), last: index + 1 == units };
            let copied = self.copy_unit(place, skip, rest);
            rest = &mut rest[copied..];
            index += 1;
            skip = 0;
        }
    }

    /// Copies one unit without its first `skip` bytes, as far as `out` reaches.
    fn copy_unit(&self, place: Place, skip: usize, out: &mut [u8]) -> usize {
        let start = in_memory(self.starts[place.unit]) + skip;
        let end = in_memory(self.starts[place.unit + 1]);
        let count = (end - start).min(out.len());
        let window = &mut out[..count];
        window.copy_from_slice(&self.bytes[start..start + count]);
        self.stamp.stamp(place, &mut |at, bytes| overlay(window, skip, at, bytes));
        count
    }
}

/// Writes the part of `bytes`, which belong at `at`, that falls into `window`, which begins at `window_start`.
fn overlay(window: &mut [u8], window_start: usize, at: usize, bytes: &[u8]) {
    let first = at.max(window_start);
    let end = (at + bytes.len()).min(window_start + window.len());
    if first < end {
        window[first - window_start..end - window_start].copy_from_slice(&bytes[first - at..end - at]);
    }
}

/// An offset or a count inside a buffer that is held in memory.
fn in_memory(value: u64) -> usize {
    usize::try_from(value).expect("a clip is far smaller than the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the index into the second and third byte of each unit.
    #[derive(Debug)]
    struct Numbered;

    impl Stamp for Numbered {
        fn stamp(&self, place: Place, put: &mut dyn FnMut(usize, &[u8])) {
            let number = u8::try_from(place.index).unwrap();
            put(1, &[number, u8::from(place.last)]);
        }
    }

    fn cycle() -> Cycle {
        Cycle::new(&[&b"a..A"[..], b"b..", b"c..CC"], Numbered)
    }

    #[test]
    fn sizes_and_counts_agree_over_several_turns() {
        let cycle = cycle();
        assert_eq!([0, 1, 2, 3, 4, 6].map(|units| cycle.bytes_of(units)), [0, 4, 7, 12, 16, 24]);
        assert_eq!(
            [0, 3, 4, 6, 7, 11, 12, 15, 16].map(|bytes| cycle.units_within(bytes)),
            [0, 0, 1, 1, 2, 2, 3, 3, 4]
        );
    }

    #[test]
    fn stamps_are_cut_where_the_window_is() {
        let cycle = cycle();
        let expected = b"a\0\0Ab\x01\0c\x02\0CCa\x03\0Ab\x04\x01";
        for start in 0..expected.len() {
            for end in start..expected.len() {
                let mut window = vec![0; end - start];
                cycle.copy_at(5, start as u64, &mut window);
                assert_eq!(window, expected[start..end]);
            }
        }
    }
}
