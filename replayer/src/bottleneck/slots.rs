//! How many of something are busy when no more gets through.
//!
//! By the utilisation law (Denning and Buzen 1978) a station that completes X a second and holds each for S is busy with
//! X · S at once, summed over what passes through it. At the plateau that is its number of servers: 6.67 uploads a second
//! × 3 s are 20 slots. X is taken at the load that failed with the most answers. S is a stage's time without its queue: as
//! it was, at the lightest load, for those who met the fewest others ([`super::profile::Times::quiet_mean_ms`]).
//!
//! Stages that grew alike stand in one queue: who waits for a connection waits as long whatever for. So they count
//! together, on every route on which they grew so. A queue whose stages keep less than one busy cannot be what is used up:
//! it waits for something that is held elsewhere. Then the stages after it count too, as a transaction is held from the
//! token check to the last write.

use super::growth::{Growth, Part, grown_ms, is_alike};
use super::profile::{Profile, RouteProfile};
use super::split::{CLIENT, RECEIVE, WAIT};
use crate::report::format::{ms, number};

/// Below that a stage is not busy by itself.
const BUSY_MIN: f64 = 0.9;

/// So many times as many are another setting.
const DIFFERENT: f64 = 1.5;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slots {
    /// Sum of X · S at the plateau.
    pub(super) busy: f64,
    /// X of the route.
    pub(super) per_s: f64,
    /// S of the route, milliseconds.
    pub(super) hold_ms: f64,
    /// Over which stages it is held.
    pub(super) stages: Vec<String>,
    /// How many of them stand in the queue; what follows is held beyond.
    queued: usize,
    /// Other routes hold it too.
    is_shared: bool,
    /// What would be busy if it were held on to the answer, and during which stages; times do not tell which it is.
    pub(super) to_the_end: Option<(f64, Vec<String>)>,
}

/// `None` when no load failed, or when the stage is none of the target's.
pub(super) fn at(profiles: &[Profile], growth: &Growth) -> Option<Slots> {
    let part = growth.parts.first()?;
    if part.stage != WAIT && CLIENT.contains(&part.stage.as_str()) {
        return None;
    }
    let by_answers = |a: &&Profile, b: &&Profile| a.completed_per_s.total_cmp(&b.completed_per_s);
    let full = profiles.iter().filter(|profile| profile.is_failing).max_by(by_answers)?;
    let light = profiles.iter().filter(|profile| !profile.is_failing).min_by(by_answers)?;
    let per_s = full.routes.get(&growth.route)?.answer_share * full.completed_per_s;
    let queue = queue(growth, part);
    let light_route = light.routes.get(&growth.route)?;
    let mut slots = Slots {
        busy: others_busy(light, full, growth, part, &queue),
        per_s,
        hold_ms: 0.0,
        queued: queue.len(),
        is_shared: false,
        to_the_end: None,
        stages: Vec::new(),
    };
    slots.is_shared = slots.busy > 0.0;
    for stage in &queue {
        slots.add(light_route, stage);
    }
    for stage in after(light_route, &queue) {
        if slots.busy >= BUSY_MIN {
            break;
        }
        slots.add(light_route, stage);
    }
    slots.to_the_end = (!slots.is_held_beyond()).then(|| to_the_end(&slots, light_route, &queue)).flatten();
    (slots.busy >= BUSY_MIN).then_some(slots)
}

/// `None` where nothing of the target's own comes after the queue that would make a difference.
fn to_the_end(slots: &Slots, light: &RouteProfile, queue: &[String]) -> Option<(f64, Vec<String>)> {
    let own = after(light, queue).filter(|stage| !CLIENT.contains(stage));
    let stages: Vec<String> = own.map(str::to_owned).collect();
    let after_ms: f64 = stages.iter().map(|stage| light.stage(stage).quiet_mean_ms).sum();
    let busy = slots.busy + slots.per_s * after_ms / 1e3;
    (busy >= DIFFERENT * slots.busy).then_some((busy, stages))
}

/// The stage that grew most, and those of the target's own that grew alike, in the order of the requests.
fn queue(growth: &Growth, first: &Part) -> Vec<String> {
    let is_own = |stage: &str| !CLIENT.contains(&stage);
    let of = |stage: &str| growth.parts.iter().find(|part| part.stage == stage);
    let is_in = |stage: &str| {
        let stands_alike = |part: &Part| is_own(stage) && is_alike(first, part.heavy_ms - part.light_ms);
        stage == first.stage || (is_own(&first.stage) && of(stage).is_some_and(stands_alike))
    };
    growth.light_stages.iter().map(|(stage, _)| stage).filter(|stage| is_in(stage)).cloned().collect()
}

/// Of the same stages on other routes, where they grew alike.
fn others_busy(light: &Profile, full: &Profile, growth: &Growth, first: &Part, queue: &[String]) -> f64 {
    let others = full.routes.iter().filter(|(label, _)| **label != growth.route);
    others
        .filter_map(|(label, full_route)| {
            let light_route = light.routes.get(label)?;
            let is_in = |stage: &&String| is_alike(first, grown_ms(light_route, full_route, stage));
            let hold_ms: f64 =
                queue.iter().filter(is_in).map(|stage| light_route.stage(stage).quiet_mean_ms).sum();
            Some(full_route.answer_share * full.completed_per_s * hold_ms / 1e3)
        })
        .sum()
}

/// What a request passes through after the last of these, up to its answer.
fn after<'a>(route: &'a RouteProfile, queue: &[String]) -> impl Iterator<Item = &'a str> {
    let names = route.stages.iter().map(|(name, _)| name.as_str());
    let last = queue.last().cloned().unwrap_or_default();
    names.skip_while(move |name| *name != last).skip(1).take_while(|name| *name != RECEIVE)
}

impl Slots {
    fn add(&mut self, light: &RouteProfile, stage: &str) {
        let hold_ms = light.stage(stage).quiet_mean_ms;
        self.stages.push(stage.to_owned());
        self.hold_ms += hold_ms;
        self.busy += self.per_s * hold_ms / 1e3;
    }

    /// What is used up is held longer than by the stages that wait for it.
    pub(super) fn is_held_beyond(&self) -> bool {
        self.stages.len() > self.queued
    }

    /// What it is held during after its own stages.
    pub(super) fn beyond(&self) -> &[String] {
        &self.stages[self.queued..]
    }

    /// How many are busy if each is held on after the queue's stages.
    pub(super) fn held_beyond(&self) -> Option<f64> {
        let to_the_end = self.to_the_end.as_ref().map(|(busy, _)| *busy);
        if self.is_held_beyond() { Some(self.busy) } else { to_the_end }
    }

    pub(super) fn sentence(&self) -> String {
        let with_others = if self.is_shared { ", with the other routes that wait so," } else { "" };
        let held = format!(
            "at the most that got through, {}/s of that route, {} of {} without a queue keep{with_others} {} busy at once",
            number(Some(self.per_s)),
            self.stages.join(" + "),
            ms(Some(self.hold_ms)),
            number(Some(self.busy))
        );
        if !self.is_held_beyond() {
            return held;
        }
        let alone = self.stages[..self.queued].join(" + ");
        format!(
            "{held}: {alone} alone is too short to be what is used up, it waits for what is held during the rest"
        )
    }
}
