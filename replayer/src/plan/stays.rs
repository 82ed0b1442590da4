//! The plan of users who stay for a time: each session once, until its user leaves.
//!
//! Nobody knows beforehand how quick answers will be, so such a session holds as many requests as very quick ones would leave
//! time for. What its user did not come to is no part of what was planned: see
//! [`RouteCounts::left`](crate::measure::recorder::RouteCounts::left).

use kingtide_common::units::{Multiple, Seed};

use super::{Mode, Plan, PlannedClone, amplify};
use crate::sessions::Outlines;

/// Plans each session once. `leaves_us` says by session when its user leaves, microseconds from the first start.
pub fn staying(sessions: &Outlines, leaves_us: &[u64], seed: Seed) -> Plan {
    assert_eq!(sessions.len(), leaves_us.len(), "every session has a user, who leaves");
    let once = Multiple::new(1.0).expect("1 is a multiple");
    Plan { leaves_us: Some(leaves_us.into()), ..amplify(sessions, once, Mode::Crowd, seed) }
}

impl Plan {
    /// Whether users leave at their time, done or not.
    pub fn has_stays(&self) -> bool {
        self.leaves_us.is_some()
    }

    /// When a clone's user leaves, microseconds from the start of the run; `None`: when it is done.
    pub(crate) fn leaves_us(&self, clone: PlannedClone) -> Option<u64> {
        self.leaves_us.as_ref().map(|leaves_us| leaves_us[clone.session])
    }
}
