//! How many of something are busy when no more gets through.
//!
//! By the utilisation law (Denning and Buzen 1978) a station that completes X a second and holds each for S is busy with
//! X · S at once. At the plateau that is its number of servers: 6.67 uploads a second × 3 s are 20 slots. X is taken at the
//! loads that failed. S is a stage's time without its queue: what it would take at no load, by the line through 1/R over X
//! of the two lightest loads that passed (R = S / (1 − X/μ) where servers queue, so 1/R falls with X).
//!
//! A stage that is busy with less than one at the plateau cannot be what is used up: it waits for something that is held
//! elsewhere. Then the stages after it count too, as a transaction is held from the token check to the last write.

use super::growth::Growth;
use super::profile::Profile;
use super::split::{CLIENT, RECEIVE, WAIT};
use crate::report::format::{ms, number};

/// Loads closer to each other tell nothing of what lies below both.
const APART: f64 = 1.4;
/// Below that a stage is not busy by itself.
const BUSY_MIN: f64 = 0.8;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slots {
    /// X · S at the plateau.
    pub(super) busy: f64,
    pub(super) per_s: f64,
    /// S, milliseconds.
    pub(super) hold_ms: f64,
    /// Over which stages it is held.
    pub(super) stages: Vec<String>,
    /// More than the stage that grew.
    pub(super) is_held_beyond: bool,
}

/// `None` when no load failed, or when the stage is none of the target's.
pub(super) fn at(profiles: &[Profile], growth: &Growth) -> Option<Slots> {
    let part = growth.parts.first()?;
    if part.stage != WAIT && CLIENT.contains(&part.stage.as_str()) {
        return None;
    }
    let failing = profiles.iter().filter(|profile| profile.is_failing);
    let rates = failing.map(|profile| {
        let share = profile.routes.get(&growth.route).map_or(0.0, |route| route.request_share);
        profile.completed_per_s * if growth.is_common { 1.0 } else { share }
    });
    let per_s = rates.max_by(f64::total_cmp).filter(|per_s| *per_s > 0.0)?;
    let from = growth.light_stages.iter().position(|(name, _)| *name == part.stage)?;
    let last = growth.light_stages.iter().position(|(name, _)| name == RECEIVE)?;
    let (mut stages, mut hold_ms) = (Vec::new(), 0.0);
    for (name, _) in &growth.light_stages[from..last] {
        if per_s * hold_ms / 1e3 >= BUSY_MIN {
            break;
        }
        stages.push(name.clone());
        hold_ms += unqueued_ms(profiles, growth, name);
    }
    let busy = per_s * hold_ms / 1e3;
    let is_held_beyond = stages.len() > 1;
    // Held beyond its stage it may be held to the end of the handler.
    let slots = Slots { busy, per_s, hold_ms, stages, is_held_beyond };
    (busy >= BUSY_MIN).then_some(slots)
}

/// A stage's time at no load; see the module. As seen at the light load where the others tell nothing.
fn unqueued_ms(profiles: &[Profile], growth: &Growth, stage: &str) -> f64 {
    let passing = profiles.iter().filter(|profile| !profile.is_failing);
    let point = |profile: &Profile| {
        let ms = profile.routes.get(&growth.route)?.stage(stage).mean_ms;
        (ms > 0.0).then_some((profile.completed_per_s, ms))
    };
    let points: Vec<(f64, f64)> = passing.filter_map(point).collect();
    let least_ms = points.iter().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min);
    if points.is_empty() {
        return growth.light_stages.iter().find(|(name, _)| name == stage).map_or(0.0, |(_, ms)| *ms);
    }
    // The queue is part of what is seen, and no more than half of it where the load passed.
    intercept(&points).map_or(least_ms, |per_ms| (1.0 / per_ms).clamp(0.5 * least_ms, least_ms))
}

/// Of the line through (x, 1/y) of the two lightest loads that are apart, where it falls. Of heavier ones the line would
/// tell of one server only: with many, R stays flat for long and then rises.
fn intercept(points: &[(f64, f64)]) -> Option<f64> {
    let (x, y) = points.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let apart = points.iter().filter(|(other, _)| *other >= APART * x);
    let (other_x, other_y) = apart.copied().min_by(|a, b| a.0.total_cmp(&b.0))?;
    let slope = (1.0 / other_y - 1.0 / y) / (other_x - x);
    (slope < 0.0).then_some(1.0 / y - slope * x)
}

impl Slots {
    pub(super) fn sentence(&self) -> String {
        let stages = self.stages.join(" + ");
        let held = format!(
            "at the most that got through, {}/s, {stages} of {} without a queue keep {} busy at once",
            number(Some(self.per_s)),
            ms(Some(self.hold_ms)),
            number(Some(self.busy))
        );
        if self.is_held_beyond {
            format!(
                "{held}: {} alone is too short to be what is used up, it waits for what is held during the rest",
                self.stages[0]
            )
        } else {
            held
        }
    }
}
