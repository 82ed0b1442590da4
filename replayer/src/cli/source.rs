//! Where a command's sessions come from: a capture, or a model.

use std::path::PathBuf;

use clap::Args;
use kingtide_common::units::Seed;

use super::capture::{Recorded, RulesArgs};
use super::model::ArrivalsArgs;

/// One of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Directory of the capture.
    capture: Option<PathBuf>,
    /// TOML file that says what users do, in place of a capture (every key: configs/models/students.toml).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "idle_gap"])]
    model: Option<PathBuf>,
}

/// See the module.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    rules: RulesArgs,
    #[command(flatten)]
    arrivals: ArrivalsArgs,
}

impl SourceArgs {
    pub(super) fn is_model(&self) -> bool {
        self.source.model.is_some()
    }

    /// Sessions to plan with; what a capture lacks is said on stderr. The seed is that of a model's draws.
    pub(super) fn read(&self, seed: u64) -> anyhow::Result<Recorded> {
        match (&self.source.capture, &self.source.model) {
            (_, Some(model)) => self.arrivals.sessions(model, Seed(seed)),
            (Some(capture), None) => Recorded::read_traffic(capture, &self.rules),
            (None, None) => unreachable!("clap demands one of the two"),
        }
    }
}
