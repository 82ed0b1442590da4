//! Which stage grew: the difference of the means between a light and a heavy load, stage by stage. The shares add up
//! to 1, the turn set apart: a request waits its turn because an answer before it is slow, so that time is another stage's.

use super::profile::{Profile, RouteProfile, Times};
use super::split::TURN;
use crate::statistics::trend::theil_sen;

/// Fewer requests on either side say nothing about a route.
const REQUESTS_MIN: usize = 20;
/// Growth below this part of the light mean is no growth.
const GROWTH_MIN: f64 = 0.1;
/// And below this many milliseconds.
const GROWTH_MS_MIN: f64 = 1.0;
/// Logarithms of loads that are nearer say nothing of what the load does.
const LOADS_APART_MIN: f64 = 0.05;
/// At least this part of another growth is the same queue's.
const ALIKE: f64 = 0.5;

/// One of several figures of a stage.
type Measure = fn(&Times) -> f64;

/// A route's growth between two loads.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    pub route: String,
    /// The two multiples.
    pub light: f64,
    pub heavy: f64,
    /// Without the turn.
    pub growth_ms: f64,
    /// The largest first; the turn last.
    pub parts: Vec<Part>,
    /// Stages at the light load, in the order in which requests pass through them.
    pub light_stages: Vec<(String, f64)>,
    /// Share of the heavy load's requests that are of this route.
    pub request_share: f64,
    /// On most other requests the same stage grew by about as much: what they queue for is common to all.
    pub is_common: bool,
}

/// One stage's part in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub stage: String,
    pub light_ms: f64,
    pub heavy_ms: f64,
    /// Of the growth of the total without the turn; negative where it became quicker. Of a turn: of the whole total.
    pub share: f64,
    pub tail_share: f64,
    pub elasticity: Option<f64>,
}

/// The growth of the route that has most of it, summed over its requests; `None` where none grew.
pub fn grown(profiles: &[Profile]) -> Option<Growth> {
    let light = profiles
        .iter()
        .filter(|profile| !profile.is_failing)
        .min_by(|a, b| a.multiple.total_cmp(&b.multiple))?;
    // Where every load passed no limit was met.
    let heavy = profiles.iter().max_by(|a, b| by_weight(a, b)).filter(|heavy| heavy.is_failing)?;
    let routes = heavy.routes.iter().filter_map(|(label, heavy_route)| {
        let light_route = light.routes.get(label)?;
        let turn_ms = grown_ms(light_route, heavy_route, TURN).max(0.0);
        let growth_ms = heavy_route.total.mean_ms - light_route.total.mean_ms - turn_ms;
        let is_known = light_route.requests.min(heavy_route.requests) >= REQUESTS_MIN;
        let is_grown = growth_ms > GROWTH_MS_MIN.max(GROWTH_MIN * light_route.total.mean_ms);
        (is_known && is_grown).then_some((label, light_route, heavy_route, growth_ms))
    });
    let (label, light_route, heavy_route, growth_ms) =
        routes.max_by(|a, b| (a.3 * a.2.request_share).total_cmp(&(b.3 * b.2.request_share)))?;
    let mut parts: Vec<Part> = parts(profiles, label, light_route, heavy_route);
    let is_turn = |part: &Part| part.stage == TURN;
    parts.sort_by(|a, b| is_turn(a).cmp(&is_turn(b)).then(b.share.total_cmp(&a.share)));
    let is_common = parts.first().is_some_and(|part| is_common(light, heavy, label, part));
    Some(Growth {
        route: label.clone(),
        light: light.multiple,
        heavy: heavy.multiple,
        growth_ms,
        parts,
        light_stages: light_route.stages.iter().map(|(name, times)| (name.clone(), times.mean_ms)).collect(),
        request_share: heavy_route.request_share,
        is_common,
    })
}

/// Failing loads are heavier than any that passed.
fn by_weight(a: &Profile, b: &Profile) -> std::cmp::Ordering {
    a.is_failing.cmp(&b.is_failing).then(a.multiple.total_cmp(&b.multiple))
}

fn parts(profiles: &[Profile], label: &str, light: &RouteProfile, heavy: &RouteProfile) -> Vec<Part> {
    let share = |times: Measure, stage: &str| {
        let grew = |of: &dyn Fn(&RouteProfile) -> Times| times(&of(heavy)) - times(&of(light));
        let turn_ms = if stage == TURN { 0.0 } else { grew(&|route| route.stage(TURN)).max(0.0) };
        grew(&|route| route.stage(stage)) / (grew(&|route| route.total) - turn_ms)
    };
    let part = |(stage, heavy_times): &(String, Times)| {
        let light_times = light.stage(stage);
        Part {
            stage: stage.clone(),
            light_ms: light_times.mean_ms,
            heavy_ms: heavy_times.mean_ms,
            share: share(|times| times.mean_ms, stage),
            tail_share: share(|times| times.tail_mean_ms, stage),
            elasticity: elasticity(profiles, label, stage),
        }
    };
    heavy.stages.iter().map(part).collect()
}

/// The slope of ln p95 over ln load.
fn elasticity(profiles: &[Profile], label: &str, stage: &str) -> Option<f64> {
    let point = |profile: &Profile| {
        let p95_ms = profile.routes.get(label)?.stage(stage).p95_ms;
        (p95_ms > 0.0).then(|| (profile.multiple.ln(), p95_ms.ln()))
    };
    let points: Vec<(f64, f64)> = profiles.iter().filter_map(point).collect();
    if points.len() < 3 { None } else { theil_sen(&points, LOADS_APART_MIN) }
}

/// Whether the stage grew as it did on this route on those of at least half of the other requests. Not on all: an upload
/// that waits for the same may do so while it sends.
fn is_common(light: &Profile, heavy: &Profile, label: &str, part: &Part) -> bool {
    let others = heavy.routes.iter().filter(|(other, _)| *other != label);
    let (mut known, mut alike) = (0, 0);
    for (other, heavy_route) in others {
        let Some(light_route) = light.routes.get(other) else { continue };
        if light_route.requests.min(heavy_route.requests) >= REQUESTS_MIN {
            let is_alike = is_alike(part, grown_ms(light_route, heavy_route, &part.stage));
            known += heavy_route.requests;
            alike += if is_alike { heavy_route.requests } else { 0 };
        }
    }
    known > 0 && 2 * alike >= known
}

pub(super) fn grown_ms(light: &RouteProfile, heavy: &RouteProfile, stage: &str) -> f64 {
    heavy.stage(stage).mean_ms - light.stage(stage).mean_ms
}

/// Who stands in one queue waits in it alike, whatever for.
pub(super) fn is_alike(part: &Part, other_ms: f64) -> bool {
    other_ms >= ALIKE * (part.heavy_ms - part.light_ms)
}
