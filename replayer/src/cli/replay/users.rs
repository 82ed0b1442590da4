//! Who the users of a replay are: their accounts and their addresses.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::drive::{AddressRange, DriveConfig};
use crate::identities::{Identities, TemplateText};

const HEADING: &str = "Users";

/// So that no user's number is beyond what can be counted.
const COUNTER_MAX: u64 = 1_000_000_000_000_000_000;

/// See the module.
#[derive(Debug, Args)]
pub(in crate::cli) struct UsersArgs {
    /// Accounts to log in with, one per user: a CSV file with a header line.
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    identities: Option<PathBuf>,
    /// What a column of the accounts says, such as 'email=student{n:05}@school.example'. {n:05} is a counter (without
    /// zeros: {n:01}), {mint} is made up in the captured length (for applications that take whoever registers),
    /// env:NAME alone is from the environment. May be repeated; columns of the file stay in the file.
    #[arg(help_heading = HEADING, long = "identity", value_name = "COLUMN=TEXT")]
    templates: Vec<TemplateText>,
    /// First number of the counter.
    #[arg(
        help_heading = HEADING,
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(..=COUNTER_MAX)
    )]
    identity_from: u64,
    /// Send each user's own address in X-Forwarded-For, from this range (10.20.0.0/16), for targets that
    /// believe it. More users than addresses share them in turn [default: none is sent].
    #[arg(help_heading = HEADING, long, value_name = "RANGE")]
    forwarded_for: Option<AddressRange>,
    /// Connect from addresses of this range, one per user; this machine must have them (127.0.0.0/8 it has)
    /// [default: as the kernel chooses].
    #[arg(help_heading = HEADING, long, value_name = "RANGE")]
    source_addresses: Option<AddressRange>,
}

impl UsersArgs {
    pub(in crate::cli) fn apply(&self, config: &mut DriveConfig) -> anyhow::Result<()> {
        config.identities = self.identities()?;
        config.forwarded_for = self.forwarded_for;
        config.source_addresses = self.source_addresses;
        if let Some(range) = self.source_addresses {
            range.check_here(&config.target).context("--source-addresses")?;
        }
        Ok(())
    }

    fn identities(&self) -> anyhow::Result<Option<Identities>> {
        let from_file = self.identities.as_deref().map(Identities::read).transpose()?;
        if self.templates.is_empty() {
            return Ok(from_file);
        }
        let variable = |name: &str| std::env::var(name).ok();
        let all = from_file.unwrap_or_default();
        Ok(Some(all.with_templates(&self.templates, self.identity_from, variable)?))
    }
}
