//! `--target URL`, and what makes it one that may be loaded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::drive::Target;

const REACH_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Where to send: http://HOST:PORT or https://HOST. Paths come from the capture or model.
    #[arg(long = "target", value_name = "URL")]
    url: String,
    /// PEM file with the certificate of the CA (or of the server itself) that an https target's TLS rests
    /// on, beside the public ones. For staging servers with a private CA.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Needed for a target that is not on this machine or in a private network: its host, once more.
    #[arg(long, value_name = "HOST")]
    yes_this_is: Option<String>,
}

impl TargetArgs {
    /// The target, if it answers and may be loaded.
    pub(super) fn allowed(&self) -> anyhow::Result<Target> {
        let target = Target::resolve(&self.url).context("--target")?;
        let target = match &self.ca {
            Some(ca) => target.trusting(ca).context("--ca")?,
            None => target,
        };
        let host = target.host().to_owned();
        let is_named = self.yes_this_is.as_deref() == Some(host.as_str());
        if !target.is_private() && !is_named {
            bail!(
                "--target {host} is neither this machine nor in a private network; \
                 if you may load it, repeat its name: --yes-this-is {host}"
            );
        }
        Ok(target.reached(REACH_TIMEOUT)?)
    }
}
