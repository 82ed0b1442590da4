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
use crate::report::format::{ms, number, seconds, share};
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
            let _ = writeln!(text, "  {}", told(breach));
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

/// `critical: postgres.active above 18 from 12 s to 47 s, at worst 20`.
fn told(breach: &Breach) -> String {
    let written = |value| written(&breach.metric, value);
    let at = |at_s: f64| if at_s > 0.0 { seconds(Some(at_s)) } else { "0 s".to_owned() };
    format!(
        "{}: {} above {} from {} to {}, at worst {}",
        breach.severity.name(),
        breach.metric,
        written(breach.limit),
        at(breach.from_s),
        at(breach.to_s),
        written(breach.worst)
    )
}

/// By what the name says of its unit.
pub(crate) fn written(metric: &str, value: f64) -> String {
    match metric {
        _ if metric.ends_with("_share") => share(value),
        _ if metric.contains("_ms") => ms(Some(value)),
        _ if metric.ends_with("_s") => seconds(Some(value)),
        _ if metric.ends_with("_bytes") => crate::capacity::answer::bytes(value.max(0.0)),
        _ => number(Some(value)),
    }
}

#[cfg(test)]
mod tests;
