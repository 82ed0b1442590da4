//! How a run ends before its plan does.
//!
//! The user's first stop lets no further request go and waits for those in flight; the second ends at
//! once. The in-flight cap, when it is reached, stops like the user's first. Without the user, the run is over when the drain deadline passes: so long after the last release.
//! The plan knows when that is, save under the think clock, where answers move it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// What the user asked for, so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    #[default]
    Run,
    /// Release nothing more, finish what is in flight.
    Drain,
    /// End at once.
    Now,
}

/// The end as one worker's tasks see it.
#[derive(Debug)]
pub(super) struct Ending {
    /// The last release that is known of.
    last_release: Cell<Instant>,
    stop: Cell<Stop>,
    is_over: Cell<bool>,
    changed: Notify,
}

impl Ending {
    pub(super) fn new(planned_end: Instant) -> Self {
        Self {
            last_release: Cell::new(planned_end),
            stop: Cell::default(),
            is_over: Cell::default(),
            changed: Notify::new(),
        }
    }

    /// A release that the plan did not know the instant of.
    pub(super) fn expect(&self, release: Instant) {
        self.last_release.set(self.last_release.get().max(release));
    }

    /// Ends when nothing more may be released.
    pub(super) async fn stopping(&self) {
        self.until(|| self.is_stopping()).await;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_over.get() || self.stop.get() >= Stop::Drain
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Ends when nothing in flight may go on.
    pub(super) async fn over(&self) {
        self.until(|| self.is_over.get()).await;
    }

    /// What a stop kept back is withheld, not failed.
    pub(super) fn stop(&self) -> Stop {
        self.stop.get()
    }

    /// Follows the user's wishes, the in-flight cap and the drain deadline; never returns.
    pub(super) async fn watch(
        &self,
        mut stop: watch::Receiver<Stop>,
        mut halted: watch::Receiver<bool>,
        drain: Duration,
    ) {
        let mut wished = None;
        loop {
            let deadline = wished.unwrap_or(self.last_release.get() + drain);
            tokio::select! {
                biased;
                wish = next_wish(&mut stop) => {
                    self.stop.set(wish.max(self.stop.get()));
                    wished = Some(if wish == Stop::Now { Instant::now() } else { Instant::now() + drain });
                }
                true = is_halted(&mut halted), if self.stop.get() == Stop::Run => {
                    self.stop.set(Stop::Drain);
                    wished = Some(Instant::now() + drain);
                }
                () = tokio::time::sleep_until(deadline.into()), if !self.is_over.get() => {
                    let has_moved = wished.is_none() && self.last_release.get() + drain > deadline;
                    self.is_over.set(!has_moved);
                }
            }
            self.changed.notify_waiters();
        }
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if reached() {
                return;
            }
            changed.await;
        }
    }
}

/// The user's next wish; never, when nobody can wish any more.
async fn next_wish(stop: &mut watch::Receiver<Stop>) -> Stop {
    match stop.changed().await {
        Ok(()) => *stop.borrow_and_update(),
        Err(_) => std::future::pending().await,
    }
}

/// Whether the run is halted; waits until it is.
async fn is_halted(halted: &mut watch::Receiver<bool>) -> bool {
    match halted.wait_for(|is_halted| *is_halted).await {
        Ok(_) => true,
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);
    const LATER: Duration = Duration::from_mins(1);

    fn block_on<T>(body: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(body)
    }

    fn never_halted() -> watch::Receiver<bool> {
        watch::channel(false).1
    }

    #[test]
    fn the_cap_stops_like_a_user_and_what_is_in_flight_goes_on() {
        let (halt, halted) = watch::channel(false);
        let (_user, receiver) = watch::channel(Stop::Run);
        let ending = Ending::new(Instant::now() + LATER);
        block_on(async {
            halt.send_replace(true);
            tokio::select! {
                () = ending.watch(receiver, halted, LATER) => unreachable!("it never returns"),
                () = ending.stopping() => {}
            }
        });
        assert_eq!((ending.stop(), ending.is_over.get()), (Stop::Drain, false));
    }

    #[test]
    fn the_first_stop_drains_and_the_second_ends() {
        let (sender, receiver) = watch::channel(Stop::Run);
        let ending = Ending::new(Instant::now() + LATER);
        let user = async {
            sender.send_replace(Stop::Drain);
            ending.stopping().await;
            assert_eq!((ending.stop(), ending.is_over.get()), (Stop::Drain, false));
            sender.send_replace(Stop::Now);
            ending.over().await;
            assert_eq!(ending.stop(), Stop::Now);
        };
        block_on(async {
            tokio::select! {
                () = ending.watch(receiver, never_halted(), LATER) => unreachable!("it never returns"),
                () = user => {}
            }
        });
    }

    #[test]
    fn without_a_user_the_drain_deadline_ends_the_run() {
        let (_, receiver) = watch::channel(Stop::Run);
        block_on(async {
            let began = Instant::now();
            let ending = Ending::new(began);
            // An answer led to one more.
            ending.expect(began + SOON);
            tokio::select! {
                () = ending.watch(receiver, never_halted(), SOON) => unreachable!("it never returns"),
                () = ending.over() => {}
            }
            assert!(began.elapsed() >= 2 * SOON);
            assert_eq!(ending.stop(), Stop::Run);
        });
    }
}
