//! The gates of runs in the terminal: those that say something first, the others in one line.

use std::collections::BTreeSet;

use super::format::{counted, number};
use super::table::Table;
use super::words;
use crate::measure::run::{Gate, GateKind, RunReport};

/// Which gates the text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatesTold {
    /// Those that are not ok in some run; the others are counted.
    NotOk,
    All,
}

/// Value, limit and what that says of each run, the worst first: what makes a run invalid, cautions, what nobody can tell.
pub(super) fn render(runs: &[RunReport], told: GatesTold) -> String {
    let titles = std::iter::once("gate: value / limit".to_owned()).chain(words::run_names(runs));
    let titles: Vec<String> = titles.collect();
    let mut table = Table::of_numbers(titles.iter().map(String::as_str));
    let (ok, mut named): (Vec<&str>, Vec<&str>) =
        names(runs).into_iter().partition(|name| told == GatesTold::NotOk && of(name, runs).all(Gate::is_ok));
    named.sort_by_key(|name| of(name, runs).map(Gate::rank).min());
    for name in named {
        let cells = runs.iter().map(|run| cell(run.fidelity.get(name)));
        table.row(std::iter::once(words::spoken(name)).chain(cells));
    }
    let text = if table.is_empty() { String::new() } else { table.render(0) };
    text + &folded(&ok, runs)
}

fn names(runs: &[RunReport]) -> BTreeSet<&str> {
    runs.iter().flat_map(|run| run.fidelity.keys()).map(String::as_str).collect()
}

fn of<'a>(name: &'a str, runs: &'a [RunReport]) -> impl Iterator<Item = &'a Gate> {
    runs.iter().filter_map(move |run| run.fidelity.get(name))
}

fn cell(gate: Option<&Gate>) -> String {
    let cell =
        |gate: &Gate| format!("{} / {}  {}", number(gate.value), number(Some(gate.limit)), gate.standing());
    gate.map(cell).unwrap_or_default()
}

/// `31 gates ok (12 of validity); --gates names them`.
fn folded(ok: &[&str], runs: &[RunReport]) -> String {
    if ok.is_empty() {
        return String::new();
    }
    let is_of_validity = |name: &&&str| of(name, runs).any(|gate| gate.kind == Some(GateKind::Validity));
    let validity = match ok.iter().filter(is_of_validity).count() {
        0 => String::new(),
        some => format!(" ({some} of validity)"),
    };
    let everywhere = if runs.len() > 1 { " in every run" } else { "" };
    format!("{} ok{everywhere}{validity}; --gates names them\n", counted(ok.len() as u64, "gate"))
}
