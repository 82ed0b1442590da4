//! Captures in formats that other programs read.
//!
//! A format is a module: rows in, one document out, row by row, so that memory does not grow with the
//! capture. [`csv`], [`goreplay`], [`har`] and [`parquet`] need no more than the rows; a [`k6`] script is
//! made of sessions and needs the capture in memory, as a replay does. What each format cannot hold stands
//! in captures/README.md, "Exporting".

use std::io;

use kingtide_common::capture::Damage;
use kingtide_common::exchange::{Exchange, Gap, Record};

use crate::rows::Row;
use crate::selection::Selection;

mod body;
pub mod csv;
pub mod goreplay;
pub mod har;
pub mod k6;
mod ordered;
pub mod output;
pub mod parquet;

/// A document under way.
pub trait Document {
    fn exchange(&mut self, start: u64, exchange: Exchange) -> io::Result<()>;

    /// Requests that the capture lacks; formats without a place for them leave them out.
    fn gap(&mut self, start: u64, gap: Gap) -> io::Result<()>;

    /// Writes what is still waiting, and the end. `damage` is what could not be read of the capture.
    fn finish(&mut self, damage: &[Damage]) -> io::Result<()>;

    /// What a user should know about the finished document.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Which rows go into a document.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub selection: Selection,
    /// Starts of exchanges, ns UTC.
    pub period_ns: std::ops::Range<i64>,
    /// Ids of the exchanges of the wanted sessions, sorted; `None` for those of all.
    pub ids: Option<Vec<u64>>,
}

/// What went into a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    pub exchanges: u64,
    pub gaps: u64,
    /// Exchanges that were not wanted.
    pub left_out: u64,
}

impl Wanted {
    pub fn takes(&self, exchange: &Exchange) -> bool {
        self.period_ns.contains(&exchange.started_ns)
            && self.selection.takes(exchange)
            && self.ids.as_ref().is_none_or(|ids| ids.binary_search(&exchange.id).is_ok())
    }

    /// Gaps are not known by more than their time.
    fn takes_gap(&self, gap: &Gap) -> bool {
        gap.to_ns >= self.period_ns.start && gap.from_ns < self.period_ns.end
    }
}

impl Exported {
    /// Hands a row on, when it is wanted.
    pub fn add(&mut self, row: Row, wanted: &Wanted, document: &mut dyn Document) -> io::Result<()> {
        match row.record {
            Record::Exchange(exchange) if wanted.takes(&exchange) => {
                self.exchanges += 1;
                document.exchange(row.start, *exchange)
            }
            Record::Exchange(_) => {
                self.left_out += 1;
                Ok(())
            }
            Record::Gap(gap) if wanted.takes_gap(&gap) => {
                self.gaps += 1;
                document.gap(row.start, gap)
            }
            Record::Gap(_) => Ok(()),
        }
    }
}
