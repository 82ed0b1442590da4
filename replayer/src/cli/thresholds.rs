//! `--grade` and `--thresholds`: how good runs were.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use crate::assessment::{self, Assessment};
use crate::compare::{Run, input};
use crate::measure::run::RunReport;
use crate::monitor::timeline::Timeline;
use crate::report::{self, RUN_FILE};
use crate::thresholds::Thresholds;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct ThresholdsArgs {
    /// Grade the run by the thresholds of the environment, else by those that are shipped (configs/thresholds.toml), and say
    /// when they were breached.
    #[arg(long)]
    grade: bool,
    /// Grade by the thresholds in this file.
    #[arg(long, value_name = "FILE")]
    thresholds: Option<PathBuf>,
}

/// By which to grade, if at all.
pub(super) struct Grading {
    thresholds: Thresholds,
    is_wanted: bool,
}

impl ThresholdsArgs {
    /// Before anything else is done: a file that is wrong is told early.
    pub(super) fn read(&self) -> anyhow::Result<Grading> {
        self.read_or(None)
    }

    /// Where no flag names a file, that of an environment.
    pub(super) fn read_or(&self, of_environment: Option<&Path>) -> anyhow::Result<Grading> {
        let of_file = self.of_file(of_environment)?;
        let is_wanted = self.grade || of_file.is_some();
        Ok(Grading { thresholds: of_file.unwrap_or_default(), is_wanted })
    }

    /// What is critical while a run lasts, whether it is graded or not.
    pub(super) fn levels(&self, of_environment: Option<&Path>) -> anyhow::Result<Thresholds> {
        Ok(self.of_file(of_environment)?.unwrap_or_default())
    }

    /// That of the flag goes before the environment's.
    fn of_file(&self, of_environment: Option<&Path>) -> anyhow::Result<Option<Thresholds>> {
        let (place, file) = match &self.thresholds {
            Some(file) => ("--thresholds", Some(file.as_path())),
            None => ("thresholds of the environment", of_environment),
        };
        let of_file = file.map(Thresholds::read).transpose();
        of_file.map_err(|error| anyhow!("{place}: {}", error.in_one_line()))
    }
}

impl Grading {
    /// Of a run whose files are in this directory (or whose run.json this is), and what monitors saw beside it. What grew in
    /// a long run is told in any case.
    pub(super) fn assess(&self, place: Option<&Path>, report: &RunReport) -> anyhow::Result<Assessment> {
        let file = place.map(|place| if place.is_dir() { place.join(RUN_FILE) } else { place.to_owned() });
        let timeline = file.as_deref().map(report::read_timeline).transpose()?.unwrap_or_default();
        if !self.is_wanted {
            return Ok(self.grown(report, &timeline));
        }
        let run = match &file {
            Some(file) => input::run_of(file, report.clone())?,
            None => Run::bare(report.clone()),
        };
        Ok(Assessment::of(&run, &timeline, &self.thresholds))
    }

    fn grown(&self, report: &RunReport, timeline: &Timeline) -> Assessment {
        let seen = assessment::seen(timeline, report);
        Assessment { grown: assessment::grown::of(report, &seen, &self.thresholds), ..Assessment::default() }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}
