//! How many of something are busy when no more gets through.
//!
//! By the utilisation law (Denning and Buzen 1978) a station that completes X a second and holds each for S is busy with
//! X · S at once. At the plateau that is its number of servers: 6.67 uploads a second × 3 s are 20 slots. S is taken at
//! a light load, where it holds no queue, and X at the loads that failed.
//!
//! A stage that is busy with less than one at the plateau cannot be what is used up: it waits for something that is held
//! elsewhere. Then the stages after it count too, as a transaction is held from the token check to the last write.

use super::growth::Growth;
use super::profile::Profile;
use super::split::{CONNECT, GENERATOR, RECEIVE, RETRIES, SEND, TURN};
use crate::report::format::{ms, number};

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
    if [TURN, GENERATOR, CONNECT, SEND, RECEIVE, RETRIES].contains(&part.stage.as_str()) {
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
    for (name, light_ms) in &growth.light_stages[from..last] {
        if per_s * hold_ms / 1e3 >= BUSY_MIN {
            break;
        }
        stages.push(name.clone());
        hold_ms += light_ms;
    }
    let busy = per_s * hold_ms / 1e3;
    let is_held_beyond = stages.len() > 1;
    // Held beyond its stage it may be held to the end of the handler.
    let slots = Slots { busy, per_s, hold_ms, stages, is_held_beyond };
    (busy >= BUSY_MIN).then_some(slots)
}

impl Slots {
    pub(super) fn sentence(&self) -> String {
        let stages = self.stages.join(" + ");
        let held = format!(
            "at the most that got through, {}/s, {stages} of {} at light load keep {} busy at once",
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
