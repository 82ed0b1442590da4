//! What was sent, beside what was captured and planned.

use std::collections::BTreeMap;

use super::super::format::{ms, number};
use super::grid::{Cell, Grid};
use super::rows::names;
use crate::measure::achieved::{Achieved, Durations, Level, in_order};
use crate::measure::run::RunReport;
use crate::plan::dispersion::{WINDOWS_S, label};

/// Rhythm, what was under way at once, and the pace of people.
pub(super) fn sent(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("", runs);
    grid.group("Index of dispersion: 1 is random arrival, more is bursts");
    for window in WINDOWS_S.map(label) {
        if runs.iter().any(|run| run.dispersion_planned.contains_key(&window)) {
            let captured = runs.iter().find_map(|run| run.dispersion_captured.get(&window)).copied();
            let note = format!("captured {}", number(captured));
            grid.row(&format!("{window} s"), &note, runs.iter().map(|run| rhythm_cell(run, &window)));
        }
    }
    if runs.iter().all(|run| run.achieved.stages.is_empty()) {
        return grid;
    }
    grid.group("At once, mean over the run");
    let mut level = |what, note, of: fn(&Achieved) -> Level| {
        grid.row(what, note, runs.iter().map(|run| level_cell(of(&run.achieved))));
    };
    level("Uploads", "request bodies on their way", |achieved| achieved.uploads_in_flight);
    level("Connections", "in use, pauses included", |achieved| achieved.connections_open);
    grid.group("People");
    let mut people = |what, note, of: fn(&Achieved) -> &Durations| {
        grid.row(what, note, runs.iter().map(|run| durations_cell(Some(of(&run.achieved)))));
    };
    people("Session", "first request to last answer", |achieved| &achieved.session_duration_ms);
    people("Think time", "answer to next request", |achieved| &achieved.think_time_ms);
    grid
}

/// The client's stages beside the captured ones: over all routes, then by route.
pub(super) fn stages(runs: &[RunReport]) -> Grid {
    let mut grid = Grid::of("Stage", runs);
    let Some(first) = runs.iter().find(|run| !run.achieved.stages.is_empty()) else { return grid };
    grid.group("All routes");
    for (stage, _) in in_order(&first.achieved.stages) {
        grid.row(stage, "", runs.iter().map(|run| durations_cell(run.achieved.stages.get(stage))));
    }
    for route in names(runs, |run| run.achieved.route_stages.iter().map(|route| &route.route).collect()) {
        grid.group(route);
        for (stage, _) in in_order(&first.achieved.stages) {
            let of_run = |run: &RunReport| {
                let known = run.achieved.route_stages.iter().find(|known| known.route == route);
                durations_cell(known.and_then(|known| known.stages.get(stage)))
            };
            grid.row(stage, "", runs.iter().map(of_run));
        }
    }
    grid
}

/// Sent large; planned and wanted small.
fn rhythm_cell(run: &RunReport, window: &str) -> Cell {
    let of = |index: &BTreeMap<String, f64>| number(index.get(window).copied());
    let sent = run.achieved.dispersion.get(window).and_then(|rhythm| rhythm.sent);
    let note = format!("planned {}, target {}", of(&run.dispersion_planned), of(&run.dispersion_target));
    Cell::with_note(number(sent), note)
}

fn level_cell(level: Level) -> Cell {
    let planned = level.planned.map(|planned| format!("planned {}, ", number(Some(planned))));
    let target = number(Some(level.expected));
    Cell::with_note(number(Some(level.achieved)), planned.unwrap_or_default() + &format!("target {target}"))
}

/// p95 large; the captured one and the distance small.
fn durations_cell(durations: Option<&Durations>) -> Cell {
    let Some(durations) = durations else { return Cell::default() };
    let captured = ms(durations.p95_captured);
    let apart = number(durations.apart);
    Cell::with_note(ms(durations.p95_achieved), format!("captured {captured}, {apart} apart"))
}
