//! The joint report for people: a line per run, then each figure as mean [interval], lowest and highest.

use std::fmt::Write as _;

use super::figures::{Figure, Figures};
use super::gates::GateFigures;
use super::merged::Merged;
use super::report::{SeedRun, SeedsReport, seeds_named};
use crate::measure::run::Percentiles;
use crate::report::format::{UNKNOWN, count, ms, multiple};
use crate::report::gates::GatesTold;
use crate::report::table::{Align, Table};
use crate::report::words::{spoken, verdict_name};

const RUN_TITLES: [&str; 8] =
    ["seed", "verdict", "planned", "sent", "failed", "p95", "service p95", "lag p99"];
/// Routes that the text names, the slowest first; the JSON has all.
const ROUTES_NAMED: usize = 5;
/// More are counted.
const SEEDS_NAMED: usize = 5;

/// Ends in a line feed; times are latencies unless named otherwise.
pub fn render(report: &SeedsReport, told: GatesTold) -> String {
    let mut text = String::new();
    let counted = report.runs.iter().filter(|run| run.left_out.is_none()).count();
    let _ = writeln!(
        text,
        "{}: {counted} of {} runs of {} count, at {} ({}), to {}\n",
        verdict_name(report.verdict).to_uppercase(),
        report.runs.len() + report.not_begun.len(),
        report.capture,
        multiple(report.multiple),
        report.mode,
        report.target,
    );
    let merged = |name: &str| of_merged(&report.merged, name);
    text + &runs(report)
        + &figures(&report.figures, Some(("all requests", &merged)))
        + &routes(report)
        + &gates(&report.gates, counted, told)
        + &reasons(&report.reasons)
}

fn reasons(reasons: &[String]) -> String {
    let mut text = String::new();
    for reason in reasons {
        let _ = writeln!(text, "  – {reason}");
    }
    text
}

fn runs(report: &SeedsReport) -> String {
    let mut table = Table::of_numbers(RUN_TITLES).align(1, Align::Left);
    report.runs.iter().for_each(|run| table.row(run_cells(run)));
    report.not_begun.iter().for_each(|seed| table.row([seed.to_string(), "not begun".to_owned()]));
    table.render(0)
}

fn run_cells(run: &SeedRun) -> [String; 8] {
    [
        run.seed.to_string(),
        verdict_name(run.verdict).to_uppercase(),
        count(run.planned),
        count(run.sent),
        count(run.failed),
        ms(run.latency_ms.p95),
        ms(run.service_ms.p95),
        ms(run.lag_ms.p99),
    ]
}

/// What all requests together say of a figure, by its name.
type Merge<'a> = (&'a str, &'a dyn Fn(&str) -> Option<f64>);

/// A line per figure; nothing where no run counts.
pub fn figures(figures: &Figures, merged: Option<Merge<'_>>) -> String {
    let titles = ["per run", "mean [95 % interval]", "lowest", "highest"];
    let mut table = Table::of_numbers(titles.into_iter().chain(merged.map(|(title, _)| title)));
    for (name, figure) in figures.iter() {
        let spread = &figure.spread;
        let written = |value| figure.unit.written(value);
        let cells = [figure.unit.title(name), figure.told(), written(spread.lowest), written(spread.highest)];
        let of_all = merged.map(|(_, of)| of(name).map_or_else(String::new, written));
        table.row(cells.into_iter().chain(of_all));
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render(0)) }
}

fn of_merged(merged: &Merged, name: &str) -> Option<f64> {
    let Percentiles { p50, p95, p99, .. } = merged.all.latency_ms;
    match name {
        "latency_ms_p50" => p50,
        "latency_ms_p95" => p95,
        "latency_ms_p99" => p99,
        "service_ms_p95" => merged.all.service_ms.p95,
        "lag_ms_p99" => merged.lag_ms.p99,
        _ => None,
    }
}

fn routes(report: &SeedsReport) -> String {
    let titles = ["route, p95 per run", "mean [95 % interval]", "lowest", "highest", "all requests"];
    let mut table = Table::of_numbers(titles);
    let routes = report.routes.iter();
    let mut slow: Vec<_> =
        routes.filter_map(|route| Some((route, route.figures.get("latency_ms_p95")?))).collect();
    slow.sort_by(|(_, one), (_, other)| other.spread.mean.total_cmp(&one.spread.mean));
    for (route, p95) in slow.into_iter().take(ROUTES_NAMED) {
        let all = report.merged.routes.get(&route.route).and_then(|counts| counts.latency_ms.p95);
        let extremes = [p95.spread.lowest, p95.spread.highest].map(|value| p95.unit.written(value));
        table.row([route.route.clone(), p95.told()].into_iter().chain(extremes).chain([ms(all)]));
    }
    if table.is_empty() { String::new() } else { format!("\n{}", table.render(0)) }
}

/// Those that were not ok with all of so many seeds, or all; and how many were.
pub fn gates(gates: &GateFigures, seeds: usize, told: GatesTold) -> String {
    let mut table =
        Table::of_numbers(["gate", "mean [95 % interval]", "FAILS with", "too short to tell with"])
            .align(2, Align::Left)
            .align(3, Align::Left);
    let with = |numbers: &[u64]| match numbers.len() {
        0 => String::new(),
        all if all == seeds => "all seeds".to_owned(),
        many if many > SEEDS_NAMED => format!("{many} of {seeds} seeds"),
        _ => seeds_named(numbers),
    };
    let ok = gates.values().filter(|gate| gate.is_ok()).count();
    let named = gates.iter().filter(|(_, gate)| told == GatesTold::All || !gate.is_ok());
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|(_, gate)| std::cmp::Reverse(gate.failed.len()));
    for (name, gate) in &named {
        let value = gate.value.as_ref().map_or_else(|| UNKNOWN.to_owned(), Figure::told);
        table.row([spoken(name), value, with(&gate.failed), with(&gate.undecided)]);
    }
    let all = if gates.is_empty() {
        String::new()
    } else {
        format!("{ok} of {} gates ok with every seed\n", gates.len())
    };
    if table.is_empty() { format!("\n{all}") } else { format!("\n{}{all}", table.render(0)) }
}
