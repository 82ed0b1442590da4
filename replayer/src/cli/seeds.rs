//! `--seed` and `--seeds`: which draws a command is about.

use anyhow::Context as _;
use clap::Args;
use kingtide_common::units::Seed;

/// Nobody waits for more runs than that, and each has a directory.
const SEEDS_MAX: u64 = 100;

/// See the module.
#[derive(Debug, Args)]
pub(super) struct SeedsArgs {
    /// Start of the random sequence: the same seed gives the same plan.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// So many plans, of the seeds S, S+1 and so on, and how much their figures vary, with 95 % intervals
    /// [default: one plan]. Example: --seed 7 --seeds 5
    #[arg(long, value_name = "K", value_parser = several)]
    seeds: Option<u64>,
}

impl SeedsArgs {
    /// In order.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Seed>> {
        let count = self.seeds.unwrap_or(1);
        let last = self.seed.checked_add(count - 1);
        let last = last.with_context(|| {
            format!("--seed {}: there are no {count} seeds from there on; begin lower", self.seed)
        })?;
        Ok((self.seed..=last).map(Seed).collect())
    }
}

fn several(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| (2..=SEEDS_MAX).contains(count));
    count.ok_or_else(|| format!("several are 2 to {SEEDS_MAX}; for one leave --seeds out"))
}
