//! Fragmented MP4 with AAC, as Safari's `MediaRecorder` sends it: `ftyp`, `moov`, a `free` box as padding, and then
//! pairs of `moof` and `mdat`. Offsets in a fragment count from its own start, so a fragment can stand anywhere once
//! its number (`mfhd`) and its decode time (`tfdt`) are right.

use std::sync::LazyLock;

use super::cycle::{Cycle, Place, Stamp};
use super::recording::{Recording, TAG_BYTES, fit, pad_to, variation_tag};

const CLIP: &[u8] = include_bytes!("clips/tone.mp4");
const UNITS: usize = 20;
/// Five frames of 1,024 samples, in the track's timescale of 48 kHz.
const UNIT_TICKS: u64 = 5 * 1_024;
const BOX_HEAD_BYTES: usize = 8;
/// In each fragment: head of `moof`, head, version and flags of `mfhd`.
const NUMBER_AT: usize = 8 + 8 + 4;
/// Further: the number itself, head of `traf`, the `tfhd` of 28 bytes, head, version and flags of `tfdt`.
const TIME_AT: usize = NUMBER_AT + 4 + 8 + 28 + 8 + 4;

static CLIP_PARTS: LazyLock<Parts> = LazyLock::new(Parts::read);

struct Parts {
    /// `ftyp` and `moov`.
    head: &'static [u8],
    frames: Cycle,
}

#[derive(Debug)]
struct Fragment;

impl Stamp for Fragment {
    fn stamp(&self, place: Place, put: &mut dyn FnMut(usize, &[u8])) {
        let number = u32::try_from(place.index + 1).expect("no recording has so many fragments");
        put(NUMBER_AT, &number.to_be_bytes());
        put(TIME_AT, &(place.index * UNIT_TICKS).to_be_bytes());
    }
}

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    let Parts { head: clip_head, frames } = &*CLIP_PARTS;
    let (units, head_bytes) = fit(frames, bytes, clip_head.len() + BOX_HEAD_BYTES + TAG_BYTES)?;
    let free_bytes = u32::try_from(head_bytes - clip_head.len() as u64).ok()?;
    let mut head = clip_head.to_vec();
    head.extend(free_bytes.to_be_bytes());
    head.extend(b"free");
    head.extend(variation_tag(variation));
    pad_to(&mut head, head_bytes);
    Some(Recording::with_head(head, frames, units))
}

impl Parts {
    fn read() -> Self {
        let boxes: Vec<_> = Boxes { rest: CLIP }.collect();
        let head_bytes: usize =
            boxes.iter().take_while(|(kind, _)| kind != b"moof").map(|(_, b)| b.len()).sum();
        let fragments: Vec<_> = boxes.iter().filter(|(kind, _)| kind == b"moof" || kind == b"mdat").collect();
        let units: Vec<_> =
            fragments.chunks_exact(2).take(UNITS).map(|pair| [pair[0].1, pair[1].1].concat()).collect();
        Self { head: &CLIP[..head_bytes], frames: Cycle::new(&units, Fragment) }
    }
}

/// The boxes of the clip at its top level: kind, and the box with its head.
struct Boxes {
    rest: &'static [u8],
}

impl Iterator for Boxes {
    type Item = ([u8; 4], &'static [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (size, after) = self.rest.split_first_chunk()?;
        let (whole, rest) = self.rest.split_at(u32::from_be_bytes(*size) as usize);
        self.rest = rest;
        Some((*after.first_chunk()?, whole))
    }
}
