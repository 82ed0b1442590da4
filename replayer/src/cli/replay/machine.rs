//! Whether this machine is enough for the plan: looked at before every run, tried when asked for.

use clap::Args;

use crate::drive::DriveConfig;
use crate::headroom::{self, Headroom};
use crate::plan::Plan;
use crate::preflight::{self, Preflight};
use crate::store::Store;

pub(super) const HEADING: &str = "This machine";

#[derive(Debug, Args)]
pub(in crate::cli) struct MachineArgs {
    /// Before the run, play the plan's busiest 3 s against a server of kingtide's own, at 1, 2, 4 and 8 times, until
    /// this machine is late: 4 to 20 s. Nothing of it goes to the target [default: not]. Example: -x 10 --headroom
    #[arg(help_heading = HEADING, long)]
    headroom: bool,
}

/// What was found.
#[derive(Debug)]
pub(in crate::cli) struct Machine {
    pub(in crate::cli) preflight: Preflight,
    /// When it was asked for.
    pub(in crate::cli) headroom: Option<Headroom>,
}

impl MachineArgs {
    /// Says on stderr what is tight; what cannot work is an error.
    pub(in crate::cli) fn look(
        &self,
        plan: &Plan,
        store: &Store,
        config: &DriveConfig,
    ) -> anyhow::Result<Machine> {
        let preflight = preflight::check(plan, store.outlines(), config)?;
        for warning in preflight.warnings() {
            eprintln!("preflight: {warning}");
        }
        let headroom = self.headroom.then(|| headroom::measure(plan, store, config)).transpose()?;
        if let Some(headroom) = &headroom {
            eprintln!("headroom: {}", headroom.sentence());
        }
        Ok(Machine { preflight, headroom })
    }
}
