//! The ids in some exchanges of a capture, where evidence alone does not decide whose they are.

use arrow_array::types::UInt64Type;
use kingtide_common::capture::{Batch, Capture, CaptureError, Projection};
use kingtide_common::exchange::{Exchange, Record};
use rustc_hash::FxHashMap;

use super::columns::COLUMNS;
use super::{Ids, Row};
use crate::columns;

/// Reads the capture once more for the ids in some exchanges.
pub(crate) fn ids_of(capture: &Capture, rows: &[Row]) -> Result<Vec<Ids>, CaptureError> {
    let places: FxHashMap<u64, usize> = rows.iter().map(|row| row.id).zip(0..).collect();
    let mut ids = vec![Ids::default(); rows.len()];
    let of_batch = |batch: Batch| -> Vec<(u64, Ids)> {
        let exchanges = among(&batch, |id| places.contains_key(&id));
        exchanges.iter().map(|exchange| (exchange.id, Ids::of(exchange))).collect()
    };
    capture.map_batches(Projection::Only(&COLUMNS), of_batch, |found| {
        for (id, found) in found {
            ids[places[&id]] = found;
        }
        Ok::<_, CaptureError>(())
    })?;
    Ok(ids)
}

fn among(batch: &Batch, is_wanted: impl Fn(u64) -> bool) -> Vec<Exchange> {
    let ids = columns::numbers::<UInt64Type>(batch.columns(), "id");
    let id = |row| columns::at(&ids, row).unwrap_or_default().saturating_add(batch.ids_from());
    let rows = (0..batch.columns().num_rows()).filter(|row| is_wanted(id(*row)));
    let records = rows.map(|row| batch.record(row));
    records
        .filter_map(|record| match record {
            Record::Exchange(exchange) => Some(*exchange),
            Record::Gap(_) => None,
        })
        .collect()
}
