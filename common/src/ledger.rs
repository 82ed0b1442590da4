//! The ledger: where every accepted request went.
//!
//! Invariant: `accepted` = the sum of all other states + requests still in flight.

use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Counts of accepted requests by the one state each ended in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Requests whose headers were read while capturing was on.
    pub accepted: u64,
    /// Written to the capture.
    pub recorded: u64,
    /// Left out with their whole session by the sampling rate.
    pub sampled_out: u64,
    /// Left out by a rule (a path that is not captured).
    pub filtered: u64,
    /// Left out with their whole session because the queue to the writer was full.
    pub shed_queue: u64,
    /// Left out because the disk could not take them.
    pub shed_disk: u64,
    /// Left out because the memory budget of the tap was used up.
    pub shed_budget: u64,
    /// Finished after the capture was closed.
    pub too_late: u64,
}

impl Ledger {
    /// Requests that ended in a state, whichever.
    pub fn settled(&self) -> u64 {
        self.recorded + self.lost() + self.sampled_out + self.filtered
    }

    /// Requests that should be in the capture and are not.
    pub fn lost(&self) -> u64 {
        self.shed_queue + self.shed_disk + self.shed_budget + self.too_late
    }

    /// Accepted, but in no state yet: still in flight (or lost by a crash).
    pub fn in_flight(&self) -> u64 {
        self.accepted.saturating_sub(self.settled())
    }
}

impl Add for Ledger {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            recorded: self.recorded + other.recorded,
            sampled_out: self.sampled_out + other.sampled_out,
            filtered: self.filtered + other.filtered,
            shed_queue: self.shed_queue + other.shed_queue,
            shed_disk: self.shed_disk + other.shed_disk,
            shed_budget: self.shed_budget + other.shed_budget,
            too_late: self.too_late + other.too_late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_adds_up() {
        let ledger = Ledger {
            accepted: 12,
            recorded: 7,
            shed_queue: 2,
            filtered: 1,
            too_late: 1,
            ..Ledger::default()
        };
        assert_eq!((ledger.settled(), ledger.lost(), ledger.in_flight()), (11, 3, 1));
    }
}
