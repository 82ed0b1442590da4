//! `--webhook`: who is told when a run begins and ends.

use anyhow::{Context as _, anyhow};
use clap::Args;

use crate::alert::{Alerts, Webhook};

/// See the module.
#[derive(Debug, Args)]
pub(super) struct AlertArgs {
    /// Tell a webhook (Slack's, or any that takes {"text": …}) when it begins, when thresholds were breached and when it ends.
    /// Only by the name of a variable that holds the URL: '${KINGTIDE_WEBHOOK}'.
    #[arg(long, value_name = "${VARIABLE}")]
    webhook: Option<String>,
}

impl AlertArgs {
    /// Begins to listen for words.
    pub(super) fn start(&self) -> anyhow::Result<Alerts> {
        let webhook = self.webhook.as_deref().map(|text| Webhook::of(text, |name| std::env::var(name).ok()));
        let webhook = webhook.transpose().map_err(|why| anyhow!("--webhook: {why}"))?;
        Alerts::start(webhook).context("--webhook: cannot start its thread")
    }
}
