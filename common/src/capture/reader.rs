//! Reading a capture: everything that is whole, and a list of what is not.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;
use serde::{Serialize, Serializer};

use super::columns::{META_START, META_VERSION};
use super::frame::{self, Frame};
use super::index::{self, Entry};
use super::segment::index_path;
use super::{CaptureError, FORMAT_VERSION, Manifest, decode, encode};
use crate::exchange::{CutUser, Exchange, Gap, Record};

/// Ids of later starts are moved up by this much per start, so that they stay unique in a capture.
const IDS_PER_START: u64 = 1 << 40;

/// A capture directory, opened for reading. A writer may still be at work in it.
#[derive(Debug)]
pub struct Capture {
    directory: PathBuf,
    /// `None` when the file is lost: the exchanges still read.
    manifest: Option<Manifest>,
    /// File names of all segments, in order.
    segments: Vec<String>,
}

/// All that a capture holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// In the order in which they were finished.
    pub exchanges: Vec<Exchange>,
    pub gaps: Vec<Gap>,
    pub damage: Vec<Damage>,
}

/// A part of a capture that could not be read, or whose end is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    NoManifest,
    MissingSegment {
        segment: String,
    },
    /// A writer began, left no open segment, and did not close: what it had not flushed is lost.
    StartNotClosed {
        started_ns: i64,
    },
    /// The file begins with no schema of ours.
    NotASegment {
        segment: String,
    },
    /// The writer did not close the segment: killed, crashed, or still writing.
    NotClosed {
        segment: String,
        rows: u64,
        last_done_ns: Option<i64>,
    },
    /// The schema is not what was written; the batches were read with this program's own.
    BadSchema {
        segment: String,
    },
    /// Written by a newer program; nothing of it was read.
    TooNew {
        segment: String,
        found: u32,
    },
    /// A batch was begun and is not whole.
    TornTail {
        segment: String,
        offset: u64,
        bytes: u64,
    },
    /// The bytes of a batch are not those that were written.
    BadChecksum {
        segment: String,
        offset: u64,
        rows: u32,
    },
    /// The bytes are as written (or have no checksum) and still make no batch.
    Unreadable {
        segment: String,
        offset: u64,
        reason: String,
    },
}

impl Capture {
    /// Opens a directory that holds a capture, whole or damaged.
    pub fn open(directory: &Path) -> Result<Self, CaptureError> {
        let on_disk = segment_names(directory)?;
        let manifest = Manifest::load(directory)?;
        if manifest.is_none() && on_disk.is_empty() {
            return Err(CaptureError::NotACapture { path: directory.into() });
        }
        let named =
            manifest.iter().flat_map(|manifest| &manifest.segments).map(|segment| segment.name.clone());
        let removed = manifest.as_ref().map(|manifest| manifest.removed).unwrap_or_default();
        let there = on_disk.into_iter().chain(named).filter(|name| !removed.holds(name));
        let segments: BTreeSet<String> = there.collect();
        Ok(Self { directory: directory.into(), manifest, segments: segments.into_iter().collect() })
    }

    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Reads all of it into memory.
    pub fn read(&self) -> Result<Reading, CaptureError> {
        let mut reading = Reading::default();
        if self.manifest.is_none() {
            reading.damage.push(Damage::NoManifest);
        }
        for name in &self.segments {
            self.read_segment(name, &mut reading)?;
        }
        self.note_open_start(&mut reading);
        Ok(reading)
    }

    fn note_open_start(&self, reading: &mut Reading) {
        let open_segment = reading.damage.iter().any(|damage| matches!(damage, Damage::NotClosed { .. }));
        let open_start = self
            .manifest
            .iter()
            .flat_map(|manifest| &manifest.starts)
            .find(|start| start.closed_ns.is_none());
        if let Some(start) = open_start.filter(|_| !open_segment) {
            reading.damage.push(Damage::StartNotClosed { started_ns: start.started_ns });
        }
    }

    fn read_segment(&self, name: &str, reading: &mut Reading) -> Result<(), CaptureError> {
        let path = self.directory.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                reading.damage.push(Damage::MissingSegment { segment: name.into() });
                return Ok(());
            }
            Err(error) => return Err(CaptureError::io(path)(error)),
        };
        // A lost index costs its checksums, nothing else.
        let index = fs::read(index_path(&path)).unwrap_or_default();
        Segment { name, bytes: &bytes, index: &index }.read_into(reading);
        Ok(())
    }
}

/// One segment in memory.
struct Segment<'a> {
    name: &'a str,
    bytes: &'a [u8],
    index: &'a [u8],
}

impl Segment<'_> {
    fn read_into(&self, reading: &mut Reading) {
        let Some(schema) = self.schema(reading) else {
            reading.damage.push(Damage::NotASegment { segment: self.name.into() });
            return;
        };
        if let Some(found) = format_version(&schema).filter(|found| *found > FORMAT_VERSION) {
            reading.damage.push(Damage::TooNew { segment: self.name.into(), found });
            return;
        }
        let (exchanges_before, mut offset) = (reading.exchanges.len(), schema.len());
        for entry in index::parse(self.index, schema.len() as u64) {
            let Some(batch) = self.indexed_batch(&entry) else { break };
            self.read_indexed(&schema, &entry, batch.clone(), reading);
            offset = batch.end;
        }
        self.scan(&schema, offset, exchanges_before, reading);
    }

    /// The schema message that the batches were written with, from the file or, where the index tells
    /// that the file's is damaged, the one of those this program knows.
    fn schema(&self, reading: &mut Reading) -> Option<Vec<u8>> {
        let found = match frame::at(self.bytes, 0) {
            Frame::Schema(range) => Some(&self.bytes[range]),
            _ => None,
        };
        let Some(head) = index::Head::parse(self.index) else { return found.map(<[u8]>::to_vec) };
        if let Some(found) = found.filter(|found| crc32c::crc32c(found) == head.schema_crc) {
            return Some(found.to_vec());
        }
        let known = encode::known_schemas_bytes(head.start)
            .find(|schema| crc32c::crc32c(schema) == head.schema_crc && schema.len() <= self.bytes.len())?;
        reading.damage.push(Damage::BadSchema { segment: self.name.into() });
        Some(known)
    }

    fn indexed_batch(&self, entry: &Entry) -> Option<Range<usize>> {
        let range = entry.range();
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        (range.end <= self.bytes.len()).then_some(range)
    }

    fn read_indexed(&self, schema: &[u8], entry: &Entry, batch: Range<usize>, reading: &mut Reading) {
        if crc32c::crc32c(&self.bytes[batch.clone()]) == entry.crc {
            self.read_batch(schema, batch, reading);
        } else {
            let (segment, offset) = (self.name.into(), entry.offset);
            reading.damage.push(Damage::BadChecksum { segment, offset, rows: entry.rows });
        }
    }

    /// Reads what no index entry covers, up to the end or the tear.
    fn scan(&self, schema: &[u8], from: usize, exchanges_before: usize, reading: &mut Reading) {
        let mut offset = from;
        loop {
            match frame::at(self.bytes, offset) {
                Frame::Batch(batch) => {
                    offset = batch.end;
                    self.read_batch(schema, batch, reading);
                }
                Frame::EndOfStream => return,
                Frame::EndOfFile => return self.note_not_closed(exchanges_before, reading),
                Frame::Schema(_) | Frame::Torn => {
                    self.note_not_closed(exchanges_before, reading);
                    reading.damage.push(self.torn_tail(offset));
                    return;
                }
            }
        }
    }

    fn note_not_closed(&self, exchanges_before: usize, reading: &mut Reading) {
        let own = &reading.exchanges[exchanges_before..];
        let last_done_ns = own.iter().map(Exchange::done_ns).max();
        let (segment, rows) = (self.name.into(), own.len() as u64);
        reading.damage.push(Damage::NotClosed { segment, rows, last_done_ns });
    }

    fn torn_tail(&self, offset: usize) -> Damage {
        let bytes = (self.bytes.len() - offset) as u64;
        Damage::TornTail { segment: self.name.into(), offset: offset as u64, bytes }
    }

    fn read_batch(&self, schema: &[u8], batch: Range<usize>, reading: &mut Reading) {
        match decode_batch(schema, &self.bytes[batch.clone()]) {
            Ok(decoded) => add_records(&decoded, reading),
            Err(error) => reading.damage.push(Damage::Unreadable {
                segment: self.name.into(),
                offset: batch.start as u64,
                reason: error.to_string(),
            }),
        }
    }
}

fn format_version(schema: &[u8]) -> Option<u32> {
    let reader = StreamReader::try_new(Cursor::new(schema), None).ok()?;
    reader.schema().metadata().get(META_VERSION)?.parse().ok()
}

/// Arrow's reader panics on some damaged buffers. Bytes whose checksum matched never get that far; without
/// an index this is the last defence.
fn decode_batch(schema: &[u8], batch: &[u8]) -> Result<RecordBatch, ArrowError> {
    let decoded = std::panic::catch_unwind(|| decode_trusted(schema, batch));
    decoded.unwrap_or_else(|_| Err(ArrowError::IpcError("its bytes are damaged".into())))
}

fn decode_trusted(schema: &[u8], batch: &[u8]) -> Result<RecordBatch, ArrowError> {
    let stream = [schema, batch, &frame::END_OF_STREAM].concat();
    let mut reader = StreamReader::try_new(Cursor::new(stream), None)?;
    reader.next().unwrap_or_else(|| Err(ArrowError::IpcError("no batch".into())))
}

fn add_records(batch: &RecordBatch, reading: &mut Reading) {
    let start = batch.schema_ref().metadata().get(META_START).and_then(|start| start.parse::<u64>().ok());
    let base = start.unwrap_or(1).saturating_sub(1).saturating_mul(IDS_PER_START);
    for record in decode::records(batch) {
        match record {
            Record::Gap(mut gap) => {
                gap.cut.iter_mut().for_each(|user| match user {
                    CutUser::Connection(number) => *number = number.saturating_add(base),
                    CutUser::Credential(_) => {}
                });
                reading.gaps.push(gap);
            }
            Record::Exchange(mut exchange) => {
                exchange.id = exchange.id.saturating_add(base);
                exchange.connection = exchange.connection.saturating_add(base);
                reading.exchanges.push(*exchange);
            }
        }
    }
}

fn segment_names(directory: &Path) -> Result<Vec<String>, CaptureError> {
    let entries = fs::read_dir(directory).map_err(CaptureError::io(directory))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with("exchanges-") && name.ends_with(".arrows")).collect())
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManifest => {
                f.write_str("manifest.json is missing: the ledger is lost, the exchanges are not")
            }
            Self::MissingSegment { segment } => write!(f, "{segment}: named in the manifest and not there"),
            Self::StartNotClosed { started_ns } => {
                let at = utc(*started_ns);
                write!(
                    f,
                    "torn tail: the writer that started at {at} did not close the capture (killed, crashed or still writing) and left no exchange that was not sealed"
                )
            }
            Self::NotASegment { segment } => {
                write!(f, "{segment}: does not begin like a segment; nothing of it was read")
            }
            Self::BadSchema { segment } => {
                write!(
                    f,
                    "{segment}: its schema is damaged; the batches were read with the schema of this version"
                )
            }
            Self::TooNew { segment, found } => {
                write!(
                    f,
                    "{segment}: format version {found}, this program reads up to {FORMAT_VERSION}; use a newer kingtide"
                )
            }
            Self::NotClosed { segment, rows, last_done_ns } => {
                write!(
                    f,
                    "{segment}: torn tail: the writer did not close it (killed, crashed or still writing); {rows} exchanges read"
                )?;
                last_done_ns.map_or(Ok(()), |ns| write!(f, ", the last one done at {}", utc(ns)))
            }
            Self::TornTail { segment, offset, bytes } => {
                write!(
                    f,
                    "{segment}: torn tail: {bytes} bytes from offset {offset} are no whole batch and were left out"
                )
            }
            Self::BadChecksum { segment, offset, rows } => {
                write!(
                    f,
                    "{segment}: {rows} rows at offset {offset} are damaged (checksum) and were left out"
                )
            }
            Self::Unreadable { segment, offset, reason } => {
                write!(f, "{segment}: a batch at offset {offset} cannot be read ({reason}) and was left out")
            }
        }
    }
}

fn utc(ns: i64) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let instant = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).ok();
    instant.and_then(|instant| instant.format(&format).ok()).unwrap_or_else(|| format!("{ns} ns"))
}

/// As its sentence: reports show it to people.
impl Serialize for Damage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
