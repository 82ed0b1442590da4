//! The plan spelled out: every planned send in the order of its intended instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Plan, Release};
use crate::sessions::Session;

/// All releases of a plan, ordered by intended instant, then clone, then step.
///
/// A merge of the clones' steps: only clones that have begun and not ended are held in memory.
pub fn releases<'a>(plan: &'a Plan, sessions: &'a [Session]) -> impl Iterator<Item = Release> + 'a {
    Releases { plan, sessions, next_clone: 0, active: BinaryHeap::new() }
}

struct Releases<'a> {
    plan: &'a Plan,
    sessions: &'a [Session],
    /// The first clone, in order of start, that has not begun.
    next_clone: usize,
    /// The next release of each clone that has begun.
    active: BinaryHeap<Reverse<Release>>,
}

impl Releases<'_> {
    fn release(&self, clone: usize, step: usize) -> Option<Release> {
        let planned = self.plan.clones[clone];
        let offset_us = self.sessions[planned.session].steps.get(step)?.offset_us;
        Some(Release { intended_us: self.plan.intended_us(planned, offset_us), clone, step })
    }

    /// Begins every clone that starts no later than the earliest release at hand.
    fn begin_due(&mut self) {
        while let Some(clone) = self.plan.clones.get(self.next_clone) {
            let earliest = self.active.peek().map(|Reverse(release)| release.intended_us);
            if earliest.is_some_and(|earliest_us| clone.start_us > earliest_us) {
                return;
            }
            let first = self.release(self.next_clone, 0);
            self.active.extend(first.map(Reverse));
            self.next_clone += 1;
        }
    }
}

impl Iterator for Releases<'_> {
    type Item = Release;

    fn next(&mut self) -> Option<Release> {
        self.begin_due();
        let Reverse(release) = self.active.pop()?;
        let following = self.release(release.clone, release.step + 1);
        self.active.extend(following.map(Reverse));
        Some(release)
    }
}
