//! How many requests are in flight in all workers together, and the stop when they are too many.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;

use crate::measure::in_flight::InFlight;

/// Descriptors for all that is no request in flight: files, timers, and connections that are kept idle.
const DESCRIPTORS_RESERVED: u64 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Flights {
    now: AtomicU64,
    /// The one refused included.
    most: AtomicU64,
    max: u64,
    /// Becomes true at the first refusal, for good.
    halt: watch::Sender<bool>,
}

/// One request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Flight<'a>(&'a Flights);

impl Flights {
    pub(super) fn at_most(max: u64) -> Self {
        Self { now: AtomicU64::new(0), most: AtomicU64::new(0), max, halt: watch::Sender::new(false) }
    }

    /// One more; `None` when there are as many as may be, and then the run is to end.
    pub(super) fn begin(&self) -> Option<Flight<'_>> {
        let flight = Flight(self);
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(now.min(self.max.saturating_add(1)), Relaxed);
        if now > self.max {
            self.halt();
            return None;
        }
        Some(flight)
    }

    /// Ends the run: nothing more is released.
    pub(super) fn halt(&self) {
        self.halt.send_replace(true);
    }

    /// Tells when the cap was reached, or the run was ended otherwise.
    pub(super) fn halted(&self) -> watch::Receiver<bool> {
        self.halt.subscribe()
    }

    pub(super) fn measured(&self) -> InFlight {
        InFlight { max: self.max, most: self.most.load(Relaxed) }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

/// The cap of a run: as many as the user says, and no more than there are descriptors for.
pub(crate) fn cap(in_flight_max: Option<u64>) -> u64 {
    let descriptors = raised_descriptors().saturating_sub(DESCRIPTORS_RESERVED).max(1);
    descriptors.min(in_flight_max.unwrap_or(u64::MAX))
}

/// How many descriptors this process may have. Raises their soft limit first: 1,024 is for programs that `select`.
pub(crate) fn raised_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, there are fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_too_many_is_refused_and_halts_the_run() {
        let flights = Flights::at_most(2);
        let halted = flights.halted();
        let (one, two) = (flights.begin(), flights.begin());
        assert!(one.is_some() && two.is_some() && !*halted.borrow());
        drop(one);
        let three = flights.begin();
        assert!(three.is_some(), "one had ended");
        assert_eq!(flights.measured(), InFlight { max: 2, most: 2 });
        assert!(flights.begin().is_none() && flights.begin().is_none() && *halted.borrow());
        assert_eq!(flights.measured(), InFlight { max: 2, most: 3 });
        drop((two, three));
        assert!(flights.begin().is_some(), "the refused are not counted on");
    }
}
