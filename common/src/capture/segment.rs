//! Writing one segment and its index.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::frame::END_OF_STREAM;
use super::index::{self, Entry, Head};
use super::pack;
use super::retention::Kept;
use super::{CaptureError, SegmentEntry};
use crate::exchange::Record;

/// When bytes are made to reach the disk, beyond what the system does by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Never: a power failure may cost what the system had not written yet, sealed segments too.
    None,
    /// When a segment is sealed, and at each start and close: it may cost the open segment.
    #[default]
    Seal,
    /// After each batch: it costs what a crash of the proxy costs.
    Flush,
}

/// A segment being written. Never reopened: dropping it unsealed leaves it as a crash would.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    name: String,
    start: u32,
    sync: SyncPolicy,
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

/// The number of a segment of this name; `None` for what is none.
pub(super) fn file_number(name: &str) -> Option<u32> {
    name.strip_prefix("exchanges-")?.strip_suffix(".arrows")?.parse().ok()
}

pub(super) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

impl SegmentWriter {
    pub(super) fn create(
        directory: &Path,
        (number, start): (u32, u32),
        head: &[u8],
        sync: SyncPolicy,
    ) -> Result<Self, CaptureError> {
        let segment = Self::create_at(directory.join(file_name(number)), start, head, sync)?;
        if sync == SyncPolicy::Flush {
            sync_names(directory)?;
        }
        Ok(segment)
    }

    /// As [`SegmentWriter::create`], under any name.
    pub(super) fn create_at(
        path: PathBuf,
        start: u32,
        head: &[u8],
        sync: SyncPolicy,
    ) -> Result<Self, CaptureError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let index_head = Head { schema_crc: crc32c::crc32c(head), start }.to_bytes();
        let (data, index) = create_both(&path, head, &index_head).map_err(CaptureError::io(&path))?;
        let bytes = head.len() as u64;
        Ok(Self {
            name,
            start,
            sync,
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

    /// Writes a batch of these records and hands it to the operating system. After an error nothing of
    /// the batch is left in the segment, and the next call may succeed.
    ///
    /// The index entry goes first: every whole batch then has its checksum, and an entry without its
    /// batch is how a reader sees a tear.
    pub(super) fn append(&mut self, batch: &[u8], records: &[Record]) -> Result<(), CaptureError> {
        let entry = self.entry_for(batch, records);
        if let Err(error) = self.write(&entry, batch) {
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
        self.data.write_all(batch)?;
        if self.sync == SyncPolicy::Flush {
            self.index.sync_data()?;
            self.data.sync_data()?;
        }
        Ok(())
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

    /// Whether its batches are so small that it is worth packing.
    pub(super) fn is_worth_packing(&self) -> bool {
        pack::is_worth_it(self.entries, self.rows)
    }

    /// What is known of it so far; sealed, it is [`END_OF_STREAM`] longer.
    pub(super) fn kept(&self) -> Kept {
        let number = file_number(&self.name).unwrap_or_default();
        let bytes = self.bytes + END_OF_STREAM.len() as u64 + index::file_bytes(self.entries);
        Kept { number, bytes, rows: self.rows, last_ns: self.last_ns }
    }

    /// Ends the stream and syncs; the segment is then complete for good.
    pub(super) fn seal(mut self) -> Result<SegmentEntry, CaptureError> {
        self.data.write_all(&END_OF_STREAM).map_err(CaptureError::io(&self.path))?;
        if self.sync != SyncPolicy::None {
            self.data.sync_all().map_err(CaptureError::io(&self.path))?;
            self.index.sync_all().map_err(CaptureError::io(index_path(&self.path)))?;
        }
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

/// Takes a segment and its index away, as far as they are there.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(index_path(path));
}

/// Makes the names of new files last.
pub(super) fn sync_names(directory: &Path) -> Result<(), CaptureError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(CaptureError::io(directory))
}

/// Both files with their heads. What was begun and cannot be finished is taken away again: a disk that
/// stays full must not fill with empty files.
fn create_both(path: &Path, head: &[u8], index_head: &[u8]) -> io::Result<(File, File)> {
    let mut data = create_new(path)?;
    let begun = data.write_all(head).and_then(|()| {
        let mut index = create_new(&index_path(path))?;
        index.write_all(index_head)?;
        Ok(index)
    });
    match begun {
        Ok(index) => Ok((data, index)),
        Err(error) => {
            remove(path);
            Err(error)
        }
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
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
