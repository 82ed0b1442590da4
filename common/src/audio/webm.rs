//! WebM with Opus: EBML header, one `Segment` of known size with `Info`, `Tracks`, a `Void` as padding, and clusters.
//! The clusters are the clip's blocks in a frame of our own, with a time of fixed width that can be stamped.

use std::sync::LazyLock;

use super::cycle::{Cycle, Place, Stamp};
use super::recording::{Recording, TAG_BYTES, fit, pad_to, variation_tag};

const CLIP: &[u8] = include_bytes!("clips/tone.webm");
/// The clip's first cluster is a frame short; the ones from the second on hold five frames each.
const UNITS_SKIPPED: usize = 1;
const UNITS: usize = 20;
const UNIT_MS: u64 = 100;

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const MUXING_APP: u32 = 0x4d80;
const WRITING_APP: u32 = 0x5741;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const VOID: u32 = 0xec;

/// We write all sizes in eight bytes: 56 bits under a first byte of 1.
const SIZE_BYTES: usize = 8;
/// In each cluster: its identifier and size, identifier and size of the timestamp.
const TIME_AT: usize = 4 + SIZE_BYTES + 1 + SIZE_BYTES;

static CLIP_PARTS: LazyLock<Parts> = LazyLock::new(Parts::read);

struct Parts {
    ebml: Vec<u8>,
    tracks: Vec<u8>,
    frames: Cycle,
}

#[derive(Debug)]
struct ClusterTime;

impl Stamp for ClusterTime {
    fn stamp(&self, place: Place, put: &mut dyn FnMut(usize, &[u8])) {
        put(TIME_AT, &(place.index * UNIT_MS).to_be_bytes());
    }
}

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    let Parts { ebml, tracks, frames } = &*CLIP_PARTS;
    let segment_at = ebml.len() + id(SEGMENT).len() + SIZE_BYTES;
    let void_head_bytes = id(VOID).len() + SIZE_BYTES;
    let before_void_bytes = segment_at + info(0).len() + tracks.len();
    let (units, head_bytes) = fit(frames, bytes, before_void_bytes + void_head_bytes + TAG_BYTES)?;
    let mut head = ebml.clone();
    head.extend(element_head(SEGMENT, bytes - segment_at as u64));
    head.extend(info(units * UNIT_MS));
    head.extend(tracks);
    head.extend(element_head(VOID, head_bytes - (before_void_bytes + void_head_bytes) as u64));
    head.extend(variation_tag(variation));
    pad_to(&mut head, head_bytes);
    Some(Recording::with_head(head, frames, units))
}

/// Times are in milliseconds.
fn info(duration_ms: u64) -> Vec<u8> {
    let nanoseconds_per_tick = 1_000_000_u32;
    let content = [
        element(TIMESTAMP_SCALE, &nanoseconds_per_tick.to_be_bytes()),
        element(MUXING_APP, b"kingtide"),
        element(WRITING_APP, b"kingtide"),
        element(DURATION, &(duration_ms as f64).to_be_bytes()),
    ];
    element(INFO, &content.concat())
}

fn element(element_id: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = element_head(element_id, content.len() as u64);
    bytes.extend(content);
    bytes
}

fn element_head(element_id: u32, content_bytes: u64) -> Vec<u8> {
    let mut head = id(element_id);
    head.extend((content_bytes | 1 << 56).to_be_bytes());
    head
}

/// Identifiers are written as they are read: without leading zeros.
fn id(element_id: u32) -> Vec<u8> {
    element_id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}

impl Parts {
    fn read() -> Self {
        let segment = find(CLIP, SEGMENT);
        let blocks =
            Elements { rest: segment }.filter(|(id, _)| *id == CLUSTER).map(|(_, cluster)| blocks(cluster));
        let units: Vec<_> = blocks.skip(UNITS_SKIPPED).take(UNITS).map(|blocks| cluster(&blocks)).collect();
        Self {
            ebml: element(EBML, find(CLIP, EBML)),
            tracks: element(TRACKS, find(segment, TRACKS)),
            frames: Cycle::new(&units, ClusterTime),
        }
    }
}

fn find(content: &'static [u8], wanted: u32) -> &'static [u8] {
    let found = Elements { rest: content }.find(|(id, _)| *id == wanted);
    found.expect("the clip has the elements of every WebM file").1
}

/// Blocks tell their time relative to their cluster, so they move as they are.
fn blocks(cluster: &'static [u8]) -> Vec<u8> {
    let blocks = Elements { rest: cluster }.filter(|(id, _)| *id == SIMPLE_BLOCK);
    blocks.flat_map(|(id, block)| element(id, block)).collect()
}

fn cluster(blocks: &[u8]) -> Vec<u8> {
    let unstamped = element(TIMESTAMP, &[0; 8]);
    element(CLUSTER, &[&unstamped, blocks].concat())
}

/// The elements of one level of the clip: identifier and content.
struct Elements {
    rest: &'static [u8],
}

impl Iterator for Elements {
    type Item = (u32, &'static [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (marker, id_bytes) = number(self.rest)?;
        let (size, size_bytes) = number(&self.rest[id_bytes..])?;
        let without_marker = size & ((1 << (7 * size_bytes)) - 1);
        let (content, rest) =
            self.rest[id_bytes + size_bytes..].split_at(usize::try_from(without_marker).ok()?);
        self.rest = rest;
        Some((u32::try_from(marker).ok()?, content))
    }
}

/// A number of variable width, with the bit that marks the width, and the width (RFC 8794 section 4).
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let width = bytes.first()?.leading_zeros() as usize + 1;
    let value = bytes.get(..width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((value, width))
}
