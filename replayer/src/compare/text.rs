//! A comparison for people: who was compared, every figure with its interval, and what decides.

use std::fmt::Write as _;

use super::figure::{FigureReport, Side};
use super::judge::Verdict;
use super::{Comparison, SideReport};
use crate::bottleneck;
use crate::report::format::{UNKNOWN, number};
use crate::report::table::{Align, Table};
use crate::seeds::Unit;

/// Rows of routes; the JSON has all.
const ROUTE_ROWS: usize = 20;

pub(super) const TITLES: [&str; 5] = ["", "A", "B", "change [95 %]", "verdict"];
pub(super) const FOOTNOTE: &str = "* decides";

/// Ends in a line feed.
pub fn render(comparison: &Comparison) -> String {
    let mut text = format!("{}\n\n{}", headline(comparison), sides(comparison));
    let mut table = Table::of_numbers(TITLES).align(4, Align::Left);
    let told = shown(comparison);
    told.rows.into_iter().for_each(|row| table.row(row));
    if !table.is_empty() {
        let _ = write!(text, "\n{}{FOOTNOTE}{}\n", table.render(0), told.rest);
    }
    for sentence in sentences(comparison) {
        let _ = writeln!(text, "  – {sentence}");
    }
    text
}

/// `WORSE: B (runs/after) against A (runs/before)`.
pub(super) fn headline(comparison: &Comparison) -> String {
    let Comparison { a, b, .. } = comparison;
    format!("{}: B ({}) against A ({})", name(comparison.verdict).to_uppercase(), b.path, a.path)
}

fn sides(comparison: &Comparison) -> String {
    let mut table = Table::of_numbers(["", "what", "capture", "target", "started", "it says"]);
    for column in 1..=5 {
        table = table.align(column, Align::Left);
    }
    for (letter, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        let SideReport { capture, target, started, setting, verdict, .. } = side.clone();
        table.row([letter.to_owned(), setting, capture, target, started, verdict]);
    }
    table.render(0)
}

/// What stands below the table.
pub(super) fn sentences(comparison: &Comparison) -> Vec<String> {
    let objections = comparison.not_comparable.iter().cloned();
    let moved = comparison
        .bottleneck
        .as_ref()
        .map(|suspect| format!("if it is what was changed between them: {}", bottleneck::sentence(suspect)));
    let hint = (comparison.verdict == Verdict::NotComparable)
        .then(|| "--anyway compares them all the same".to_owned());
    objections.chain(hint).chain(comparison.reasons.iter().cloned()).chain(moved).collect()
}

/// Rows for a table, and how many there are no room for.
pub(super) struct Shown {
    pub(super) rows: Vec<[String; 5]>,
    pub(super) rest: String,
}

/// All of all requests; of routes the p95, and what is worse or better.
pub(super) fn shown(comparison: &Comparison) -> Shown {
    let (all, routes): (Vec<_>, Vec<_>) =
        comparison.figures.iter().partition(|figure| figure.route.is_none());
    let is_told = |figure: &&FigureReport| {
        figure.figure == "latency_ms_p95" || matches!(figure.verdict, Verdict::Worse | Verdict::Better)
    };
    let mut routes: Vec<&FigureReport> = routes.into_iter().filter(is_told).collect();
    routes.sort_by_key(|figure| (figure.verdict != Verdict::Worse, !figure.decides));
    let more = routes.len().saturating_sub(ROUTE_ROWS);
    let rows = all.into_iter().chain(routes.into_iter().take(ROUTE_ROWS)).map(row).collect();
    let rest = if more > 0 { format!("; {more} more figures of routes in --json") } else { String::new() };
    Shown { rows, rest }
}

fn row(figure: &FigureReport) -> [String; 5] {
    let title = figure.unit.title(&figure.figure);
    let title = figure.route.as_ref().map_or(title.clone(), |route| format!("{route} {title}"));
    let star = if figure.decides { " *" } else { "" };
    let why = figure.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    [
        format!("{title}{star}"),
        value(figure.unit, &figure.a),
        value(figure.unit, &figure.b),
        change(figure),
        format!("{}{why}", name(figure.verdict)),
    ]
}

/// A capacity may be a bound.
fn value(unit: Unit, side: &Side) -> String {
    let written = unit.written(side.value);
    match (unit, side.low, side.high) {
        (Unit::Multiple, Some(_), None) => format!("≥ {written}"),
        (Unit::Multiple, Some(0.0), _) => format!("≤ {written}"),
        _ => written,
    }
}

/// `+12 % [+3 %, +21 %]`; of shares in percentage points.
pub(super) fn change(figure: &FigureReport) -> String {
    let (unit, is_points) = if figure.unit == Unit::Share { (" points", true) } else { (" %", false) };
    let written = |value: f64| {
        // A tenth is enough; of shares a hundredth.
        let places = if is_points { 100.0 } else { 10.0 };
        let percent = (value * 100.0 * places).round() / places;
        let sign = match percent {
            _ if percent > 0.0 => "+",
            _ if percent < 0.0 => "−",
            _ => "",
        };
        format!("{sign}{}{unit}", number(Some(percent.abs())))
    };
    let interval = match (figure.change_low, figure.change_high) {
        (None, None) => String::new(),
        (low, high) => {
            let low = low.map_or_else(|| "−∞".to_owned(), written);
            format!(" [{low}, {}]", high.map_or_else(|| "∞".to_owned(), written))
        }
    };
    figure.change.map_or_else(|| UNKNOWN.to_owned(), |change| written(change) + &interval)
}

pub(super) fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Worse => "worse",
        Verdict::Better => "better",
        Verdict::NoDifference => "no difference",
        Verdict::CannotTell => "cannot tell",
        Verdict::NotComparable => "not comparable",
    }
}
