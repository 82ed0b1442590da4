//! A table of the page: what is measured down, runs across, so that it stays readable on a phone.

use askama::Template;

use super::words;
use crate::measure::run::RunReport;

/// Renders itself as HTML (`{{ grid|safe }}`).
#[derive(Debug, Template)]
#[template(path = "report/grid.html")]
pub(super) struct Grid {
    corner: &'static str,
    runs: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    label: String,
    note: String,
    /// A heading over the rows that follow.
    is_group: bool,
    cells: Vec<Cell>,
}

/// A number, what stands small beneath it, and whether it is good or bad.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) note: String,
    /// `pass`, `fail` or nothing.
    pub(super) tone: &'static str,
}

impl Grid {
    pub(super) fn of(corner: &'static str, runs: &[RunReport]) -> Self {
        Self { corner, runs: words::run_names(runs), rows: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn group(&mut self, label: &str) {
        self.rows.push(Row {
            label: label.to_owned(),
            note: String::new(),
            is_group: true,
            cells: Vec::new(),
        });
    }

    pub(super) fn row(&mut self, label: &str, note: &str, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().collect();
        self.rows.push(Row { label: label.to_owned(), note: note.to_owned(), is_group: false, cells });
    }

    /// Columns, the labels included.
    fn columns(&self) -> usize {
        self.runs.len() + 1
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl Cell {
    pub(super) fn with_note(text: String, note: String) -> Self {
        Self { text, note, tone: "" }
    }

    /// A count of what should not happen.
    pub(super) fn of_trouble(count: u64) -> Self {
        let tone = if count > 0 { "fail" } else { "" };
        Self { text: super::super::format::count(count), note: String::new(), tone }
    }
}
