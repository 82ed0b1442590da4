//! What a capture holds, and whether a secret is among it: `kingtide inspect CAPTURE --audit`.
//!
//! It trusts nothing of how the capture was made. Each value of each row is looked at by its name (the rules of
//! redaction) and by its looks (detectors of this module's own, so that a hole in the redactor is not a hole in the
//! audit too); then every text of every column, also of columns that this program does not know and of dictionary
//! entries that no row uses; then the bytes of all files. One pass, batch by batch; what is kept is bounded.
//!
//! A finding never shows the secret, only its shape.

mod columns;
mod detect;
mod files;
mod findings;
mod holds;
mod leaves;
mod places;
mod shape;
pub mod text;

use std::path::Path;

use kingtide_common::capture::{Capture, CaptureError, Damage, Projection};
use kingtide_common::exchange::Record;
use kingtide_common::redact::Rules;
use serde::Serialize;

pub use findings::Finding;
pub use holds::Held;

use findings::Findings;
use holds::Holds;

/// The result of an audit.
#[derive(Debug, Serialize)]
pub struct Audit {
    /// The directory as it was named.
    pub capture: String,
    pub exchanges: u64,
    /// Everything could be looked at. Without it, no finding says little.
    pub complete: bool,
    /// One for each kind of secret in each place.
    pub findings: Vec<Finding>,
    /// Places with findings beyond the limit of the list.
    pub findings_left_out: u64,
    pub holds: Vec<Held>,
    pub places_left_out: u64,
    pub damage: Vec<Damage>,
}

/// Looks through a capture. `rules` say which names are secret.
pub fn audit(directory: &Path, rules: &Rules) -> Result<Audit, CaptureError> {
    let capture = Capture::open(directory)?;
    let (mut findings, mut holds, mut exchanges) = (Findings::default(), Holds::default(), 0);
    let damage = capture.for_each_batch(Projection::All, |batch| {
        for record in batch.records() {
            if let Record::Exchange(exchange) = record {
                exchanges += 1;
                leaves::each(&exchange, &mut |leaf| {
                    let hits = detect::in_leaf(&leaf, rules);
                    holds.add(&leaf, !hits.is_empty());
                    findings.add(exchange.id, &leaf, hits);
                });
            }
        }
        columns::each(batch.columns(), &mut |column, text| findings.add_raw(column, detect::in_text(text)));
        Ok::<_, CaptureError>(())
    })?;
    files::each(directory, &mut |file, text| findings.add_raw(file, detect::in_text(text)))?;
    let (findings, findings_left_out) = findings.into_list();
    let (holds, places_left_out) = holds.into_list();
    Ok(Audit {
        capture: directory.display().to_string(),
        exchanges,
        complete: damage.is_empty(),
        findings,
        findings_left_out,
        holds,
        places_left_out,
        damage,
    })
}

#[cfg(test)]
mod tests;
