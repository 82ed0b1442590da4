//! How a run is driven, and against what: the flags that replays and scenarios share.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use kingtide_common::units::Span;

use super::answers::AnswersArgs;
use super::machine::MachineArgs;
use super::samples::SamplesArgs;
use super::stop;
use super::uplink::UplinkArgs;
use super::users::UsersArgs;
use crate::cli::alert::AlertArgs;
use crate::cli::monitors::MonitorsArgs;
use crate::cli::target::{Site, TargetArgs};
use crate::drive::{Clock, DriveConfig, Late};
use crate::guard::abort::AbortRules;
use crate::guard::overseer::Orders;
use crate::thresholds::Thresholds;

const WAIT_MAX: Duration = Duration::from_hours(24);

/// See the module.
#[derive(Debug, Args)]
pub(in crate::cli) struct DrivingArgs {
    #[command(flatten)]
    pub(in crate::cli) target: TargetArgs,
    #[command(flatten)]
    users: UsersArgs,
    /// Where requests within a session take their instants from [default: offsets; with --model think].
    #[arg(long, value_enum)]
    clock: Option<Clock>,
    /// What happens to a request that this machine is over 10 ms late for.
    #[arg(long, value_enum, default_value_t)]
    late: Late,
    #[command(flatten)]
    pub(super) uplink: UplinkArgs,
    /// Longest wait for an answer, from the first byte sent; what an upload takes by --uplink comes on top.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    /// Longest wait for what is in flight after the last planned request [default: the timeout, at least 30s].
    /// With --clock think the last request is the last that an answer led to.
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    #[command(flatten)]
    answers: AnswersArgs,
    #[command(flatten)]
    pub(super) machine: MachineArgs,
    /// Threads that send [default: one per core].
    #[arg(long, value_name = "COUNT")]
    workers: Option<NonZeroUsize>,
    #[command(flatten)]
    pub(in crate::cli) monitors: MonitorsArgs,
    #[command(flatten)]
    pub(super) samples: SamplesArgs,
    #[command(flatten)]
    pub(in crate::cli) alert: AlertArgs,
    /// End the run when it hurts: errors>SHARE of the requests that ended, pNN>TIME of the latency, over the last
    /// seconds, when it is surely so; monitors=critical, when what a monitor sees stays above a critical level of the
    /// thresholds for its window, or for two looks. What the environment's guard says holds as well, of two limits the
    /// lower [default: off]. Example: --abort 'errors>10%,p95>20s,monitors=critical'
    #[arg(help_heading = "Guard", long, value_name = "RULES")]
    abort: Option<AbortRules>,
    /// Say what would be sent, and what the guard says of it, and send nothing. Exits with 0 when it is allowed, else 2.
    #[arg(help_heading = "Guard", long)]
    pub(in crate::cli) dry_run: bool,
}

impl DrivingArgs {
    /// How long answers took is recorded in a capture; a model only supposes it, so its users wait for them.
    pub(super) fn clock(&self, is_model: bool) -> Clock {
        self.clock.unwrap_or(if is_model { Clock::Think } else { Clock::Offsets })
    }

    /// What may end a run before its time.
    pub(in crate::cli) fn orders(&self, site: &Site, thresholds: Thresholds) -> Orders {
        let of_guard = site.guard.rules.abort.clone().unwrap_or_default();
        // Flags only tighten what a guard says.
        let rules = self.abort.clone().map_or_else(|| of_guard.clone(), |flag| flag.and(&of_guard));
        Orders { rules, thresholds, kill_files: site.kill_files.clone() }
    }

    pub(in crate::cli) fn config(&self, site: &Site, is_model: bool) -> anyhow::Result<DriveConfig> {
        let timeout = self.timeout.0;
        ensure!(!timeout.is_zero(), "--timeout 0s: no answer comes in no time; write 60s");
        let waits = [("--timeout", self.timeout), ("--drain", self.drain.unwrap_or(self.timeout))];
        waits.into_iter().try_for_each(|(flag, span)| bounded(flag, span))?;
        let mut config = DriveConfig::new(site.target.clone(), timeout, stop::on_signals()?);
        self.users.apply(&mut config, site)?;
        site.apply(&mut config);
        config.clock = self.clock(is_model);
        config.late = self.late;
        config.uplink = self.uplink.uplink;
        config.drain = self.drain.map_or(config.drain, |drain| drain.0);
        self.answers.apply(&mut config)?;
        config.workers = self.workers.unwrap_or(config.workers);
        Ok(config)
    }

    #[cfg(test)]
    pub(super) fn waits(&self) -> (Duration, Option<Span>) {
        (self.timeout.0, self.drain)
    }
}

/// Of a wait.
pub(super) fn bounded(flag: &str, span: Span) -> anyhow::Result<()> {
    ensure!(span.0 <= WAIT_MAX, "{flag} {span}: nobody waits that long; give at most 24h");
    Ok(())
}
