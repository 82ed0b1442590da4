//! One pass over a capture, on all cores: what is counted, and the evidence of whose each exchange is.
//!
//! No exchange is built; what stays in memory is some 200 bytes for each.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::thread;

use kingtide_common::capture::{Batch, Capture, CaptureError, Damage, Manifest, Projection, Removed};
use kingtide_common::cut::CutUsers;
use kingtide_common::exchange::Gap;
use kingtide_common::ledger::Ledger;
use rustc_hash::FxHashSet;

use super::counts::Counts;
use super::tally::{self, Tally};
use crate::sessions::Rules;
use crate::sessions::evidence::Evidence;
use crate::sessions::evidence::columns as evidence_columns;
use crate::sessions::evidence::ids::ids_of;
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
