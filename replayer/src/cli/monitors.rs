//! `--monitor FILE`: what is watched beside a run.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use crate::configs::dot_env::DotEnv;
use crate::environment::Environment;
use crate::monitor::settings::{self, Settings};
use crate::monitor::timeline::Timeline;
use crate::report::{self, MONITORS_FILE, ReportError};

/// See the module.
#[derive(Debug, Args)]
pub(in crate::cli) struct MonitorsArgs {
    /// Watch beside the run what this file says (database, machine, processes, endpoints; see configs/monitors.toml), and
    /// write it into --out as monitors.json [default: the monitors of --env].
    #[arg(id = "monitor", long = "monitor", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl MonitorsArgs {
    /// By the flag.
    pub(super) fn is_asked(&self) -> bool {
        self.file.is_some()
    }

    /// Those of the file, or else of the environment.
    pub(super) fn read(&self, environment: Option<&Environment>) -> anyhow::Result<Vec<Settings>> {
        match &self.file {
            Some(file) => read(file),
            None => Ok(environment.map(|environment| environment.monitors.clone()).unwrap_or_default()),
        }
    }
}

/// A file of monitors, its variables those of the process or of the file `.env` beside it.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Settings>> {
    let variables = DotEnv::in_directory(file.parent().unwrap_or(Path::new("")))?;
    settings::read(file, |name| variables.of(name))
        .map_err(|error| anyhow!("--monitor: {}", error.in_one_line()))
}

/// What was seen beside a run, into its directory; nothing where nobody watched.
pub(super) fn write(directory: Option<&Path>, watched: &Timeline) -> Result<(), ReportError> {
    let Some(directory) = directory.filter(|_| !watched.series.is_empty()) else { return Ok(()) };
    let text = serde_json::to_string_pretty(watched)? + "\n";
    report::write_whole(&directory.join(MONITORS_FILE), &text)
}
