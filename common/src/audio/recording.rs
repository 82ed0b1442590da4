//! One recording laid out: a head and a tail of its own around the repeated frames.

use std::sync::Arc;

use super::cycle::Cycle;

/// No recording is longer: 1 TiB, below which no sequence number of any format wraps.
pub(super) const BYTES_MAX: u64 = 1 << 40;

/// What makes two recordings of one size differ, in digits because some readers look for frames in binary padding.
pub(super) fn variation_tag(variation: u64) -> [u8; TAG_BYTES] {
    let digits = format!("{variation:016x}");
    digits.as_bytes().try_into().expect("64 bits are 16 hexadecimal digits")
}

pub(super) const TAG_BYTES: usize = 16;

/// Adds zeros until `bytes` has the given length, which it must not exceed.
pub(super) fn pad_to(bytes: &mut Vec<u8>, length: u64) {
    let length = usize::try_from(length).expect("padding stays below a few units");
    assert!(bytes.len() <= length, "the padding was chosen to hold its own head");
    bytes.resize(length, 0);
}

#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) head: Arc<[u8]>,
    pub(super) frames: &'static Cycle,
    pub(super) units: u64,
    pub(super) tail: Arc<[u8]>,
}

impl Recording {
    /// The common case: padding belongs to the head, which ends where the frames begin.
    pub(super) fn with_head(head: Vec<u8>, frames: &'static Cycle, units: u64) -> Self {
        Self { head: head.into(), frames, units, tail: [].into() }
    }

    /// Fills `out` with the bytes from `offset` on; it must not reach past the end.
    pub(super) fn copy_at(&self, offset: u64, out: &mut [u8]) {
        let mut window = Window { offset, out };
        window.section(self.head.len() as u64, |from, out| copy_slice(&self.head, from, out));
        window.section(self.frames.bytes_of(self.units), |from, out| {
            self.frames.copy_at(self.units, from, out);
        });
        window.section(self.tail.len() as u64, |from, out| copy_slice(&self.tail, from, out));
    }
}

/// How many units fit beside `fixed_bytes` of everything else, if any, and the bytes left for head and padding.
pub(super) fn fit(frames: &Cycle, bytes: u64, fixed_bytes: usize) -> Option<(u64, u64)> {
    let room = bytes.checked_sub(fixed_bytes as u64).filter(|_| bytes <= BYTES_MAX)?;
    let units = frames.units_within(room);
    (units > 0).then(|| (units, bytes - frames.bytes_of(units)))
}

/// What is still to be filled, seen from the section at hand.
struct Window<'a> {
    offset: u64,
    out: &'a mut [u8],
}

impl Window<'_> {
    fn section(&mut self, section_bytes: u64, fill: impl FnOnce(u64, &mut [u8])) {
        let Some(left) = section_bytes.checked_sub(self.offset).filter(|left| *left > 0) else {
            self.offset -= section_bytes;
            return;
        };
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.out.len());
        let (now, later) = std::mem::take(&mut self.out).split_at_mut(count);
        fill(self.offset, now);
        self.out = later;
        self.offset = 0;
    }
}

fn copy_slice(section: &[u8], from: u64, out: &mut [u8]) {
    let from = usize::try_from(from).expect("an offset within a section held in memory");
    out.copy_from_slice(&section[from..from + out.len()]);
}
