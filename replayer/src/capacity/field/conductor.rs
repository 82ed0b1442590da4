//! Beside a run: looks at its counters every second, and ends its sending.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch as channel;

use crate::capacity::watch::{Abort, AbortCause, Live as Second, Watch};
use crate::drive::Stop;
use crate::measure::live::{Counts, Live};

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);
/// A target that hangs is not waited for any longer: nothing more will come.
const HANG_DRAIN: Duration = Duration::from_secs(5);

/// Watches a run and ends its sending.
pub(super) struct Conductor<'a> {
    pub(super) live: &'a Live,
    pub(super) stop: channel::Sender<Stop>,
    pub(super) user: &'a channel::Receiver<Stop>,
    pub(super) planned: Vec<u64>,
    pub(super) length: Duration,
}

/// How the sending of a trial ended.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) aborted: Option<Abort>,
    /// When the user stopped it, seconds from the plan's zero.
    pub(super) interrupted_s: Option<u64>,
}

impl Conductor<'_> {
    pub(super) fn conduct(
        &self,
        mut watch: Watch,
        on_second: &mut dyn FnMut(&Second),
        is_over: impl Fn() -> bool,
    ) -> End {
        let mut end = End::default();
        let mut seen = Counts::default();
        let mut seconds = 0;
        let mut hung_until = None;
        while !is_over() {
            thread::sleep(LOOK);
            let Some(since) = self.live.zero().and_then(|zero| Instant::now().checked_duration_since(zero))
            else {
                self.follow_user(0, &mut end);
                continue;
            };
            self.follow_user(since.as_secs(), &mut end);
            if since >= self.length {
                self.ask(Stop::Drain);
            }
            if since.as_secs() > seconds {
                seconds += 1;
                let second = self.second(seconds, &mut seen);
                on_second(&second);
                if end.aborted.is_none() && since < self.length {
                    end.aborted = watch.on_second(second);
                }
            }
            if let Some(abort) = &end.aborted {
                self.ask(Stop::Drain);
                let is_hung = abort.cause == AbortCause::Hang;
                let until = *hung_until.get_or_insert_with(|| Instant::now() + HANG_DRAIN);
                if is_hung && Instant::now() >= until {
                    self.ask(Stop::Now);
                }
            }
        }
        end
    }

    fn follow_user(&self, at_s: u64, end: &mut End) {
        let wish = *self.user.borrow();
        if wish > Stop::Run {
            end.interrupted_s.get_or_insert(at_s);
            self.ask(wish);
        }
    }

    fn ask(&self, wish: Stop) {
        self.stop.send_if_modified(|stop| {
            let is_more = wish > *stop;
            *stop = wish.max(*stop);
            is_more
        });
    }

    /// What happened since the last look, and what is under way.
    fn second(&self, seconds: u64, seen: &mut Counts) -> Second {
        let counts = self.live.counts();
        let index = usize::try_from(seconds - 1).unwrap_or(usize::MAX);
        let due: u64 = self.planned.iter().take(index + 1).sum();
        let second = Second {
            planned: self.planned.get(index).copied().unwrap_or_default(),
            sent: counts.sent - seen.sent,
            done: counts.good - seen.good,
            failed: counts.failed - seen.failed,
            in_flight: due.saturating_sub(counts.ended).max(counts.in_flight),
            late: counts.late - seen.late,
        };
        *seen = counts;
        second
    }
}
