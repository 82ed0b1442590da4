//! How long a worker did not get to run.
//!
//! Timeouts run on the wall: a worker that stood still for ten seconds finds a connect timed out that the
//! target answered at once. A beat at a fixed interval, on the timer that also releases requests, is late by as
//! long as the worker stood still, whoever was to blame; [`crate::measure::gates`] says how long is too long.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::tally::Tally;
use super::timer::PreciseTimer;

const BEAT: Duration = Duration::from_millis(100);

/// Beats until it is dropped.
pub(super) async fn watch(timer: PreciseTimer, tally: Rc<Tally>) -> Infallible {
    loop {
        let due = Instant::now() + BEAT;
        tally.beat_due.set(due);
        timer.sleep_until(due).await;
        tally.stalled(due.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;
    use crate::drive::tally::RunClock;

    #[test]
    fn a_worker_that_stood_still_knows_for_how_long() {
        const STILL: Duration = Duration::from_millis(300);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let stall_ns = LocalSet::new().block_on(&runtime, async {
            let timer = PreciseTimer::new().unwrap();
            let tally = Rc::new(Tally::alone(RunClock::starting_at(Instant::now())));
            let driver = timer.clone();
            spawn_local(async move { driver.drive().await });
            spawn_local(watch(timer.clone(), Rc::clone(&tally)));
            // The first beat is under way.
            timer.sleep_until(Instant::now() + BEAT / 2).await;
            std::thread::sleep(STILL);
            timer.sleep_until(Instant::now() + 2 * BEAT).await;
            tally.take_recorder().stall_ns_max
        });
        assert!(Duration::from_nanos(stall_ns) + BEAT >= STILL, "{stall_ns}");
    }
}
