//! A timer that wakes within microseconds of a deadline.
//!
//! tokio's wheel ticks once a millisecond and rounds up, so its median wake is a millisecond late. Here
//! each worker has one timerfd, armed to the earliest deadline and read inside the worker's own epoll.
//! Deadlines are absolute (`CLOCK_MONOTONIC`): lateness of one wake never moves the next.
//!
//! Invariant: no sleep ends before its deadline.

use std::cell::{Cell, RefCell};
use std::collections::BinaryHeap;
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
    waiters: RefCell<BinaryHeap<Waiter>>,
    armed: Cell<Option<Instant>>,
}

/// The waker of one sleep; emptied when the sleep is dropped or has ended.
type Slot = Rc<RefCell<Option<Waker>>>;

struct Waiter {
    deadline: Instant,
    slot: Slot,
}

/// Ends at its deadline. See [`PreciseTimer::sleep_until`].
pub struct Sleep {
    timer: PreciseTimer,
    deadline: Instant,
    slot: Option<Slot>,
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
            armed: Cell::default(),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Ends at `deadline`, at once when it has passed.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { timer: self.clone(), deadline, slot: None }
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
        let mut waiters = self.waiters.borrow_mut();
        while waiters.peek().is_some_and(|first| first.is_idle() || first.deadline <= now) {
            let waker = waiters.pop().and_then(|first| first.slot.borrow_mut().take());
            waker.into_iter().for_each(Waker::wake);
        }
        waiters.peek().map_or(Ok(()), |first| self.arm(first.deadline))
    }

    fn register(&self, deadline: Instant, slot: Slot) -> io::Result<()> {
        self.waiters.borrow_mut().push(Waiter { deadline, slot });
        let is_earliest = self.armed.get().is_none_or(|armed| deadline < armed);
        if is_earliest { self.arm(deadline) } else { Ok(()) }
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

impl Waiter {
    /// Nobody waits any more.
    fn is_idle(&self) -> bool {
        self.slot.borrow().is_none()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        let waker = Some(context.waker().clone());
        if let Some(slot) = &self.slot {
            slot.replace(waker);
            return Poll::Pending;
        }
        let slot = Rc::new(RefCell::new(waker));
        self.slot = Some(Rc::clone(&slot));
        let registered = self.timer.inner.register(self.deadline, slot);
        // Arming an own, open timer with a valid time has no failure that a caller could act on.
        registered.expect("the worker's timerfd takes any deadline");
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.replace(None);
        }
    }
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.deadline == other.deadline
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    /// The earliest deadline is the greatest, so that the heap yields it first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.deadline.cmp(&self.deadline)
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
    fn a_dropped_sleep_holds_up_nobody_and_is_forgotten() {
        with_timer(async |timer| {
            let hour = Instant::now() + Duration::from_hours(1);
            let mut dropped = timer.sleep_until(hour);
            let mut is_pending =
                |context: &mut Context<'_>| Pin::new(&mut dropped).poll(context).is_pending();
            assert!(std::future::poll_fn(|context| Poll::Ready(is_pending(context))).await);
            drop(dropped);
            for _ in 0..100 {
                timer.sleep_until(Instant::now() + Duration::from_millis(1)).await;
            }
            let waiters = timer.inner.waiters.borrow();
            assert!(waiters.iter().all(|waiter| waiter.deadline < hour), "the dropped one is gone");
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
