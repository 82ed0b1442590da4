//! The ledger of an edited start. Pure.
//!
//! It adds up without anything in flight, for the result is closed: what a crash left in no state is `too_late`, and
//! what was recorded and cannot be read any more is `shed_disk`, but for what the retention took away on purpose:
//! that is `filtered`.

use kingtide_common::exchange::Gap;
use kingtide_common::ledger::Ledger;

use super::Fate;

/// What was read of a start, by what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) kept: u64,
    pub(super) filtered: u64,
    pub(super) sampled_out: u64,
    /// Gap rows kept.
    pub(super) gaps: u64,
    /// Requests of gaps that were kept, and of those that were left out.
    missing: Missing,
    dropped: Missing,
}

/// Requests missing, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Missing {
    queue: u64,
    disk: u64,
    budget: u64,
}

impl Tally {
    pub(super) fn add(&mut self, fate: Fate) {
        match fate {
            Fate::Kept => self.kept += 1,
            Fate::Filtered => self.filtered += 1,
            Fate::SampledOut => self.sampled_out += 1,
        }
    }

    pub(super) fn keep_gap(&mut self, gap: &Gap) {
        self.gaps += 1;
        self.missing.add(gap);
    }

    pub(super) fn drop_gap(&mut self, gap: &Gap) {
        self.dropped.add(gap);
    }
}

impl Missing {
    fn add(&mut self, gap: &Gap) {
        match gap.reason.as_str() {
            "queue" => self.queue += gap.count,
            "budget" => self.budget += gap.count,
            _ => self.disk += gap.count,
        }
    }
}

/// Rows that were recorded and cannot be read any more.
pub(super) fn gone(before: Option<Ledger>, tally: &Tally) -> u64 {
    let read = tally.kept + tally.filtered + tally.sampled_out;
    before.map_or(0, |before| before.recorded.saturating_sub(read))
}

/// `before` is the source's, as of its last flush; `None` when its manifest is lost.
///
/// `removed` rows at most were taken away by the retention.
pub(super) fn after(before: Option<Ledger>, tally: &Tally, removed: u64) -> Ledger {
    let Tally { kept, filtered, sampled_out, missing, dropped, .. } = *tally;
    let gone = gone(before, tally);
    let before = before.unwrap_or_default();
    let removed = gone.min(removed);
    // A gap row may be newer than the ledger; those left out are no longer shed, but filtered.
    let shed = |before: u64, missing: u64, dropped: u64| before.max(missing + dropped) - dropped;
    let mut after = Ledger {
        accepted: before.accepted,
        recorded: kept,
        sampled_out: before.sampled_out + sampled_out,
        filtered: before.filtered + filtered + removed + dropped.queue + dropped.disk + dropped.budget,
        shed_queue: shed(before.shed_queue, missing.queue, dropped.queue),
        shed_disk: shed(before.shed_disk, missing.disk, dropped.disk) + gone - removed,
        shed_budget: shed(before.shed_budget, missing.budget, dropped.budget),
        too_late: before.too_late,
    };
    after.too_late += after.in_flight();
    after.accepted = after.settled();
    after
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(kept: u64, filtered: u64, sampled_out: u64) -> Tally {
        Tally { kept, filtered, sampled_out, ..Tally::default() }
    }

    #[test]
    fn what_an_edit_leaves_out_is_said() {
        let before = Ledger { accepted: 100, recorded: 90, filtered: 4, shed_queue: 6, ..Ledger::default() };
        let after = after(Some(before), &tally(50, 30, 10), 0);
        let expected = Ledger { recorded: 50, filtered: 34, sampled_out: 10, ..before };
        assert_eq!(after, expected);
        assert_eq!(after.in_flight(), 0);
    }

    #[test]
    fn a_crash_and_a_damaged_batch_are_losses() {
        let before = Ledger { accepted: 100, recorded: 90, ..Ledger::default() };
        let after = after(Some(before), &tally(80, 0, 0), 0);
        assert_eq!((after.accepted, after.shed_disk, after.too_late), (100, 10, 10));
    }

    #[test]
    fn what_the_retention_took_away_is_no_loss() {
        let before = Ledger { accepted: 90, recorded: 90, ..Ledger::default() };
        let after = after(Some(before), &tally(50, 0, 0), 30);
        assert_eq!((after.accepted, after.filtered, after.shed_disk), (90, 30, 10));
    }

    #[test]
    fn a_ledger_older_than_its_rows_catches_up() {
        let before = Ledger { accepted: 10, recorded: 8, ..Ledger::default() };
        let after = after(Some(before), &tally(20, 0, 0), 0);
        assert_eq!(after, Ledger { accepted: 20, recorded: 20, ..Ledger::default() });
    }

    #[test]
    fn a_gap_outside_of_the_cut_is_no_loss_of_what_is_kept() {
        let gap = |count| Gap {
            from_ns: 0,
            to_ns: 1,
            count,
            bytes: 0,
            reason: "budget".to_owned(),
            cut: Vec::new(),
        };
        let mut tally = tally(5, 0, 0);
        tally.keep_gap(&gap(3));
        tally.drop_gap(&gap(4));
        let before = Ledger { accepted: 12, recorded: 5, shed_budget: 7, ..Ledger::default() };
        let after = after(Some(before), &tally, 0);
        assert_eq!((after.accepted, after.shed_budget, after.filtered), (12, 3, 4));
        assert_eq!(super::after(None, &tally, 0).accepted, 12, "without a manifest the rows tell");
    }

    proptest! {
        #[test]
        fn it_adds_up_whatever_it_was(before in prop::array::uniform8(0_u64..1000), read in prop::array::uniform3(0_u64..1000), removed in 0_u64..1000) {
            let [accepted, recorded, sampled_out, filtered, shed_queue, shed_disk, shed_budget, too_late] = before;
            let before = Ledger { accepted, recorded, sampled_out, filtered, shed_queue, shed_disk, shed_budget, too_late };
            let after = after(Some(before), &tally(read[0], read[1], read[2]), removed);
            prop_assert_eq!(after.accepted, after.settled());
            prop_assert!(after.accepted >= accepted);
            prop_assert_eq!(after.recorded, read[0]);
        }
    }
}
