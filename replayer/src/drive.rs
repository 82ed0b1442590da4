//! The open-loop drive: sends a plan on time, whatever the target does.
//!
//! plan → clones by [`worker`](self) → one lane per recorded connection → exchanges → samples. Intended
//! instants come from the plan and one common start, never from a wake-up; a request waits only for a
//! value of an earlier answer and for its turn on the connection, and what it waited is kept apart from
//! what the generator was late. Every planned request ends in exactly one counted state.

pub(crate) mod body;
mod connection;
mod due;
mod ending;
mod exchange;
mod lane;
mod link;
pub(crate) mod multipart;
mod pacing;
mod request;
mod script;
mod stall;
mod tally;
mod target;
mod timer;
mod uplink;
mod user;
mod values;
mod wire;
mod worker;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use clap::ValueEnum;
use tokio::sync::watch;

pub use ending::Stop;
pub use target::{Target, TargetError};
pub use timer::{PreciseTimer, Sleep};
pub use uplink::Uplink;

use crate::identities::{self, Identities, IdentityError};
use crate::measure::Recorder;
use crate::measure::live::Live;
use crate::measure::route::Routes;
use crate::plan::Plan;
use crate::sessions::{Session, Step};
use script::Script;
use worker::Shared;

/// From the end of the preparation to the plan's zero: workers start in it, and the first connections open.
const SETUP: Duration = Duration::from_millis(400);
/// The drain deadline is at least this long after the last planned release.
const DRAIN_MIN: Duration = Duration::from_secs(30);

/// Where a step's intended instant comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// The recorded instants: a late answer delays only what needs a value of it.
    #[default]
    Offsets,
    /// The recorded think time after the answer, as a person behaves.
    Think,
}

/// What happens to a request that the generator is more than 10 ms late for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Late {
    /// It goes out late: the offered work is kept.
    #[default]
    Send,
    /// It is dropped and counts as failed.
    Drop,
}

/// How a plan is driven.
#[derive(Debug, Clone)]
pub struct DriveConfig {
    pub target: Target,
    pub identities: Option<Identities>,
    pub clock: Clock,
    pub late: Late,
    pub uplink: Uplink,
    /// From sent to the last byte of the answer, beside what the upload takes by its pacing.
    pub timeout: Duration,
    /// From the last release (planned, or under [`Clock::Think`] the last that an answer led to) or the
    /// user's stop to the end of the run.
    pub drain: Duration,
    pub workers: NonZeroUsize,
    pub stop: watch::Receiver<Stop>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Measured {
    pub recorder: Recorder,
    /// The routes that the recorder's are numbered by.
    pub routes: Routes,
    /// When the plan's zero was.
    pub started: SystemTime,
    /// From the plan's zero to the end of the last request.
    pub duration: Duration,
    /// The user asked to stop it; what that kept back is [`Recorder::withheld`].
    pub is_interrupted: bool,
}

/// Why a run could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error(transparent)]
    Identities(#[from] IdentityError),
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
}

impl DriveConfig {
    /// The defaults: recorded instants, late requests sent, a worker per core.
    pub fn new(target: Target, timeout: Duration, stop: watch::Receiver<Stop>) -> Self {
        Self {
            target,
            identities: None,
            clock: Clock::default(),
            late: Late::default(),
            uplink: Uplink::default(),
            timeout,
            drain: timeout.max(DRAIN_MIN),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            stop,
        }
    }
}

/// Sends the whole plan and waits for what becomes of it. Blocks; `live` can be read from other threads.
///
/// Nothing is sent when the identities cannot serve the plan.
pub fn run(
    plan: &Plan,
    sessions: &[Session],
    config: &DriveConfig,
    live: &Arc<Live>,
) -> Result<Measured, DriveError> {
    let shared = prepare(plan, sessions, config, live)?;
    raise_descriptor_limit();
    let (zero, recorder) = play(&shared)?;
    let duration = zero.start.elapsed();
    let is_interrupted = *config.stop.borrow() > Stop::Run;
    Ok(Measured { recorder, routes: shared.routes, started: zero.started, duration, is_interrupted })
}

/// Requests that a plan sends.
pub fn planned_requests(plan: &Plan, sessions: &[Session]) -> u64 {
    plan.clones().map(|clone| sessions[clone.session].steps.len() as u64).sum()
}

/// When the last planned request is out, its upload on this uplink included; microseconds from the start of
/// the run.
pub fn planned_end_us(plan: &Plan, sessions: &[Session], uplink: Uplink) -> u64 {
    let out_us = |step: &Step| plan.scaled_us(step.offset_us).saturating_add(uplink.span_us(&step.exchange));
    let last_us = |session: &Session| session.steps.iter().map(out_us).max().unwrap_or(0);
    let last_us: Vec<u64> = sessions.iter().map(last_us).collect();
    let ends_us = plan.clones().map(|clone| clone.start_us.saturating_add(last_us[clone.session]));
    ends_us.max().unwrap_or(0)
}

/// All that can be worked out before the zero is known; of a large capture it may last longer than [`SETUP`].
fn prepare<'a>(
    plan: &'a Plan,
    sessions: &'a [Session],
    config: &'a DriveConfig,
    live: &Arc<Live>,
) -> Result<Shared<'a>, IdentityError> {
    Ok(Shared {
        identities: identities::assign(config.identities.as_ref(), plan, sessions)?,
        plan,
        sessions,
        scripts: sessions.iter().map(Script::of).collect(),
        routes: Routes::of(sessions),
        config,
        live: Arc::clone(live),
        planned_end: Duration::from_micros(planned_end_us(plan, sessions, config.uplink)),
        salt: rand::random(),
    })
}

/// The plan's zero on both clocks.
#[derive(Debug, Clone, Copy)]
struct Zero {
    started: SystemTime,
    start: Instant,
}

impl Zero {
    fn ahead() -> Self {
        // In this order: should time pass between the two, nothing of the run seems to be before its time.
        let started = SystemTime::now() + SETUP;
        Self { started, start: Instant::now() + SETUP }
    }
}

/// Takes the zero itself, so that no preparation can come after it and make the run begin late.
fn play(shared: &Shared<'_>) -> io::Result<(Zero, Recorder)> {
    let workers = shared.config.workers.get().min(shared.plan.users()).max(1);
    let shares: Vec<_> = (0..workers).map(|share| worker::coming(shared.plan, share, workers)).collect();
    let zero = Zero::ahead();
    std::thread::scope(|scope| {
        let spawn = |(share, mine)| {
            let name = format!("drive-{share}");
            std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || worker::play(shared, mine, zero.start))
        };
        let threads = shares.into_iter().enumerate().map(spawn).collect::<io::Result<Vec<_>>>()?;
        let mut whole = Recorder::new(shared.routes.labels().len());
        for thread in threads {
            // A worker panics only on a broken invariant: go on panicking, with its message.
            whole.merge(&thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok((zero, whole))
    })
}

/// A clone may hold several sockets; the soft limit of 1,024 descriptors is for programs that `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, descriptors run out as `local_exhausted`, which the report names.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offsets => "offsets",
            Self::Think => "think",
        })
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::units::{Multiple, Seed};

    use super::*;
    use crate::plan::{Mode, amplify};

    #[test]
    fn the_zero_lies_after_everything_that_is_prepared() {
        let (_, stop) = watch::channel(Stop::Run);
        let target = Target::resolve("http://127.0.0.1:9").unwrap();
        let config = DriveConfig::new(target, Duration::from_secs(1), stop);
        let multiple = Multiple::new(1.0).unwrap();
        let plan = amplify(&[], multiple, Mode::Crowd, Seed(1));
        let shared = prepare(&plan, &[], &config, &Arc::default()).unwrap();
        let prepared = Instant::now();
        let (zero, recorder) = play(&shared).unwrap();
        assert!(zero.start >= prepared + SETUP);
        assert_eq!(recorder.planned(), 0);
    }
}
