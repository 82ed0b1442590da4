//! What the searches found, against the truth, as a table.

use std::fmt::{self, Write as _};

use super::naive::Naive;
use super::subject::{Kind, Subject};
use kingtide::capacity::finding::{Bound, Finding, Outcome};

/// One search; all loads as shares of the truth.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    kind: Kind,
    outcome: Outcome,
    estimate: f64,
    low: f64,
    high: f64,
    is_mode_right: bool,
    is_whole_after_overload: bool,
    has_recovered: bool,
    trials: usize,
    spent_s: f64,
    bisection: f64,
    ramp: f64,
    /// The truth once more, with other draws.
    truth_again: Option<f64>,
    /// With less time: the estimate, and whether its interval holds the truth.
    with_less: Vec<(f64, bool)>,
    about: String,
}

impl Row {
    pub(crate) fn new(
        subject: &Subject,
        truth_per_s: f64,
        truth_again: Option<f64>,
        found: &Finding,
        spent_s: f64,
        naive: Naive,
    ) -> Self {
        let of_truth = |multiple: f64| multiple * subject.unit_per_s / truth_per_s;
        // A bound is no estimate: it counts as none.
        let capacity = found.capacity.filter(|capacity| capacity.bound == Bound::Estimate);
        let mode = found.failure_mode;
        Self {
            kind: subject.kind,
            outcome: found.verdict,
            estimate: capacity.map_or(0.0, |capacity| of_truth(capacity.multiple)),
            low: capacity.map_or(0.0, |capacity| of_truth(capacity.low)),
            high: capacity.map_or(0.0, |capacity| of_truth(capacity.high)),
            is_mode_right: mode.is_some_and(|mode| subject.is_right(mode, truth_per_s)),
            is_whole_after_overload: found.after_overload_multiple.is_none(),
            has_recovered: found.recovered != Some(false),
            trials: found.trials.len(),
            spent_s,
            bisection: naive.bisection_per_s / truth_per_s,
            ramp: naive.ramp_per_s / truth_per_s,
            truth_again: truth_again.map(|again| again / truth_per_s),
            with_less: Vec::new(),
            about: format!(
                "{}, {}, {truth_per_s:.1}/s of {:.1}/s, {mode:?}",
                subject.kind.name(),
                subject.slo,
                subject.saturated_per_s
            ),
        }
    }

    pub(crate) fn with_less(mut self, subject: &Subject, truth_per_s: f64, found: &[Finding]) -> Self {
        let of = |found: &Finding| {
            let estimate = found.capacity.filter(|capacity| capacity.bound == Bound::Estimate)?;
            let truth = truth_per_s / subject.unit_per_s;
            Some((estimate.multiple / truth, (estimate.low..=estimate.high).contains(&truth)))
        };
        self.with_less = found.iter().map(|found| of(found).unwrap_or((0.0, false))).collect();
        self
    }

    fn is_covered(&self) -> bool {
        self.low <= 1.0 && self.high >= 1.0
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { estimate, low, high, outcome, about, .. } = self;
        write!(f, "{estimate:.3} [{low:.3}, {high:.3}] {outcome:?}: {about}")?;
        if self.is_mode_right { Ok(()) } else { f.write_str(" (WRONG)") }
    }
}

const HEAD: &str = "\
| target | searches | median | p5–p95 | within 2 % | within 5 % | interval holds the truth | its half width | wrong mode | trials | minutes |
|---|---|---|---|---|---|---|---|---|---|---|
";

const NAIVE_HEAD: &str = "\
| target | 10 s bisection: median | p5–p95 | within 5 % | one ramp: median | p5–p95 | within 5 % |
|---|---|---|---|---|---|---|
";

pub(crate) fn markdown(
    rows: &[Row],
    budget_s: u64,
    seed: u64,
    truth_requests: f64,
    shorter: &[u64],
) -> String {
    let mut text = format!(
        "# The capacity search against targets of known capacity\n\n\
         Made by `make bench-capacity-truth`; {} searches, seed {seed}, a budget of {} minutes each. All figures are \
         estimate ÷ truth. The truth is the load at which the SLO is just held for ever: by formula for M/M/c and \
         M/M/c/K under Poisson arrivals, else by bisection over simulations of {truth_requests:.0e} requests. {}\n\n\
         The target's parameters are drawn anew for each search: 8 to 150 requests a second, 2 to 64 slots, an SLO of \
         p95 below 1.3 to 20 times (at most 60 s) what the service alone takes at its p95, up to 5 % or 1 % of errors; \
         three in ten are sent sessions of several requests instead of a Poisson process. A mode is wrong that is not \
         `shed` for what refuses; not `drift` where the capacity is above 98.5 % of what the target can answer; not \
         `latency` where it is below 87 %.\n\n{HEAD}",
        rows.len(),
        budget_s / 60,
        truth_error(rows),
    );
    for (name, of_kind) in groups(rows) {
        text.push_str(&line(name, &of_kind));
    }
    let _ = write!(text, "\n{}", with_less(rows, budget_s, shorter));
    let _ = write!(text, "\n{}\nThe same targets, as other tools search:\n\n{NAIVE_HEAD}", shortfalls(rows));
    for (name, of_kind) in groups(rows) {
        text.push_str(&naive_line(name, &of_kind));
    }
    text
}

/// Short trials are what a small budget costs: the interval is conditional on their length.
fn with_less(rows: &[Row], budget_s: u64, shorter: &[u64]) -> String {
    let mut text = String::from(
        "| budget | median | p5–p95 | within 2 % | within 5 % | interval holds the truth |\n|---|---|---|---|---|---|\n",
    );
    for (at, part) in shorter.iter().enumerate() {
        let of: Vec<(f64, bool)> = rows.iter().map(|row| row.with_less[at]).collect();
        let [p5, median, p95] = quantiles(of.iter().map(|(estimate, _)| *estimate).collect());
        let share = |is: &dyn Fn(&(f64, bool)) -> bool| {
            100.0 * of.iter().filter(|found| is(found)).count() as f64 / of.len() as f64
        };
        let _ = writeln!(
            text,
            "| {} minutes | {median:.3} | {p5:.3}–{p95:.3} | {:.0} % | {:.0} % | {:.0} % |",
            budget_s / part / 60,
            share(&|found| is_within(found.0, 0.02)),
            share(&|found| is_within(found.0, 0.05)),
            share(&|found| found.1)
        );
    }
    text
}

fn groups(rows: &[Row]) -> Vec<(&'static str, Vec<&Row>)> {
    let of = |kind: Kind| (kind.name(), rows.iter().filter(|row| row.kind == kind).collect());
    let each = Kind::ALL.into_iter().map(of);
    each.chain([("**all**", rows.iter().collect())])
        .filter(|(_, rows): &(_, Vec<&Row>)| !rows.is_empty())
        .collect()
}

fn line(name: &str, rows: &[&Row]) -> String {
    let of = |value: fn(&Row) -> f64| rows.iter().map(|row| value(row)).collect::<Vec<_>>();
    let [p5, median, p95] = quantiles(of(|row| row.estimate));
    let [_, half_width, _] = quantiles(of(|row| (row.high - row.low) / 2.0));
    let [_, trials, _] = quantiles(of(|row| row.trials as f64));
    let [_, minutes, _] = quantiles(of(|row| row.spent_s / 60.0));
    format!(
        "| {name} | {} | {median:.3} | {p5:.3}–{p95:.3} | {} | {} | {} | {:.1} % | {} | {trials:.0} | {minutes:.0} |\n",
        rows.len(),
        percent(rows, |row| is_within(row.estimate, 0.02)),
        percent(rows, |row| is_within(row.estimate, 0.05)),
        percent(rows, Row::is_covered),
        half_width * 100.0,
        rows.iter().filter(|row| !row.is_mode_right).count(),
    )
}

fn naive_line(name: &str, rows: &[&Row]) -> String {
    let of = |value: fn(&Row) -> f64| {
        let [p5, median, p95] = quantiles(rows.iter().map(|row| value(row)).collect());
        let within = rows.iter().filter(|row| is_within(value(row), 0.05)).count();
        format!("{median:.2} | {p5:.2}–{p95:.2} | {:.0} %", 100.0 * within as f64 / rows.len() as f64)
    };
    format!("| {name} | {} | {} |\n", of(|row| row.bisection), of(|row| row.ramp))
}

/// What is not as it should be, search by search.
fn shortfalls(rows: &[Row]) -> String {
    let targets = [
        (
            "the median is within 2 %",
            is_within(quantiles(rows.iter().map(|row| row.estimate).collect())[1], 0.02),
        ),
        ("90 % are within 5 %", share(rows, |row| is_within(row.estimate, 0.05)) >= 0.9),
        ("the interval holds the truth in 90 %", share(rows, Row::is_covered) >= 0.9),
        ("no mode is wrong", rows.iter().all(|row| row.is_mode_right)),
    ];
    let mut text = String::new();
    for (target, is_met) in targets {
        let _ = writeln!(text, "- Target: {target}: **{}**.", if is_met { "met" } else { "missed" });
    }
    let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    let _ = writeln!(
        text,
        "- Of {}: {} ended with the budget before the bounds were within 4 %, {} with no estimate; {} were said not to be \
         whole after an overload, and {} not to have come back: none of these targets is like that.",
        rows.len(),
        count(|row| row.outcome == Outcome::BudgetExhausted),
        count(|row| row.estimate == 0.0),
        count(|row| !row.is_whole_after_overload),
        count(|row| !row.has_recovered),
    );
    let mut far: Vec<&Row> =
        rows.iter().filter(|row| !is_within(row.estimate, 0.05) || !row.is_mode_right).collect();
    far.sort_by(|a, b| (b.estimate - 1.0).abs().total_cmp(&(a.estimate - 1.0).abs()));
    let _ = writeln!(
        text,
        "- More than 5 % off, or with a wrong mode (target, SLO, capacity of saturation, mode):"
    );
    for row in far {
        let _ = writeln!(text, "  - {row}");
    }
    text
}

fn truth_error(rows: &[Row]) -> String {
    let mut errors: Vec<f64> =
        rows.iter().filter_map(|row| row.truth_again).map(|again| (again - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let (Some(median), Some(most)) = (errors.get(errors.len() / 2), errors.last()) else {
        return String::new();
    };
    format!(
        "Computed twice for {} of them, it differs by {:.1} % (median) and at most {:.1} %.",
        errors.len(),
        median * 100.0,
        most * 100.0
    )
}

fn is_within(ratio: f64, margin: f64) -> bool {
    (ratio - 1.0).abs() <= margin
}

fn share(rows: &[Row], is: impl Fn(&Row) -> bool) -> f64 {
    rows.iter().filter(|row| is(row)).count() as f64 / rows.len().max(1) as f64
}

fn percent(rows: &[&Row], is: impl Fn(&Row) -> bool) -> String {
    let count = rows.iter().filter(|row| is(row)).count();
    format!("{:.0} %", 100.0 * count as f64 / rows.len() as f64)
}

/// 5th, 50th and 95th percentile.
fn quantiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 10, 19].map(|twentieth| values[(values.len() * twentieth / 20).min(values.len() - 1)])
}
