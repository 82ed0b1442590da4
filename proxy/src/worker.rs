//! A worker: one thread, one runtime, its connections and its idle upstream connections. What all workers
//! share is behind one `Arc`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use crate::access_log::AccessLogger;
use crate::clock::Clock;
use crate::metrics::{Meter, Metrics};
use crate::passage::Passage;
use crate::site::Site;
use crate::spool::Spool;
use crate::tap::{Observation, Tap};
use crate::upstream::Pool;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: ArcSwap<Site>,
    pub(crate) clock: Clock,
    /// Empty when nothing is recorded.
    pub(crate) tap: ArcSwapOption<Tap>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access_log: Option<AccessLogger>,
    /// Turns true when the process drains.
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) next_connection: AtomicU64,
}

impl Shared {
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.next_connection.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: RefCell<Pool>,
    meter: Arc<Meter>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let meter = shared.metrics.meter();
        Self { shared, pool: RefCell::new(Pool::default()), meter }
    }

    /// An exchange is over, however.
    pub(crate) fn finish(&self, mut passage: Passage) {
        passage.marks.done_ns = Some(self.shared.clock.now_ns());
        self.meter.exchange(&passage);
        if let Some(log) = &self.shared.access_log {
            log.log(&passage);
        }
        if let Some((tap, observation)) = Observation::of(passage) {
            tap.offer(observation);
        }
    }
}
