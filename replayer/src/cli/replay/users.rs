//! Who the users of a replay are: their accounts and their addresses.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::cli::target::Site;
use crate::drive::{AddressRange, DriveConfig};
use crate::environment::{AccountSource, Environment};
use crate::identities::{Identities, TemplateText};

const HEADING: &str = "Users";

/// So that no user's number is beyond what can be counted.
const COUNTER_MAX: u64 = 1_000_000_000_000_000_000;

/// See the module.
#[derive(Debug, Args)]
pub(in crate::cli) struct UsersArgs {
    /// Accounts to log in with, one per user: a CSV file with a header line [default: the environment's; this and --identity
    /// replace all of them].
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    identities: Option<PathBuf>,
    /// What a column of the accounts says, such as 'email=student{n:05}@school.example'. {n:05} is a counter (without
    /// zeros: {n:01}), {mint} is made up in the captured length (for applications that take whoever registers),
    /// env:NAME alone is from the environment. May be repeated; columns of the file stay in the file.
    #[arg(help_heading = HEADING, long = "identity", value_name = "COLUMN=TEXT")]
    templates: Vec<TemplateText>,
    /// First number of the counter [default: 1, or the environment's].
    #[arg(
        help_heading = HEADING,
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(..=COUNTER_MAX)
    )]
    identity_from: Option<u64>,
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
    /// `site` has the accounts where no flag says any.
    pub(in crate::cli) fn apply(&self, config: &mut DriveConfig, site: &Site) -> anyhow::Result<()> {
        config.identities = self.identities(site.environment.as_ref())?;
        config.forwarded_for = self.forwarded_for;
        config.source_addresses = self.source_addresses;
        if let Some(range) = self.source_addresses {
            range.check_here(&config.target).context("--source-addresses")?;
        }
        Ok(())
    }

    fn identities(&self, environment: Option<&Environment>) -> anyhow::Result<Option<Identities>> {
        let is_flagged = self.identities.is_some() || !self.templates.is_empty();
        let source = match environment.filter(|_| !is_flagged) {
            Some(environment) => environment.accounts.clone(),
            None => AccountSource {
                file: self.identities.clone(),
                templates: self.templates.clone(),
                counter_from: 1,
            },
        };
        accounts_of(&source, self.identity_from, environment)
    }
}

/// Reads and makes them. Variables of templates are the environment's where there is one.
pub(in crate::cli) fn accounts_of(
    source: &AccountSource,
    counter_from: Option<u64>,
    environment: Option<&Environment>,
) -> anyhow::Result<Option<Identities>> {
    let from_file = source.file.as_deref().map(Identities::read).transpose()?;
    if source.templates.is_empty() {
        return Ok(from_file);
    }
    let variable = |name: &str| match environment {
        Some(environment) => environment.variable(name),
        None => std::env::var(name).ok(),
    };
    let all = from_file.unwrap_or_default();
    let counter_from = counter_from.unwrap_or(source.counter_from);
    Ok(Some(all.with_templates(&source.templates, counter_from, variable)?))
}
