//! An ID3v2.4 tag before frames that have no container: it holds the variation and the padding, and every reader of
//! such frames skips it.

use super::cycle::Cycle;
use super::recording::{Recording, fit, pad_to, variation_tag};

const TAG_HEAD_BYTES: usize = 10;

/// As many frames as fit behind a tag.
pub(super) fn tagged(frames: &'static Cycle, bytes: u64, variation: u64) -> Option<Recording> {
    let text = variation_text(variation);
    let (units, tag_bytes) = fit(frames, bytes, text.len() + TAG_HEAD_BYTES)?;
    let mut head = b"ID3\x04\0\0".to_vec();
    head.extend(syncsafe(tag_bytes - TAG_HEAD_BYTES as u64));
    head.extend(text);
    pad_to(&mut head, tag_bytes);
    Some(Recording::with_head(head, frames, units))
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
