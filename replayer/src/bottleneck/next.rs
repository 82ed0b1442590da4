//! What would give way after the first limit is raised, as far as times tell.

use serde::Serialize;

use super::SHARE_MIN;
use super::growth::{Growth, Part, grown, is_alike};
use super::profile::Profile;
use super::split::CLIENT;
use crate::report::format::{ms, number};

/// A stage that takes so many times as long as at the light load has a queue of its own.
const QUEUES_FROM: f64 = 1.2;
/// And so much longer.
const QUEUES_MS_MIN: f64 = 1.0;

/// Of the first limit's route.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NextLimit {
    /// The stage that queues too; `None`: none did, whatever was sent.
    pub stage: Option<String>,
    /// Answers a second up to which that is known: the most that the first limit let through.
    pub known_to_per_s: f64,
    /// For people.
    pub sentence: String,
}

/// `None` where the first is not known either.
pub fn next_limit(profiles: &[Profile]) -> Option<NextLimit> {
    let growth = grown(profiles)?;
    let first = growth.parts.first()?;
    let known_to_per_s = profiles.iter().map(|profile| profile.completed_per_s).max_by(f64::total_cmp)?;
    // Without a suspect there is no next one, and a target that tells no stages hides them.
    if first.share < SHARE_MIN || !growth.parts.iter().any(is_of_target) {
        return None;
    }
    let is_other = |part: &&Part| is_of_target(part) && !is_alike(first, part.heavy_ms - part.light_ms);
    let queues = growth.parts[1..].iter().filter(is_other).filter(|part| ratio(part) >= QUEUES_FROM);
    let grew = |part: &&Part| part.heavy_ms - part.light_ms >= QUEUES_MS_MIN;
    let next = queues.filter(grew).max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let sentence = sentence(&growth, first, next, known_to_per_s);
    Some(NextLimit { stage: next.map(|part| part.stage.clone()), known_to_per_s, sentence })
}

/// The client's own stages follow from another: a target that is busy reads and accepts slowly too.
fn is_of_target(part: &Part) -> bool {
    !CLIENT.contains(&part.stage.as_str())
}

fn ratio(part: &Part) -> f64 {
    part.heavy_ms / part.light_ms.max(QUEUES_MS_MIN)
}

fn sentence(growth: &Growth, first: &Part, next: Option<&Part>, known_to_per_s: f64) -> String {
    let per_s = number(Some(known_to_per_s));
    match next {
        Some(part) => format!(
            "{} is near its own limit too: {} of {} grew from {} to {} at {per_s} answers/s. Once more of {} fits, look at it.",
            part.stage,
            part.stage,
            growth.route,
            ms(Some(part.light_ms)),
            ms(Some(part.heavy_ms)),
            first.stage
        ),
        None => format!(
            "no other stage that the target tells queued at up to {per_s} answers/s: what gives way after {} lies above and shows when that is \
             raised",
            first.stage
        ),
    }
}
