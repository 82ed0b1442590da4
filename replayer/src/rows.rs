//! A capture as a stream of its rows, for what need not hold it whole: exports and edits.

use kingtide_common::capture::{Batch, Capture, CaptureError, Damage, Projection};
use kingtide_common::exchange::{Exchange, Record};

/// One row, and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which start of the writer it belongs to, from 1.
    pub start: u64,
    /// What to take from its ids to have them as of their start; in the record they are unique in the capture.
    pub ids_from: u64,
    pub record: Record,
}

/// Gives every row to `visit`, in the order in which they were written, until it answers with an error.
/// Answers with what could not be read.
pub fn each<E: From<CaptureError>>(
    capture: &Capture,
    mut visit: impl FnMut(Row) -> Result<(), E>,
) -> Result<Vec<Damage>, E> {
    capture.map_batches(
        Projection::All,
        |batch| rows(&batch),
        |rows| rows.into_iter().try_for_each(&mut visit),
    )
}

fn rows(batch: &Batch) -> Vec<Row> {
    let (start, ids_from) = (batch.start(), batch.ids_from());
    batch.records().map(|record| Row { start, ids_from, record }).collect()
}

/// Like [`each`], of exchanges only.
pub fn each_exchange<E: From<CaptureError>>(
    capture: &Capture,
    mut visit: impl FnMut(Exchange) -> Result<(), E>,
) -> Result<Vec<Damage>, E> {
    each(capture, |row| match row.record {
        Record::Exchange(exchange) => visit(*exchange),
        Record::Gap(_) => Ok(()),
    })
}

/// The earliest start of an exchange, ns UTC; `None` for a capture without any.
pub fn first_ns(capture: &Capture) -> Result<Option<i64>, CaptureError> {
    let mut first = None;
    let earliest = |batch: Batch| {
        let starts = batch.records().filter_map(|record| match record {
            Record::Exchange(exchange) => Some(exchange.started_ns),
            Record::Gap(_) => None,
        });
        starts.min()
    };
    capture.map_batches(Projection::Only(&[]), earliest, |earliest| {
        first = first.into_iter().chain(earliest).min();
        Ok::<_, CaptureError>(())
    })?;
    Ok(first)
}
