//! Where a command's sessions come from: a capture, or a model.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kingtide_common::units::Seed;

use super::capture::{Recorded, RulesArgs};
use super::model::{ArrivalsArgs, Modelled};

/// One of the two.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Source {
    /// Directory of the capture.
    pub(super) capture: Option<PathBuf>,
    /// TOML file that says what users do, in place of a capture (every key: configs/models/students.toml).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "idle_gap"])]
    pub(super) model: Option<PathBuf>,
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

/// Where the sessions of any seed come from.
pub(super) enum Traffic {
    /// The same ones for every seed.
    Captured(Arc<Recorded>),
    Modelled(Box<Modelled>),
}

impl SourceArgs {
    pub(super) fn is_model(&self) -> bool {
        self.source.model.is_some()
    }

    /// Reads the file or the capture; what a capture lacks is said on stderr.
    pub(super) fn open(&self) -> anyhow::Result<Traffic> {
        match (&self.source.capture, &self.source.model) {
            (_, Some(model)) => Ok(Traffic::Modelled(Box::new(self.arrivals.of_model(model)?))),
            (Some(capture), None) => {
                Ok(Traffic::Captured(Arc::new(Recorded::read_traffic(capture, &self.rules)?)))
            }
            (None, None) => unreachable!("clap demands one of the two"),
        }
    }
}

impl Traffic {
    /// Sessions to plan with. A model draws them anew for each seed.
    pub(super) fn sessions(&self, seed: Seed) -> anyhow::Result<Arc<Recorded>> {
        match self {
            Self::Captured(recorded) => Ok(Arc::clone(recorded)),
            Self::Modelled(modelled) => Ok(Arc::new(modelled.sessions(seed)?)),
        }
    }

    /// Whether each seed has the same sessions.
    pub(super) fn is_captured(&self) -> bool {
        matches!(self, Self::Captured(_))
    }
}
