//! What a search's end means for scripts.

use kingtide_common::units::Multiple;

use crate::capacity::answer::Answer;
use crate::capacity::finding::{Bound, Capacity, Outcome};
use crate::capacity::several::Several;
use crate::cli::Exit;

/// Of several searches: what one of them missed was missed, and together they must not be below.
pub(super) fn exit_of_several(several: &Several, fail_under: Option<Multiple>) -> Exit {
    let exits_by = |least| several.searches.iter().map(|answer| exit_of(answer, least)).collect::<Vec<_>>();
    let exits = exits_by(None);
    let all_held = || exits_by(fail_under).iter().all(|exit| *exit == Exit::Held);
    let least = fail_under.map_or(0.0, Multiple::get);
    match &several.capacity {
        _ if exits.contains(&Exit::Missed) => Exit::Missed,
        // Bounds alone, and each does.
        None if all_held() => Exit::Held,
        None => Exit::Invalid,
        Some(together) if together.multiple < least => Exit::Missed,
        Some(_) if exits.contains(&Exit::Invalid) => Exit::Invalid,
        Some(_) => Exit::Held,
    }
}

pub(super) fn exit_of(answer: &Answer, fail_under: Option<Multiple>) -> Exit {
    let finding = &answer.finding;
    let least = fail_under.map_or(0.0, Multiple::get);
    match (finding.verdict, &finding.capacity) {
        (Outcome::Invalid | Outcome::Unstable, _) => Exit::Invalid,
        _ if answer.interrupted => Exit::Invalid,
        (Outcome::FailsAtSmallest | Outcome::Hang | Outcome::Metastable, _) => Exit::Missed,
        (_, None) => Exit::Invalid,
        // A load that failed.
        (_, Some(capacity)) if capacity.bound == Bound::AtMost && capacity.multiple <= least => Exit::Missed,
        (_, Some(capacity)) if capacity.bound == Bound::AtMost => Exit::Invalid,
        (_, Some(capacity)) if capacity.multiple >= least => Exit::Held,
        (_, Some(capacity)) if capacity.bound == Bound::AtLeast && !has_failed_by(capacity, least) => {
            Exit::Invalid
        }
        _ => Exit::Missed,
    }
}

/// Of a staircase: the step that failed is its upper end.
fn has_failed_by(capacity: &Capacity, least: f64) -> bool {
    capacity.high > capacity.multiple && capacity.high <= least
}
