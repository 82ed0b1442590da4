//! What a search is doing, on stderr: a line that changes on a terminal while a trial lasts, and one for its end.

use std::io::{self, IsTerminal, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use crate::capacity::trial::Trial;
use crate::capacity::verdict::Judged;
use crate::capacity::watch::Live;
use crate::report::capacity::{judged_line, purpose};
use crate::report::format::count;

/// Elsewhere than on a terminal a line is printed so often.
const LOG_PERIOD_S: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Progress {
    trials: u64,
    seconds: u64,
    length_s: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn begins(&mut self, trial: &Trial) {
        (self.trials, self.seconds, self.length_s) = (self.trials + 1, 0, trial.length_s);
        let line = format!(
            "trial {}: {:.2}x for {} s ({})",
            self.trials,
            trial.multiple,
            trial.length_s,
            purpose(trial.purpose)
        );
        if io::stderr().is_terminal() {
            let style =
                ProgressStyle::with_template("{prefix}  {bar:20} {msg}").expect("the template is constant");
            self.bar = Some(ProgressBar::new(trial.length_s).with_style(style).with_prefix(line));
        } else {
            tell(&line);
        }
    }

    pub(super) fn second(&mut self, second: &Live) {
        self.seconds += 1;
        let line = format!(
            "{}/s sent · {}/s done · {} in flight · {} failed",
            count(second.sent),
            count(second.done),
            count(second.in_flight),
            count(second.failed)
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.seconds.min(self.length_s));
                bar.set_message(line);
            }
            None if self.seconds.is_multiple_of(LOG_PERIOD_S) => {
                tell(&format!("  {} s: {line}", self.seconds));
            }
            None => {}
        }
    }

    /// `None`: the user stopped it.
    pub(super) fn ends(&mut self, judged: Option<&Judged>) {
        self.bar.take().into_iter().for_each(|bar| bar.finish_and_clear());
        let line = judged.map_or_else(|| "stopped".to_owned(), judged_line);
        tell(&format!("trial {}: {line}", self.trials));
    }
}

/// A log that is full or closed ends no search.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
