//! `--gates`: which gates a table names.

use clap::Args;

use crate::report::gates::GatesTold;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct GatesArgs {
    /// Name every gate in the table [default: those that are not ok; the JSON has all].
    #[arg(long)]
    gates: bool,
}

impl GatesArgs {
    pub(super) fn told(&self) -> GatesTold {
        if self.gates { GatesTold::All } else { GatesTold::NotOk }
    }
}
