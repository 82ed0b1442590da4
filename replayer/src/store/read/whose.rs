//! Which session each exchange of a capture belongs to.

use kingtide_common::capture::{Capture, CaptureError, Projection};

use crate::sessions::evidence::Evidence;
use crate::sessions::evidence::columns::{COLUMNS, evidence};
use crate::sessions::evidence::ids::ids_of;
use crate::sessions::users::{self, Groups};
use crate::sessions::{IdleGap, Rules};

/// See the module.
#[derive(Debug)]
pub(super) struct Whose {
    /// Id and session of each exchange, in the order in which the capture has them.
    rows: Vec<(u64, u32)>,
    /// As many have been asked for.
    asked: usize,
    /// What holds each session together, in order of their start.
    pub(super) keys: Vec<String>,
    pub(super) idle_gap: IdleGap,
}

impl Whose {
    pub(super) fn of(capture: &Capture, rules: &Rules) -> Result<Self, CaptureError> {
        let segments = capture.manifest().into_iter().flat_map(|manifest| &manifest.segments);
        let expected = segments.map(|segment| segment.rows).fold(0, u64::saturating_add);
        let mut all = Evidence::expecting(expected);
        let of_batch = |batch| evidence(&batch, &rules.given);
        capture.map_batches(Projection::Only(&COLUMNS), of_batch, |some| {
            all.append(some);
            Ok::<_, CaptureError>(())
        })?;
        let mut rows: Vec<(u64, u32)> = all.rows().iter().map(|row| (row.id, 0)).collect();
        let Groups { groups, idle_gap } = users::group(all, rules, |rows| ids_of(capture, rows))?;
        let mut keys = Vec::with_capacity(groups.len());
        for (number, group) in (0..).zip(groups) {
            group.rows.iter().for_each(|row| rows[row.origin as usize].1 = number);
            keys.push(group.key);
        }
        Ok(Self { rows, asked: 0, keys, idle_gap })
    }

    /// How many exchanges each session has.
    pub(super) fn sizes(&self) -> Vec<u32> {
        let mut sizes = vec![0; self.keys.len()];
        self.rows.iter().for_each(|(_, session)| sizes[*session as usize] += 1);
        sizes
    }

    /// The session of the next exchange that the capture has. A writer may still be at work in it: what the first pass
    /// did not see is nobody's, and what was taken away since is passed over.
    pub(super) fn next(&mut self, id: u64) -> Option<u32> {
        let found = self.asked + self.rows[self.asked..].iter().position(|(known, _)| *known == id)?;
        self.asked = found + 1;
        Some(self.rows[found].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_or_went_between_the_passes_is_passed_over() {
        let rows = vec![(7, 0), (8, 1), (9, 0), (12, 2)];
        let mut whose = Whose { rows, asked: 0, keys: Vec::new(), idle_gap: IdleGap::default() };
        let asked = [8, 9, 12, 13, 14].map(|id| whose.next(id));
        assert_eq!(asked, [Some(1), Some(0), Some(2), None, None]);
    }
}
