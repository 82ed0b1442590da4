//! Reading a capture: everything that is whole, and a list of what is not.
//!
//! Batches are read from their places in the files, a few at a time on all cores, and handed over in order;
//! memory is bounded by the size of a batch, not of the capture. [`Capture::read`] alone keeps everything.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::batch::{self, Batch, Projection};
use super::layout::{Layout, Tail};
use super::{CaptureError, Damage, Manifest, decode, fan};
use crate::exchange::{Exchange, Gap, Record};

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
        let damage = self.for_each_record(|record| {
            match record {
                Record::Exchange(exchange) => reading.exchanges.push(*exchange),
                Record::Gap(gap) => reading.gaps.push(gap),
            }
            Ok::<_, CaptureError>(())
        })?;
        Ok(Reading { damage, ..reading })
    }

    /// Visits every record in the order in which they were written, until `visit` answers with an error.
    /// Answers with what could not be read.
    pub fn for_each_record<E: From<CaptureError>>(
        &self,
        mut visit: impl FnMut(Record) -> Result<(), E>,
    ) -> Result<Vec<Damage>, E> {
        let records = |batch: Batch| batch.records().collect::<Vec<_>>();
        self.map_batches(Projection::All, records, |records| records.into_iter().try_for_each(&mut visit))
    }

    /// Visits every batch in the order in which they were written, until `visit` answers with an error.
    /// Answers with what could not be read.
    pub fn for_each_batch<E: From<CaptureError>>(
        &self,
        columns: Projection<'_>,
        visit: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<Vec<Damage>, E> {
        self.map_batches(columns, |batch| batch, visit)
    }

    /// Like [`Self::for_each_batch`], of what `map` makes of each batch, which is done on all cores.
    pub fn map_batches<T: Send, E: From<CaptureError>>(
        &self,
        columns: Projection<'_>,
        map: impl Fn(Batch) -> T + Sync,
        mut visit: impl FnMut(T) -> Result<(), E>,
    ) -> Result<Vec<Damage>, E> {
        let mut damage: Vec<Damage> =
            self.manifest.is_none().then_some(Damage::NoManifest).into_iter().collect();
        for name in &self.segments {
            self.read_segment(name, columns, &map, &mut visit, &mut damage)?;
        }
        damage.extend(self.open_start(&damage));
        Ok(damage)
    }

    fn read_segment<T: Send, E: From<CaptureError>>(
        &self,
        name: &str,
        columns: Projection<'_>,
        map: &(impl Fn(Batch) -> T + Sync),
        visit: &mut impl FnMut(T) -> Result<(), E>,
        damage: &mut Vec<Damage>,
    ) -> Result<(), E> {
        let path = self.directory.join(name);
        let layout = match Layout::find(&path, name).map_err(CaptureError::io(&path))? {
            Ok(layout) => layout,
            Err(found) => {
                damage.push(found);
                return Ok(());
            }
        };
        if layout.bad_schema {
            damage.push(Damage::BadSchema { segment: name.into() });
        }
        let seen = read_batches(&layout, name, columns, map, visit, damage).map_err(|error| match error {
            Stopped::Io(error) => CaptureError::io(&path)(error).into(),
            Stopped::Visitor(error) => error,
        })?;
        damage.extend(seen.not_closed(&layout, name));
        if let Tail::Torn { offset, bytes } = layout.tail {
            damage.push(Damage::TornTail { segment: name.into(), offset, bytes });
        }
        Ok(())
    }

    fn open_start(&self, damage: &[Damage]) -> Option<Damage> {
        if damage.iter().any(|damage| matches!(damage, Damage::NotClosed { .. })) {
            return None;
        }
        let starts = self.manifest.iter().flat_map(|manifest| &manifest.starts);
        let open = starts.into_iter().find(|start| start.closed_ns.is_none())?;
        Some(Damage::StartNotClosed { started_ns: open.started_ns })
    }
}

/// Why a segment is not read to its end.
enum Stopped<E> {
    Io(io::Error),
    Visitor(E),
}

/// What was read of a segment, for one that was not closed.
#[derive(Debug, Default)]
struct Seen {
    exchanges: u64,
    last_done_ns: Option<i64>,
}

impl Seen {
    fn of(batch: &Batch) -> Self {
        let done_ns = || decode::done_ns(batch.columns());
        Self { exchanges: done_ns().count() as u64, last_done_ns: done_ns().max() }
    }

    fn add(&mut self, other: &Self) {
        self.exchanges += other.exchanges;
        self.last_done_ns = self.last_done_ns.max(other.last_done_ns);
    }

    fn not_closed(&self, layout: &Layout, name: &str) -> Option<Damage> {
        let (segment, rows, last_done_ns) = (name.to_owned(), self.exchanges, self.last_done_ns);
        (layout.tail != Tail::Sealed).then_some(Damage::NotClosed { segment, rows, last_done_ns })
    }
}

fn read_batches<T: Send, E>(
    layout: &Layout,
    name: &str,
    columns: Projection<'_>,
    map: &(impl Fn(Batch) -> T + Sync),
    visit: &mut impl FnMut(T) -> Result<(), E>,
    damage: &mut Vec<Damage>,
) -> Result<Seen, Stopped<E>> {
    let is_open = layout.tail != Tail::Sealed;
    let columns = batch::projected(&layout.schema, columns);
    let mut seen = Seen::default();
    let read = |extent: &_| {
        let batch = batch::read(layout, extent, columns.as_deref(), name)?;
        let mapped = |batch: Batch| (is_open.then(|| Seen::of(&batch)), map(batch));
        Ok::<_, io::Error>(batch.map(mapped))
    };
    fan::map_in_order(&layout.batches, read, |batch| match batch.map_err(Stopped::Io)? {
        Err(found) => {
            damage.push(found);
            Ok(())
        }
        Ok((of_batch, mapped)) => {
            seen.add(&of_batch.unwrap_or_default());
            visit(mapped).map_err(Stopped::Visitor)
        }
    })?;
    Ok(seen)
}

fn segment_names(directory: &Path) -> Result<Vec<String>, CaptureError> {
    let entries = fs::read_dir(directory).map_err(CaptureError::io(directory))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with("exchanges-") && name.ends_with(".arrows")).collect())
}
