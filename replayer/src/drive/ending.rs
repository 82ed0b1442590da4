//! How a run ends before its plan does.
//!
//! The user's first stop lets no further request go and waits for those in flight; the second ends at
//! once. Without the user, the run is over when the drain deadline passes.

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
#[derive(Debug, Default)]
pub(super) struct Ending {
    by_user: Cell<Stop>,
    is_over: Cell<bool>,
    changed: Notify,
}

impl Ending {
    /// Ends when nothing more may be released.
    pub(super) async fn stopping(&self) {
        self.until(|| self.is_over.get() || self.by_user.get() >= Stop::Drain).await;
    }

    /// Ends when nothing in flight may go on.
    pub(super) async fn over(&self) {
        self.until(|| self.is_over.get()).await;
    }

    /// What the user's stop kept back is withheld, not failed.
    pub(super) fn by_user(&self) -> Stop {
        self.by_user.get()
    }

    /// Follows the user's wishes and the drain deadline; never returns.
    pub(super) async fn watch(&self, mut stop: watch::Receiver<Stop>, planned_end: Instant, drain: Duration) {
        let mut deadline = planned_end + drain;
        loop {
            tokio::select! {
                biased;
                wish = next_wish(&mut stop) => {
                    self.by_user.set(wish);
                    deadline = if wish == Stop::Now { Instant::now() } else { Instant::now() + drain };
                }
                () = tokio::time::sleep_until(deadline.into()), if !self.is_over.get() => self.is_over.set(true),
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);
    const LATER: Duration = Duration::from_mins(1);

    fn block_on<T>(body: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(body)
    }

    #[test]
    fn the_first_stop_drains_and_the_second_ends() {
        let (sender, receiver) = watch::channel(Stop::Run);
        let ending = Ending::default();
        let user = async {
            sender.send_replace(Stop::Drain);
            ending.stopping().await;
            assert_eq!((ending.by_user(), ending.is_over.get()), (Stop::Drain, false));
            sender.send_replace(Stop::Now);
            ending.over().await;
            assert_eq!(ending.by_user(), Stop::Now);
        };
        block_on(async {
            tokio::select! {
                () = ending.watch(receiver, Instant::now() + LATER, LATER) => unreachable!("it never returns"),
                () = user => {}
            }
        });
    }

    #[test]
    fn without_a_user_the_drain_deadline_ends_the_run() {
        let ending = Ending::default();
        let (_, receiver) = watch::channel(Stop::Run);
        block_on(async {
            let began = Instant::now();
            tokio::select! {
                () = ending.watch(receiver, began + SOON, SOON) => unreachable!("it never returns"),
                () = ending.over() => {}
            }
            assert!(began.elapsed() >= 2 * SOON);
            assert_eq!(ending.by_user(), Stop::Run);
        });
    }
}
