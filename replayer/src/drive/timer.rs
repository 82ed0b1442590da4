//! A timer that wakes within microseconds of a deadline.
//!
//! tokio's wheel ticks once a millisecond and rounds up, so its median wake is a millisecond late. Here
//! each worker has one timerfd, armed to the earliest deadline and read inside the worker's own epoll.
//! Deadlines are absolute (`CLOCK_MONOTONIC`): lateness of one wake never moves the next.
//!
//! Invariant: no sleep ends before its deadline.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The timer of one worker thread. Cloning gives another handle to the same timer.
#[derive(Clone)]
pub struct PreciseTimer {
    inner: Rc<Inner>,
}

struct Inner {
    fd: AsyncFd<OwnedFd>,
    /// The same moment on both clocks: `Instant` does not show its number.
    origin: (Instant, Duration),
    /// Sleeps that wait, by deadline. One that is dropped leaves at once, so that they are never more than that.
    waiters: RefCell<BTreeMap<Ticket, Waker>>,
    tickets: Cell<u64>,
    armed: Cell<Option<Instant>>,
}

/// A deadline, and a number that no other sleep has.
type Ticket = (Instant, u64);

/// Ends at its deadline. See [`PreciseTimer::sleep_until`].
pub struct Sleep {
    timer: PreciseTimer,
    deadline: Instant,
    ticket: Option<Ticket>,
}

impl PreciseTimer {
    /// Must be made inside the runtime that will poll it. [`PreciseTimer::drive`] must run beside the sleeps.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let inner = Inner {
            fd: registered(fd)?,
            origin: (Instant::now(), monotonic_now()),
            waiters: RefCell::default(),
            tickets: Cell::default(),
            armed: Cell::default(),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Ends at `deadline`, at once when it has passed.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { timer: self.clone(), deadline, ticket: None }
    }

    /// Wakes sleeps when they are due; never returns while the timer works.
    pub async fn drive(&self) -> io::Error {
        loop {
            match self.inner.fd.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => return error,
            }
            if let Err(error) = self.inner.expire() {
                return error;
            }
        }
    }
}

impl Inner {
    /// Wakes what is due and arms the timer to the next deadline.
    fn expire(&self) -> io::Result<()> {
        let mut expirations = [0; 8];
        match rustix::io::read(&self.fd, &mut expirations) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        self.armed.set(None);
        let now = Instant::now();
        while let Some(waker) = self.take_due(now) {
            waker.wake();
        }
        let earliest = self.waiters.borrow().keys().next().map(|(deadline, _)| *deadline);
        earliest.map_or(Ok(()), |deadline| self.arm(deadline))
    }

    /// What it wakes may end other sleeps, so nothing is borrowed by then.
    fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut waiters = self.waiters.borrow_mut();
        let first = waiters.first_entry().filter(|first| first.key().0 <= now);
        first.map(OccupiedEntry::remove)
    }

    fn forget(&self, ticket: Ticket) -> Option<Waker> {
        self.waiters.borrow_mut().remove(&ticket)
    }

    fn wait_on(&self, ticket: Ticket, waker: Waker) -> Option<Waker> {
        self.waiters.borrow_mut().insert(ticket, waker)
    }

    fn register(&self, deadline: Instant, waker: Waker) -> io::Result<Ticket> {
        let ticket = (deadline, self.tickets.get());
        self.tickets.set(ticket.1 + 1);
        self.waiters.borrow_mut().insert(ticket, waker);
        if self.armed.get().is_none_or(|armed| deadline < armed) {
            self.arm(deadline)?;
        }
        Ok(ticket)
    }

    fn arm(&self, deadline: Instant) -> io::Result<()> {
        let (instant, monotonic) = self.origin;
        let at = monotonic + deadline.saturating_duration_since(instant);
        let it_value = Timespec::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        self.armed.set(Some(deadline));
        Ok(())
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        if let Some(ticket) = self.ticket {
            drop(self.timer.inner.wait_on(ticket, waker));
            return Poll::Pending;
        }
        let registered = self.timer.inner.register(self.deadline, waker);
        // Arming an own, open timer with a valid time has no failure that a caller could act on.
        self.ticket = Some(registered.expect("the worker's timerfd takes any deadline"));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            drop(self.timer.inner.forget(ticket));
        }
    }
}

impl fmt::Debug for PreciseTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreciseTimer {{ waiters: {} }}", self.inner.waiters.borrow().len())
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep {{ deadline: {:?} }}", self.deadline)
    }
}

#[expect(
    deprecated,
    reason = "unsound for what only lends a descriptor; an OwnedFd owns it until it is dropped"
)]
fn registered(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

fn monotonic_now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a future on a worker-like runtime with its timer driven beside it.
    fn with_timer<F: Future>(body: impl FnOnce(PreciseTimer) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let timer = PreciseTimer::new().unwrap();
            tokio::select! {
                error = timer.drive() => panic!("{error}"),
                output = body(timer.clone()) => output,
            }
        })
    }

    #[test]
    fn every_sleep_ends_and_none_early() {
        let ended = RefCell::new(Vec::new());
        with_timer(async |timer| {
            let start = Instant::now();
            let sleep = async |ms: u64| {
                let deadline = start + Duration::from_millis(ms);
                timer.sleep_until(deadline).await;
                assert!(Instant::now() >= deadline, "woke before {ms} ms");
                ended.borrow_mut().push(ms);
            };
            tokio::join!(sleep(9), sleep(3), sleep(0), sleep(6), sleep(3));
        });
        // On a busy machine several are due at one wake; then the runtime says which is polled first.
        let mut ended = ended.into_inner();
        ended.sort_unstable();
        assert_eq!(ended, [0, 3, 3, 6, 9]);
    }

    #[test]
    fn a_dropped_sleep_is_forgotten_at_once() {
        with_timer(async |timer| {
            let hour = Instant::now() + Duration::from_hours(1);
            for _ in 0..1_000 {
                let mut dropped = timer.sleep_until(hour);
                let mut poll = |context: &mut Context<'_>| Pin::new(&mut dropped).poll(context);
                assert!(std::future::poll_fn(|context| Poll::Ready(poll(context))).await.is_pending());
                assert_eq!(timer.inner.waiters.borrow().len(), 1);
            }
            timer.sleep_until(Instant::now() + Duration::from_millis(1)).await;
            assert_eq!(timer.inner.waiters.borrow().len(), 0);
        });
    }

    /// How late wakes are here; for people, so never asserted: `cargo nextest run --run-ignored only timer`.
    #[test]
    #[ignore = "a measurement, not a check"]
    fn precision_of_a_thousand_sleeps() {
        let mut late_us: Vec<u128> = Vec::new();
        with_timer(async |timer| {
            let start = Instant::now();
            for tick in 1..=1000_u64 {
                let deadline = start + Duration::from_micros(tick * 2_137);
                timer.sleep_until(deadline).await;
                late_us.push(deadline.elapsed().as_micros());
            }
        });
        late_us.sort_unstable();
        eprintln!(
            "late by µs: p50 {} p90 {} p99 {} max {}",
            late_us[500], late_us[900], late_us[990], late_us[999]
        );
    }
}
