//! How good a run was: its grades, what was beyond its thresholds and when, and what grew all the while.
//!
//! [`thresholds`](crate::thresholds) and [`statistics::trend`](crate::statistics::trend) say it; here is what they are asked
//! about, and how it is told. Pure.

pub mod grown;

use std::fmt::Write as _;

use serde::Serialize;

pub use grown::Grown;

use crate::compare::Run;
use crate::monitor::timeline::Timeline;
use crate::monitor::unit::written;
use crate::report::table::{Align, Table};
pub use crate::thresholds::breach::with_run as seen;
use crate::thresholds::{Breach, Grade, Thresholds};

/// Of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Assessment {
    pub grades: Vec<Grade>,
    /// The worst first.
    pub breaches: Vec<Breach>,
    /// Of a run of 5 minutes or more.
    pub grown: Vec<Grown>,
}

impl Assessment {
    pub fn of(run: &Run, timeline: &Timeline, thresholds: &Thresholds) -> Self {
        let seen = seen(timeline, &run.report);
        let mut breaches = thresholds.breaches(&seen);
        breaches.sort_by_key(|breach| std::cmp::Reverse(breach.severity));
        Self {
            grades: thresholds.grade(&run.known()),
            breaches,
            grown: grown::of(&run.report, &seen, thresholds),
        }
    }

    /// For people; ends in a line feed where there is anything.
    pub fn render(&self) -> String {
        let mut text = grades(&self.grades);
        for breach in &self.breaches {
            let _ = writeln!(text, "  {}", breach.sentence());
        }
        for grown in &self.grown {
            let _ = writeln!(text, "  {}", grown.sentence());
        }
        text
    }
}

fn grades(grades: &[Grade]) -> String {
    let mut table = Table::of_numbers(["grade", "value [95 %]", "good", "poor", ""]).align(4, Align::Left);
    for grade in grades {
        let written = |value| written(&grade.metric, value);
        let interval = grade.interval.map_or_else(String::new, |interval| {
            format!(" [{}, {}]", written(interval.low), written(interval.high))
        });
        let value = written(grade.value) + &interval;
        let is_more_better = grade.good > grade.poor;
        let [good, poor] = if is_more_better { ["≥ ", "< "] } else { ["≤ ", "> "] };
        table.row([
            crate::report::words::spoken(&grade.metric),
            value,
            good.to_owned() + &written(grade.good),
            poor.to_owned() + &written(grade.poor),
            grade.told(),
        ]);
    }
    if table.is_empty() { String::new() } else { table.render(0) }
}

#[cfg(test)]
mod tests;
