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
        timer.sleep_until(due).await;
        tally.stalled(due.elapsed());
    }
}
