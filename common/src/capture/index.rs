//! The index beside a segment: a head of 16 bytes, then 40 bytes per batch, little-endian.
//!
//! The head carries the checksum of the segment's schema message and the start that wrote it, so that a
//! damaged schema is noticed and the batches still read with this program's own.

use std::ops::Range;

const MAGIC: &[u8; 8] = b"KTIDX001";
const HEAD_BYTES: usize = 16;
const ENTRY_BYTES: usize = 40;

/// What an index says of its segment as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// CRC-32C of the segment's schema message.
    pub(super) schema_crc: u32,
    /// Which start of the writer made the segment, from 1.
    pub(super) start: u32,
}

impl Head {
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.schema_crc.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.start.to_le_bytes());
        bytes
    }

    /// `None` for what is no index.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.get(..HEAD_BYTES)?.strip_prefix(MAGIC)?;
        Some(Self {
            schema_crc: u32::from_le_bytes(fields[0..4].try_into().ok()?),
            start: u32::from_le_bytes(fields[4..8].try_into().ok()?),
        })
    }
}

/// Where a batch stands in its segment and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) rows: u32,
    /// First and last start of its exchanges, nanoseconds UTC.
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    /// CRC-32C (Castagnoli) of the batch's bytes.
    pub(super) crc: u32,
}

impl Entry {
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.rows.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.last_ns.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            offset: u64::from_le_bytes(bytes.get(0..8)?.try_into().ok()?),
            bytes: u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?),
            rows: u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?),
            first_ns: i64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?),
            last_ns: i64::from_le_bytes(bytes.get(24..32)?.try_into().ok()?),
            crc: u32::from_le_bytes(bytes.get(32..36)?.try_into().ok()?),
        })
    }
}

/// Size of an index file with this many entries.
pub(super) fn file_bytes(entries: u64) -> u64 {
    HEAD_BYTES as u64 + entries * ENTRY_BYTES as u64
}

/// The entries of an index file that follow each other from `first_offset`; a torn or foreign rest is
/// left out, for the reader scans what no entry covers.
pub(super) fn parse(bytes: &[u8], first_offset: u64) -> Vec<Entry> {
    let mut expected = first_offset;
    let mut follows = |entry: &Entry| entry.offset == std::mem::replace(&mut expected, entry.range().end);
    all(bytes).into_iter().take_while(|entry| follows(entry)).collect()
}

/// All entries of an index file, whether they follow each other or not.
pub(super) fn all(bytes: &[u8]) -> Vec<Entry> {
    let Some(entries) = Head::parse(bytes).and(bytes.get(HEAD_BYTES..)) else { return Vec::new() };
    entries.chunks_exact(ENTRY_BYTES).filter_map(Entry::from_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: u64, bytes: u32) -> Entry {
        Entry { offset, bytes, rows: 3, first_ns: -1, last_ns: 9, crc: 0xDEAD_BEEF }
    }

    fn file(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Head { schema_crc: 1, start: 2 }.to_bytes().to_vec();
        bytes.extend(entries.iter().flat_map(|entry| entry.to_bytes()));
        bytes
    }

    #[test]
    fn entries_survive_the_round_trip() {
        let entries = [entry(100, 50), entry(150, 8)];
        assert_eq!(parse(&file(&entries), 100), entries);
        assert_eq!(Head::parse(&file(&entries)), Some(Head { schema_crc: 1, start: 2 }));
    }

    #[test]
    fn a_torn_or_foreign_rest_is_left_out() {
        let mut torn = file(&[entry(100, 50), entry(150, 8)]);
        torn.truncate(torn.len() - 1);
        assert_eq!(parse(&torn, 100), [entry(100, 50)]);
        assert_eq!(parse(&file(&[entry(100, 50), entry(999, 8)]), 100), [entry(100, 50)]);
        assert!(parse(b"something else", 0).is_empty());
    }
}
