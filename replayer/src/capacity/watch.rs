//! When a trial is stopped before its end, to protect the target: a rule fed second by second.
//!
//! | stops on | when |
//! |---|---|
//! | latency  | two windows of 5 s in a row in which 4 × as many took longer than 2 L as the SLO lets take longer than L |
//! | errors   | two windows of 5 s in a row with more failures than 4 × what the SLO allows, and than a tenth |
//! | backlog  | for 5 s more in flight than 2 · L · X, and 20: by Little's law (L = λW) the wait is 2 L already |
//! | hang     | nothing is answered or refused for 5 s (a quarter of L, up to 30 s) and as long as 20 requests would have needed, while what is in flight has grown by half |
//!
//! L is the SLO's largest time, X the rate of answers in the last 10 s, taken as at least half of what was sent: while a
//! trial begins nothing can have ended yet. An abort is a FAIL.

use serde::Serialize;

use super::slo::Slo;
use crate::statistics::wilson;

const WINDOW_S: usize = 5;
/// Without a criterion of latency nothing else says what is long.
const LIMIT_MS_DEFAULT: f64 = 10_000.0;
/// Without a criterion of errors or latency: a fifth may fail before a trial is stopped.
const FAILED_SHARE_DEFAULT: f64 = 0.05;
/// However little the SLO allows, fewer failures than this are no danger to the target: they come in spells.
const FAILED_SHARE_MIN: f64 = 0.1;
/// Two of a dozen requests are luck.
const BAD_MIN: f64 = 5.0;
const HANG_S: f64 = 5.0;
const HANG_S_MAX: f64 = 30.0;
/// Fewer than so many in flight are no backlog: while a slow trial begins, one request waits for its own answer.
const BACKLOG_MIN: u64 = 20;
/// So many answers are missing before silence is called a hang.
const HANG_EXPECTED: f64 = 20.0;

/// Why a trial was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abort {
    pub cause: AbortCause,
    /// Seconds since the start of sending.
    pub at_s: u64,
    /// For people.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortCause {
    Latency,
    Errors,
    Backlog,
    Hang,
}

/// A second of a running trial, by the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Live {
    /// Requests intended for this second.
    pub planned: u64,
    pub sent: u64,
    /// Complete answers, refusals left out.
    pub done: u64,
    /// Refused, broken off, timed out in this second.
    pub failed: u64,
    /// Of these the ones that were given up for want of an answer, their own or one whose value they need: no sign of life.
    pub given_up: u64,
    /// Without an end at the second's end, counted from their intended instants on.
    pub in_flight: u64,
    /// Of `done`: those with a latency above [`Watch::late_above_ms`].
    pub late: u64,
}

/// Keeps the seconds of one trial.
#[derive(Debug, Clone)]
pub struct Watch {
    limit_ms: f64,
    late_share_max: f64,
    failed_share_max: f64,
    seconds: Vec<Live>,
}

impl Watch {
    pub fn new(slo: &Slo) -> Self {
        let loosest = slo.loosest_latency();
        Self {
            limit_ms: loosest.map_or(LIMIT_MS_DEFAULT, |(limit, _)| limit.as_secs_f64() * 1e3),
            late_share_max: loosest.map_or(FAILED_SHARE_DEFAULT, |(_, share)| share),
            failed_share_max: slo.failed_share_max().unwrap_or(FAILED_SHARE_DEFAULT),
            seconds: Vec::new(),
        }
    }

    /// What [`Live::late`] counts: latencies above this.
    pub fn late_above_ms(&self) -> f64 {
        2.0 * self.limit_ms
    }

    /// The next second; the first cause that holds after it.
    pub fn on_second(&mut self, live: Live) -> Option<Abort> {
        self.seconds.push(live);
        let causes = [self.hang(), self.errors(), self.latency(), self.backlog()];
        let (cause, reason) = causes.into_iter().flatten().next()?;
        Some(Abort { cause, at_s: self.seconds.len() as u64, reason })
    }

    fn hang(&self) -> Option<(AbortCause, String)> {
        let ended = |live: &Live| live.done + live.failed.saturating_sub(live.given_up);
        let silent_s = self.seconds.iter().rev().take_while(|live| ended(live) == 0).count();
        let (before, silent) = self.seconds.split_at(self.seconds.len() - silent_s);
        let now = self.seconds.last()?.in_flight;
        let allowed_s = if before.is_empty() { self.limit_ms / 1e3 } else { 0.0 };
        let rate = if before.is_empty() { sum(silent, |live| live.sent) } else { sum(before, ended) }
            / if before.is_empty() { silent_s } else { before.len() } as f64;
        let missing = rate * (silent_s as f64 - allowed_s);
        let normal = before.last().map_or(0, |live| live.in_flight);
        let grown = now as f64 >= 1.5 * normal as f64 && now as f64 >= HANG_EXPECTED;
        (silent_s as f64 >= self.hang_s() && missing >= HANG_EXPECTED && grown).then(|| {
            let text =
                format!("no request ended for {silent_s} s while {now} were in flight (before: {normal})");
            (AbortCause::Hang, text)
        })
    }

    /// Where answers may take minutes, one slow batch of them is silent for longer.
    fn hang_s(&self) -> f64 {
        (self.limit_ms / 1e3 / 4.0).clamp(HANG_S, HANG_S_MAX)
    }

    fn errors(&self) -> Option<(AbortCause, String)> {
        let limit = self.failed_share_max;
        let share = self.share_of_both(|live| live.failed, (4.0 * limit).max(FAILED_SHARE_MIN), limit)?;
        let text = format!(
            "{:.1} % of the requests failed in the last {} s (allowed: {:.1} %)",
            share * 100.0,
            2 * WINDOW_S,
            limit * 100.0
        );
        Some((AbortCause::Errors, text))
    }

    fn latency(&self) -> Option<(AbortCause, String)> {
        let limit = self.late_share_max;
        let share = self.share_of_both(|live| live.late, 4.0 * limit, limit)?;
        let text = format!(
            "{:.1} % of what ended in the last {} s took longer than twice the SLO's {:.1} s",
            share * 100.0,
            2 * WINDOW_S,
            self.limit_ms / 1e3
        );
        Some((AbortCause::Latency, text))
    }

    fn backlog(&self) -> Option<(AbortCause, String)> {
        let last = self.seconds.last_chunk::<{ 2 * WINDOW_S }>()?;
        let done = sum(last, |live| live.done);
        let sent = sum(last, |live| live.sent);
        // Silence is a hang, or a service that takes long and has just begun.
        if sum(last, |live| live.done + live.failed) == 0.0 {
            return None;
        }
        let per_s = done.max(sent / 2.0) / last.len() as f64;
        let in_flight = last[WINDOW_S..].iter().map(|live| live.in_flight).min()?;
        let wait_s = in_flight as f64 / per_s;
        (in_flight >= BACKLOG_MIN && wait_s > 2.0 * self.limit_ms / 1e3).then(|| {
            let text = format!(
                "{in_flight} requests were in flight at {per_s:.1} answers a second: {wait_s:.1} s to wait, the SLO \
                 allows {:.1} s",
                self.limit_ms / 1e3
            );
            (AbortCause::Backlog, text)
        })
    }

    /// The share of bad ends in the last two windows, when in each it is above `each` and in both surely above `both`.
    fn share_of_both(&self, bad: impl Fn(&Live) -> u64 + Copy, each: f64, both: f64) -> Option<f64> {
        let last = self.seconds.last_chunk::<{ 2 * WINDOW_S }>()?;
        let ended = |live: &Live| live.done + live.failed;
        let share = |window: &[Live]| sum(window, bad) / sum(window, ended).max(1.0);
        let joined = share(last);
        let (surely, _) = wilson::interval(joined, sum(last, ended), wilson::Z_95);
        (last.chunks(WINDOW_S).all(|window| share(window) > each)
            && surely > both
            && sum(last, bad) >= BAD_MIN)
            .then_some(joined)
    }
}

fn sum(seconds: &[Live], count: impl Fn(&Live) -> u64) -> f64 {
    seconds.iter().map(count).sum::<u64>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(per_s: u64, done: u64, failed: u64, in_flight: u64, late: u64) -> Live {
        Live { planned: per_s, sent: per_s, done, failed, in_flight, late, ..Live::default() }
    }

    /// The cause and the second of the first abort.
    fn first(slo: &str, seconds: impl IntoIterator<Item = Live>) -> Option<(AbortCause, u64)> {
        let mut watch = Watch::new(&slo.parse().unwrap());
        let abort = seconds.into_iter().find_map(|live| watch.on_second(live))?;
        Some((abort.cause, abort.at_s))
    }

    fn steady(seconds: usize) -> impl Iterator<Item = Live> {
        std::iter::repeat_n(live(50, 50, 0, 100, 0), seconds)
    }

    #[test]
    fn what_goes_well_is_not_stopped() {
        assert_eq!(first("p95<10s,errors<5%", steady(600)), None);
        let within = std::iter::repeat_n(live(50, 47, 3, 100, 2), 600);
        assert_eq!(first("p95<10s,errors<5%", within), None);
    }

    #[test]
    fn a_slow_beginning_is_no_hang_and_no_backlog() {
        // The service takes 8 s, so that nothing can end before.
        let filling = (0..8).map(|at| live(20, 0, 0, 20 * (at + 1), 0));
        assert_eq!(first("p95<10s", filling.chain(std::iter::repeat_n(live(20, 20, 0, 160, 0), 60))), None);
        // One request every ten seconds, each alone.
        let rare = (0..100).map(|at| live(u64::from(at % 10 == 0), u64::from(at % 10 == 9), 0, 1, 0));
        assert_eq!(first("p95<1s", rare), None);
    }

    #[test]
    fn a_hang_is_found_within_seconds() {
        let hung = (0..60).map(|at| live(50, 0, 0, 100 + 50 * (at + 1), 0));
        assert_eq!(first("p95<10s", steady(30).chain(hung.clone())), Some((AbortCause::Hang, 35)));
        // Never answered at all: after the longest wait that the SLO allows.
        let (cause, at_s) = first("p95<10s", hung.clone()).unwrap();
        assert!(cause == AbortCause::Hang && (10..=15).contains(&at_s), "{cause:?} {at_s}");
        // That requests are given up is no sign of life, that they are refused is one.
        let given_up = |given_up| (0..60).map(move |_| Live { given_up, ..live(50, 0, 50, 200, 0) });
        assert_eq!(first("p95<10s", steady(30).chain(given_up(50))), Some((AbortCause::Hang, 35)));
        let refused = first("p95<10s", steady(30).chain(given_up(0)));
        assert_eq!(refused.map(|(cause, _)| cause), Some(AbortCause::Errors));
        // A pause of four seconds is none.
        let pause = steady(30).chain(hung.take(4)).chain(steady(30));
        assert_eq!(first("p95<10s", pause), None);
    }

    #[test]
    fn errors_stop_after_two_windows_in_which_many_failed() {
        let failing = std::iter::repeat_n(live(50, 35, 15, 100, 0), 60);
        assert_eq!(first("p95<10s,errors<5%", steady(30).chain(failing)), Some((AbortCause::Errors, 39)));
        let spell = std::iter::repeat_n(live(50, 10, 40, 100, 0), 2);
        assert_eq!(first("p95<10s,errors<5%", steady(30).chain(spell).chain(steady(30))), None);
        let one_of_few = (0..100).map(|at| live(1, 1, u64::from(at % 5 == 0), 1, 0));
        assert_eq!(first("errors<1%", one_of_few.take(14)), None, "3 of 17 are luck");
    }

    #[test]
    fn lateness_and_backlog_stop() {
        let late = std::iter::repeat_n(live(50, 50, 0, 900, 30), 60);
        assert_eq!(first("p95<10s", steady(30).chain(late)), Some((AbortCause::Latency, 37)));
        let growing = (0..200).map(|at| live(100, 50, 0, 100 + 50 * at, 0));
        let (cause, at_s) = first("p95<10s", growing).unwrap();
        // 1,000 in flight at 50 a second are 20 s; and that for five seconds.
        assert!(cause == AbortCause::Backlog && (22..=26).contains(&at_s), "{cause:?} {at_s}");
    }
}
