//! Where a worker's tasks report: its recorder, the live counters, and the run's clock.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use kingtide_common::server_timing::server_timings;
use rustls::HandshakeKind;

use super::diag::{Endpoints, SocketDiag};
use super::worker::Shared;
use crate::measure::achieved::Stretch;
use crate::measure::attainment::Attainment;
use crate::measure::attempts::Attempts;
use crate::measure::created::Created;
use crate::measure::distinct::Distinct;
use crate::measure::http::HttpCounts;
use crate::measure::kept::Kept;
use crate::measure::live::Live;
use crate::measure::raw::SampleBatch;
use crate::measure::recorder::Preparation;
use crate::measure::{Recorder, Sample, Traffic};

/// The run's zero: intended instants are distances from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunClock {
    start: Instant,
}

impl RunClock {
    pub(super) fn starting_at(start: Instant) -> Self {
        Self { start }
    }

    pub(super) fn at_us(self, us: u64) -> Instant {
        self.start + Duration::from_micros(us)
    }

    /// Nanoseconds since the start; 0 before it.
    pub(super) fn ns(self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// One per worker. No borrow of the recorder outlives a call.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) clock: RunClock,
    recorder: RefCell<Recorder>,
    samples: Option<RefCell<SampleBatch>>,
    /// `None` where the kernel does not tell.
    diag: Option<SocketDiag>,
    live: Arc<Live>,
    /// When the worker's next beat is due: [`super::stall`].
    pub(super) beat_due: Cell<Instant>,
}

impl Tally {
    pub(super) fn new(clock: RunClock, shared: &Shared<'_>, live: Arc<Live>) -> Self {
        let labels = shared.routes.labels();
        let attainment = Attainment::new(&shared.config.bars, labels);
        let recorder = RefCell::new(Recorder {
            attainment,
            kept: Kept::at_most(shared.config.kept_max),
            created: Created::at_most(shared.config.created_max),
            ..Recorder::new(labels.len())
        });
        let samples = shared.config.samples.as_ref().map(|sink| RefCell::new(sink.batch()));
        let beat_due = Cell::new(Instant::now());
        Self { clock, recorder, samples, diag: SocketDiag::open().ok(), live, beat_due }
    }

    /// Of no run, and for no route.
    #[cfg(test)]
    pub(super) fn alone(clock: RunClock) -> Self {
        let recorder = RefCell::new(Recorder::new(0));
        let beat_due = Cell::new(Instant::now());
        Self { clock, recorder, samples: None, diag: None, live: Arc::default(), beat_due }
    }

    /// A request that the plan wants sent then, whatever becomes of it.
    pub(super) fn scheduled(&self, at_us: u64, upload_us: u64) {
        let [at_ns, upload_ns] = [at_us, upload_us].map(|us| us.saturating_mul(1_000));
        self.recorder.borrow_mut().scheduled(at_ns, upload_ns);
    }

    /// The first byte of a request went out `at`, that could have from `ready` on.
    pub(super) fn sent(&self, at: Instant, ready: Instant) {
        let lag = at.saturating_duration_since(ready);
        self.recorder.borrow_mut().sent(self.clock.ns(at));
        self.live.sent(u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn sent_bytes(&self, at: Instant, bytes: u64) {
        self.recorder.borrow_mut().series.sent_bytes(self.clock.ns(at), bytes);
        self.live.sent_bytes(bytes);
    }

    pub(super) fn received_bytes(&self, at: Instant, bytes: u64) {
        self.recorder.borrow_mut().series.received_bytes(self.clock.ns(at), bytes);
    }

    /// What the target's kernel has not acknowledged of a connection's bytes.
    pub(super) fn held_bytes(&self, of: Endpoints) -> Option<u64> {
        self.diag.as_ref()?.unacknowledged_bytes(of)
    }

    pub(super) fn prepared(&self, preparation: Preparation) {
        self.recorder.borrow_mut().prepared(preparation);
    }

    /// Values that a good answer should have held and did not, so that a request could not be sent.
    pub(super) fn lacked(&self, values: u64) {
        self.recorder.borrow_mut().bindings.unresolved += values;
    }

    /// A planned request ended; the header says what stages of the target's own it took.
    pub(super) fn ended(&self, sample: &Sample, server_timing: &[HeaderValue]) {
        let mut recorder = self.recorder.borrow_mut();
        let end = recorder.ended(sample);
        recorder.keep(sample, || {
            server_timings(server_timing.iter().filter_map(|value| value.to_str().ok())).collect()
        });
        drop(recorder);
        self.live.ended(&end);
        self.samples.iter().for_each(|batch| batch.borrow_mut().add(*sample));
    }

    /// A planned request that nobody would send.
    pub(super) fn spared(&self) {
        self.live.spared();
    }

    /// A person sent a request so long after the answer that they had seen last.
    pub(super) fn thought(&self, think: Duration) {
        let think_ns = u64::try_from(think.as_nanos()).unwrap_or(u64::MAX);
        self.recorder.borrow_mut().sends.think.record_ns(think_ns);
    }

    /// A clone is done with its connections.
    pub(super) fn visited(&self, connections: impl IntoIterator<Item = Stretch>) {
        self.recorder.borrow_mut().sends.visited(connections);
    }

    /// A user comes, whose first request is due then.
    pub(super) fn arrived(&self, due: Instant) {
        self.recorder.borrow_mut().series.arrived(self.clock.ns(due));
        self.live.arrived();
    }

    pub(super) fn gone(&self, at: Instant) {
        self.recorder.borrow_mut().series.gone(self.clock.ns(at));
        self.live.gone();
    }

    /// Requests of these routes that a user had no time for.
    pub(super) fn left(&self, routes: impl Iterator<Item = usize>) {
        let mut recorder = self.recorder.borrow_mut();
        routes.for_each(|route| recorder.left(route));
    }

    /// A stop ended the stay of a user who had these routes before them: of them the next is all that is sure.
    pub(super) fn cut_stay(&self, mut routes: impl Iterator<Item = usize>) {
        self.withheld(routes.next().into_iter().count());
        self.left(routes);
    }

    pub(super) fn withheld(&self, requests: usize) {
        self.recorder.borrow_mut().withheld(requests as u64);
    }

    /// The worker did not get to run for so long.
    pub(super) fn stalled(&self, stall: Duration) {
        let stall_ns = u64::try_from(stall.as_nanos()).unwrap_or(u64::MAX);
        let mut recorder = self.recorder.borrow_mut();
        recorder.stall_ns_max = recorder.stall_ns_max.max(stall_ns);
    }

    pub(super) fn reconnected(&self) {
        self.recorder.borrow_mut().reconnects += 1;
    }

    /// Counts what was tried more than once.
    pub(super) fn attempts(&self, count: impl FnOnce(&mut Attempts)) {
        count(&mut self.recorder.borrow_mut().attempts);
    }

    /// Counts what a request that no plan holds took on the wire.
    pub(super) fn beside_the_plan(&self, route: usize, traffic: Traffic) {
        self.recorder.borrow_mut().beside_the_plan(route, traffic);
    }

    pub(super) fn handshake(&self, kind: Option<HandshakeKind>) {
        let handshakes = &mut self.recorder.borrow_mut().handshakes;
        match kind {
            Some(HandshakeKind::Resumed) => handshakes.resumed += 1,
            _ => handshakes.full += 1,
        }
    }

    /// Counts what the connections spoke.
    pub(super) fn http(&self, count: impl FnOnce(&mut HttpCounts)) {
        count(&mut self.recorder.borrow_mut().http);
    }

    /// Something of this id is at the target now.
    pub(super) fn created(&self, route: usize, user: usize, id: String) {
        self.recorder.borrow_mut().created.add(route, user, id);
    }

    pub(super) fn distinct(&self, count: impl FnOnce(&mut Distinct)) {
        count(&mut self.recorder.borrow_mut().distinct);
    }

    /// The beat that a worker's end overtook counts too: its last timeouts may be those of a stall.
    pub(super) fn take_recorder(&self) -> Recorder {
        self.stalled(self.beat_due.get().elapsed());
        self.recorder.take()
    }
}
