//! A worker: one thread with its own runtime, timer and recorder, playing its share of the clones.
//!
//! Clones are made from the plan shortly before they start, so memory follows the clones under way, not
//! the length of the plan.

use std::io;
use std::iter::Peekable;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use super::cast::Casts;
use super::due::CONNECT_LEAD;
use super::ending::Ending;
use super::http::Protocols;
use super::in_flight::Flights;
use super::stall;
use super::tally::{RunClock, Tally};
use super::timer::PreciseTimer;
use super::user::User;
use super::{DriveConfig, DriveError};
use crate::identities::{SeatNumber, Seating, seated};
use crate::measure::Recorder;
use crate::measure::live::Live;
use crate::measure::route::Routes;
use crate::plan::{Plan, PlannedClone};
use crate::store::{Store, StoreError};

/// How long before its start a clone is made: its connection is opened [`CONNECT_LEAD`] before.
const CLONE_LEAD: Duration = CONNECT_LEAD.saturating_add(Duration::from_millis(50));

/// How much a worker asks to be preferred over other threads: a wake that has to wait for the processor
/// is late whatever the timer does.
const NICENESS: i32 = -10;

/// What all workers of a run share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) plan: &'a Plan,
    pub(super) store: &'a Store,
    /// In what its connections are to speak.
    pub(super) protocols: Protocols,
    pub(super) routes: Routes,
    pub(super) identities: Seating<'a>,
    pub(super) config: &'a DriveConfig,
    pub(super) live: Arc<Live>,
    pub(super) flights: Flights,
    /// From the run's zero; see [`super::planned_end_us`].
    pub(super) planned_end: Duration,
    /// Makes fresh values of this run unlike those of any other.
    pub(super) salt: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    pub(super) plan: &'a Plan,
    pub(super) store: &'a Store,
    protocols: Protocols,
    casts: Casts,
    pub(super) routes: &'a Routes,
    pub(super) identities: &'a Seating<'a>,
    pub(super) config: &'a DriveConfig,
    pub(super) tally: Rc<Tally>,
    pub(super) timer: PreciseTimer,
    pub(super) ending: Ending,
    pub(super) flights: &'a Flights,
    pub(super) salt: u64,
}

/// A clone of the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered {
    /// Its index in the plan.
    pub(super) number: usize,
    pub(super) clone: PlannedClone,
    /// Where its account is, if it needs one.
    pub(super) seat: Option<SeatNumber>,
}

/// The clones of one worker, in order of start.
pub(super) type Coming<'a> = Peekable<Box<dyn Iterator<Item = Numbered> + Send + 'a>>;

/// Every clone whose number leaves `share` when divided by the number of workers. The first is made at once,
/// which may last: its block and, in a crowd, those that a shift may bring before it.
pub(super) fn coming<'a>(plan: &'a Plan, store: &'a Store, share: usize, workers: usize) -> Coming<'a> {
    let numbered = |(number, (clone, seat))| Numbered { number, clone, seat };
    let all = seated(plan, store.outlines()).enumerate().map(numbered);
    let mine: Box<dyn Iterator<Item = Numbered> + Send + 'a> = Box::new(all.skip(share).step_by(workers));
    let mut mine = mine.peekable();
    let _ = mine.peek();
    mine
}

/// Plays a share of the clones; `start` is the run's zero.
pub(super) fn play(shared: &Shared<'_>, mine: Coming<'_>, start: Instant) -> Result<Recorder, DriveError> {
    // Only the privileged may; for the others the report's lag says what it was.
    let _ = rustix::process::nice(NICENESS);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let clock = RunClock::starting_at(start);
        let live = Arc::clone(&shared.live);
        let worker = Worker {
            plan: shared.plan,
            store: shared.store,
            protocols: shared.protocols,
            casts: Casts::default(),
            routes: &shared.routes,
            identities: &shared.identities,
            config: shared.config,
            tally: Rc::new(Tally::new(clock, shared, live)),
            timer: PreciseTimer::new()?,
            ending: Ending::new(start + shared.planned_end),
            flights: &shared.flights,
            salt: shared.salt,
        };
        // What one cannot do ends the run of all.
        worker.conduct(mine).await.inspect_err(|_| shared.flights.halt())?;
        Ok(worker.tally.take_recorder())
    })
}

impl Worker<'_> {
    /// Runs the clones beside what times and ends them.
    async fn conduct(&self, mine: Coming<'_>) -> Result<(), DriveError> {
        let stop = self.config.stop.clone();
        let timer = self.timer.clone();
        // On a task of its own: a wake then costs the timer, not a look at every clone.
        let driver = tokio::task::spawn_local(async move { timer.drive().await });
        tokio::task::spawn_local(stall::watch(self.timer.clone(), Rc::clone(&self.tally)));
        let stopped = tokio::select! {
            error = driver => Err(error.unwrap_or_else(io::Error::other).into()),
            () = self.ending.watch(stop, self.flights.halted(), self.config.drain) => Ok(()),
            played = tokio::task::unconstrained(self.play_all(mine)) => played.map_err(DriveError::from),
        };
        stopped
    }

    async fn play_all(&self, mut coming: Coming<'_>) -> Result<(), StoreError> {
        let mut under_way = FuturesUnordered::new();
        while coming.peek().is_some() || !under_way.is_empty() {
            let next = coming.peek().map(|coming| User::start(self, coming.clone));
            tokio::select! {
                biased;
                () = self.ending.stopping(), if next.is_some() => coming.by_ref().for_each(|coming| self.withhold(coming.clone)),
                () = self.wait_for(next), if next.is_some() => {
                    if let Some(next) = coming.next() {
                        under_way.push(self.user(next)?);
                        // Where many are due at once, those under way are not to wait for all of them to be read.
                        tokio::task::yield_now().await;
                        let _ = under_way.next().now_or_never();
                    }
                }
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
        Ok(())
    }

    async fn wait_for(&self, start: Option<Instant>) {
        if let Some(start) = start {
            self.timer.sleep_until(start.checked_sub(CLONE_LEAD).unwrap_or(start)).await;
        }
    }

    /// A clone whose start has come.
    fn user(&self, coming: Numbered) -> Result<impl Future<Output = ()>, StoreError> {
        if !self.plan.has_stays() {
            self.schedule(coming.clone);
        }
        let cast = self.casts.of(self.store, coming.clone.session, self.protocols)?;
        let due = User::start(self, coming.clone);
        Ok(async move {
            self.tally.arrived(due);
            User::new(self, &cast, coming).run().await;
            self.tally.gone(Instant::now());
        })
    }

    /// Counts its requests where the plan has them, ahead of their instants.
    fn schedule(&self, clone: PlannedClone) {
        let steps = self.plan.steps(clone, self.store.outlines());
        for step in steps {
            let upload_us = self.config.uplink.span_us(step);
            self.tally.scheduled(self.plan.intended_us(clone, step.offset_us), upload_us);
        }
    }

    /// A clone that a stop kept from starting.
    fn withhold(&self, clone: PlannedClone) {
        let steps = self.plan.steps(clone, self.store.outlines());
        if self.plan.has_stays() {
            return self.tally.cut_stay(steps.iter().map(|step| self.routes.of_template(step.route)));
        }
        self.schedule(clone);
        self.tally.withheld(steps.len());
    }
}
