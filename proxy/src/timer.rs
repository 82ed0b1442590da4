//! One timer a connection, re-armed only when it must be.
//!
//! Nearly every wait ends before its timeout, and the next one's deadline is later than the one armed. So
//! the timer stays where it is and looks again when it fires: re-arming costs nothing per read or write.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// Not armed before it is first asked.
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now())) }
    }

    /// Ready once `deadline` has passed; never without one.
    pub(crate) fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if self.sleep.is_elapsed() || self.sleep.deadline() > deadline {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_leaves_the_timer_where_it_is_and_still_ends_on_time() {
        let begun = Instant::now();
        let mut timer = Timer::new();
        let first = poll_fn(|cx| Poll::Ready(timer.poll(Some(begun + Duration::from_secs(1)), cx))).await;
        assert!(first.is_pending());
        poll_fn(|cx| timer.poll(Some(begun + Duration::from_secs(5)), cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        poll_fn(|cx| timer.poll(Some(begun + Duration::from_secs(6)), cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_is_kept_too() {
        let begun = Instant::now();
        let mut timer = Timer::new();
        let late = poll_fn(|cx| Poll::Ready(timer.poll(Some(begun + Duration::from_secs(9)), cx))).await;
        assert!(late.is_pending());
        poll_fn(|cx| timer.poll(Some(begun + Duration::from_secs(2)), cx)).await;
        assert_eq!(begun.elapsed().as_secs(), 2);
    }
}
