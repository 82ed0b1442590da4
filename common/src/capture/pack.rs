//! Packing: a sealed segment of many small batches becomes one of few large ones.
//!
//! A batch costs about 8 KB of headers whatever it holds, and slow traffic makes one a second, for a crash must not cost
//! more than that. Once the segment is sealed nothing of it can be lost, and it is written again at its best.
//! That is done on a thread of its own, so that recording goes on.
//!
//! Invariant: whenever it is broken off, the segment under its name is whole, the old one or the new one. The
//! index goes first and comes last: without one a segment is scanned.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use arrow_schema::SchemaRef;

use super::encode::Encoder;
use super::layout::{Layout, Tail};
use super::load::{Load, ROWS_MAX};
use super::retention::Kept;
use super::segment::{self, SegmentWriter, SyncPolicy, file_name, index_path};
use super::{CaptureError, SegmentEntry, batch, decode};

/// What the new segment is called until it takes the old one's place; readers pass over it.
const UNFINISHED: &str = "packing.arrows";
/// A segment whose batches hold fewer rows on average is packed.
const ROWS_WORTH: u64 = ROWS_MAX as u64 / 4;

/// Whether a segment has more headers than it needs.
pub(super) fn is_worth_it(batches: u64, rows: u64) -> bool {
    batches > 1 && rows < batches.saturating_mul(ROWS_WORTH)
}

/// A segment that is being packed. Dropped, it is waited for: nobody else may be at work in the directory then.
#[derive(Debug)]
pub(super) struct Packing {
    pub(super) number: u32,
    thread: Option<JoinHandle<Option<Packed>>>,
}

/// What became of it.
pub(super) type Packed = (SegmentEntry, Kept);

impl Packing {
    /// Begins; `None` when no thread can be had, and the segment stays as it is.
    pub(super) fn begin(
        directory: &Path,
        entry: &SegmentEntry,
        number: u32,
        how: (SchemaRef, SyncPolicy),
    ) -> Option<Self> {
        let (directory, entry) = (directory.to_owned(), entry.clone());
        // What cannot be packed, for want of space for one, stays as it is.
        let pack = move || packed(&directory, &entry, number, how).ok().flatten();
        let thread = std::thread::Builder::new().name("capture-packer".into()).spawn(pack).ok()?;
        Some(Self { number, thread: Some(thread) })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for it; `None` when the segment is as it was.
    pub(super) fn finish(mut self) -> Option<Packed> {
        self.thread.take()?.join().ok().flatten()
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Takes away what a crash left of a segment that was being packed.
pub(super) fn remove_unfinished(directory: &Path) {
    segment::remove(&directory.join(UNFINISHED));
}

fn packed(
    directory: &Path,
    entry: &SegmentEntry,
    number: u32,
    (schema, sync): (SchemaRef, SyncPolicy),
) -> Result<Option<Packed>, CaptureError> {
    let path = directory.join(file_name(number));
    let Ok(layout) = Layout::find(&path, &entry.name).map_err(CaptureError::io(&path))? else {
        return Ok(None);
    };
    let unfinished = directory.join(UNFINISHED);
    let written = written(&layout, entry, &unfinished, (schema, sync));
    let swapped = written.and_then(|found| match found {
        // The directory may have been moved meanwhile, or the segment removed.
        Some(found) if layout.source.is_at(&path) => swap(&unfinished, &path, sync).map(|()| Some(found)),
        _ => Ok(None),
    });
    if !matches!(swapped, Ok(Some(_))) {
        segment::remove(&unfinished);
    }
    Ok(swapped?
        .map(|(new, kept)| (SegmentEntry { name: entry.name.clone(), ..new }, Kept { number, ..kept })))
}

/// The same rows in batches as large as they may be; `None` when not all of them can be read.
fn written(
    layout: &Layout,
    entry: &SegmentEntry,
    path: &Path,
    (schema, sync): (SchemaRef, SyncPolicy),
) -> Result<Option<Packed>, CaptureError> {
    segment::remove(path);
    let mut encoder = Encoder::thorough(schema)?;
    let mut segment = SegmentWriter::create_at(path.to_owned(), entry.start, &encoder.schema_bytes()?, sync)?;
    let mut load = Load::default();
    for extent in &layout.batches {
        let read = batch::read(layout, extent, None, &entry.name).map_err(CaptureError::io(path))?;
        let Ok(batch) = read else { return Ok(None) };
        for record in decode::records(batch.columns()) {
            load.push(record);
            if load.is_full() {
                append(&mut segment, &mut encoder, &mut load)?;
            }
        }
    }
    append(&mut segment, &mut encoder, &mut load)?;
    let kept = segment.kept();
    let new = segment.seal()?;
    let is_whole = layout.tail == Tail::Sealed && !layout.bad_schema && new.rows == entry.rows;
    Ok(is_whole.then_some((new, kept)))
}

fn append(segment: &mut SegmentWriter, encoder: &mut Encoder, load: &mut Load) -> Result<(), CaptureError> {
    let records = load.take();
    if records.is_empty() {
        return Ok(());
    }
    segment.append(&encoder.batch_bytes(&records)?, &records)
}

fn swap(unfinished: &Path, path: &Path, sync: SyncPolicy) -> Result<(), CaptureError> {
    let rename = |from: PathBuf, to: PathBuf| fs::rename(&from, &to).map_err(CaptureError::io(to));
    fs::remove_file(index_path(path)).map_err(CaptureError::io(index_path(path)))?;
    rename(unfinished.to_owned(), path.to_owned())?;
    rename(index_path(unfinished), index_path(path))?;
    match path.parent() {
        Some(directory) if sync != SyncPolicy::None => segment::sync_names(directory),
        _ => Ok(()),
    }
}
