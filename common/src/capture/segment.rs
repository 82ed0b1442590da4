//! Writing one segment and its index.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;

use super::encode;
use super::frame::END_OF_STREAM;
use super::index::{self, Entry, Head};
use super::{CaptureError, SegmentEntry};
use crate::exchange::Record;

/// A segment being written. Never reopened: dropping it unsealed leaves it as a crash would.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    name: String,
    start: u32,
    schema: SchemaRef,
    data: File,
    index: File,
    path: PathBuf,
    /// Bytes of whole batches (and the schema) on disk.
    bytes: u64,
    /// Batches, each with its index entry.
    entries: u64,
    rows: u64,
    first_ns: i64,
    last_ns: i64,
}

/// File name of the `number`th segment.
pub(super) fn file_name(number: u32) -> String {
    format!("exchanges-{number:06}.arrows")
}

pub(super) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

impl SegmentWriter {
    pub(super) fn create(
        directory: &Path,
        number: u32,
        start: u32,
        schema: SchemaRef,
    ) -> Result<Self, CaptureError> {
        let name = file_name(number);
        let path = directory.join(&name);
        let head = encode::schema_bytes(&schema)?;
        let data = create_with(&path, &head).map_err(CaptureError::io(&path))?;
        let index_head = Head { schema_crc: crc32c::crc32c(&head), start }.to_bytes();
        let index =
            create_with(&index_path(&path), &index_head).map_err(CaptureError::io(index_path(&path)))?;
        let bytes = head.len() as u64;
        Ok(Self {
            name,
            start,
            schema,
            data,
            index,
            path,
            bytes,
            entries: 0,
            rows: 0,
            first_ns: i64::MAX,
            last_ns: i64::MIN,
        })
    }

    /// Writes the records as one batch and hands it to the operating system. After an error nothing of
    /// the batch is left in the segment, and the next call may succeed.
    ///
    /// The index entry goes first: every whole batch then has its checksum, and an entry without its
    /// batch is how a reader sees a tear.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), CaptureError> {
        let batch = encode::batch_bytes(records, &self.schema)?;
        let entry = self.entry_for(&batch, records);
        if let Err(error) = self.write(&entry, &batch) {
            self.cut_back();
            return Err(CaptureError::io(&self.path)(error));
        }
        self.entries += 1;
        self.bytes = entry.range().end;
        self.rows += u64::from(entry.rows);
        self.first_ns = self.first_ns.min(entry.first_ns);
        self.last_ns = self.last_ns.max(entry.last_ns);
        Ok(())
    }

    fn write(&mut self, entry: &Entry, batch: &[u8]) -> io::Result<()> {
        self.index.write_all(&entry.to_bytes())?;
        self.data.write_all(batch)
    }

    fn entry_for(&self, batch: &[u8], records: &[Record]) -> Entry {
        let starts = || records.iter().map(started_ns);
        Entry {
            offset: self.bytes,
            bytes: u32::try_from(batch.len()).expect("a batch is bounded by the flush size, far under 4 GiB"),
            rows: u32::try_from(records.len()).expect("a batch is bounded by the flush rows"),
            first_ns: starts().min().unwrap_or_default(),
            last_ns: starts().max().unwrap_or_default(),
            crc: crc32c::crc32c(batch),
        }
    }

    /// Takes a half-written batch away. When even that fails, readers see a torn batch and say so.
    fn cut_back(&mut self) {
        let _ = cut(&mut self.data, self.bytes);
        let _ = cut(&mut self.index, index::file_bytes(self.entries));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the stream and syncs; the segment is then complete for good.
    pub(super) fn seal(mut self) -> Result<SegmentEntry, CaptureError> {
        let ended = self.data.write_all(&END_OF_STREAM).and_then(|()| self.data.sync_all());
        ended.map_err(CaptureError::io(&self.path))?;
        self.index.sync_all().map_err(CaptureError::io(index_path(&self.path)))?;
        Ok(SegmentEntry {
            name: self.name,
            start: self.start,
            rows: self.rows,
            bytes: self.bytes + END_OF_STREAM.len() as u64,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
        })
    }
}

fn create_with(path: &Path, head: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(head)?;
    Ok(file)
}

fn cut(file: &mut File, bytes: u64) -> io::Result<u64> {
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes))
}

fn started_ns(record: &Record) -> i64 {
    match record {
        Record::Exchange(exchange) => exchange.started_ns,
        Record::Gap(gap) => gap.from_ns,
    }
}
