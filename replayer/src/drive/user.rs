//! A clone under way: a new user with the recorded behaviour, one lane per recorded connection.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::connection::Connection;
use super::lane::Lane;
use super::request::{Prepared, is_approximated};
use super::script::{Script, end_us};
use super::values::Values;
use super::worker::Worker;
use crate::measure::{ErrorClass, Outcome};
use crate::plan::PlannedClone;
use crate::sessions::Session;

/// From this status on an answer is a failure.
const FAILED_STATUS_MIN: u16 = 400;
/// From this status on it is the target's own.
const SERVER_ERROR_MIN: u16 = 500;

/// See the module.
#[derive(Debug)]
pub(super) struct User<'a> {
    pub(super) worker: &'a Worker<'a>,
    /// Index of the clone in the plan.
    number: usize,
    clone: PlannedClone,
    pub(super) session: &'a Session,
    pub(super) script: &'a Script,
    pub(super) values: Values<'a>,
    has_used_identity: Cell<bool>,
}

impl<'a> User<'a> {
    pub(super) fn new(worker: &'a Worker<'a>, number: usize, clone: PlannedClone) -> Self {
        let session = &worker.sessions[clone.session];
        let values = Values::new(session.steps.len(), worker.identities[number]);
        let script = &worker.scripts[clone.session];
        Self { worker, number, clone, session, script, values, has_used_identity: Cell::new(false) }
    }

    /// Plays all its connections, which overlap as captured.
    pub(super) async fn run(self) {
        let lanes: Vec<Lane<'_>> = self.script.lanes.iter().map(|steps| Lane::new(&self, steps)).collect();
        match lanes.as_slice() {
            [lane] => lane.run().await,
            lanes => drop(join_all(lanes.iter().map(Lane::run)).await),
        }
    }

    /// Opens a connection that was to be opened from `due` on.
    pub(super) async fn connect(&self, due: Instant) -> Result<Connection, ErrorClass> {
        let config = &self.worker.config;
        let is_title_case = self.script.is_title_case;
        Connection::open(&config.target, &self.worker.tally, is_title_case, config.timeout, due).await
    }

    /// Counts what is about to be sent.
    pub(super) fn releases(&self, prepared: &Prepared) {
        self.worker.tally.prepared(prepared.preparation);
        if prepared.uses_identity && !self.has_used_identity.replace(true) {
            self.worker.tally.identity_used();
        }
    }

    /// An answer beside the captured one: a failure where that was none is worse.
    pub(super) fn judged(&self, step: usize, status: u16) -> Outcome {
        let exchange = &self.session.steps[step].exchange;
        let was_good = exchange.status.is_none_or(|captured| captured < FAILED_STATUS_MIN);
        // Filler may well be refused; that says nothing about the target.
        let failed_min = if is_approximated(exchange) { SERVER_ERROR_MIN } else { FAILED_STATUS_MIN };
        Outcome::Answered { status, worse: was_good && status >= failed_min }
    }

    pub(super) fn route(&self, step: usize) -> usize {
        self.worker.routes.route(self.clone.session, step)
    }

    /// When the plan wants a step sent.
    pub(super) fn planned(&self, step: usize) -> Instant {
        let offset_us = self.session.steps[step].offset_us;
        self.worker.tally.clock.at_us(self.worker.plan.intended_us(self.clone, offset_us))
    }

    /// What the captured user thought between an answer and a step.
    pub(super) fn think(&self, answered: usize, step: usize) -> Duration {
        let think_us = self.session.steps[step].offset_us.saturating_sub(end_us(self.session, answered));
        Duration::from_micros(self.worker.plan.scaled_us(think_us))
    }

    /// How long sending its body takes by itself.
    pub(super) fn upload_span(&self, step: usize) -> Duration {
        Duration::from_micros(self.worker.config.uplink.span_us(&self.session.steps[step].exchange))
    }

    /// For what must differ between clones, steps and runs: boundaries, file names, contents.
    pub(super) fn random(&self, step: usize) -> ChaCha8Rng {
        let mut seed = <ChaCha8Rng as SeedableRng>::Seed::default();
        let words = [self.worker.salt, self.number as u64, step as u64];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// When a clone's first request is due.
    pub(super) fn start(worker: &Worker<'_>, clone: PlannedClone) -> Instant {
        worker.tally.clock.at_us(clone.start_us)
    }
}
