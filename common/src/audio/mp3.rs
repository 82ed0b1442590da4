//! MP3: an ID3v2.4 tag that holds the variation and the padding, then frames of 192 bytes (64 kbit/s, 48 kHz, mono)
//! made without a bit reservoir, so that each stands alone.

use std::sync::LazyLock;

use super::cycle::{Cycle, Unstamped};
use super::recording::{Recording, fit, pad_to, variation_tag};

const CLIP: &[u8] = include_bytes!("clips/tone.mp3");
/// Five frames of 24 ms.
const UNIT_BYTES: usize = 5 * 192;
const TAG_HEAD_BYTES: usize = 10;

static FRAMES: LazyLock<Cycle> = LazyLock::new(|| {
    let units: Vec<_> = CLIP.chunks_exact(UNIT_BYTES).collect();
    Cycle::new(&units, Unstamped)
});

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    let text = variation_text(variation);
    let (units, tag_bytes) = fit(&FRAMES, bytes, text.len() + TAG_HEAD_BYTES)?;
    let mut head = b"ID3\x04\0\0".to_vec();
    head.extend(syncsafe(tag_bytes - TAG_HEAD_BYTES as u64));
    head.extend(text);
    pad_to(&mut head, tag_bytes);
    Some(Recording::with_head(head, &FRAMES, units))
}

/// A `TXXX` frame: UTF-8, a description, and the value.
fn variation_text(variation: u64) -> Vec<u8> {
    let content = [&b"\x03variation\0"[..], &variation_tag(variation)].concat();
    let mut frame = b"TXXX".to_vec();
    frame.extend(syncsafe(content.len() as u64));
    frame.extend([0, 0]);
    frame.extend(content);
    frame
}

/// 28 bits in four bytes that never look like the start of a frame (ID3v2.4 section 6.2).
fn syncsafe(value: u64) -> [u8; 4] {
    assert!(value < 1 << 28, "a tag holds no more than a few units of padding");
    [21, 14, 7, 0].map(|shift| (value >> shift).to_le_bytes()[0] & 0x7f)
}
