//! `kingtide report`: runs side by side, as a table, a page and JSON.

use std::path::PathBuf;

use clap::Args;

use super::gates::GatesArgs;
use super::{Exit, print_result};
use crate::report::{self, Report, html, terminal};
use crate::sessions::Rules;

const EXAMPLES: &str = "\
Examples:
  kingtide report runs/1x runs/2x runs/5x
  kingtide report --capture captures/monday runs/1x runs/5x --html report.html --json report.json
  kingtide report --capture captures/monday --html capture.html      a page about the capture alone

A run is the directory that `kingtide replay --out` wrote, or the run.json in it. The page is one file
that needs no network. The exit status is 0 whatever the runs' verdicts: it tells that the report was made.";

/// Put runs side by side: a table here, one offline HTML page, and JSON.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ReportArgs {
    /// Runs to report on: directories or run.json files, in the order to show them.
    #[arg(value_name = "RUN", required_unless_present = "capture")]
    runs: Vec<PathBuf>,
    /// The capture that was replayed: its stages, uploads and burstiness join the report.
    #[arg(long, value_name = "CAPTURE")]
    capture: Option<PathBuf>,
    /// Write the HTML page here.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the JSON report here (schema: replayer/schemas/report.json).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    gates: GatesArgs,
}

pub fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let capture = args
        .capture
        .as_deref()
        .map(|path| super::inspect::summary_of(path, &Rules::default()))
        .transpose()?;
    let runs = args.runs.iter().map(|path| report::read_run(path)).collect::<Result<_, _>>()?;
    let report = Report { capture, runs };
    if let Some(path) = &args.json {
        report::write_whole(path, &report.to_json()?)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(path) = &args.html {
        report::write_whole(path, &html::page(&report)?)?;
        eprintln!("wrote {}", path.display());
    }
    print_result(&terminal::render(&report, args.gates.told()))?;
    Ok(Exit::Held)
}
