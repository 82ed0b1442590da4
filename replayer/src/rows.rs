//! A capture as a stream of its rows, for what need not hold it whole: exports and edits.

use std::path::Path;

use kingtide_common::capture::{Capture, CaptureError, Damage};
use kingtide_common::exchange::{Exchange, Record};

/// One row, and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which start of the writer it belongs to, from 1.
    pub start: u64,
    /// With ids that are unique in the capture.
    pub record: Record,
}

/// Ids of later starts are moved up by this much per start, so that they stay unique in a capture.
const IDS_PER_START: u64 = 1 << 40;

/// Which start an id that is unique in its capture belongs to, and what the id is within it.
pub fn within_start(id: u64) -> (u64, u64) {
    (id / IDS_PER_START + 1, id % IDS_PER_START)
}

/// Gives every row to `visit`, in the order in which they were written, until it answers with an error.
/// Answers with what could not be read.
pub fn each<E: From<CaptureError>>(
    capture: &Capture,
    mut visit: impl FnMut(Row) -> Result<(), E>,
) -> Result<Vec<Damage>, E> {
    let reading = capture.read()?;
    for exchange in reading.exchanges {
        let (start, _) = within_start(exchange.id);
        visit(Row { start, record: Record::Exchange(Box::new(exchange)) })?;
    }
    for gap in reading.gaps {
        visit(Row { start: 1, record: Record::Gap(gap) })?;
    }
    Ok(reading.damage)
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
    each_exchange(capture, |exchange| {
        first = Some(first.map_or(exchange.started_ns, |first: i64| first.min(exchange.started_ns)));
        Ok::<_, CaptureError>(())
    })?;
    Ok(first)
}

/// The name of a capture's directory, without the way to it.
pub fn name(directory: &Path) -> String {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
