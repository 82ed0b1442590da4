//! What a run is doing, on stderr: a line that changes on a terminal, a line every five seconds elsewhere.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::live::{Counts, Live};
use crate::report::format::{count, counted, ms, rate};

const TERMINAL_PERIOD: Duration = Duration::from_millis(500);
const LOG_PERIOD: Duration = Duration::from_secs(5);

/// The display of a run under way; [`Display::finish`] ends it.
#[derive(Debug)]
pub(super) struct Display {
    finish: Sender<()>,
    thread: JoinHandle<()>,
}

/// What the display looks at.
struct View {
    /// Before each line.
    label: String,
    live: Arc<Live>,
    /// `None`: how many there will be the answers tell.
    planned: Option<u64>,
    planned_end: Duration,
    seen: Counts,
    seen_at: Instant,
}

impl Display {
    /// `planned` requests, the last of them due `planned_end` after the zero; `label` begins each line.
    pub(super) fn start(label: &str, live: Arc<Live>, planned: Option<u64>, planned_end: Duration) -> Self {
        let (finish, finished) = mpsc::channel();
        let now = Instant::now();
        let label = label.to_owned();
        let view = View { label, live, planned, planned_end, seen: Counts::default(), seen_at: now };
        let is_terminal = io::stderr().is_terminal();
        let thread =
            thread::spawn(
                move || if is_terminal { view.draw_bar(&finished) } else { view.print_lines(&finished) },
            );
        Self { finish, thread }
    }

    pub(super) fn finish(self) {
        // A display that is gone needs no end; one that panicked spoils no run.
        let _ = self.finish.send(());
        let _ = self.thread.join();
    }
}

impl View {
    fn print_lines(mut self, finished: &mpsc::Receiver<()>) {
        while finished.recv_timeout(LOG_PERIOD) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{}", self.line());
        }
    }

    fn draw_bar(mut self, finished: &mpsc::Receiver<()>) {
        let style = ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}");
        let length = self.planned.unwrap_or(self.planned_end.as_secs());
        let bar = ProgressBar::new(length).with_style(style.expect("the template is constant"));
        while finished.recv_timeout(TERMINAL_PERIOD) == Err(RecvTimeoutError::Timeout) {
            let line = self.line();
            let passed =
                self.live.zero().map_or(Duration::ZERO, |zero| self.seen_at.saturating_duration_since(zero));
            bar.set_position(if self.planned.is_some() { self.seen.sent } else { passed.as_secs() });
            bar.set_message(line);
        }
        bar.finish_and_clear();
    }

    fn done(&self, counts: &Counts) -> String {
        match self.planned {
            Some(planned) => format!("{} of {} sent", count(counts.sent), count(planned)),
            None => format!("{}, {} sent", counted(counts.users, "user"), count(counts.sent)),
        }
    }

    /// What happened since the last line.
    fn line(&mut self) -> String {
        let (now, counts) = (Instant::now(), self.live.counts());
        let since = now.duration_since(self.seen_at).as_secs_f64();
        let line = format!(
            "{}{} · {} · {} in flight · p95 {} · {} failed · lag p99 {} · {}",
            self.label,
            self.done(&counts),
            rate(counts.sent.saturating_sub(self.seen.sent), since),
            count(counts.in_flight),
            ms(self.live.take_latency_ms_p95()),
            count(counts.failed),
            ms(self.live.take_lag_ms_p99()),
            remaining(self.planned_end, self.live.zero(), now),
        );
        (self.seen, self.seen_at) = (counts, now);
        line
    }
}

/// Until the last planned request is due: that counts from the plan's zero, not from the preparation before it.
fn remaining(planned_end: Duration, zero: Option<Instant>, now: Instant) -> String {
    let Some(zero) = zero else { return "preparing".to_owned() };
    match (zero + planned_end).checked_duration_since(now) {
        Some(left) => format!("{} s left", left.as_secs() + 1),
        None => "waiting for the last answers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::series::End;

    #[test]
    fn a_line_says_what_happened_since_the_last() {
        let live = Arc::new(Live::default());
        live.sent(3_000_000);
        live.ended(&End {
            at_ns: 0,
            was_sent: true,
            is_done: true,
            is_failed: true,
            is_given_up: false,
            latency_ns: Some(2_000_000_000),
        });
        let now = Instant::now();
        let planned_end = Duration::from_hours(1);
        live.begins(now);
        let label = "seed 2 of 5: ".to_owned();
        let seen = Counts::default();
        let mut view = View { label, live, planned: Some(1_500), planned_end, seen, seen_at: now };
        let text = view.line();
        for part in [
            "seed 2 of 5: 1 of 1\u{202f}500 sent",
            "0 in flight",
            "p95 2.0 s",
            "1 failed",
            "lag p99 3.0 ms",
            "3600 s left",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(view.line().contains("p95 –"));
        view.live.arrived();
        view.planned = None;
        assert!(view.line().starts_with("seed 2 of 5: 1 user, 1 sent"), "of users who stay");
    }

    #[test]
    fn what_is_left_counts_from_the_zero() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let cases = [
            ("being prepared", None, at(0), "preparing"),
            ("about to begin", Some(at(400)), at(0), "11 s left"),
            ("begun", Some(at(0)), at(4_500), "6 s left"),
            ("all sent", Some(at(0)), at(11_000), "waiting for the last answers"),
        ];
        for (case, zero, now, expected) in cases {
            assert_eq!(remaining(Duration::from_secs(10), zero, now), expected, "{case}");
        }
    }
}
