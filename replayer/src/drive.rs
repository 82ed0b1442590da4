//! The open-loop drive: sends a plan on time, whatever the target does.
//!
//! plan → clones by [`worker`](self) → one lane per recorded connection → exchanges → samples. Intended
//! instants come from the plan and one common start, never from a wake-up; a request waits only for a
//! value of an earlier answer and for its turn on the connection, and what it waited is kept apart from
//! what the generator was late. Every planned request ends in exactly one counted state.

mod addresses;
mod again;
pub(crate) mod body;
mod cast;
mod client;
mod connection;
mod cookies;
mod created;
mod diag;
mod due;
mod ending;
mod exchange;
mod http;
mod http2;
pub(crate) mod in_flight;
mod lane;
mod link;
mod marking;
pub(crate) mod multipart;
mod pacing;
mod request;
mod retry;
mod script;
mod stall;
mod tally;
mod target;
mod timer;
mod trunk;
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

pub use addresses::{AddressError, AddressRange};
pub(crate) use due::CONNECT_LEAD;
pub use ending::Stop;
use http::planned_connections;
pub use http::{Http, Protocols};
pub(crate) use http::{LanePlan, captured_connections};
pub use marking::Marking;
pub use retry::{Cause, Retry};
pub(crate) use script::anchors;
pub(crate) use target::public_tls;
pub use target::{Target, TargetError};
pub use timer::{PreciseTimer, Sleep};
pub use uplink::Uplink;

use crate::identities::{self, Identities, IdentityError};
use crate::measure::Recorder;
use crate::measure::attainment::Bar;
use crate::measure::clients::Clients;
use crate::measure::in_flight::InFlight;
use crate::measure::live::Live;
use crate::measure::raw::SampleSink;
use crate::measure::route::Routes;
use crate::plan::{Plan, PlannedClone};
use crate::sessions::{Outlines, StepOutline};
use crate::store::{Store, StoreError};
use in_flight::Flights;
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
    /// Where each clone's `X-Forwarded-For` is from; without it none is sent.
    pub forwarded_for: Option<AddressRange>,
    /// Where each clone's connections come from; without it the kernel chooses.
    pub source_addresses: Option<AddressRange>,
    pub clock: Clock,
    pub late: Late,
    pub uplink: Uplink,
    pub http: Http,
    /// Whether requests say that they are synthetic.
    pub marking: Marking,
    /// From sent to the last byte of the answer, beside what the upload takes by its pacing.
    pub timeout: Duration,
    /// From the last release (planned, or under [`Clock::Think`] the last that an answer led to) or the
    /// user's stop to the end of the run.
    pub drain: Duration,
    /// Which failures are tried again.
    pub retry: Retry,
    /// After a 401, the login that gave the token is repeated, and then the request.
    pub renews: bool,
    /// Requests in flight at which the run stops; `None`: as many as there are descriptors for.
    pub in_flight_max: Option<u64>,
    pub workers: NonZeroUsize,
    /// Where every sample goes, beside the counts.
    pub samples: Option<SampleSink>,
    /// What the requests of every second are held against; empty in a plain replay.
    pub bars: Vec<Bar>,
    /// So many whole samples are kept, each with the stages that the target says it took.
    pub kept_max: usize,
    /// So many ids of what was created are listed.
    pub created_max: usize,
    pub stop: watch::Receiver<Stop>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Measured {
    pub recorder: Recorder,
    pub in_flight: InFlight,
    /// The routes that the recorder's are numbered by.
    pub routes: Routes,
    /// When the plan's zero was.
    pub started: SystemTime,
    /// From the plan's zero to the end of the last request.
    pub duration: Duration,
    /// The user asked to stop it; what that kept back is [`Recorder::withheld`].
    pub is_interrupted: bool,
    pub clients: Clients,
    /// Which requests shared a connection.
    pub protocols: Protocols,
}

/// Why a run could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error(transparent)]
    Identities(#[from] IdentityError),
    #[error(transparent)]
    Sessions(#[from] StoreError),
    #[error("cannot start a worker: {0}")]
    Worker(#[from] io::Error),
}

impl DriveConfig {
    /// The defaults: recorded instants, late requests sent, nothing tried again but what a new token lets
    /// through, a worker per core.
    pub fn new(target: Target, timeout: Duration, stop: watch::Receiver<Stop>) -> Self {
        Self {
            target,
            identities: None,
            forwarded_for: None,
            source_addresses: None,
            clock: Clock::default(),
            late: Late::default(),
            uplink: Uplink::default(),
            http: Http::default(),
            marking: Marking::Off,
            timeout,
            drain: timeout.max(DRAIN_MIN),
            retry: Retry::default(),
            renews: true,
            in_flight_max: None,
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            samples: None,
            bars: Vec::new(),
            kept_max: 0,
            created_max: 0,
            stop,
        }
    }

    /// In what its connections are to speak.
    pub fn protocols(&self) -> Protocols {
        Protocols { http: self.http, may_speak_http2: self.target.may_speak_http2() }
    }
}

/// Sends the whole plan and waits for what becomes of it. Blocks; `live` can be read from other threads.
///
/// Nothing is sent when the identities cannot serve the plan.
pub fn run(
    plan: &Plan,
    store: &Store,
    config: &DriveConfig,
    live: &Arc<Live>,
) -> Result<Measured, DriveError> {
    let shared = prepare(plan, store, config, live)?;
    let (zero, mut recorder) = play(&shared)?;
    let duration = zero.start.elapsed();
    recorder.http.asked = config.http.to_string();
    recorder.http.recorded = planned_connections(plan, store.outlines());
    let is_interrupted = *config.stop.borrow() > Stop::Run;
    let clients = clients(plan, config, &recorder);
    Ok(Measured {
        recorder,
        in_flight: shared.flights.measured(),
        routes: shared.routes,
        started: zero.started,
        duration,
        is_interrupted,
        clients,
        protocols: shared.protocols,
    })
}

fn clients(plan: &Plan, config: &DriveConfig, recorder: &Recorder) -> Clients {
    let spread = |range: AddressRange| range.spread(plan.users() as u64);
    Clients {
        forwarded_for: config.forwarded_for.map(spread),
        source_addresses: config.source_addresses.map(spread),
        tls_handshakes: recorder.handshakes,
    }
}

/// Requests that a plan sends.
pub fn planned_requests(plan: &Plan, outlines: &Outlines) -> u64 {
    plan.clones().map(|clone| plan.steps(clone, outlines).len() as u64).sum()
}

/// When the last planned request is out, its upload on this uplink included; microseconds from the start of
/// the run.
pub fn planned_end_us(plan: &Plan, outlines: &Outlines, uplink: Uplink) -> u64 {
    let out_us = |step: &StepOutline| plan.scaled_us(step.offset_us).saturating_add(uplink.span_us(step));
    let last_us = |clone: PlannedClone| {
        let steps = plan.steps(clone, outlines).iter();
        let last_us = steps.map(out_us).max()?.saturating_add(clone.start_us);
        Some(last_us.min(plan.leaves_us(clone).unwrap_or(u64::MAX)))
    };
    let ends_us = plan.clones().filter_map(last_us);
    ends_us.max().unwrap_or(0)
}

/// All that can be worked out before the zero is known; of a large capture it may last longer than [`SETUP`].
fn prepare<'a>(
    plan: &'a Plan,
    store: &'a Store,
    config: &'a DriveConfig,
    live: &Arc<Live>,
) -> Result<Shared<'a>, IdentityError> {
    let salt = rand::random();
    Ok(Shared {
        identities: identities::assign(config.identities.as_ref(), plan, store.outlines(), salt)?,
        plan,
        store,
        protocols: config.protocols(),
        routes: Routes::of(store.outlines()),
        config,
        live: Arc::clone(live),
        flights: Flights::at_most(in_flight::cap(config.in_flight_max)),
        planned_end: Duration::from_micros(planned_end_us(plan, store.outlines(), config.uplink)),
        salt,
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
fn play(shared: &Shared<'_>) -> Result<(Zero, Recorder), DriveError> {
    let workers = shared.config.workers.get().min(shared.plan.users()).max(1);
    let shares: Vec<_> =
        (0..workers).map(|share| worker::coming(shared.plan, shared.store, share, workers)).collect();
    let zero = Zero::ahead();
    shared.live.begins(zero.start);
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
        let plan = amplify(&Outlines::default(), multiple, Mode::Crowd, Seed(1));
        let store = Store::default();
        let shared = prepare(&plan, &store, &config, &Arc::default()).unwrap();
        let prepared = Instant::now();
        let (zero, recorder) = play(&shared).unwrap();
        assert!(zero.start >= prepared + SETUP);
        assert_eq!(recorder.planned(), 0);
    }
}
