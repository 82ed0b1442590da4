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
    /// The plan ends with the trial; else those who go on then are stopped.
    pub(super) has_end: bool,
}

/// How the sending of a trial ended.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) aborted: Option<Abort>,
    /// When the user stopped it, seconds from the plan's zero.
    pub(super) interrupted_s: Option<u64>,
    /// When nothing more was to be sent.
    pub(super) sent_until: Option<Instant>,
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
                end.sent_until.get_or_insert_with(Instant::now);
                if !self.has_end {
                    self.ask(Stop::Drain);
                }
            }
            for second in self.seconds(&mut seconds, since.as_secs(), &mut seen) {
                if end.aborted.is_none() && since < self.length {
                    end.aborted = watch.on_second(second);
                }
                on_second(&second);
            }
            let is_hung = end.aborted.as_ref().map(|abort| abort.cause == AbortCause::Hang);
            if let Some(is_hung) = is_hung {
                end.sent_until.get_or_insert_with(Instant::now);
                self.ask(Stop::Drain);
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
            end.sent_until.get_or_insert_with(Instant::now);
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

    /// The seconds that have passed since the last look. Where it was late they share what happened: no second of
    /// silence may come of it.
    fn seconds(&self, seen_s: &mut u64, now_s: u64, seen: &mut Counts) -> Vec<Second> {
        let passed = now_s.saturating_sub(*seen_s);
        if passed == 0 {
            return Vec::new();
        }
        let counts = self.live.counts();
        let since = |count: fn(&Counts) -> u64| count(&counts) - count(seen);
        let [sent, done, failed] = [since(|c| c.sent), since(|c| c.good), since(|c| c.failed)];
        let [given_up, late] = [since(|c| c.given_up), since(|c| c.late)];
        let second = |number: u64| {
            let part = |count: u64| count * (number + 1) / passed - count * number / passed;
            let index = usize::try_from(*seen_s + number).unwrap_or(usize::MAX);
            let due: u64 = self.planned.iter().take(index.saturating_add(1)).sum();
            Second {
                planned: self.planned.get(index).copied().unwrap_or_default(),
                sent: part(sent),
                done: part(done),
                failed: part(failed),
                given_up: part(given_up),
                in_flight: due.saturating_sub(counts.ended).max(counts.in_flight),
                late: part(late),
            }
        };
        let seconds = (0..passed).map(second).collect();
        (*seen, *seen_s) = (counts, now_s);
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::series::End as Ended;

    #[test]
    fn a_late_look_shares_what_happened_among_its_seconds() {
        let live = Live::default();
        let (stop, _stopped) = channel::channel(Stop::Run);
        let (_user, user) = channel::channel(Stop::Run);
        let conductor = Conductor {
            live: &live,
            stop,
            user: &user,
            planned: vec![4, 4, 4],
            length: Duration::from_secs(3),
            has_end: true,
        };
        for _ in 0..7 {
            live.sent(0);
            live.ended(&Ended {
                at_ns: 0,
                was_sent: true,
                is_done: true,
                is_failed: false,
                is_given_up: false,
                latency_ns: Some(1),
            });
        }
        let (mut seen_s, mut seen) = (0, Counts::default());
        let seconds = conductor.seconds(&mut seen_s, 3, &mut seen);
        assert_eq!(seconds.iter().map(|second| second.done).collect::<Vec<_>>(), [2, 2, 3]);
        assert_eq!(seconds.iter().map(|second| second.in_flight).collect::<Vec<_>>(), [0, 1, 5]);
        assert_eq!(seen_s, 3);
        assert!(conductor.seconds(&mut seen_s, 3, &mut seen).is_empty());
    }
}
