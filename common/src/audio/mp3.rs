//! MP3: a tag ([`super::id3`]), then frames of 192 bytes (64 kbit/s, 48 kHz, mono) made without a bit reservoir, so
//! that each stands alone.

use std::sync::LazyLock;

use super::cycle::{Cycle, Unstamped};
use super::id3;
use super::recording::Recording;

const CLIP: &[u8] = include_bytes!("clips/tone.mp3");
/// Five frames of 24 ms.
const UNIT_BYTES: usize = 5 * 192;

static FRAMES: LazyLock<Cycle> = LazyLock::new(|| {
    let units: Vec<_> = CLIP.chunks_exact(UNIT_BYTES).collect();
    Cycle::new(&units, Unstamped)
});

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    id3::tagged(&FRAMES, bytes, variation)
}
