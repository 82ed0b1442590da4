//! The tap: hands finished exchanges to the writer without ever delaying traffic.
//!
//! A request pays for at most one `try_send`. When the queue or the memory budget is full, its connection
//! is marked and the rest of the session is left out too; each accepted request ends in exactly one
//! counted state (see [`kingtide_common::ledger`]), and what was left out becomes a gap in the capture.

mod counts;
mod describe;
mod observation;
mod writer;

pub(crate) use observation::{Observation, Recording};

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use kingtide_common::body::Bounds;
use kingtide_common::body::budget::Budget;
use kingtide_common::capture::{CaptureError, CaptureWriter};
use kingtide_common::ledger::Ledger;
use kingtide_common::redact::Redactor;

use crate::admin::QueueFacts;
use crate::clock::Clock;
use crate::message::RequestHead;
use counts::{Counts, Shed};
use writer::Writer;

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

/// Starts the writer thread.
pub(crate) fn start(
    options: TapOptions,
    redactor: Redactor,
    capture: CaptureWriter,
    clock: Clock,
) -> std::io::Result<(Arc<Tap>, TapWriter)> {
    let (queue, observations) = crossbeam_channel::bounded(options.queue_slots);
    let (stop, stopped) = crossbeam_channel::bounded(1);
    let (rotate, rotations) = crossbeam_channel::bounded(1);
    let (finished, done) = crossbeam_channel::bounded(1);
    let counts = Arc::new(Counts::default());
    let bounds = Arc::new(Bounds {
        body_bytes_max: options.body_bytes_max,
        hash_bytes_max: options.hash_bytes_max,
        budget: Budget::new(options.memory_bytes),
        hasher: Arc::new(redactor.hasher()),
    });
    let writer = Writer::new(capture, redactor, Arc::clone(&counts), clock, options.body_bytes_max);
    let thread = std::thread::Builder::new().name("capture-writer".into());
    thread.spawn(move || finished.send(writer.run(&observations, &stopped, &rotations)))?;
    let memory_bytes = options.memory_bytes;
    let tap = Tap { queue, counts, bounds, exclude: options.exclude, clock, memory_bytes };
    let tap = Arc::new(tap);
    let writer = TapWriter { done, stop, rotate, tap: Arc::downgrade(&tap) };
    Ok((tap, writer))
}

impl Tap {
    /// Begins the record of a request whose headers are complete; `None` when its path is not captured.
    pub(crate) fn begin(self: &Arc<Self>, request: &RequestHead) -> Option<Recording> {
        let id = self.counts.accept();
        if self.exclude.iter().any(|prefix| request.path().starts_with(prefix.as_bytes())) {
            self.counts.filter();
            return None;
        }
        Some(Recording::new(id, Arc::clone(self), &request.fields))
    }

    /// Hands a finished exchange over, or counts why not.
    pub(crate) fn offer(&self, mut observation: Observation) {
        if let Some(why) = observation.passage.connection.shed_reason().and_then(Shed::from_mark) {
            return self.shed(&observation, why);
        }
        observation.held = self.bounds.budget.reserve(ROW_BYTES + observation.header_bytes());
        if observation.held.is_none() {
            return self.shed(&observation, Shed::Budget);
        }
        match self.queue.try_send(observation) {
            Ok(()) => {}
            Err(TrySendError::Full(observation)) => self.shed(&observation, Shed::Queue),
            Err(TrySendError::Disconnected(_)) => self.counts.too_late(),
        }
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

    fn shed(&self, observation: &Observation, why: Shed) {
        observation.passage.connection.shed(why.mark());
        let started_ns = self.clock.utc_ns(observation.passage.marks.started_ns);
        self.counts.shed(why, started_ns, observation.passage.request_body_bytes);
    }
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
