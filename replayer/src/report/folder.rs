//! All files of one run in its directory, beside `run.json`.

use std::fs;
use std::path::Path;

use super::{Report, ReportError, csv, html, write_whole};
use crate::measure::run::RunReport;
use crate::monitor::timeline::Timeline;

/// The page of a run in its directory.
pub const PAGE_FILE: &str = "report.html";
/// What the page shows, for scripts.
pub const REPORT_FILE: &str = "report.json";

/// Writes the page, with what monitors saw, the report and the CSV files.
pub fn write(directory: &Path, run: &RunReport, watched: Timeline) -> Result<(), ReportError> {
    let report = Report { capture: None, runs: vec![run.clone()] };
    write_whole(&directory.join(PAGE_FILE), &html::page_with_monitors(&report, &[watched])?)?;
    write_whole(&directory.join(REPORT_FILE), &report.to_json()?)?;
    write_csv(directory, run)
}

/// `stats.csv`, `failures.csv` and `stats_history.csv`; makes the directory.
pub fn write_csv(directory: &Path, run: &RunReport) -> Result<(), ReportError> {
    fs::create_dir_all(directory)
        .map_err(|source| ReportError::Write { path: directory.to_owned(), source })?;
    for (name, text) in csv::files(run) {
        write_whole(&directory.join(name), &text)?;
    }
    Ok(())
}
