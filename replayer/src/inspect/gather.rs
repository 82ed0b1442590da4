//! One pass over a capture, on all cores: what is counted, and the evidence of whose each exchange is.
//!
//! No exchange is built; what stays in memory is some 200 bytes for each.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::thread;

use arrow_array::types::UInt64Type;
use kingtide_common::capture::{Batch, Capture, CaptureError, Damage, Manifest, Projection, Removed};
use kingtide_common::cut::CutUsers;
use kingtide_common::exchange::{Exchange, Gap, Record};
use kingtide_common::ledger::Ledger;
use rustc_hash::{FxHashMap, FxHashSet};

use super::counts::Counts;
use super::tally::{self, Tally};
use crate::columns;
use crate::sessions::Rules;
use crate::sessions::evidence::columns as evidence_columns;
use crate::sessions::evidence::{Evidence, Ids, Row};
use crate::sessions::users::{self, Group, Groups};

/// All that a summary is made of.
#[derive(Debug)]
pub struct Gathered {
    pub(super) counts: Counts,
    pub(crate) users: Groups,
    /// Sessions that a gap cuts.
    pub(super) cut: u64,
    /// `None` when the manifest is lost.
    pub(super) ledger: Option<Ledger>,
    /// What the retention took away.
    pub(super) removed: Removed,
    pub(super) damage: Vec<Damage>,
}

/// Reads a capture as far as a summary needs it.
pub fn gather(capture: &Capture, rules: &Rules) -> Result<Gathered, CaptureError> {
    let columns: BTreeSet<&str> = tally::columns().chain(evidence_columns::COLUMNS).collect();
    let columns: Vec<&str> = columns.into_iter().collect();
    let rows =
        capture.manifest().into_iter().flat_map(|manifest| &manifest.segments).map(|segment| segment.rows);
    let (mut tally, mut evidence) =
        (Tally::default(), Evidence::expecting(rows.fold(0, u64::saturating_add)));
    let of_batch = |batch: Batch| (Tally::of(&batch), evidence_columns::evidence(&batch, &rules.given));
    let damage = capture.map_batches(Projection::Only(&columns), of_batch, |(counted, shown)| {
        tally.add(counted);
        evidence.append(shown);
        Ok::<_, CaptureError>(())
    })?;
    let starts_ns: Vec<i64> = evidence.rows().iter().map(|row| row.started_ns).collect();
    let (counts, users) = thread::scope(|scope| {
        let counts = scope.spawn(|| Counts::of(tally, &starts_ns));
        let users = users::group(evidence, rules, |rows| ids_of(capture, rows));
        (counts.join().unwrap_or_else(|panic| resume_unwind(panic)), users)
    });
    let users = users?;
    let cut = cut(capture, &users, &counts.gaps)?;
    let ledger = capture.manifest().map(Manifest::ledger);
    let removed = capture.manifest().map(|manifest| manifest.removed).unwrap_or_default();
    Ok(Gathered { counts, users, cut, ledger, removed, damage })
}

/// Counts the sessions that a gap cuts; reads the capture once more, if a gap names users.
fn cut(capture: &Capture, groups: &Groups, gaps: &[Gap]) -> Result<u64, CaptureError> {
    let users = CutUsers::of(gaps);
    if users.is_nobody() {
        return Ok(0);
    }
    let mut ids: FxHashSet<u64> = FxHashSet::default();
    let of_batch = |batch: Batch| evidence_columns::cut(&batch, &users);
    capture.map_batches(Projection::Only(&evidence_columns::CUT_COLUMNS), of_batch, |found| {
        ids.extend(found);
        Ok::<_, CaptureError>(())
    })?;
    let is_cut = |group: &&Group| group.rows.iter().any(|row| ids.contains(&row.id));
    Ok(groups.groups.iter().filter(is_cut).count() as u64)
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
