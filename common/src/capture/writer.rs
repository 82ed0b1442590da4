//! Writing a capture: batches, rotation, retention, the manifest.
//!
//! One thread owns the writer. It never decides what is recorded; it reports what the disk refused.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;

use super::columns::segment_schema;
use super::encode::Encoder;
use super::load::Load;
use super::pack::Packing;
use super::place::Place;
use super::retention::{Kept, Retention};
use super::segment::{self, SegmentWriter, SyncPolicy, file_name};
use super::shelf::{first_free_number, kept_in};
use super::{CaptureError, Edit, Manifest, Start};
use crate::exchange::Record;
use crate::ledger::Ledger;

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

impl WriterOptions {
    /// Of a program without a configuration, under default privacy and rotation.
    pub fn of(program: &str, started_ns: i64) -> Self {
        Self {
            program: program.to_owned(),
            config_digest: String::new(),
            privacy: "default".to_owned(),
            started_ns,
            rotation: Rotation::default(),
        }
    }
}

/// What becomes of segments once they are written; by default all are kept, and synced when they are sealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    pub sync: SyncPolicy,
    pub retention: Retention,
}

/// Writes one capture. Dropped without [`CaptureWriter::close`] it leaves what a crash would leave.
#[derive(Debug)]
pub struct CaptureWriter {
    place: Place,
    manifest: Manifest,
    encoder: Encoder,
    rotation: Rotation,
    upkeep: Upkeep,
    segment: Option<(SegmentWriter, Instant)>,
    /// Segments that are not open, oldest first; those of former starts too, sealed or not.
    kept: Vec<Kept>,
    packing: Option<Packing>,
    next_number: u32,
    pending: Load,
    pending_since: Option<Instant>,
    manifest_stored: Instant,
    created: Instant,
}

impl CaptureWriter {
    /// Begins a new start of the capture in `directory`, which is made when missing.
    pub fn create(directory: &Path, options: WriterOptions) -> Result<Self, CaptureError> {
        Self::create_in(Place::take(directory)?, options)
    }

    /// As [`CaptureWriter::create`], but waits for as long as another writer holds the directory.
    pub fn create_after_others(directory: &Path, options: WriterOptions) -> Result<Self, CaptureError> {
        Self::create_in(Place::await_turn(directory)?, options)
    }

    fn create_in(place: Place, options: WriterOptions) -> Result<Self, CaptureError> {
        let directory = &place.directory;
        let mut manifest = Manifest::load(directory)?.unwrap_or_else(Manifest::new);
        let rotation = options.rotation;
        manifest.starts.push(start(options));
        manifest.store(directory, true)?;
        let schema = segment_schema(u32::try_from(manifest.starts.len()).unwrap_or(u32::MAX));
        Ok(Self {
            kept: kept_in(directory, &manifest),
            packing: None,
            next_number: first_free_number(directory, &manifest),
            place,
            manifest,
            encoder: Encoder::new(schema)?,
            rotation,
            upkeep: Upkeep::default(),
            segment: None,
            pending: Load::default(),
            pending_since: None,
            manifest_stored: Instant::now(),
            created: Instant::now(),
        })
    }

    /// With another upkeep than the default.
    #[must_use]
    pub fn with_upkeep(self, upkeep: Upkeep) -> Self {
        Self { upkeep, ..self }
    }

    /// Notes how this start came about; it stands in the manifest once the capture is closed.
    pub fn note_edits(&mut self, edits: Vec<Edit>) {
        self.last_start().edits = edits;
    }

    /// Takes a record; writes the batch when it is full. Returns the exchanges that are now on disk, or the
    /// records that the disk refused.
    pub fn push(&mut self, record: Record, now: Instant) -> Result<u64, Dropped> {
        self.pending.push(record);
        self.pending_since.get_or_insert(now);
        if self.pending.is_full() { self.flush(now) } else { Ok(0) }
    }

    /// When [`CaptureWriter::flush`] is due at the latest; `None` while nothing waits.
    pub fn flush_due(&self) -> Option<Instant> {
        self.pending_since.map(|since| since + FLUSH_INTERVAL)
    }

    /// Hands all waiting records to the operating system; returns how many exchanges they were.
    pub fn flush(&mut self, now: Instant) -> Result<u64, Dropped> {
        let records = self.pending.take();
        self.pending_since = None;
        if records.is_empty() {
            return Ok(0);
        }
        let exchanges = records.iter().filter(|record| matches!(record, Record::Exchange(_))).count() as u64;
        self.append(&records, now).map_err(|error| Dropped { records, error })?;
        Ok(exchanges)
    }

    fn append(&mut self, records: &[Record], now: Instant) -> Result<(), CaptureError> {
        self.stay_in_place()?;
        let batch = self.encoder.batch_bytes(records)?;
        let open = match self.segment.take() {
            Some(open) => open,
            None => (self.new_segment()?, now),
        };
        let (segment, opened) = self.segment.insert(open);
        segment.append(&batch, records)?;
        let full = segment.bytes() >= self.rotation.bytes || now.duration_since(*opened) >= self.rotation.age;
        if full {
            // The batch is written; a segment that cannot be sealed reads as one that was not closed.
            let _ = self.seal_segment();
        }
        Ok(())
    }

    fn new_segment(&mut self) -> Result<SegmentWriter, CaptureError> {
        let start = u32::try_from(self.manifest.starts.len()).unwrap_or(u32::MAX);
        let (numbers, head) = ((self.next_number, start), self.encoder.schema_bytes()?);
        let segment = SegmentWriter::create(&self.place.directory, numbers, &head, self.upkeep.sync)?;
        self.next_number += 1;
        Ok(segment)
    }

    /// Seals the open segment; the next batch begins another.
    pub fn rotate(&mut self) -> Result<(), CaptureError> {
        self.seal_segment()
    }

    fn seal_segment(&mut self) -> Result<(), CaptureError> {
        let Some((segment, _)) = self.segment.take() else { return Ok(()) };
        let (kept, is_worth_packing) = (segment.kept(), segment.is_worth_packing());
        let number = kept.number;
        self.kept.push(kept);
        let entry = segment.seal()?;
        self.manifest.segments.push(entry.clone());
        self.store_manifest(true)?;
        if is_worth_packing {
            self.finish_packing()?;
            let how = (SchemaRef::clone(self.encoder.schema()), self.upkeep.sync);
            self.packing = Packing::begin(&self.place.directory, &entry, number, how);
        }
        Ok(())
    }

    /// Waits for the segment that is being packed, and notes what became of it.
    fn finish_packing(&mut self) -> Result<(), CaptureError> {
        let Some((entry, kept)) = self.packing.take().and_then(Packing::finish) else { return Ok(()) };
        let entries = self.manifest.segments.iter_mut().filter(|old| old.name == entry.name);
        entries.for_each(|old| *old = entry.clone());
        self.kept.iter_mut().filter(|old| old.number == kept.number).for_each(|old| *old = kept.clone());
        self.store_manifest(true)
    }

    /// What is to be done for the segments that are sealed, now and then: notes what was packed, takes away what the
    /// retention does not keep.
    pub fn look_after(&mut self, now: Instant) -> Result<(), CaptureError> {
        if self.packing.as_ref().is_some_and(Packing::is_finished) {
            self.finish_packing()?;
        }
        self.discard_surplus(now)
    }

    /// Takes away what the retention does not keep. The manifest says so first: a crash in between leaves
    /// files that readers pass over and the next start takes away.
    fn discard_surplus(&mut self, now: Instant) -> Result<(), CaptureError> {
        let open_bytes = self.segment.as_ref().map_or(0, |(segment, _)| segment.kept().bytes);
        let surplus = self.upkeep.retention.surplus(&self.kept, open_bytes, self.utc_ns(now));
        if surplus == 0 {
            return Ok(());
        }
        let is_packed =
            |kept: &Kept| self.packing.as_ref().is_some_and(|packing| packing.number == kept.number);
        if self.kept[..surplus].iter().any(is_packed) {
            self.finish_packing()?;
        }
        let gone: Vec<Kept> = self.kept.drain(..surplus).collect();
        self.note_removed(&gone);
        self.store_manifest(true)?;
        for segment in &gone {
            segment::remove(&self.place.directory.join(file_name(segment.number)));
        }
        Ok(())
    }

    fn note_removed(&mut self, gone: &[Kept]) {
        for segment in gone {
            self.manifest.removed.add(segment);
        }
        let removed = self.manifest.removed;
        self.manifest.segments.retain(|segment| !removed.holds(&segment.name));
    }

    fn utc_ns(&self, now: Instant) -> i64 {
        let started_ns = self.manifest.starts.last().map_or(0, |start| start.started_ns);
        let since_ns = i64::try_from(now.saturating_duration_since(self.created).as_nanos());
        started_ns.saturating_add(since_ns.unwrap_or(i64::MAX))
    }

    /// Begins anew when the directory was moved or removed: all segments so far went with it.
    fn stay_in_place(&mut self) -> Result<(), CaptureError> {
        if self.place.is_ours() {
            return Ok(());
        }
        let directory = self.place.directory.clone();
        // Where it is moved to, it should read as whole as it can.
        let open = self.segment.take().map(|(segment, _)| (segment.kept(), segment.seal().is_ok()));
        self.kept.extend(open.map(|(kept, _)| kept));
        let place = Place::take(&directory)?;
        match Manifest::load(&directory)? {
            None => {
                let gone = std::mem::take(&mut self.kept);
                self.note_removed(&gone);
            }
            // Only the lock was taken away.
            Some(found) if is_same_capture(&found, &self.manifest) => {}
            Some(_) => return Err(CaptureError::Replaced { path: directory }),
        }
        self.place = place;
        self.store_manifest(true)
    }

    /// Whether the disk takes a batch again, after it refused one.
    pub fn probe(&mut self) -> Result<(), CaptureError> {
        self.stay_in_place()?;
        self.place.probe()
    }

    fn store_manifest(&self, important: bool) -> Result<(), CaptureError> {
        let durable = important && self.upkeep.sync != SyncPolicy::None;
        self.manifest.store(&self.place.directory, durable)
    }

    /// Writes the ledger to the manifest, at most once in a flush interval.
    pub fn note_ledger(&mut self, ledger: Ledger, now: Instant) -> Result<(), CaptureError> {
        if self.last_start().ledger == ledger || now.duration_since(self.manifest_stored) < FLUSH_INTERVAL {
            return Ok(());
        }
        self.manifest_stored = now;
        self.stay_in_place()?;
        self.last_start().ledger = ledger;
        self.store_manifest(false)
    }

    /// Seals the last segment and closes the start; records still waiting must have been flushed.
    pub fn close(mut self, ledger: Ledger, closed_ns: i64) -> Result<(), CaptureError> {
        debug_assert!(self.pending.is_empty(), "flush before closing");
        self.stay_in_place()?;
        self.last_start().ledger = ledger;
        self.last_start().closed_ns = Some(closed_ns);
        self.seal_segment()?;
        self.store_manifest(true)?;
        self.finish_packing()
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
        edits: Vec::new(),
    }
}

fn is_same_capture(one: &Manifest, other: &Manifest) -> bool {
    let starts =
        |manifest: &Manifest| manifest.starts.iter().map(|start| start.started_ns).collect::<Vec<_>>();
    starts(one) == starts(other)
}
