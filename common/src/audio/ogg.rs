//! Ogg with Opus: the page of `OpusHead`, a page of `OpusTags` with the variation as a comment and zeros behind it
//! (padding that RFC 7845 section 5.2 allows), and pages of five frames.
//!
//! Every page has a checksum over all of it, and the number, the position and the flags of a page change with its
//! place. The checksum is linear, so that of a page at a new place is that of the page with these fields zero, plus
//! that of the fields alone; no payload is read again.

use std::sync::LazyLock;

use super::cycle::{Cycle, Place, Stamp};
use super::recording::{Recording, fit, variation_tag};

const CLIP: &[u8] = include_bytes!("clips/tone.ogg");
/// `OpusHead` and `OpusTags`.
const HEAD_PAGES: u32 = 2;
const UNITS: usize = 20;
/// Five frames of 20 ms at 48 kHz.
const UNIT_SAMPLES: u64 = 5 * 960;

const KIND_AT: usize = 5;
const POSITION_AT: usize = 6;
const NUMBER_AT: usize = 18;
const CRC_AT: usize = 22;
const SEGMENTS_AT: usize = 26;
const PAGE_HEAD_BYTES: usize = 27;
const END_OF_STREAM: u8 = 4;

static CLIP_PARTS: LazyLock<Parts> = LazyLock::new(Parts::read);

struct Parts {
    opus_head: &'static [u8],
    pages: Cycle,
}

pub(super) fn recording(bytes: u64, variation: u64) -> Option<Recording> {
    let Parts { opus_head, pages } = &*CLIP_PARTS;
    let tags = tags(variation);
    let (units, _) = fit(pages, bytes, opus_head.len() + page_bytes(tags.len()))?;
    // A page has a gap in its sizes where it needs one more length byte; a unit less and more padding avoids it.
    let (units, padded) = (1..=units).rev().take(2).find_map(|units| {
        let page_bytes = bytes - opus_head.len() as u64 - pages.bytes_of(units);
        Some((units, packet_bytes(page_bytes)?))
    })?;
    let head = [opus_head, &tags_page(tags, padded)[..]].concat();
    Some(Recording::with_head(head, pages, units))
}

/// `OpusTags`: a vendor and one comment, each behind its length.
fn tags(variation: u64) -> Vec<u8> {
    let mut tags = b"OpusTags\x08\0\0\0kingtide\x01\0\0\0".to_vec();
    let comment = [&b"VARIATION="[..], &variation_tag(variation)].concat();
    tags.extend([u8::try_from(comment.len()).expect("26 bytes"), 0, 0, 0]);
    tags.extend(comment);
    tags
}

fn tags_page(mut packet: Vec<u8>, packet_bytes: usize) -> Vec<u8> {
    packet.resize(packet_bytes, 0);
    let full_segments = packet_bytes / 255;
    let mut page = b"OggS".to_vec();
    page.resize(PAGE_HEAD_BYTES, 0);
    page[NUMBER_AT] = 1;
    page[SEGMENTS_AT] = u8::try_from(full_segments + 1).expect("the packet fits in one page");
    page.resize(PAGE_HEAD_BYTES + full_segments, 255);
    page.push(u8::try_from(packet_bytes % 255).expect("below 255"));
    page.extend(packet);
    let crc = crc(0, &page);
    page[CRC_AT..SEGMENTS_AT].copy_from_slice(&crc.to_le_bytes());
    page
}

/// Size of a page with one packet: a length byte for each 255 bytes, and one more for the rest.
fn page_bytes(packet_bytes: usize) -> usize {
    PAGE_HEAD_BYTES + packet_bytes / 255 + 1 + packet_bytes
}

/// The packet that makes a page of this size, if there is one.
fn packet_bytes(wanted: u64) -> Option<usize> {
    let wanted = usize::try_from(wanted).ok()?;
    let after_head = wanted.checked_sub(page_bytes(0))?;
    let packet = after_head - after_head / 256;
    (page_bytes(packet) == wanted && packet / 255 < 255).then_some(packet)
}

impl Parts {
    fn read() -> Self {
        let opus_head = Pages { rest: CLIP }.next().expect("the clip begins with OpusHead");
        let pages = Pages { rest: CLIP }.skip(HEAD_PAGES as usize);
        let units: Vec<_> = pages.take(UNITS).map(without_place).collect();
        let checksums = units.iter().map(|page| Checksum::of(page)).collect();
        Self { opus_head, pages: Cycle::new(&units, PagePlace { checksums }) }
    }
}

/// The page with every field zero that its place decides. The clip's serial number is zero already.
fn without_place(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    page[KIND_AT..SEGMENTS_AT].fill(0);
    page
}

#[derive(Debug)]
struct PagePlace {
    checksums: Vec<Checksum>,
}

impl Stamp for PagePlace {
    fn stamp(&self, place: Place, put: &mut dyn FnMut(usize, &[u8])) {
        let mut fields = [0; CRC_AT - KIND_AT];
        let position = (place.index + 1) * UNIT_SAMPLES;
        let number = u32::try_from(place.index).expect("no recording has so many pages") + HEAD_PAGES;
        fields[0] = if place.last { END_OF_STREAM } else { 0 };
        fields[POSITION_AT - KIND_AT..][..8].copy_from_slice(&position.to_le_bytes());
        fields[NUMBER_AT - KIND_AT..].copy_from_slice(&number.to_le_bytes());
        put(KIND_AT, &fields);
        put(CRC_AT, &self.checksums[place.unit].with(&fields).to_le_bytes());
    }
}

/// The checksum of a page as a function of the fields from its kind to its number.
#[derive(Debug)]
struct Checksum {
    without_fields: u32,
    /// What each bit of a checksum becomes by the bytes of the page that follow the fields.
    bits_after: [u32; 32],
}

impl Checksum {
    fn of(page: &[u8]) -> Self {
        let zeros = vec![0; page.len() - CRC_AT];
        let bits_after = std::array::from_fn(|bit| crc(1 << bit, &zeros));
        Self { without_fields: crc(0, page), bits_after }
    }

    fn with(&self, fields: &[u8]) -> u32 {
        let fields = crc(0, fields);
        let set = self.bits_after.iter().enumerate().filter(|(bit, _)| fields >> bit & 1 == 1);
        set.fold(self.without_fields, |sum, (_, after)| sum ^ after)
    }
}

/// CRC-32 of Ogg (RFC 3533 section 6): polynomial 04C11DB7, most significant bit first, nothing inverted.
fn crc(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, byte| crc << 8 ^ CRC_TABLE[((crc >> 24) as u8 ^ byte) as usize])
}

static CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0_u32;
    while index < 256 {
        let mut value = index << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 << 31 == 0 { value << 1 } else { value << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
}

/// The pages of the clip, whole.
struct Pages {
    rest: &'static [u8],
}

impl Iterator for Pages {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let segments = usize::from(*self.rest.get(SEGMENTS_AT)?);
        let lengths = self.rest.get(PAGE_HEAD_BYTES..PAGE_HEAD_BYTES + segments)?;
        let payload_bytes: usize = lengths.iter().map(|length| usize::from(*length)).sum();
        let (page, rest) = self.rest.split_at(PAGE_HEAD_BYTES + segments + payload_bytes);
        self.rest = rest;
        Some(page)
    }
}
