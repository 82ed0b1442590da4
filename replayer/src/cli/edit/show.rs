//! What an edit says: how far it is, and what came of it.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::edit::Summary;
use crate::report::format::{count, counted};

/// Rows between two looks at the display.
const EVERY: u64 = 1024;

/// A line on stderr that counts, on a terminal only: an edit is over in seconds.
pub(super) struct Progress {
    bar: ProgressBar,
    shown: Cell<u64>,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} exchanges read, {per_sec}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, shown: Cell::new(0) }
    }

    pub(super) fn at(&self, read: u64) {
        if read >= self.shown.get() + EVERY {
            self.shown.set(read);
            self.bar.set_position(read);
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

pub(super) fn text(summary: &Summary) -> String {
    let mut text = format!("{}\n", summary.out);
    let mut line = |words: String| {
        let _ = writeln!(text, "  {words}");
    };
    line(format!("{} in {}", counted(summary.exchanges, "exchange"), counted(summary.starts, "start")));
    for (left_out, why) in [(summary.filtered, "filtered"), (summary.sampled_out, "sampled out")] {
        if left_out > 0 {
            line(format!("{} {why}", counted(left_out, "exchange")));
        }
    }
    if summary.ledger.lost() > 0 {
        line(format!("{} that the recording lost", counted(summary.ledger.lost(), "request")));
    }
    let ledger = summary.ledger;
    line(format!(
        "ledger: {} accepted = {} recorded + {} filtered + {} sampled out + {} lost",
        count(ledger.accepted),
        count(ledger.recorded),
        count(ledger.filtered),
        count(ledger.sampled_out),
        count(ledger.lost())
    ));
    for source in &summary.sources {
        let damage = if source.damage.is_empty() { "" } else { ", damaged" };
        line(format!("from {}: {} read{damage}", source.capture, counted(source.exchanges, "exchange")));
    }
    text
}
