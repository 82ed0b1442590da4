//! What is known of an orphan only when all sessions are: passes over a store, and only where there are orphans.

use super::super::{Filling, Store, StoreError};
use crate::sessions::{Donors, Doubts, Given, Repairing, Repairs};

/// The store as the rules about orphans want it.
pub(super) fn repaired(
    store: Store,
    mut doubts: Doubts,
    given: &Given,
) -> Result<(Store, Repairs), StoreError> {
    if store.outlines().orphans() == 0 {
        return Ok((store, Repairs::default()));
    }
    let mut donors = Donors::wanted(given);
    if doubts.has_any() || donors.is_some() {
        for session in store.sessions() {
            let session = session?;
            doubts.add_given(&session);
            if let Some(donors) = &mut donors {
                donors.look_at(&session);
            }
        }
    }
    if let Some(donors) = &mut donors {
        for session in store.sessions() {
            donors.learn(&session?);
        }
    }
    let mut repairing = donors.map_or_else(Repairing::default, Donors::repairing);
    if given.keeps_orphans() && !doubts.changes_any() {
        return Ok((store, repairing.repairs));
    }
    let mut filling = Filling::default();
    for session in store.sessions() {
        let mut session = session?;
        doubts.settle(&mut session);
        if repairing.keeps(&mut session, given) {
            filling.push(&session)?;
        }
    }
    Ok((filling.finish()?, repairing.repairs))
}
