//! A first-come-first-served station with a fixed number of servers whose law is exact.
//!
//! A bare semaphore around a sleep is not: tokio's timer wakes up to a millisecond late, each hold grows by that
//! lateness, and a pool of 20 ms holds completes five per cent less than computed. Here each server remembers
//! until when it was meant to be busy. The next one to hold it starts its clock there (or at its own arrival,
//! whichever is later), so a late wake-up delays one answer and never the station.
//!
//! Invariant: `held_until` has one entry per server that was used before and is free now. Whoever waits finds
//! exactly the entries of servers freed since.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

/// State of one station as `/health` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateFigures {
    /// Servers; 0 is unlimited.
    pub size: usize,
    /// Servers held now.
    pub in_use: usize,
    /// Requests waiting for one.
    pub waiting: usize,
}

/// The station.
#[derive(Debug)]
pub(crate) struct Gate {
    size: usize,
    permits: Arc<Semaphore>,
    held_until: Mutex<BinaryHeap<Reverse<Instant>>>,
    in_use: AtomicUsize,
    waiting: AtomicUsize,
    jammed: AtomicBool,
}

impl Gate {
    /// A station of `size` servers; 0 is unlimited.
    pub(crate) fn new(size: usize) -> Arc<Self> {
        let permits = if size == 0 { Semaphore::MAX_PERMITS } else { size.min(Semaphore::MAX_PERMITS) };
        Arc::new(Self {
            size,
            permits: Arc::new(Semaphore::new(permits)),
            held_until: Mutex::default(),
            in_use: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            jammed: AtomicBool::new(false),
        })
    }

    /// Waits for a server and takes it. `arrival` is when the request was meant to come: the booked end of its
    /// stage before, where it had one, so that lateness does not add up from station to station.
    pub(crate) async fn enter(self: &Arc<Self>, arrival: Instant) -> Hold {
        let waiting = Waiting::new(&self.waiting);
        let permit =
            self.permits.clone().acquire_owned().await.expect("nobody closes the semaphore of a gate");
        drop(waiting);
        self.in_use.fetch_add(1, Ordering::Relaxed);
        let freed = self.held_until.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let clock = freed.map_or(arrival, |Reverse(until)| until.max(arrival));
        Hold { gate: Arc::clone(self), permit: Some(permit), clock }
    }

    /// Takes every server away for ever: free ones now, held ones when their holders leave.
    pub(crate) fn jam(&self) {
        self.jammed.store(true, Ordering::SeqCst);
        self.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn is_jammed(&self) -> bool {
        self.jammed.load(Ordering::SeqCst)
    }

    pub(crate) fn figures(&self) -> GateFigures {
        let in_use = if self.is_jammed() { self.size } else { self.in_use.load(Ordering::Relaxed) };
        GateFigures { size: self.size, in_use, waiting: self.waiting.load(Ordering::Relaxed) }
    }

    fn leave(&self, until: Instant, permit: OwnedSemaphorePermit) {
        self.in_use.fetch_sub(1, Ordering::Relaxed);
        if self.is_jammed() {
            return permit.forget();
        }
        self.held_until.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(until));
        drop(permit);
    }
}

/// Counts a waiter until dropped, also when its future is.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One server, held.
#[derive(Debug)]
pub(crate) struct Hold {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
    clock: Instant,
}

impl Hold {
    /// Until when the server is booked.
    pub(crate) fn booked(&self) -> Instant {
        self.clock
    }

    /// Books the server until `instant` at least.
    pub(crate) fn book_until(&mut self, instant: Instant) {
        self.clock = self.clock.max(instant);
    }

    /// Books `span` on the server and says when it ends.
    pub(crate) fn book(&mut self, span: Duration) -> Instant {
        self.clock += span;
        self.clock
    }

    /// Books `span` and waits until it is over.
    pub(crate) async fn pass(&mut self, span: Duration) {
        sleep_until(self.book(span)).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.gate.leave(self.clock, permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    async fn serve_jobs(servers: usize, jobs: usize, span: Duration) -> Duration {
        let gate = Gate::new(servers);
        let start = Instant::now();
        let tasks: Vec<_> = (0..jobs)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.enter(Instant::now()).await.pass(span).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_station_completes_exactly_servers_over_hold() {
        // 400 jobs of 2.5 ms on 4 servers: 250 ms by the law; timer rounding alone would make it 300.
        let took = serve_jobs(4, 400, Duration::from_micros(2_500)).await;
        assert!(took >= Duration::from_millis(250) && took <= Duration::from_millis(252), "{took:?}");
    }

    async fn hold_across_a_call(pool: Arc<Gate>, store: Arc<Gate>) {
        let (query, call) = (Duration::from_micros(2_500), Duration::from_micros(10_300));
        let mut connection = pool.enter(Instant::now()).await;
        connection.pass(query).await;
        let mut slot = store.enter(connection.booked()).await;
        slot.pass(call).await;
        connection.book_until(slot.booked());
        connection.pass(query).await;
    }

    #[tokio::test(start_paused = true)]
    async fn lateness_does_not_add_up_in_a_connection_held_across_a_call() {
        // 100 holds of 15.3 ms on 4 servers: 382.5 ms by the law.
        let (pool, store) = (Gate::new(4), Gate::new(0));
        let start = Instant::now();
        let tasks: Vec<_> =
            (0..100).map(|_| tokio::spawn(hold_across_a_call(pool.clone(), store.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_micros(382_500) && took <= Duration::from_millis(385), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unlimited_station_has_no_queue() {
        let took = serve_jobs(0, 500, Duration::from_millis(20)).await;
        assert!(took <= Duration::from_millis(22), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let gate = Gate::new(1);
        gate.enter(Instant::now()).await.pass(Duration::from_millis(10)).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        let start = Instant::now();
        gate.enter(Instant::now()).await.pass(Duration::from_millis(10)).await;
        assert!(start.elapsed() >= Duration::from_millis(10));
    }

    #[tokio::test]
    async fn figures_follow_holders_and_waiters() {
        let gate = Gate::new(1);
        let hold = gate.enter(Instant::now()).await;
        let mut second = pin!(gate.enter(Instant::now()));
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(gate.figures(), GateFigures { size: 1, in_use: 1, waiting: 1 });
        drop(hold);
        let second = second.await;
        assert_eq!(gate.figures(), GateFigures { size: 1, in_use: 1, waiting: 0 });
        drop(second);
        assert_eq!(gate.figures(), GateFigures { size: 1, in_use: 0, waiting: 0 });
    }

    #[tokio::test]
    async fn a_jammed_station_never_lets_anybody_in_again() {
        let gate = Gate::new(2);
        let hold = gate.enter(Instant::now()).await;
        gate.jam();
        drop(hold);
        let mut next = pin!(gate.enter(Instant::now()));
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(drop), Poll::Pending);
        assert_eq!(gate.figures().in_use, 2);
    }
}
