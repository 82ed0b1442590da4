//! The tap: hands finished exchanges to the writer without ever delaying traffic.
//!
//! A request pays for a look at whose it is and at most one `try_send`. Users are left out whole: by the
//! sampling rate, or because queue, memory, rate or disk have no room, and then for all that follows (see
//! [`door`]). Each accepted request ends in exactly one counted state (see [`kingtide_common::ledger`]); what
//! was shed becomes a gap in the capture, which names the users of whom the beginning is recorded.

mod counts;
mod describe;
mod door;
mod fates;
mod observation;
mod rate;
mod users;
mod writer;

pub(crate) use observation::{Observation, Recording};

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use kingtide_common::body::Bounds;
use kingtide_common::body::budget::Budget;
use kingtide_common::body::describe::Describer;
use kingtide_common::capture::{CaptureError, CaptureWriter};
use kingtide_common::exchange::CutUser;
use kingtide_common::ledger::Ledger;
use kingtide_common::redact::Redactor;

use crate::admin::QueueFacts;
use crate::clock::Clock;
use crate::passage::Passage;
use counts::{Counts, Shed};
use describe::Recorder;
use door::{Door, Standing};
use fates::Fate;
use rate::RateBound;
use users::{Issued, User, Users};
use writer::Inlets;

/// How long requests that are nearly over may take when the capture is closed; the others are too late.
const CLOSE_GRACE: Duration = Duration::from_millis(250);

/// What a row holds while it waits, besides its bodies and headers.
const ROW_BYTES: u64 = 2 << 10;

/// Bounds of the tap.
#[derive(Debug, Clone)]
pub(crate) struct TapOptions {
    /// Finished exchanges that may wait for the writer.
    pub(crate) queue_slots: usize,
    /// Bytes that all observations may hold.
    pub(crate) memory_bytes: u64,
    pub(crate) body_bytes_max: usize,
    pub(crate) hash_bytes_max: u64,
    /// Path prefixes that are not captured.
    pub(crate) exclude: Vec<String>,
    /// The share of users that is recorded.
    pub(crate) sample: f64,
    /// Exchanges recorded in a second at most; 0 = no bound.
    pub(crate) per_s_max: u32,
}

/// The producing side, shared by all requests.
#[derive(Debug)]
pub(crate) struct Tap {
    queue: Sender<Observation>,
    counts: Arc<Counts>,
    bounds: Arc<Bounds>,
    exclude: Vec<String>,
    clock: Clock,
    memory_bytes: u64,
    door: Arc<Door>,
    rate: Option<RateBound>,
}

/// The consuming side: closes the capture when asked.
#[derive(Debug)]
pub(crate) struct TapWriter {
    done: crossbeam_channel::Receiver<Result<Ledger, CaptureError>>,
    stop: Sender<()>,
    rotate: Sender<Sender<()>>,
    /// Alive while requests that it recorded are not over.
    tap: Weak<Tap>,
}

/// Where the capture comes from.
pub(crate) enum Source {
    Open(Box<CaptureWriter>),
    /// Waits for the process that holds it still; what is observed meanwhile stays in the queue.
    Later(Box<dyn FnOnce() -> Result<CaptureWriter, CaptureError> + Send>),
}

/// Starts the writer thread.
pub(crate) fn start(
    options: TapOptions,
    redactor: Redactor,
    source: Source,
    clock: Clock,
) -> std::io::Result<(Arc<Tap>, TapWriter)> {
    let (queue, observations) = crossbeam_channel::bounded(options.queue_slots);
    let (stop, stopped) = crossbeam_channel::bounded(1);
    let (rotate, rotations) = crossbeam_channel::bounded(1);
    let (finished, done) = crossbeam_channel::bounded(1);
    let tap = Tap {
        queue,
        counts: Arc::default(),
        bounds: Arc::new(Bounds {
            body_bytes_max: options.body_bytes_max,
            hash_bytes_max: options.hash_bytes_max,
            budget: Budget::new(options.memory_bytes),
            hasher: Arc::new(redactor.hasher()),
        }),
        exclude: options.exclude,
        clock,
        memory_bytes: options.memory_bytes,
        door: Arc::new(Door::new(options.sample, Users::new(redactor.hasher()))),
        rate: RateBound::new(options.per_s_max),
    };
    let inlets = Inlets { observations, stop: stopped, rotate: rotations };
    let shared = (Arc::clone(&tap.counts), Arc::clone(&tap.door));
    let recorder = Recorder { describer: Describer::new(redactor, options.body_bytes_max), clock };
    let thread = std::thread::Builder::new().name("capture-writer".into());
    thread.spawn(move || finished.send(writer::run(source, recorder, shared, &inlets)))?;
    let tap = Arc::new(tap);
    let writer = TapWriter { done, stop, rotate, tap: Arc::downgrade(&tap) };
    Ok((tap, writer))
}

impl Tap {
    /// Begins the record of a request whose headers are complete; `None` when its path is not captured.
    pub(crate) fn begin(self: &Arc<Self>, passage: &Passage) -> Option<Recording> {
        let id = self.counts.accept();
        let path = passage.request.path();
        if self.exclude.iter().any(|prefix| path.starts_with(prefix.as_bytes())) {
            self.counts.filter();
            return None;
        }
        let user = self.door.users.of(passage);
        let now_ns = passage.marks.head_done_ns.unwrap_or(passage.marks.started_ns);
        let sheds = self.door.sheds();
        let fate = match self.door.admit(&user, second(now_ns), || self.pressed(now_ns)) {
            fate if fate.is_recorded() && self.is_failing() => Fate::Shed(Shed::Disk),
            fate => fate,
        };
        if let Fate::Shed(why) = fate {
            self.leave_out(&user, passage, why);
        }
        Some(Recording::new(id, Arc::clone(self), Standing { user, fate, sheds }, passage))
    }

    /// Why nobody new is let in, if so: half of what there is belongs to those who are in.
    fn pressed(&self, now_ns: u64) -> Option<Shed> {
        let queue_half = self.queue.len() > self.queue.capacity().unwrap_or(0) / 2;
        let memory_half = self.bounds.budget.left() < self.memory_bytes / 2;
        let rate_half = self.rate.as_ref().is_some_and(|rate| rate.is_pressed(now_ns));
        match () {
            () if self.is_failing() => Some(Shed::Disk),
            () if queue_half => Some(Shed::Queue),
            () if memory_half || rate_half => Some(Shed::Budget),
            () => None,
        }
    }

    /// Hands a finished exchange over, or counts why not.
    pub(crate) fn offer(&self, mut observation: Observation) {
        let now_ns = observation.passage.marks.done_ns.unwrap_or_else(|| self.clock.now_ns());
        let issued = std::mem::take(&mut observation.issued);
        let started_ns = observation.passage.marks.started_ns;
        self.settle(&mut observation, now_ns);
        let fate = match observation.standing.fate {
            Fate::Admitted | Fate::Recorded => self.hand_over(observation, now_ns),
            Fate::SampledOut => {
                self.counts.sample_out();
                Fate::SampledOut
            }
            Fate::Shed(why) => self.shed(&observation, why),
        };
        if !issued.is_empty() {
            self.inherit(&issued, fate, started_ns);
        }
    }

    /// Who never became known goes by the place.
    fn settle(&self, observation: &mut Observation, now_ns: u64) {
        let standing = &mut observation.standing;
        if standing.user.is_unknown() && standing.fate.is_recorded() {
            standing.user = self.door.users.by_place(&observation.passage);
            standing.fate = self.door.admit(&standing.user, second(now_ns), || self.pressed(now_ns));
        }
    }

    /// Who was unknown until now is known by a credential in the answer.
    fn know_by(&self, credential: u64, standing: &mut Standing) {
        if standing.user.is_unknown() && standing.fate.is_recorded() {
            let now_ns = self.clock.now_ns();
            standing.user = User::by_credential(credential);
            standing.fate = self.door.admit(&standing.user, second(now_ns), || self.pressed(now_ns));
        }
    }

    /// What is issued in an answer belongs to who asked. Where that is left out and others have used it
    /// already, their beginning is in the capture without the login.
    fn inherit(&self, issued: &[Issued], fate: Fate, started_ns: u64) {
        let now_s = second(self.clock.now_ns());
        for Issued { key, print } in issued {
            let user = User::by_credential(*key);
            match fate {
                Fate::Shed(why) if self.door.shed(&user, why, now_s) => {
                    self.counts.cut(why, self.clock.utc_ns(started_ns), vec![CutUser::Credential(*print)]);
                }
                Fate::Shed(_) => {}
                fate => self.door.remember(&user, fate, now_s),
            }
        }
    }

    fn hand_over(&self, mut observation: Observation, now_ns: u64) -> Fate {
        if let Err(why) = self.door.note_recorded(&observation.standing, second(now_ns)) {
            return self.shed(&observation, why);
        }
        if self.rate.as_ref().is_some_and(|rate| !rate.take(now_ns)) {
            return self.shed(&observation, Shed::Budget);
        }
        observation.held = self.bounds.budget.reserve(ROW_BYTES + observation.header_bytes());
        if observation.held.is_none() {
            return self.shed(&observation, Shed::Budget);
        }
        match self.queue.try_send(observation) {
            Ok(()) => {}
            Err(TrySendError::Full(observation)) => return self.shed(&observation, Shed::Queue),
            Err(TrySendError::Disconnected(_)) => self.counts.too_late(),
        }
        Fate::Recorded
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.counts.ledger()
    }

    /// The disk refuses.
    pub(crate) fn is_failing(&self) -> bool {
        self.counts.is_failing()
    }

    pub(crate) fn queue_facts(&self) -> QueueFacts {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        QueueFacts {
            waiting: self.queue.len(),
            slots: self.queue.capacity().unwrap_or(0),
            memory_bytes: bytes(self.memory_bytes.saturating_sub(self.bounds.budget.left())),
            memory_bytes_max: bytes(self.memory_bytes),
        }
    }

    /// Users that the tap had to forget.
    pub(crate) fn forgotten(&self) -> u64 {
        self.door.forgotten()
    }

    /// Why the disk refuses.
    pub(crate) fn failure(&self) -> Option<String> {
        self.counts.failure()
    }

    fn shed(&self, observation: &Observation, why: Shed) -> Fate {
        let passage = &observation.passage;
        self.leave_out(&observation.standing.user, passage, why);
        let started_ns = self.clock.utc_ns(passage.marks.started_ns);
        self.counts.shed(why, started_ns, passage.request_body_bytes);
        Fate::Shed(why)
    }

    /// From here on nothing of this user is recorded; where something was, the capture says that it is cut.
    fn leave_out(&self, user: &User, passage: &Passage, why: Shed) {
        if self.door.shed(user, why, second(self.clock.now_ns())) {
            let started_ns = self.clock.utc_ns(passage.marks.started_ns);
            self.counts.cut(why, started_ns, self.names(passage));
        }
    }

    /// By what the exchanges of a user can be found in the capture.
    fn names(&self, passage: &Passage) -> Vec<CutUser> {
        let credential = users::credential(passage.request.fields.iter());
        let connection = (!passage.trusted || credential.is_none()).then_some(passage.connection.id);
        let by_credential = credential.map(|value| CutUser::Credential(self.door.users.print(value)));
        by_credential.into_iter().chain(connection.map(CutUser::Connection)).collect()
    }
}

/// The second of an instant, wrapped: how long ago somebody was seen is all it is for.
#[allow(clippy::cast_possible_truncation, reason = "it wraps")]
fn second(at_ns: u64) -> u16 {
    (at_ns / 1_000_000_000) as u16
}

impl TapWriter {
    /// Seals the segment; what comes next begins another. `false` when that is not done by the deadline.
    pub(crate) fn rotate(&self, deadline: Duration) -> bool {
        let (tell, told) = crossbeam_channel::bounded(1);
        self.rotate.send_timeout(tell, deadline).is_ok() && told.recv_timeout(deadline).is_ok()
    }

    /// Writes what waits, seals the capture and returns its ledger; `None` when the deadline passed first.
    pub(crate) fn close(self, deadline: Duration) -> Option<Result<Ledger, CaptureError>> {
        // A request that has just been answered is on its way here.
        let grace = Instant::now() + CLOSE_GRACE.min(deadline);
        while self.tap.strong_count() > 0 && Instant::now() < grace {
            std::thread::sleep(Duration::from_millis(1));
        }
        // A writer that is gone already has left its result.
        let _ = self.stop.send(());
        self.done.recv_timeout(deadline).ok()
    }
}
