//! A capture made from others: filtered, cut, sampled, merged, repaired, anonymised further.
//!
//! Streams: a source is read once to choose ([`choose`]) and once to copy; only to tell which exchanges are one
//! user's must their texts be in memory, as for a replay. The result is a capture like any other, in a
//! directory that is there whole or not at all ([`crate::destination`]). Invariants:
//!
//! - Every start of every source is a start of the result: ids stay as they were within it, and fingerprints of
//!   different starts were never comparable.
//! - A session is kept or left out whole, unless the user asks for single exchanges or for a cut.
//! - The ledger of each start adds up ([`ledger`]): what an edit leaves out is `filtered` or `sampled_out`.
//! - The manifest says what was done and to what.

use std::path::Path;
use std::time::{Duration, Instant};

use kingtide_common::capture::{
    Capture, CaptureError, CaptureWriter, Damage, Dropped, Edit, Rotation, Start, WriterOptions,
};
use kingtide_common::exchange::Record;
use kingtide_common::ledger::Ledger;
use serde::Serialize;

use crate::destination::{Allowed, Destination, DestinationError};
use crate::rows::{self, Row};
use crate::unfinished;

mod choose;
mod hide;
mod ledger;
mod origin;
mod shift;

pub use choose::{Choice, Crossing, Fate, Picking};
pub use hide::{Hiding, HidingError};
pub use origin::digest;
pub use shift::{Align, shifts_ns};

use ledger::Tally;

const PROGRAM: &str = concat!("kingtide ", env!("CARGO_PKG_VERSION"));

/// A capture to take from.
#[derive(Debug)]
pub struct Source {
    pub capture: Capture,
    /// Of its directory, without the way to it.
    pub name: String,
    pub digest: String,
    /// What becomes of its exchanges.
    pub choice: Choice,
    /// How far its times move, ns.
    pub shift_ns: i64,
}

/// What is done to all that is kept.
#[derive(Debug)]
pub struct Edits {
    pub hiding: Hiding,
    /// What was asked for, as sentences for the manifest.
    pub changes: Vec<String>,
    /// Nanoseconds UTC.
    pub at_ns: i64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error(transparent)]
    Destination(#[from] DestinationError),
    #[error("nothing is left: none of the {exchanges} exchanges is what was asked for")]
    Nothing { exchanges: u64 },
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// `kingtide edit --json` (schema: `replayer/schemas/edit.json`).
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub out: String,
    pub sources: Vec<SourceSummary>,
    pub starts: u64,
    pub exchanges: u64,
    pub gaps: u64,
    /// Exchanges that were left out by a criterion.
    pub filtered: u64,
    /// Exchanges that were left out with their session by the sampling rate.
    pub sampled_out: u64,
    /// Of the result, all starts together.
    pub ledger: Ledger,
}

/// What was read of one source.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct SourceSummary {
    pub capture: String,
    pub exchanges: u64,
    /// How far its times were moved.
    pub shift_s: f64,
    /// What could not be read, as sentences.
    pub damage: Vec<Damage>,
}

/// Makes the capture `out`, and tells `progress` how many exchanges were read so far.
pub fn edit(
    sources: &[Source],
    edits: &Edits,
    out: &Path,
    progress: impl Fn(u64),
) -> Result<Summary, EditError> {
    let destination = Destination::prepare(out, Allowed::Nothing)?;
    let mut summary = Summary { out: out.display().to_string(), ..Summary::default() };
    for source in sources {
        let copied = copy(source, edits, destination.path(), &mut summary, &progress)?;
        summary.sources.push(copied);
    }
    if summary.exchanges == 0 {
        return Err(EditError::Nothing { exchanges: summary.read() });
    }
    destination.keep()?;
    Ok(summary)
}

fn copy(
    source: &Source,
    edits: &Edits,
    directory: &Path,
    summary: &mut Summary,
    progress: &impl Fn(u64),
) -> Result<SourceSummary, EditError> {
    let read_before = summary.read();
    let removed = source.capture.manifest().map_or(0, |manifest| manifest.removed.rows);
    let mut copy = Copy { source, edits, directory, starts_done: 0, removed, open: None, summary };
    let damage = rows::each(&source.capture, |row| {
        let _turn = unfinished::turn();
        copy.row(row)?;
        progress(copy.summary.read());
        Ok::<_, EditError>(())
    })?;
    let turn = unfinished::turn();
    copy.finish(&damage)?;
    drop(turn);
    let exchanges = summary.read() - read_before;
    Ok(SourceSummary {
        capture: source.name.clone(),
        exchanges,
        shift_s: source.shift_ns as f64 / 1e9,
        damage,
    })
}

impl Summary {
    fn read(&self) -> u64 {
        self.exchanges + self.filtered + self.sampled_out
    }

    fn add(&mut self, tally: &Tally, ledger: Ledger) {
        self.starts += 1;
        self.exchanges += tally.kept;
        self.filtered += tally.filtered;
        self.sampled_out += tally.sampled_out;
        self.gaps += tally.gaps;
        self.ledger = self.ledger + ledger;
    }
}

/// One source on its way into the result, start by start.
struct Copy<'a> {
    source: &'a Source,
    edits: &'a Edits,
    directory: &'a Path,
    /// Starts of the source that are in the result.
    starts_done: u64,
    /// Rows that the retention took away, of starts that are not yet done.
    removed: u64,
    open: Option<Open>,
    summary: &'a mut Summary,
}

/// The start that is being written.
struct Open {
    /// Its number in the source.
    start: u64,
    writer: CaptureWriter,
    tally: Tally,
    last_done_ns: i64,
}

impl Copy<'_> {
    fn row(&mut self, row: Row) -> Result<(), EditError> {
        if self.open.as_ref().is_none_or(|open| open.start != row.start) {
            self.close(&[])?;
            self.begin(row.start, row.record.started_ns())?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        match row.record {
            Record::Exchange(mut exchange) => {
                let fate = self.source.choice.fate(&exchange);
                open.tally.add(fate);
                if fate != Fate::Kept {
                    return Ok(());
                }
                exchange.id = exchange.id.saturating_sub(row.ids_from);
                exchange.connection = exchange.connection.saturating_sub(row.ids_from);
                exchange.started_ns = exchange.started_ns.saturating_add(self.source.shift_ns);
                self.edits.hiding.apply(&mut exchange);
                open.last_done_ns = open.last_done_ns.max(exchange.done_ns());
                open.push(Record::Exchange(exchange))
            }
            Record::Gap(gap) if !self.source.choice.keeps_gap(&gap) => {
                open.tally.drop_gap(&gap);
                Ok(())
            }
            Record::Gap(mut gap) => {
                open.tally.keep_gap(&gap);
                gap.from_ns = gap.from_ns.saturating_add(self.source.shift_ns);
                gap.to_ns = gap.to_ns.saturating_add(self.source.shift_ns);
                self.edits.hiding.apply_to_gap(&mut gap, row.ids_from);
                open.push(Record::Gap(gap))
            }
        }
    }

    /// Begins a start of the result, after those that left no row; its manifest may be lost.
    fn begin(&mut self, start: u64, first_ns: i64) -> Result<(), EditError> {
        while self.starts_done + 1 < start {
            self.open(self.starts_done + 1, first_ns)?;
            self.close(&[])?;
        }
        self.open(start, first_ns)
    }

    fn open(&mut self, start: u64, first_ns: i64) -> Result<(), EditError> {
        let before = self.before(start);
        let started_ns = before.map_or(first_ns, |before| before.started_ns);
        let started_ns = started_ns.saturating_add(self.source.shift_ns);
        let options = WriterOptions {
            program: before.map_or_else(|| "unknown".to_owned(), |before| before.program.clone()),
            config_digest: self.edits.hiding.unlinked(before.map(|before| before.config_digest.as_str())),
            privacy: self.edits.hiding.privacy(before.map_or("default", |before| before.privacy.as_str())),
            started_ns,
            rotation: Rotation { age: Duration::MAX, ..Rotation::default() },
        };
        let writer = CaptureWriter::create(self.directory, options)?;
        self.open = Some(Open { start, writer, tally: Tally::default(), last_done_ns: started_ns });
        self.starts_done = self.starts_done.max(start);
        Ok(())
    }

    fn before(&self, start: u64) -> Option<&Start> {
        let starts = &self.source.capture.manifest()?.starts;
        starts.get(usize::try_from(start).ok()?.checked_sub(1)?)
    }

    /// Ends the start that is being written; `damage` is what could not be read of the source.
    fn close(&mut self, damage: &[Damage]) -> Result<(), EditError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.writer.flush(Instant::now()).map_err(|dropped| dropped.error)?;
        let before = self.before(open.start);
        let ledger_before = before.map(|before| before.ledger);
        let removed = ledger::gone(ledger_before, &open.tally).min(self.removed);
        let ledger = ledger::after(ledger_before, &open.tally, removed);
        let closed_ns = before.and_then(|before| before.closed_ns);
        let closed_ns = closed_ns.map_or(open.last_done_ns, |ns| ns.saturating_add(self.source.shift_ns));
        let edits_before = before.map(|before| before.edits.clone()).unwrap_or_default();
        open.writer
            .note_edits([self.edits.hiding.unlinked_edits(edits_before), vec![self.note(damage)]].concat());
        open.writer.close(ledger, closed_ns)?;
        self.summary.add(&open.tally, ledger);
        self.removed -= removed;
        Ok(())
    }

    /// Starts without rows at the end are starts as well.
    fn finish(&mut self, damage: &[Damage]) -> Result<(), EditError> {
        self.close(damage)?;
        let starts = self.source.capture.manifest().map_or(0, |manifest| manifest.starts.len() as u64);
        while self.starts_done < starts {
            self.open(self.starts_done + 1, 0)?;
            self.close(damage)?;
        }
        Ok(())
    }

    fn note(&self, damage: &[Damage]) -> Edit {
        let hiding = &self.edits.hiding;
        Edit {
            program: PROGRAM.to_owned(),
            at_ns: self.edits.at_ns,
            source: hiding.unlinked(Some(&self.source.name)),
            source_digest: hiding.unlinked(Some(&self.source.digest)),
            changes: self.edits.changes.clone(),
            damage: damage.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Open {
    fn push(&mut self, record: Record) -> Result<(), EditError> {
        match self.writer.push(record, Instant::now()) {
            Ok(_) => Ok(()),
            Err(Dropped { error, .. }) => Err(error.into()),
        }
    }
}
