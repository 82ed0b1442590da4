//! What stands in the page's tables.

use std::collections::BTreeSet;

use super::super::format::{UNKNOWN, count, ms, number, rate, share, size};
use super::super::words;
use super::grid::{Cell, Grid};
use crate::inspect::Summary;
use crate::measure::ClientStage;
use crate::measure::run::{FailureCount, Gate, Percentiles, RouteReport, RunReport};

/// Routes whose stages the page shows; the JSON has all.
const ROUTES_IN_STAGES: usize = 5;

/// How much was sent, and what became of it; the generator's own figures.
pub(super) fn volumes(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("", runs);
    grid.group("Volume");
    volume(&mut grid, runs);
    grid
}

/// Latency, service time, and whether the generator was on time.
pub(super) fn times(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("", runs);
    grid.group("Latency: from the planned instant to the end of the answer");
    percentiles(&mut grid, runs, |run| &run.latency_ms);
    grid.group("Service time: from the first byte sent");
    percentiles(&mut grid, runs, |run| &run.service_ms);
    grid.group("The generator");
    generator(&mut grid, runs);
    grid
}

fn volume(grid: &mut Grid, runs: &[RunReport]) {
    let each = |of: fn(&RunReport) -> u64| runs.iter().map(move |run| Cell::from(count(of(run))));
    let trouble = |of: fn(&RunReport) -> u64| runs.iter().map(move |run| Cell::of_trouble(of(run)));
    let sent = |run: &RunReport| Cell::with_note(count(run.sent), rate(run.sent, run.duration_s));
    let files = |run: &RunReport| Cell::with_note(count(run.files), size(Some(run.file_bytes)));
    grid.row("Users", "sessions, each a new user", each(|run| run.sessions_planned));
    grid.row("Accounts", "different identities used", each(|run| run.identities_distinct));
    grid.row("Planned", "requests", each(|run| run.planned));
    grid.row("Sent", "", runs.iter().map(sent));
    grid.row("Done", "complete answers", each(|run| run.done));
    grid.row("Failed", "errors, worse answers, unfinished", runs.iter().map(failed_cell));
    grid.row("Unfinished", "no answer at the end", trouble(|run| run.unfinished));
    if runs.iter().any(|run| run.withheld > 0) {
        grid.row("Withheld", "kept back by a stop", trouble(|run| run.withheld));
    }
    if runs.iter().any(|run| run.attempts.retry_not_needed > 0) {
        let spared = each(|run| run.attempts.retry_not_needed);
        grid.row("Retries not needed", "captured, and what they followed did not fail", spared);
    }
    if runs.iter().any(|run| run.attempts.retries.tried > 0) {
        grid.row("Retries", "further attempts after failures", trouble(|run| run.attempts.retries.tried));
    }
    grid.row("Files sent", "", runs.iter().map(files));
    let sent_bytes = |run: &RunReport| Cell::from(size(Some(run.sent_bytes)));
    let received_bytes = |run: &RunReport| Cell::from(size(Some(run.received_bytes)));
    grid.row("Bytes out", "heads included", runs.iter().map(sent_bytes));
    grid.row("Bytes in", "answers, heads included", runs.iter().map(received_bytes));
    if runs.iter().any(|run| run.approximated > 0) {
        grid.row(
            "Filler bodies",
            "not in the capture; refusals do not count",
            trouble(|run| run.approximated),
        );
    }
    grid.row("Reconnects", "idle connections the target had closed", each(|run| run.reconnects));
    grid.row("Unresolved bindings", "values nothing supplied", trouble(|run| run.bindings.unresolved));
}

fn failed_cell(run: &RunReport) -> Cell {
    let note = if run.failed == 0 { String::new() } else { share(run.failed as f64 / run.planned as f64) };
    Cell { note, ..Cell::of_trouble(run.failed) }
}

fn percentiles(grid: &mut Grid, runs: &[RunReport], of: fn(&RunReport) -> &Percentiles) {
    let mut row = |label, percentile: fn(&Percentiles) -> Option<f64>| {
        grid.row(label, "", runs.iter().map(|run| Cell::from(ms(percentile(of(run))))));
    };
    row("p50", |times| times.p50);
    row("p95", |times| times.p95);
    row("p99", |times| times.p99);
    row("slowest", |times| times.max);
}

fn generator(grid: &mut Grid, runs: &[RunReport]) {
    let each = |of: fn(&RunReport) -> String| runs.iter().map(move |run| Cell::from(of(run)));
    grid.row("Lag p99", "sent later than it could", each(|run| ms(run.lag_ms.p99)));
    grid.row("Connect p99", "waited for its connection", each(|run| ms(run.lag_parts_ms.connect.p99)));
    grid.row("Dependency p99", "waited for an answer", each(|run| ms(run.lag_parts_ms.dependency.p99)));
    grid.row(
        "Held back",
        "sends that a late answer delayed",
        each(|run| share(run.dependency_delayed_share)),
    );
}

/// Stages as the client sees them.
pub(super) fn client_stages(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("Stage", runs);
    let meanings = [
        ("connect", "new connections"),
        ("send", "first to last request byte"),
        ("wait", "last request byte to first answer byte"),
        ("receive", "first to last answer byte"),
    ];
    let known = |name: &str| meanings.iter().any(|(known, _)| *known == name);
    let others = names(runs, |run| run.stages_ms.keys().filter(|name| !known(name)).collect());
    for (name, meaning) in meanings.into_iter().chain(others.into_iter().map(|name| (name, ""))) {
        let stage = |run: &RunReport| run.stages_ms.get(name).copied();
        if runs.iter().any(|run| stage(run).is_some()) {
            grid.row(name, meaning, runs.iter().map(|run| percentile_cell(stage(run).as_ref())));
        }
    }
    grid
}

/// Stages of the heaviest run's slowest routes, of all runs.
pub(super) fn route_stages(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("Stage", runs);
    let Some((_, heaviest)) = words::heaviest(runs) else { return grid };
    for slow in words::by_slowness(&heaviest.routes).take(ROUTES_IN_STAGES) {
        grid.group(&slow.route);
        for stage in ClientStage::ALL {
            let of_run = |run: &RunReport| {
                let route = run.routes.iter().find(|route| route.route == slow.route);
                percentile_cell(route.and_then(|route| route.stages_ms.get(stage.name())))
            };
            grid.row(stage.name(), "", runs.iter().map(of_run));
        }
    }
    grid
}

/// p95 large, p50 small.
fn percentile_cell(times: Option<&Percentiles>) -> Cell {
    let p50 = times.and_then(|times| times.p50).map(|p50| format!("p50 {}", ms(Some(p50))));
    Cell::with_note(ms(times.and_then(|times| times.p95)), p50.unwrap_or_default())
}

/// Latency p95 and failures of each route, beside what the capture took.
pub(super) fn routes(runs: &[RunReport], capture: Option<&Summary>) -> Grid {
    let mut grid = Grid::of("Route", runs);
    let all = names(runs, |run| run.routes.iter().map(|route| &route.route).collect());
    for name in all {
        let of_run = |run: &RunReport| route_cell(run.routes.iter().find(|route| route.route == name));
        grid.row(name, &captured_note(name, capture), runs.iter().map(of_run));
    }
    grid
}

fn captured_note(name: &str, capture: Option<&Summary>) -> String {
    let route = capture.and_then(|capture| capture.routes.iter().find(|route| route.route == name));
    let p95 = route.and_then(|route| route.stages.get("total")).and_then(|total| total.p95);
    p95.map(|p95| format!("captured {}", ms(Some(p95)))).unwrap_or_default()
}

fn route_cell(route: Option<&RouteReport>) -> Cell {
    let Some(route) = route else { return Cell::from(UNKNOWN.to_owned()) };
    let (note, tone) = match route.failed {
        0 => (format!("{} sent", count(route.sent)), ""),
        failed => (format!("{} of {} failed", count(failed), count(route.planned)), "fail"),
    };
    Cell { text: ms(route.latency_ms.p95), note, tone }
}

/// Failures by class and stage, of all runs.
pub(super) fn failures(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("Failure", runs);
    if runs.iter().any(|run| words::worse_answers(run) > 0) {
        let counts = runs.iter().map(|run| Cell::of_trouble(words::worse_answers(run)));
        grid.row(words::WORSE, "a status of 400 or more where the capture had none", counts);
    }
    let of_all = runs.iter().flat_map(|run| &run.failures).map(|failure| (failure.class, failure.stage));
    for (class, stage) in of_all.collect::<BTreeSet<_>>() {
        let is_it = |failure: &&FailureCount| (failure.class, failure.stage) == (class, stage);
        let of_run = |run: &RunReport| run.failures.iter().find(is_it).map_or(0, |failure| failure.count);
        let note = stage.map_or("before a connection", ClientStage::name);
        grid.row(&words::spoken(class.name()), note, runs.iter().map(of_run).map(Cell::of_trouble));
    }
    grid
}

/// Answers by status, of all runs.
pub(super) fn statuses(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("Answer", runs);
    for status in names(runs, |run| run.statuses.keys().collect()) {
        let of_run = |run: &RunReport| run.statuses.get(status).copied().unwrap_or_default();
        let cell = if status.starts_with('5') { Cell::of_trouble } else { |n| Cell::from(count(n)) };
        grid.row(status, "", runs.iter().map(of_run).map(cell));
    }
    grid
}

/// Fidelity gates: value, limit and whether it passed.
pub(super) fn fidelity(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("Gate", runs);
    for name in names(runs, |run| run.fidelity.keys().collect()) {
        let meaning = runs.iter().find_map(|run| run.fidelity.get(name)).map(|gate| gate.meaning.clone());
        let cells = runs.iter().map(|run| gate_cell(run.fidelity.get(name)));
        grid.row(&words::spoken(name), &meaning.unwrap_or_default(), cells);
    }
    grid
}

fn gate_cell(gate: Option<&Gate>) -> Cell {
    let Some(gate) = gate else { return Cell::from(UNKNOWN.to_owned()) };
    let (mark, tone) = match (gate.pass, gate.decided) {
        (false, _) => ("✗", "fail"),
        (true, true) => ("✓", "pass"),
        (true, false) => ("?", ""),
    };
    let limit = format!("limit {}", number(Some(gate.limit)));
    let said = if gate.decided { None } else { Some(gate.standing()) };
    let note = gate.reason.as_deref().or(said).map_or(limit.clone(), |said| format!("{limit}; {said}"));
    Cell { text: format!("{} {mark}", number(gate.value)), note, tone }
}

/// All names that occur in any run, in order of the first run that has them, then of the alphabet.
pub(super) fn names<'a>(
    runs: &'a [RunReport],
    of: impl Fn(&'a RunReport) -> Vec<&'a String>,
) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let all = runs.iter().flat_map(of).map(String::as_str);
    all.filter(|name| seen.insert(*name)).collect()
}
