//! `--model FILE` and how many users do what it says: sessions without a capture.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::Args;
use kingtide_common::units::{Seed, Span};

use super::capture::Recorded;
use crate::model::{Arrivals, Model, Stay};
use crate::store::{Store, Stored};

/// How many users, and when.
#[derive(Debug, Args)]
pub(super) struct ArrivalsArgs {
    /// With --model: users.
    #[arg(long, value_name = "COUNT", default_value = "20", conflicts_with = "capture")]
    users: NonZeroUsize,
    /// With --model: new users a second until all are there.
    #[arg(long, value_name = "RATE", default_value_t = 2.0, conflicts_with = "capture")]
    spawn_per_s: f64,
    /// With --model: how long users make requests, from the first one's first.
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "capture")]
    duration: Span,
}

/// A model, and how many users do what it says.
#[derive(Debug)]
pub(super) struct Modelled {
    path: PathBuf,
    model: Model,
    coming: Coming,
}

#[derive(Debug)]
enum Coming {
    /// As many requests as usual answers leave time for.
    Arrivals(Arrivals),
    /// They leave at their time, whatever they have come to.
    Stays(Vec<Stay>),
}

impl ArrivalsArgs {
    pub(super) fn of_model(&self, path: &Path) -> anyhow::Result<Modelled> {
        let spawn_per_s = self.spawn_per_s;
        ensure!(
            spawn_per_s.is_finite() && spawn_per_s > 0.0,
            "--spawn-per-s {spawn_per_s}: users must come; write 2, or 0.5 for one in two seconds"
        );
        ensure!(!self.duration.0.is_zero(), "--duration 0s: no request fits into it; write 5m");
        let arrivals = Arrivals { users: self.users, spawn_per_s, duration: self.duration.0 };
        let model = Model::read(path).map_err(|error| anyhow!("--model: {}", error.in_one_line()))?;
        Ok(Modelled { path: path.to_owned(), model, coming: Coming::Arrivals(arrivals) })
    }
}

impl Modelled {
    /// Users who come and leave at their time.
    pub(super) fn staying(path: PathBuf, model: Model, stays: Vec<Stay>) -> Self {
        Self { path, model, coming: Coming::Stays(stays) }
    }

    /// The sessions of the model's users.
    pub(super) fn sessions(&self, seed: Seed) -> anyhow::Result<Recorded> {
        let sessions = match &self.coming {
            Coming::Arrivals(arrivals) => self.model.sessions(arrivals, seed)?,
            Coming::Stays(stays) => self.model.staying(stays, seed)?,
        };
        let sessions = Store::of(sessions)?;
        Ok(Recorded::of_model(&self.path, Stored { sessions, ..Stored::default() }))
    }
}
