//! One pass over a capture, on all cores: what is counted, and the evidence of whose each exchange is.
//!
//! No exchange is built; what stays in memory is some 200 bytes for each.

use std::collections::BTreeSet;

use arrow_array::types::UInt64Type;
use kingtide_common::capture::{Batch, Capture, CaptureError, Damage, Manifest, Projection};
use kingtide_common::exchange::{Exchange, Record};
use kingtide_common::ledger::Ledger;
use rustc_hash::FxHashMap;

use super::tally::{self, Tally};
use crate::columns;
use crate::sessions::Rules;
use crate::sessions::evidence::columns as evidence_columns;
use crate::sessions::evidence::{Evidence, Ids, Row};
use crate::sessions::users::{self, Groups};

/// All that a summary is made of.
#[derive(Debug)]
pub struct Gathered {
    pub(super) tally: Tally,
    pub(super) users: Groups,
    /// `None` when the manifest is lost.
    pub(super) ledger: Option<Ledger>,
    pub(super) damage: Vec<Damage>,
}

impl Gathered {
    /// The sessions alone.
    pub(crate) fn into_users(self) -> Groups {
        self.users
    }
}

/// Reads a capture as far as a summary needs it.
pub fn gather(capture: &Capture, rules: &Rules) -> Result<Gathered, CaptureError> {
    let columns: BTreeSet<&str> = tally::COLUMNS.into_iter().chain(evidence_columns::COLUMNS).collect();
    let columns: Vec<&str> = columns.into_iter().collect();
    let (mut tally, mut evidence) = (Tally::default(), Evidence::default());
    let of_batch = |batch: Batch| (Tally::of(&batch), evidence_columns::evidence(&batch));
    let damage = capture.map_batches(Projection::Only(&columns), of_batch, |(counted, shown)| {
        tally.add(counted);
        evidence.append(shown);
        Ok::<_, CaptureError>(())
    })?;
    let users = users::group(evidence, rules, |rows| ids_of(capture, rows))?;
    Ok(Gathered { tally, users, ledger: capture.manifest().map(Manifest::ledger), damage })
}

/// The exchanges with these ids, in the order in which they were finished.
pub fn exchanges(capture: &Capture, wanted: &BTreeSet<u64>) -> Result<Vec<Exchange>, CaptureError> {
    let mut found = Vec::new();
    capture.map_batches(
        Projection::All,
        |batch| among(&batch, |id| wanted.contains(&id)),
        |exchanges| {
            found.extend(exchanges);
            Ok::<_, CaptureError>(())
        },
    )?;
    Ok(found)
}

/// Reads the capture once more for the ids in some exchanges.
fn ids_of(capture: &Capture, rows: &[Row]) -> Result<Vec<Ids>, CaptureError> {
    let places: FxHashMap<u64, usize> = rows.iter().map(|row| row.id).zip(0..).collect();
    let mut ids = vec![Ids::default(); rows.len()];
    let of_batch = |batch: Batch| -> Vec<(u64, Ids)> {
        let exchanges = among(&batch, |id| places.contains_key(&id));
        exchanges.iter().map(|exchange| (exchange.id, Ids::of(exchange))).collect()
    };
    capture.map_batches(Projection::Only(&evidence_columns::COLUMNS), of_batch, |found| {
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
