//! The runs as a table in the terminal: one row per run, then what they mean.

use std::fmt::Write;

use super::format::{count, ms, number};
use super::gates::GatesTold;
use super::table::{Align, Table};
use super::words;
use super::{Report, achieved, gates};
use crate::measure::ClientStage;
use crate::measure::run::{RouteReport, RunReport};

const TITLES: [&str; 13] = [
    "run",
    "verdict",
    "planned",
    "sent",
    "done",
    "failed",
    "unfinished",
    "p50",
    "p95",
    "p99",
    "service p95",
    "lag p99",
    "I(1 s)/target",
];

const ROUTE_TITLES: [&str; 7] = ["route", "sent", "latency", "connect", "send", "wait", "receive"];
/// Routes that the text names; the JSON has all.
const ROUTES_NAMED: usize = 5;

/// The whole text, ending in a line feed; times are latencies unless named otherwise.
pub fn render(report: &Report, told: GatesTold) -> String {
    if report.runs.is_empty() {
        return report.capture.as_ref().map(crate::inspect::text::render).unwrap_or_default();
    }
    let mut text = warnings(report);
    let mut table = Table::of_numbers(TITLES).align(1, Align::Left);
    for (name, run) in words::run_names(&report.runs).into_iter().zip(&report.runs) {
        table.row(cells(name, run));
    }
    let _ = writeln!(text, "{}\n\n{}", words::headline(&report.runs), table.render(0));
    text + &explanations(&report.runs)
        + &slowest_routes(&report.runs)
        + &achieved::render(&report.runs)
        + "\n"
        + &gates::render(&report.runs, told)
}

/// Damage of the capture that the runs rest on.
fn warnings(report: &Report) -> String {
    let mut text = String::new();
    for damage in report.capture.iter().flat_map(|capture| &capture.damage) {
        let _ = writeln!(text, "!! CAPTURE DAMAGED: {damage}");
    }
    text
}

fn cells(name: String, run: &RunReport) -> [String; 13] {
    [
        name,
        words::verdict_name(run.verdict).to_uppercase(),
        count(run.planned),
        count(run.sent),
        count(run.done),
        count(run.failed),
        count(run.unfinished),
        ms(run.latency_ms.p50),
        ms(run.latency_ms.p95),
        ms(run.latency_ms.p99),
        ms(run.service_ms.p95),
        ms(run.lag_ms.p99),
        dispersion(run, "1"),
    ]
}

/// `2.31/2.28`: planned and wanted.
fn dispersion(run: &RunReport, window: &str) -> String {
    let planned = number(run.dispersion_planned.get(window).copied());
    format!("{planned}/{}", number(run.dispersion_target.get(window).copied()))
}

fn explanations(runs: &[RunReport]) -> String {
    let lightest = words::baseline(runs);
    let mut text = String::new();
    for (name, run) in words::run_names(runs).iter().zip(runs) {
        let _ = writeln!(text, "{name}  {}", words::describe(run, lightest));
        for reason in &run.reasons {
            let _ = writeln!(text, "    – {reason}");
        }
    }
    text
}

/// The heaviest run's slowest routes, and in which stage their time goes; p95 of each.
fn slowest_routes(runs: &[RunReport]) -> String {
    let Some((name, run)) = words::heaviest(runs) else { return String::new() };
    let mut table = Table::of_numbers(ROUTE_TITLES);
    words::by_slowness(&run.routes).take(ROUTES_NAMED).for_each(|route| table.row(route_cells(route)));
    if table.is_empty() {
        String::new()
    } else {
        format!("\nslowest routes at {name}, p95 of each stage\n{}", table.render(0))
    }
}

fn route_cells(route: &RouteReport) -> Vec<String> {
    let stage = |stage: ClientStage| ms(route.stages_ms.get(stage.name()).and_then(|stage| stage.p95));
    let whole = [route.route.clone(), count(route.sent), ms(route.latency_ms.p95)];
    whole.into_iter().chain(ClientStage::ALL.map(stage)).collect()
}
