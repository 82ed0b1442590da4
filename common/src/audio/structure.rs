//! Walkers for the tests: each reads a container strictly from its first byte to its last, checks what must rise from
//! frame to frame, and returns the seconds of audio. Written apart from the code they check.

use super::AudioFormat;

/// Walks the container to its last byte; returns the seconds of audio found.
pub(super) fn walk(format: AudioFormat, bytes: &[u8]) -> f64 {
    match format {
        AudioFormat::WebmOpus => walk_webm(bytes),
        AudioFormat::OggOpus => walk_ogg(bytes),
        AudioFormat::Mp4Aac => walk_mp4(bytes),
        AudioFormat::Wav => walk_wav(bytes),
        AudioFormat::Mp3 => walk_mp3(bytes),
        AudioFormat::Aac => walk_aac(bytes),
    }
}

/// Reads big-endian and little-endian numbers and never past the end.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        assert!(count <= self.rest.len(), "{count} bytes wanted, {} left", self.rest.len());
        let (now, later) = self.rest.split_at(count);
        self.rest = later;
        now
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn be(&mut self, width: usize) -> u64 {
        self.take(width).iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn le(&mut self, width: usize) -> u64 {
        self.take(width).iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn part(&mut self, count: u64) -> Cursor<'a> {
        Cursor { rest: self.take(usize::try_from(count).unwrap()) }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An EBML identifier (marker kept) or size (marker removed).
    fn vint(&mut self, keep_marker: bool) -> u64 {
        let width = self.rest[0].leading_zeros() as usize + 1;
        let value = self.be(width);
        if keep_marker { value } else { value & !(1 << (7 * width)) }
    }

    fn element(&mut self) -> (u64, Cursor<'a>) {
        let id = self.vint(true);
        let size = self.vint(false);
        (id, self.part(size))
    }

    fn mp4_box(&mut self) -> (&'a [u8], Cursor<'a>) {
        let size = self.be(4);
        let kind = self.take(4);
        (kind, self.part(size - 8))
    }
}

fn walk_webm(bytes: &[u8]) -> f64 {
    let mut file = Cursor { rest: bytes };
    assert_eq!(file.element().0, 0x1a45_dfa3, "EBML header");
    let (id, mut segment) = file.element();
    assert_eq!(id, 0x1853_8067, "Segment");
    assert!(file.is_empty(), "bytes behind the Segment");
    let (mut kinds, mut clusters) = (Vec::new(), 0);
    while !segment.is_empty() {
        let (id, content) = segment.element();
        if id == 0x1f43_b675 {
            walk_cluster(content, clusters * 100);
            clusters += 1;
        } else {
            assert_eq!(clusters, 0, "padding and heads come first");
            kinds.push(id);
        }
    }
    assert_eq!(kinds, [0x1549_a966, 0x1654_ae6b, 0xec], "Info, Tracks, Void");
    clusters as f64 / 10.0
}

fn walk_cluster(mut cluster: Cursor<'_>, expected_ms: u64) {
    let (id, mut time) = cluster.element();
    assert_eq!((id, time.be(8)), (0xe7, expected_ms), "cluster timestamp");
    let mut relative_ms = Vec::new();
    while !cluster.is_empty() {
        let (id, mut block) = cluster.element();
        assert_eq!((id, block.u8()), (0xa3, 0x81), "a SimpleBlock of track 1");
        relative_ms.push(block.be(2));
        assert!(block.rest.len() > 3, "flags and a frame");
    }
    assert_eq!(relative_ms, [0, 20, 40, 60, 80]);
}

fn walk_ogg(bytes: &[u8]) -> f64 {
    let mut file = Cursor { rest: bytes };
    let (mut number, mut position, mut ended) = (0, 0, false);
    while !file.is_empty() {
        assert!(!ended, "pages behind the end of the stream");
        let page = ogg_page(&mut file);
        assert_eq!(page.number, number);
        match number {
            0 => assert!(page.kind == 2 && page.payload.starts_with(b"OpusHead")),
            1 => walk_opus_tags(page.payload),
            _ => {
                assert_eq!(page.position - position, 4_800, "five frames a page");
                position = page.position;
                ended = page.kind == 4;
            }
        }
        number += 1;
    }
    assert!(ended, "the last page says that it is the last");
    position as f64 / 48_000.0
}

struct OggPage<'a> {
    kind: u8,
    position: u64,
    number: u64,
    payload: &'a [u8],
}

fn ogg_page<'a>(file: &mut Cursor<'a>) -> OggPage<'a> {
    let start = file.rest;
    assert_eq!(file.take(5), b"OggS\0");
    let kind = file.u8();
    let (position, serial, number, crc) = (file.le(8), file.le(4), file.le(4), file.le(4));
    assert_eq!(serial, 0, "one stream");
    let segments = usize::from(file.u8());
    let lengths = file.take(segments);
    assert!(*lengths.last().unwrap() < 255, "packets end in their page");
    let payload = file.take(lengths.iter().map(|length| usize::from(*length)).sum());
    let mut page = start[..start.len() - file.rest.len()].to_vec();
    page[22..26].fill(0);
    assert_eq!(u64::from(ogg_crc_bit_by_bit(&page)), crc, "checksum of page {number}");
    OggPage { kind, position, number, payload }
}

fn ogg_crc_bit_by_bit(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc: u32, byte| {
        let start = crc ^ u32::from(*byte) << 24;
        (0..8).fold(start, |crc, _| if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 })
    })
}

fn walk_opus_tags(payload: &[u8]) {
    let mut tags = Cursor { rest: payload };
    assert_eq!(tags.take(8), b"OpusTags");
    let vendor_bytes = tags.le(4);
    tags.part(vendor_bytes);
    assert_eq!(tags.le(4), 1, "one comment");
    let comment_bytes = tags.le(4);
    assert!(tags.part(comment_bytes).rest.starts_with(b"VARIATION="));
    assert!(tags.rest.iter().all(|byte| *byte == 0), "only zeros are padding");
}

fn walk_mp4(bytes: &[u8]) -> f64 {
    let mut file = Cursor { rest: bytes };
    for kind in [b"ftyp", b"moov", b"free"] {
        assert_eq!(file.mp4_box().0, kind);
    }
    let mut fragments = 0;
    while !file.is_empty() {
        let (kind, moof) = file.mp4_box();
        assert_eq!(kind, b"moof");
        let sample_bytes = walk_fragment(moof, fragments);
        let (kind, data) = file.mp4_box();
        assert_eq!((kind, data.rest.len() as u64), (&b"mdat"[..], sample_bytes));
        fragments += 1;
    }
    (fragments * 5 * 1_024) as f64 / 48_000.0
}

/// Returns the bytes that its samples take in the `mdat` behind it.
fn walk_fragment(moof: Cursor<'_>, index: u64) -> u64 {
    let moof_bytes = moof.rest.len() as u64 + 8;
    let mut moof = moof;
    let (kind, mut number) = moof.mp4_box();
    number.take(4);
    assert_eq!((kind, number.be(4)), (&b"mfhd"[..], index + 1));
    let (kind, mut track) = moof.mp4_box();
    assert!(kind == b"traf" && moof.is_empty());
    assert_eq!(track.mp4_box().0, b"tfhd");
    let (kind, mut time) = track.mp4_box();
    assert_eq!((kind, time.be(4)), (&b"tfdt"[..], 1 << 24), "64-bit times");
    assert_eq!(time.be(8), index * 5 * 1_024);
    let (kind, mut run) = track.mp4_box();
    assert!(kind == b"trun" && track.is_empty());
    assert_eq!(run.be(4), 0x201, "a data offset and the size of each sample");
    let samples = run.be(4);
    assert_eq!((samples, run.be(4)), (5, moof_bytes + 8), "data begin behind the head of mdat");
    (0..samples).map(|_| run.be(4)).sum()
}

fn walk_wav(bytes: &[u8]) -> f64 {
    let mut file = Cursor { rest: bytes };
    assert_eq!(file.take(4), b"RIFF");
    let riff_bytes = file.le(4);
    assert_eq!(riff_bytes, file.rest.len() as u64, "RIFF covers the rest of the file");
    assert_eq!(file.take(4), b"WAVE");
    let mut chunks = Vec::new();
    while !file.is_empty() {
        let id = file.take(4);
        let size = file.le(4);
        chunks.push((id, file.part(size).rest.len()));
        if size % 2 == 1 && !file.is_empty() {
            assert_eq!(file.u8(), 0, "pad byte");
        }
    }
    assert_eq!(chunks.iter().map(|chunk| chunk.0).collect::<Vec<_>>(), [b"fmt ", b"data", b"JUNK"]);
    let data_bytes = chunks[1].1;
    assert!(data_bytes > 0 && data_bytes % 2 == 0, "whole samples");
    data_bytes as f64 / 32_000.0
}

fn walk_mp3(bytes: &[u8]) -> f64 {
    let mut file = behind_tag(bytes);
    let mut frames = 0;
    while !file.is_empty() {
        let frame = file.take(192);
        assert_eq!(frame[..3], [0xff, 0xfb, 0x54], "MPEG-1 layer III, 64 kbit/s, 48 kHz");
        assert!(frame[4] == 0 && frame[5] & 0x80 == 0, "main data begin in the frame itself");
        frames += 1;
    }
    assert!(frames > 0);
    f64::from(frames) * 0.024
}

fn walk_aac(bytes: &[u8]) -> f64 {
    let mut file = behind_tag(bytes);
    let mut frames = 0;
    while !file.is_empty() {
        // 56 bits: 28 that are fixed, 2 of copyright, 13 of length, 11 of fullness, 2 of further frames.
        let head = file.be(7);
        assert_eq!(head >> 28, 0xfff_14c4, "MPEG-4 AAC-LC, 48 kHz, mono, without checksum");
        assert_eq!(head & 3, 0, "one block of data");
        file.part((head >> 13 & 0x1fff) - 7);
        frames += 1;
    }
    f64::from(frames) * 1_024.0 / 48_000.0
}

/// Behind the ID3v2.4 tag, which is all of a text and zeros.
fn behind_tag(bytes: &[u8]) -> Cursor<'_> {
    let mut file = Cursor { rest: bytes };
    assert_eq!(file.take(6), b"ID3\x04\0\0");
    let tag_bytes = syncsafe(&mut file);
    let mut tag = file.part(tag_bytes);
    assert_eq!(tag.take(4), b"TXXX");
    let text_bytes = syncsafe(&mut tag);
    assert_eq!(tag.be(2), 0, "flags");
    assert!(tag.part(text_bytes).rest.starts_with(b"\x03variation\0"));
    assert!(tag.rest.iter().all(|byte| *byte == 0), "ID3 padding is zeros");
    file
}

fn syncsafe(cursor: &mut Cursor<'_>) -> u64 {
    cursor.take(4).iter().fold(0, |value, byte| {
        assert!(*byte < 0x80);
        value << 7 | u64::from(*byte)
    })
}
