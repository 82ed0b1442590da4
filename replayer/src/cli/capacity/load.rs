//! What a capacity search multiplies: the sessions of a capture, or the users of a model.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use kingtide_common::units::Seed;

use crate::capacity::answer::Unit;
use crate::capacity::field::Source;
use crate::cli::capture::{Recorded, RulesArgs};
use crate::cli::source::Source as SourceArgs;
use crate::model::{Arrivals, Model};
use crate::sessions::Outlines;
use crate::store::{Store, Stored};

/// So long the users of a model are watched for their routes and sizes.
const SAMPLE: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    rules: RulesArgs,
    /// With --model: users at once that are 1x. They wait for their answers, think, and begin again when they are done.
    #[arg(long, value_name = "COUNT", default_value = "20", conflicts_with = "capture")]
    users: NonZeroUsize,
}

/// See the module.
pub(super) struct Load {
    /// Of a model: a sample.
    recorded: Recorded,
    model: Option<(Model, NonZeroUsize)>,
}

impl LoadArgs {
    pub(super) fn open(&self, seed: u64) -> anyhow::Result<Load> {
        match (&self.source.capture, &self.source.model) {
            (_, Some(path)) => {
                let model = Model::read(path).map_err(|error| anyhow!("--model: {}", error.in_one_line()))?;
                let spawn_per_s = self.users.get() as f64;
                let arrivals = Arrivals { users: self.users, spawn_per_s, duration: SAMPLE };
                let sessions = Store::of(model.sessions(&arrivals, Seed(seed))?)?;
                let recorded = Recorded::of_model(path, Stored { sessions, ..Stored::default() });
                Ok(Load { recorded, model: Some((model, self.users)) })
            }
            (Some(capture), None) => {
                Ok(Load { recorded: Recorded::read_traffic(capture, &self.rules)?, model: None })
            }
            (None, None) => unreachable!("clap demands one of the two"),
        }
    }
}

impl Load {
    pub(super) fn is_model(&self) -> bool {
        self.model.is_some()
    }

    /// Users that are 1x, where users are multiplied.
    pub(super) fn users(&self) -> Option<u64> {
        self.model.as_ref().map(|(_, users)| users.get() as u64)
    }

    pub(super) fn name(&self) -> &str {
        &self.recorded.name
    }

    pub(super) fn cautions(&self) -> Vec<String> {
        self.recorded.cautions()
    }

    /// All of them, or those of some users of the model.
    pub(super) fn outlines(&self) -> &Outlines {
        self.recorded.outlines()
    }

    pub(super) fn source(&self) -> Source<'_> {
        match &self.model {
            Some((model, users)) => Source::Users { model, users: *users },
            None => Source::Sessions(&self.recorded.sessions.sessions),
        }
    }

    pub(super) fn unit(&self, requests_per_s: f64) -> Unit {
        match &self.model {
            Some((_, users)) => Unit::of_users(users.get(), self.outlines(), requests_per_s),
            None => Unit::of(self.outlines(), requests_per_s),
        }
    }
}
