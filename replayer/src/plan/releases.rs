//! The plan spelled out: every planned send in the order of its intended instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::{Enumerate, Peekable};

use super::{Plan, PlannedClone, Release};
use crate::sessions::Outlines;

/// All releases of a plan, ordered by intended instant, then clone, then step.
///
/// A merge of the clones' steps: only clones that have begun and not ended are held in memory.
pub fn releases<'a>(plan: &'a Plan, sessions: &'a Outlines) -> impl Iterator<Item = Release> + 'a {
    Releases { plan, sessions, coming: plan.clones().enumerate().peekable(), active: BinaryHeap::new() }
}

struct Releases<'a, I: Iterator<Item = PlannedClone>> {
    plan: &'a Plan,
    sessions: &'a Outlines,
    /// Clones that have not begun, in order of start.
    coming: Peekable<Enumerate<I>>,
    /// The next release of each clone that has begun.
    active: BinaryHeap<Reverse<(Release, PlannedClone)>>,
}

impl<I: Iterator<Item = PlannedClone>> Releases<'_, I> {
    /// A step of a clone waits for its turn, if there is such a step.
    fn push(&mut self, number: usize, clone: PlannedClone, step: usize) {
        let steps = self.plan.steps(clone, self.sessions);
        let offset_us = steps.get(step).map(|step| step.offset_us);
        let intended_us = offset_us.map(|offset_us| self.plan.intended_us(clone, offset_us));
        let release = intended_us.map(|intended_us| Release { intended_us, clone: number, step });
        self.active.extend(release.map(|release| Reverse((release, clone))));
    }

    /// Begins every clone that starts no later than the earliest release at hand.
    fn begin_due(&mut self) {
        loop {
            let earliest_us = self.active.peek().map(|Reverse((release, _))| release.intended_us);
            let is_due = |(_, clone): &(usize, PlannedClone)| {
                earliest_us.is_none_or(|earliest_us| clone.start_us <= earliest_us)
            };
            let Some((number, clone)) = self.coming.next_if(is_due) else { return };
            self.push(number, clone, 0);
        }
    }
}

impl<I: Iterator<Item = PlannedClone>> Iterator for Releases<'_, I> {
    type Item = Release;

    fn next(&mut self) -> Option<Release> {
        self.begin_due();
        let Reverse((release, clone)) = self.active.pop()?;
        self.push(release.clone, clone, release.step + 1);
        Some(release)
    }
}
