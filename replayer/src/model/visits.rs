//! A user's stay: the steps of the model, done again until the time is over.
//!
//! Nobody knows beforehand how long answers will take, so a request's offset comes from what they usually take
//! (`answer`), and a stay is planned by it. Under `--clock think` a user thinks after the answers that come; then a
//! slower target makes the run longer, and the requests stay the same.

use std::collections::HashMap;
use std::time::Duration;

use kingtide_common::exchange::{Exchange, PacingPoint};
use kingtide_common::units::Seed;

use super::Stay;
use super::file::{File, Step as Model};
use super::request::request;
use crate::drive::Uplink;
use crate::plan::random::Draws;
use crate::sessions::{Session, Step, StepOutline};

/// Added to the user's number, so that each has draws of their own: other purposes are below.
const PURPOSE: u64 = 1 << 32;

/// How many answers quicker than usual are reckoned with.
const QUICK: u64 = 100;

/// How quick answers are taken to be when it is reckoned what there is time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Usual,
    /// A hundredth of what is usual, so that no user of a quick target is done too soon.
    Quick,
}

/// The session of one user; `None` when it has more than `requests_max` requests.
pub(super) fn session(
    file: &File,
    user: usize,
    stay: Stay,
    pace: Pace,
    seed: Seed,
    requests_max: usize,
) -> Option<Session> {
    let mut draws = Draws::new(seed, PURPOSE + user as u64);
    let uplink = file.uplinks.as_ref().map_or(Uplink::Unpaced, |uplinks| uplinks.draw(&mut draws));
    let mut visitor = Visitor {
        file,
        user,
        start_us: microseconds(stay.comes),
        leaves_us: microseconds(stay.leaves.saturating_sub(stay.comes)),
        pace,
        uplink,
        requests_max,
        draws,
        at_us: 0,
        quick_us: 0,
        latest: HashMap::new(),
        steps: Vec::new(),
    };
    visitor.visits();
    let start_ns = i64::try_from(stay.comes.as_nanos()).unwrap_or(i64::MAX);
    let is_held = visitor.steps.len() <= requests_max;
    is_held.then_some(Session {
        key: format!("user {}", user + 1),
        start_ns,
        steps: visitor.steps,
        orphan: false,
    })
}

struct Visitor<'a> {
    file: &'a File,
    user: usize,
    start_us: u64,
    /// From the user's start.
    leaves_us: u64,
    pace: Pace,
    uplink: Uplink,
    requests_max: usize,
    draws: Draws,
    /// Now, from the user's start.
    at_us: u64,
    /// The same if answers are quick.
    quick_us: u64,
    /// The latest request of each step by its name.
    latest: HashMap<&'a str, usize>,
    steps: Vec<Step>,
}

impl<'a> Visitor<'a> {
    fn visits(&mut self) {
        self.visit();
        while let Some(again) = &self.file.again
            && self.is_here()
        {
            let think_us = again.get_ref().draw_us(&mut self.draws);
            self.thinks(think_us);
            self.visit();
        }
    }

    fn thinks(&mut self, us: u64) {
        self.at_us = self.at_us.saturating_add(us);
        self.quick_us = self.quick_us.saturating_add(us);
    }

    fn is_here(&self) -> bool {
        let at_us = match self.pace {
            Pace::Usual => self.at_us,
            Pace::Quick => self.quick_us,
        };
        at_us < self.leaves_us && self.steps.len() <= self.requests_max
    }

    /// All steps, or those for which there is time.
    fn visit(&mut self) {
        let (file, is_first) = (self.file, self.steps.is_empty());
        for model in file.step.get_ref().iter().filter(|model| is_first || !model.once) {
            for _ in 0..model.repeat.draw(&mut self.draws) {
                // Users come at their start: what the first of them thinks before is no part of it.
                if !self.steps.is_empty() {
                    let think_us = model.think.draw_us(&mut self.draws);
                    self.thinks(think_us);
                }
                if !self.is_here() {
                    return;
                }
                self.send(model);
            }
        }
    }

    fn send(&mut self, model: &'a Model) {
        let number = self.steps.len();
        let (exchange, holes) = request(model, number, &self.latest, &mut self.draws);
        let exchange = self.timed(exchange, model);
        let offset_us = self.at_us;
        let done_us = exchange.instants.done_us.unwrap_or_default();
        let upload_us = exchange.pacing.last().map_or(0, |last| last.at_us);
        self.at_us = self.at_us.saturating_add(done_us);
        self.quick_us = self.quick_us.saturating_add(upload_us + (done_us - upload_us) / QUICK);
        self.latest.insert(model.name.get_ref(), number);
        self.steps.push(Step { exchange, offset_us, connection: 0, holes });
    }

    fn timed(&self, mut exchange: Exchange, model: &Model) -> Exchange {
        let upload_us = self
            .uplink
            .span_us(&StepOutline { body_bytes: exchange.request_body_bytes, ..StepOutline::default() });
        let answer = model.answer.as_ref().unwrap_or(&self.file.answer).get_ref().0;
        if upload_us > 0 {
            exchange.pacing = vec![PacingPoint { at_us: upload_us, bytes: exchange.request_body_bytes }];
        }
        exchange.instants.done_us = Some(upload_us.saturating_add(microseconds(answer)));
        exchange.connection = self.user as u64;
        exchange.client = self.user.to_string();
        let started_us = self.start_us.saturating_add(self.at_us);
        exchange.started_ns = i64::try_from(started_us.saturating_mul(1000)).unwrap_or(i64::MAX);
        exchange.id = self.steps.len() as u64 + 1;
        exchange
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
