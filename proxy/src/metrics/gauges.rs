//! What is there now: connections, requests in flight, uploads, spooled bytes. Atomics that workers change as
//! things come and go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A number that goes up and down, or only up.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What was added before.
    pub(crate) fn sub(&self, less: u64) {
        self.0.fetch_sub(less, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more for as long as what is returned lives: nothing is forgotten when a task is dropped.
    pub(crate) fn raise(self: &Arc<Self>) -> Raised {
        self.add(1);
        Raised(Arc::clone(self))
    }
}

/// Holds a gauge one higher.
#[derive(Debug)]
pub(crate) struct Raised(Arc<Gauge>);

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// The gauges of the process. `accepted`, `refused` and the handshakes only go up.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Requests whose first byte came and that are not over.
    pub(crate) requests_in_flight: Arc<Gauge>,
    /// Requests whose body is on its way.
    pub(crate) uploads_in_flight: Arc<Gauge>,
    /// Connections that are only read to their end.
    pub(crate) lingering: Arc<Gauge>,
    /// Bytes of spooled uploads on disk.
    pub(crate) spool_bytes: Gauge,
    pub(crate) tls_handshakes: Gauge,
    pub(crate) tls_handshakes_failed: Gauge,
    listeners: RwLock<Vec<Arc<ListenerGauges>>>,
}

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct ListenerGauges {
    pub(crate) address: SocketAddr,
    pub(crate) open: Arc<Gauge>,
    pub(crate) accepted: Gauge,
    /// Closed at once, for want of room (`worker_connections`, descriptors).
    pub(crate) refused: Gauge,
}

impl Gauges {
    /// The gauges of a listener; the same after a reload.
    pub(crate) fn listener(&self, address: SocketAddr) -> Arc<ListenerGauges> {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listeners.iter().find(|known| known.address == address) {
            return Arc::clone(known);
        }
        let (open, accepted, refused) = Default::default();
        let new = Arc::new(ListenerGauges { address, open, accepted, refused });
        listeners.push(Arc::clone(&new));
        new
    }

    pub(crate) fn listeners(&self) -> Vec<Arc<ListenerGauges>> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_raises_a_gauge_lowers_it_when_it_goes() {
        let gauges = Gauges::default();
        let first = gauges.requests_in_flight.raise();
        {
            let _second = gauges.requests_in_flight.raise();
            assert_eq!(gauges.requests_in_flight.get(), 2);
        }
        drop(first);
        assert_eq!(gauges.requests_in_flight.get(), 0);
    }

    #[test]
    fn a_listener_keeps_its_gauges() {
        let (gauges, address) = (Gauges::default(), SocketAddr::from(([127, 0, 0, 1], 8080)));
        gauges.listener(address).accepted.add(2);
        assert_eq!(gauges.listener(address).accepted.get(), 2);
        assert_eq!(gauges.listeners().len(), 1);
    }
}
