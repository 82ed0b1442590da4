//! AAC without a container: a tag ([`super::id3`]), then ADTS frames, each of which says its own length.

use std::sync::LazyLock;

use super::cycle::{Cycle, Unstamped};
use super::id3;
use super::recording::Recording;

const CLIP: &[u8] = include_bytes!("clips/tone.aac");
/// 21.3 ms each, at 48 kHz.
const UNIT_FRAMES: usize = 5;

static FRAMES: LazyLock<Cycle> = LazyLock::new(|| {
    let frames: Vec<_> = AdtsFrames { rest: CLIP }.collect();
    let units: Vec<_> = frames.chunks_exact(UNIT_FRAMES).map(<[&[u8]]>::concat).collect();
    Cycle::new(&units, Unstamped)
});

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    id3::tagged(&FRAMES, bytes, variation)
}

/// The frames of the clip, whole.
struct AdtsFrames {
    rest: &'static [u8],
}

impl Iterator for AdtsFrames {
    type Item = &'static [u8];

    /// The length has 13 bits, from the 31st on, and counts the head (ISO/IEC 13818-7, section 6.2).
    fn next(&mut self) -> Option<Self::Item> {
        let length = self.rest.get(3..6)?;
        let bytes =
            usize::from(length[0] & 3) << 11 | usize::from(length[1]) << 3 | usize::from(length[2]) >> 5;
        let (frame, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Some(frame)
    }
}
