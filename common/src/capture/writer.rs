//! Writing a capture: batches, rotation, the manifest.
//!
//! One thread owns the writer. It never decides what is recorded; it reports what the disk refused.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;
use rustix::fs::{FlockOperation, flock};

use super::columns::segment_schema;
use super::segment::{SegmentWriter, file_name};
use super::{CaptureError, Manifest, Start};
use crate::exchange::{Body, Exchange, Record};
use crate::ledger::Ledger;

/// Rows of a batch at most.
const BATCH_ROWS_MAX: usize = 1024;
/// Bytes of a batch's texts at most, roughly.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// How long a row may wait in memory: what a crash can cost. A second is promised; the rest is for the write.
const FLUSH_INTERVAL: Duration = Duration::from_millis(800);

/// When a segment is sealed and the next one begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    pub bytes: u64,
    pub age: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { bytes: 256 << 20, age: Duration::from_mins(5) }
    }
}

/// What a writer notes about itself, and when it rotates.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    pub program: String,
    pub config_digest: String,
    pub privacy: String,
    pub started_ns: i64,
    pub rotation: Rotation,
}

/// Writes one capture. Dropped without [`CaptureWriter::close`] it leaves what a crash would leave.
#[derive(Debug)]
pub struct CaptureWriter {
    directory: PathBuf,
    manifest: Manifest,
    schema: SchemaRef,
    rotation: Rotation,
    segment: Option<(SegmentWriter, Instant)>,
    next_number: u32,
    pending: Vec<Record>,
    pending_bytes: usize,
    pending_since: Option<Instant>,
    manifest_stored: Instant,
    /// Held for its lock.
    _lock: File,
}

impl CaptureWriter {
    /// Begins a new start of the capture in `directory`, which is made when missing.
    pub fn create(directory: &Path, options: WriterOptions) -> Result<Self, CaptureError> {
        fs::create_dir_all(directory).map_err(CaptureError::io(directory))?;
        let lock = lock(directory)?;
        let mut manifest = Manifest::load(directory)?.unwrap_or_else(Manifest::new);
        let rotation = options.rotation;
        manifest.starts.push(start(options));
        manifest.store(directory, true)?;
        let schema = segment_schema(u32::try_from(manifest.starts.len()).unwrap_or(u32::MAX));
        Ok(Self {
            directory: directory.into(),
            manifest,
            schema,
            rotation,
            segment: None,
            next_number: first_free_number(directory),
            pending: Vec::new(),
            pending_bytes: 0,
            pending_since: None,
            manifest_stored: Instant::now(),
            _lock: lock,
        })
    }

    /// Takes a record; writes the batch when it is full. Returns the exchanges that are now on disk, or the
    /// records that the disk refused.
    pub fn push(&mut self, record: Record, now: Instant) -> Result<u64, Dropped> {
        self.pending_bytes += record_bytes(&record);
        self.pending.push(record);
        self.pending_since.get_or_insert(now);
        let full = self.pending.len() >= BATCH_ROWS_MAX || self.pending_bytes >= BATCH_BYTES_MAX;
        if full { self.flush(now) } else { Ok(0) }
    }

    /// When [`CaptureWriter::flush`] is due at the latest; `None` while nothing waits.
    pub fn flush_due(&self) -> Option<Instant> {
        self.pending_since.map(|since| since + FLUSH_INTERVAL)
    }

    /// Hands all waiting records to the operating system; returns how many exchanges they were.
    pub fn flush(&mut self, now: Instant) -> Result<u64, Dropped> {
        let records = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.pending_since = None;
        if records.is_empty() {
            return Ok(0);
        }
        let exchanges = records.iter().filter(|record| matches!(record, Record::Exchange(_))).count() as u64;
        self.append(&records, now).map_err(|error| Dropped { records, error })?;
        Ok(exchanges)
    }

    fn append(&mut self, records: &[Record], now: Instant) -> Result<(), CaptureError> {
        let open = match self.segment.take() {
            Some(open) => open,
            None => (self.new_segment()?, now),
        };
        let (segment, opened) = self.segment.insert(open);
        segment.append(records)?;
        let full = segment.bytes() >= self.rotation.bytes || now.duration_since(*opened) >= self.rotation.age;
        if full {
            // The batch is written; a segment that cannot be sealed reads as one that was not closed.
            let _ = self.seal_segment();
        }
        Ok(())
    }

    fn new_segment(&mut self) -> Result<SegmentWriter, CaptureError> {
        let start = u32::try_from(self.manifest.starts.len()).unwrap_or(u32::MAX);
        let number = self.next_number;
        self.next_number += 1;
        SegmentWriter::create(&self.directory, number, start, SchemaRef::clone(&self.schema))
    }

    /// Seals the open segment; the next batch begins another.
    pub fn rotate(&mut self) -> Result<(), CaptureError> {
        self.seal_segment()
    }

    fn seal_segment(&mut self) -> Result<(), CaptureError> {
        let Some((segment, _)) = self.segment.take() else { return Ok(()) };
        self.manifest.segments.push(segment.seal()?);
        self.manifest.store(&self.directory, true)
    }

    /// Writes the ledger to the manifest, at most once in a flush interval.
    pub fn note_ledger(&mut self, ledger: Ledger, now: Instant) -> Result<(), CaptureError> {
        if self.last_start().ledger == ledger || now.duration_since(self.manifest_stored) < FLUSH_INTERVAL {
            return Ok(());
        }
        self.last_start().ledger = ledger;
        self.manifest_stored = now;
        self.manifest.store(&self.directory, false)
    }

    /// Seals the last segment and closes the start; records still waiting must have been flushed.
    pub fn close(mut self, ledger: Ledger, closed_ns: i64) -> Result<(), CaptureError> {
        debug_assert!(self.pending.is_empty(), "flush before closing");
        self.last_start().ledger = ledger;
        self.last_start().closed_ns = Some(closed_ns);
        self.seal_segment()?;
        self.manifest.store(&self.directory, true)
    }

    fn last_start(&mut self) -> &mut Start {
        self.manifest.starts.last_mut().expect("create() pushed one")
    }
}

/// Records that the disk refused, and why.
#[derive(Debug)]
pub struct Dropped {
    pub records: Vec<Record>,
    pub error: CaptureError,
}

fn start(options: WriterOptions) -> Start {
    Start {
        program: options.program,
        started_ns: options.started_ns,
        closed_ns: None,
        config_digest: options.config_digest,
        privacy: options.privacy,
        ledger: Ledger::default(),
    }
}

fn lock(directory: &Path) -> Result<File, CaptureError> {
    let path = directory.join("lock");
    let file = File::create(&path).map_err(CaptureError::io(&path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(CaptureError::Locked { path: directory.into() }),
        Err(errno) => Err(CaptureError::io(&path)(errno.into())),
    }
}

fn first_free_number(directory: &Path) -> u32 {
    (1..u32::MAX).find(|number| !directory.join(file_name(*number)).exists()).unwrap_or(u32::MAX)
}

/// Roughly what a record takes in a batch before compression.
fn record_bytes(record: &Record) -> usize {
    const FIXED: usize = 256;
    match record {
        Record::Gap(_) => FIXED,
        Record::Exchange(exchange) => FIXED + exchange_text_bytes(exchange),
    }
}

fn exchange_text_bytes(exchange: &Exchange) -> usize {
    let headers = exchange.request_headers.iter().chain(&exchange.response_headers);
    let header_bytes: usize = headers.map(|header| header.name.len() + header.value.len()).sum();
    let body_bytes = body_text_bytes(&exchange.request_body) + body_text_bytes(&exchange.response_body);
    exchange.target.len() + header_bytes + body_bytes + exchange.pacing.len() * 16
}

fn body_text_bytes(body: &Body) -> usize {
    match body {
        Body::Empty | Body::Opaque => 0,
        Body::Json(text) | Body::Form(text) | Body::Unread(text) => text.len(),
        Body::Multipart(multipart) => multipart.parts.len() * 256,
    }
}
