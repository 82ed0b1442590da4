//! What gives way first: where the time of the slow requests goes, and what that says of the target's settings.
//!
//! A trial becomes a [`profile::Profile`]: for each route the mean time by stage, of all requests and of the slowest
//! twentieth. Stages are the client's (turn, connect, send, wait, receive) and, where answers carry `Server-Timing`, the
//! target's own within the wait. Means add up, percentiles do not: only means are compared.
//!
//! [`diagnose`] holds the heaviest load against the lightest: the stage that took the largest part of the growth
//! ([`growth`]), and how many of something are busy with it when no more gets through ([`slots`]). All it has seen are
//! times, so what it says is suspected: [`Confidence::Confirmed`] is for what a change of the suspected setting moved.

pub mod growth;
mod next;
pub mod profile;
mod remedy;
mod seen;
mod slots;
pub mod split;

use serde::{Deserialize, Serialize};

pub use next::{NextLimit, next_limit};
pub use profile::Profile;
pub use seen::confirm;

use self::growth::{Growth, grown};
use self::slots::Slots;
use crate::report::format::{ms, number, share};

/// A smaller part of the growth is no bottleneck's.
const SHARE_MIN: f64 = 0.2;

/// What may be the limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The stage that grew.
    pub stage: String,
    /// The route it was seen on.
    pub route: String,
    /// Of the growth of the mean latency between the two loads, 0 to 1.
    pub growth_share: f64,
    /// The same among the slowest 5 % of each load.
    pub tail_growth_share: f64,
    /// Change of the stage's p95 by the change of the load, both in logarithms (Theil–Sen); `None` with fewer than three
    /// loads.
    pub elasticity: Option<f64>,
    /// How many of something are busy at the most answers a second, by Little's law; `None` where that tells nothing.
    pub slots: Option<f64>,
    /// How many are busy if what is used up is held on after its stage; `None` where that makes no difference.
    pub held_beyond: Option<f64>,
    /// What was seen, in a sentence.
    pub evidence: String,
    pub confidence: Confidence,
    /// What to change first.
    pub remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    Suspected,
    Confirmed,
}

/// The suspects, the likeliest first; none where the loads do not differ enough.
pub fn diagnose(profiles: &[Profile]) -> Vec<Suspect> {
    let Some(growth) = grown(profiles) else { return Vec::new() };
    let slots = slots::at(profiles, &growth);
    let parts = growth.parts.iter().filter(|part| part.share >= SHARE_MIN);
    parts
        .enumerate()
        .map(|(rank, part)| {
            // What is held is one thing: it explains the stage that grew most.
            let slots = slots.as_ref().filter(|_| rank == 0);
            suspect(&growth, part, slots)
        })
        .collect()
}

fn suspect(growth: &Growth, part: &growth::Part, slots: Option<&Slots>) -> Suspect {
    let grew = format!(
        "{} of {} grew from {} at {:.2}x to {} at {:.2}x on average: {} of what its requests became slower ({} among the \
         slowest 5 %)",
        part.stage,
        growth.route,
        ms(Some(part.light_ms)),
        growth.light,
        ms(Some(part.heavy_ms)),
        growth.heavy,
        share(part.share),
        share(part.tail_share)
    );
    let busy = slots.map(|slots| format!("; {}", slots.sentence()));
    Suspect {
        stage: part.stage.clone(),
        route: growth.route.clone(),
        growth_share: part.share,
        tail_growth_share: part.tail_share,
        elasticity: part.elasticity,
        slots: slots.map(|slots| slots.busy),
        held_beyond: slots.and_then(Slots::held_beyond),
        evidence: grew + &busy.unwrap_or_default(),
        confidence: Confidence::Suspected,
        remedy: remedy::of(growth, part, slots),
    }
}

/// For people: what to look at first.
pub fn sentence(suspect: &Suspect) -> String {
    let confidence = match suspect.confidence {
        Confidence::Suspected => "suspected",
        Confidence::Confirmed => "confirmed",
    };
    let elasticity = suspect.elasticity.map(|e| format!(" Elasticity {}.", number(Some(e))));
    format!(
        "{confidence} bottleneck: {}. {}.{} {}",
        suspect.stage,
        suspect.evidence,
        elasticity.unwrap_or_default(),
        suspect.remedy
    )
}

#[cfg(test)]
mod tests;
