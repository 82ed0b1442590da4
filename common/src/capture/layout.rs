//! Where the batches of a segment stand: from its index, and by a scan where the index ends.

use std::io::{self, Cursor};
use std::ops::Range;
use std::path::Path;

use arrow_ipc::reader::StreamReader;
use arrow_schema::SchemaRef;

use super::columns::{META_START, META_VERSION};
use super::frame::{self, Bytes as _, Frame, Source};
use super::index::{self, Entry};
use super::segment::index_path;
use super::{Damage, FORMAT_VERSION, encode};

/// How often a segment is opened that is another file a moment later.
const OPEN_TRIES_MAX: u32 = 5;

/// A segment's batches, none of them read yet.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) source: Source,
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<Extent>,
    pub(super) tail: Tail,
    /// The schema in the file is damaged; `schema` is this program's own.
    pub(super) bad_schema: bool,
}

/// Where a batch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) range: Range<u64>,
    /// Checksum and rows, for a batch that the index knows.
    pub(super) entry: Option<Entry>,
}

/// What follows the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    Sealed,
    /// The end of the file.
    Open,
    /// Bytes that are no whole batch.
    Torn {
        offset: u64,
        bytes: u64,
    },
}

impl Layout {
    /// Finds the batches of the segment at `path`. The inner error tells why nothing of it can be read.
    pub(super) fn find(path: &Path, name: &str) -> io::Result<Result<Self, Damage>> {
        let Some((source, index)) = open_both(path)? else {
            return Ok(Err(Damage::MissingSegment { segment: name.into() }));
        };
        let Some(found) = FoundSchema::find(&source, &index)? else {
            return Ok(Err(Damage::NotASegment { segment: name.into() }));
        };
        if let Some(version) = found.format_version().filter(|version| *version > FORMAT_VERSION) {
            return Ok(Err(Damage::TooNew { segment: name.into(), found: version }));
        }
        let mut batches = indexed(&source, &index, found.bytes);
        let from = batches.last().map_or(found.bytes, |last| last.range.end);
        let tail = scan(&source, from, &mut batches)?;
        Ok(Ok(Self { source, schema: found.schema, batches, tail, bad_schema: found.is_replaced }))
    }

    /// Which start of the proxy wrote the segment, from 1.
    pub(super) fn start(&self) -> u64 {
        let start = self.schema.metadata().get(META_START);
        start.and_then(|start| start.parse().ok()).unwrap_or(1)
    }
}

/// A segment and the bytes of its index; a lost index costs its checksums, nothing else. A segment that was packed in
/// between is opened again, for the index is of the new one then.
fn open_both(path: &Path) -> io::Result<Option<(Source, Vec<u8>)>> {
    let mut tries = 0;
    loop {
        let source = match Source::open(path) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let index = std::fs::read(index_path(path)).unwrap_or_default();
        tries += 1;
        // Where files have no lasting numbers, asking on would never end.
        if source.is_at(path) || tries == OPEN_TRIES_MAX {
            return Ok(Some((source, index)));
        }
    }
}

/// The schema message that the batches were written with.
struct FoundSchema {
    schema: SchemaRef,
    bytes: u64,
    is_replaced: bool,
}

impl FoundSchema {
    /// From the file or, where the index tells that the file's is damaged, the one of those this program
    /// knows.
    fn find(source: &Source, index: &[u8]) -> io::Result<Option<Self>> {
        let range = match frame::at(source, 0)? {
            Frame::Schema(range) => range,
            _ => 0..0,
        };
        let found = source.get(range)?.filter(|bytes| !bytes.is_empty());
        let Some(head) = index::Head::parse(index) else {
            return Ok(found.and_then(|bytes| Self::parse(&bytes, false)));
        };
        if let Some(found) = found.filter(|found| crc32c::crc32c(found) == head.schema_crc) {
            return Ok(Self::parse(&found, false));
        }
        let is_it = |schema: &Vec<u8>| {
            crc32c::crc32c(schema) == head.schema_crc && schema.len() as u64 <= source.len()
        };
        let known = encode::known_schemas_bytes(head.start).find(is_it);
        Ok(known.and_then(|known| Self::parse(&known, true)))
    }

    /// Arrow's reader may panic on a damaged schema, which only an index would have told.
    fn parse(bytes: &[u8], is_replaced: bool) -> Option<Self> {
        let parsed = std::panic::catch_unwind(|| StreamReader::try_new(Cursor::new(bytes), None));
        let schema = parsed.ok()?.ok()?.schema();
        Some(Self { schema, bytes: bytes.len() as u64, is_replaced })
    }

    fn format_version(&self) -> Option<u32> {
        self.schema.metadata().get(META_VERSION)?.parse().ok()
    }
}

fn indexed(source: &Source, index: &[u8], first_offset: u64) -> Vec<Extent> {
    let entries = index::parse(index, first_offset).into_iter();
    let whole = entries.take_while(|entry| entry.range().end <= source.len());
    whole.map(|entry| Extent { range: entry.range(), entry: Some(entry) }).collect()
}

/// Finds what no index entry covers, up to the end or the tear.
fn scan(source: &Source, from: u64, batches: &mut Vec<Extent>) -> io::Result<Tail> {
    let mut offset = from;
    loop {
        match frame::at(source, offset)? {
            Frame::Batch(range) => {
                offset = range.end;
                batches.push(Extent { range, entry: None });
            }
            Frame::EndOfStream => return Ok(Tail::Sealed),
            Frame::EndOfFile => return Ok(Tail::Open),
            Frame::Schema(_) | Frame::Torn => {
                return Ok(Tail::Torn { offset, bytes: source.len().saturating_sub(offset) });
            }
        }
    }
}
