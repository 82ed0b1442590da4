//! `kingtide report`: runs side by side, as a table, a page and JSON.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::gates::GatesArgs;
use super::thresholds::ThresholdsArgs;
use super::{Exit, json_of, print_result};
use crate::assessment::Assessment;
use crate::measure::run::RunReport;
use crate::monitor::timeline::Timeline;
use crate::report::{self, Report, folder, html, terminal, words};
use crate::sessions::Rules;

const EXAMPLES: &str = "\
Examples:
  kingtide report runs/1x runs/2x runs/5x
  kingtide report --capture captures/monday runs/1x runs/5x --html report.html --json report.json
  kingtide report results/normal --csv sheets        stats.csv, failures.csv, stats_history.csv
  kingtide report runs/5x --grade                                    good, acceptable or poor, and what grew
  kingtide report --capture captures/monday --html capture.html      a page about the capture alone

A run is the directory that `kingtide replay --out` wrote, or the run.json in it. What monitors saw beside it
(monitors.json) is drawn on the page, on the same clock. The page is one file that needs no network. The exit status is 0 whatever the runs' verdicts: it tells that the report was made.";

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
    /// Write stats.csv, failures.csv and stats_history.csv into this directory, for spreadsheets; of several runs each into
    /// a directory of its own in it, named by its place (1, 2 …).
    #[arg(long, value_name = "DIR", requires = "runs")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    gates: GatesArgs,
    #[command(flatten)]
    thresholds: ThresholdsArgs,
}

/// The contract for scripts (schema: replayer/schemas/report.json).
#[derive(Serialize)]
struct Assessed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Of each run; with --grade or --thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    assessments: Option<&'a [Assessment]>,
}

pub fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let grading = args.thresholds.read()?;
    let capture = args
        .capture
        .as_deref()
        .map(|path| super::inspect::summary_of(path, &Rules::default()))
        .transpose()?;
    let runs = args.runs.iter().map(|path| report::read_run(path)).collect::<Result<_, _>>()?;
    let report = Report { capture, runs };
    if let Some(directory) = &args.csv {
        write_csv(directory, &report.runs)?;
    }
    let assessments: Vec<Assessment> = std::iter::zip(&args.runs, &report.runs)
        .map(|(path, run)| grading.assess(Some(path), run))
        .collect::<Result<_, _>>()?;
    if let Some(path) = &args.json {
        let assessments = grading.is_wanted().then_some(assessments.as_slice());
        report::write_whole(path, &json_of(&Assessed { report: &report, assessments })?)?;
        eprintln!("wrote {}", path.display());
    }
    if let Some(path) = &args.html {
        let timelines = args.runs.iter().map(|path| report::read_timeline(path));
        let timelines: Vec<Timeline> = timelines.collect::<Result<_, _>>()?;
        report::write_whole(path, &html::page_with_monitors(&report, &timelines)?)?;
        eprintln!("wrote {}", path.display());
    }
    print_result(&(terminal::render(&report, args.gates.told()) + &told(&report.runs, &assessments)))?;
    Ok(Exit::Held)
}

fn write_csv(directory: &Path, runs: &[RunReport]) -> anyhow::Result<()> {
    for (number, run) in (1..).zip(runs) {
        let directory = match runs {
            [_] => directory.to_owned(),
            _ => directory.join(number.to_string()),
        };
        folder::write_csv(&directory, run)?;
        eprintln!("wrote {}", directory.display());
    }
    Ok(())
}

/// What there is to say of each run, below its name.
fn told(runs: &[RunReport], assessments: &[Assessment]) -> String {
    let texts = assessments.iter().map(Assessment::render).zip(words::run_names(runs));
    let told = texts.filter(|(text, _)| !text.is_empty());
    told.flat_map(|(text, name)| ["\n".to_owned(), name, "\n".to_owned(), text]).collect()
}
