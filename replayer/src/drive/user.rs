//! A clone under way: a new user with the recorded behaviour, a lane per connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use time::OffsetDateTime;

use super::again::Again;
use super::cast::Cast;
use super::client::Client;
use super::connection::{Connection, Wanted};
use super::exchange::Answer;
use super::http::LanePlan;
use super::lane::{Lane, side_by_side};
use super::link::Way;
use super::request::{Prepared, Purpose};
use super::script::Script;
use super::values::Values;
use super::worker::{Numbered, Worker};
use crate::measure::achieved::Stretch;
use crate::measure::distinct::{Distinct, Print, upload_number};
use crate::measure::http::Version;
use crate::measure::{ErrorClass, Outcome};
use crate::plan::PlannedClone;
use crate::sessions::{Outline, ResponsePlace, Step};

/// From this status on an answer is a failure.
pub(super) const FAILED_STATUS_MIN: u16 = 400;
/// From this status on it is the target's own.
const SERVER_ERROR_MIN: u16 = 500;

/// See the module.
#[derive(Debug)]
pub(super) struct User<'a> {
    pub(super) worker: &'a Worker<'a>,
    /// Index of the clone in the plan.
    pub(super) number: usize,
    clone: PlannedClone,
    outline: Outline<'a>,
    /// So many of its steps the plan has.
    played: usize,
    cast: &'a Cast,
    pub(super) script: &'a Script,
    pub(super) values: Values<'a>,
    pub(super) again: Again,
    client: Client,
    has_released: Cell<bool>,
    /// What of its identity it has sent: [`super::values::Shown`].
    identity: RefCell<BTreeSet<(bool, Print)>>,
}

impl<'a> User<'a> {
    pub(super) fn new(worker: &'a Worker<'a>, cast: &'a Cast, coming: Numbered) -> Self {
        let Numbered { number, clone, seat } = coming;
        let script = &cast.script;
        let outlines = worker.store.outlines();
        Self {
            worker,
            number,
            clone,
            outline: outlines.get(clone.session),
            played: worker.plan.steps(clone, outlines).len(),
            cast,
            script,
            values: Values::new(seat.and_then(|seat| worker.identities.of(seat)), &script.credentials),
            again: Again::new(cast.steps()),
            client: Client::new(worker.config, number, script),
            has_released: Cell::default(),
            identity: RefCell::default(),
        }
    }

    /// Plays all its connections, which overlap as captured.
    pub(super) async fn run(self) {
        let used = match self.script.lanes.as_slice() {
            [lane] => vec![self.play(lane).await],
            lanes => join_all(lanes.iter().map(|lane| self.play(lane))).await,
        };
        self.stay().await;
        self.worker.tally.visited(used);
        self.worker.tally.distinct(|distinct| self.counts_itself(distinct));
    }

    /// Plays one of them; from its first request to the end of its last answer.
    async fn play(&self, lane: &LanePlan) -> Stretch {
        let steps = &lane.steps[..lane.steps.partition_point(|step| *step < self.played)];
        match lane.plays {
            Version::Http1 => {
                let lane = Lane::new(self, steps, Way::Own { recorded: lane.recorded });
                lane.run().await;
                lane.used()
            }
            // On the heap, so that a clone without it is no larger for it.
            Version::Http2 => Box::pin(side_by_side(self, steps, lane.recorded)).await,
        }
    }

    /// Opens a connection that was to be opened from `due` on, for requests that were `recorded` so.
    pub(super) async fn connect(
        &self,
        recorded: Version,
        plays: Version,
        due: Instant,
    ) -> Result<Connection, ErrorClass> {
        let (config, tally) = (&self.worker.config, &self.worker.tally);
        let wanted = Wanted { plays, is_title_case: self.script.is_title_case, timeout: config.timeout };
        let opened = Connection::open(&self.client, config.target.address(), tally, wanted, due).await;
        if let Ok(connection) = &opened {
            tally.http(|counts| counts.opened(recorded, connection.version()));
        }
        opened
    }

    /// What a request is built for.
    pub(super) fn purpose(&self, step: usize) -> Purpose<'_> {
        let (target, habits) = (&self.worker.config.target, &self.script.habits);
        let (needs_json, uplink) = (self.script.needs_json(step), self.worker.config.uplink);
        Purpose { target, client: &self.client, habits, needs_json, uplink }
    }

    /// Counts what is about to be sent.
    pub(super) fn releases(&self, step: usize, prepared: &Prepared) {
        self.worker.tally.prepared(prepared.preparation);
        self.identity.borrow_mut().extend(&prepared.shown.identity);
        self.worker.tally.distinct(|distinct| {
            distinct.users += u64::from(!self.has_released.replace(true));
            for token in &prepared.shown.tokens {
                distinct.tokens_used.add(*token, self.number as u64);
            }
            if let Some(body) = prepared.body_print() {
                distinct.bodies_sent += 1;
                distinct.bodies.add(body, upload_number(self.number, step));
            }
        });
    }

    /// Takes in what an answer gives the user, and judges it.
    pub(super) fn answered(&self, step: usize, answer: &Answer) -> Outcome {
        self.client.keep(&answer.cookies);
        let credentials = &self.script.credentials[step];
        // Of cookies those that are set for good: one that is taken away says `deleted` to everybody.
        let is_it = |from: &ResponsePlace| {
            credentials.contains(from) && !matches!(from, ResponsePlace::Cookie { .. })
        };
        let found = answer.found.iter().filter(|(from, _)| is_it(from));
        let cookies = answer.cookies.iter().filter(|cookie| self.script.is_credential(&cookie.name));
        let live =
            cookies.filter(|cookie| !cookie.value.is_empty() && !cookie.is_over(OffsetDateTime::now_utc()));
        let tokens = found.map(|(_, value)| value).chain(live.map(|cookie| &cookie.value));
        self.worker.tally.distinct(|distinct| {
            tokens.for_each(|token| distinct.tokens.add(Print::of(token), self.number as u64));
        });
        self.judged(step, answer.status)
    }

    /// Counts it as a user of its own, by what named it; by all that it logged in with if nothing did.
    fn counts_itself(&self, distinct: &mut Distinct) {
        let identity = self.identity.borrow();
        let names_user = identity.iter().any(|(is_naming, _)| *is_naming);
        let naming = identity.iter().filter(|(is_naming, _)| *is_naming == names_user);
        let naming: Vec<Print> = naming.map(|(_, print)| *print).collect();
        if !naming.is_empty() {
            distinct.identities_used += 1;
            distinct.identities.add(Print::of(naming), self.number as u64);
        }
    }

    /// An answer beside the captured one: a failure where that was none is worse.
    fn judged(&self, step: usize, status: u16) -> Outcome {
        let captured = self.cast.captured_answer(step);
        let was_good = captured.status.is_none_or(|captured| captured < FAILED_STATUS_MIN);
        // Filler may well be refused; that says nothing about the target.
        let failed_min = if captured.is_approximated { SERVER_ERROR_MIN } else { FAILED_STATUS_MIN };
        Outcome::Answered { status, worse: was_good && status >= failed_min }
    }

    /// What was captured of a request.
    pub(super) fn step(&self, step: usize) -> Step {
        self.cast.step(self.worker.store, step)
    }

    pub(super) fn captured_status(&self, step: usize) -> Option<u16> {
        self.cast.captured_answer(step).status
    }

    pub(super) fn route(&self, step: usize) -> usize {
        self.worker.routes.of_template(self.outline.steps[step].route)
    }

    /// When the plan wants a step sent.
    pub(super) fn planned(&self, step: usize) -> Instant {
        let offset_us = self.outline.steps[step].offset_us;
        self.worker.tally.clock.at_us(self.worker.plan.intended_us(self.clone, offset_us))
    }

    /// Who has come to the end of the steps before their time stays for it.
    async fn stay(&self) {
        if self.worker.plan.has_stays() {
            tokio::select! {
                () = self.worker.ending.stopping() => {}
                () = self.leaving() => {}
            }
        }
    }

    /// Ends when the user's time is over; never, where they leave when they are done.
    pub(super) async fn leaving(&self) {
        match self.worker.plan.leaves_us(self.clone) {
            Some(leaves_us) => {
                self.worker.timer.sleep_until(self.worker.tally.clock.at_us(leaves_us)).await;
            }
            None => std::future::pending().await,
        }
    }

    /// What the captured user thought between an answer and a step.
    pub(super) fn think(&self, answered: usize, step: usize) -> Duration {
        let think_us =
            self.outline.steps[step].offset_us.saturating_sub(self.outline.steps[answered].end_us());
        Duration::from_micros(self.worker.plan.scaled_us(think_us))
    }

    /// How long sending its body takes by itself.
    pub(super) fn upload_span(&self, step: usize) -> Duration {
        Duration::from_micros(self.worker.config.uplink.span_us(&self.outline.steps[step]))
    }

    /// For the back-off of a step, the same in every run of the seed.
    pub(super) fn jitter(&self, step: usize) -> ChaCha8Rng {
        random_of([self.worker.plan.seed.0, self.number as u64, step as u64])
    }

    /// For what must differ between clones, steps and runs: boundaries, file names, contents.
    pub(super) fn random(&self, step: usize) -> ChaCha8Rng {
        random_of([self.worker.salt, self.number as u64, step as u64])
    }

    /// When a clone's first request is due.
    pub(super) fn start(worker: &Worker<'_>, clone: PlannedClone) -> Instant {
        worker.tally.clock.at_us(clone.start_us)
    }
}

fn random_of(words: [u64; 3]) -> ChaCha8Rng {
    let mut seed = <ChaCha8Rng as SeedableRng>::Seed::default();
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}
