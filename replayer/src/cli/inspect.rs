//! `kingtide inspect`: what a capture holds.

mod audit;

use std::path::{Path, PathBuf};

use clap::Args;

use super::capture::{Recorded, RulesArgs};
use super::{Exit, print_result};
use crate::inspect::{Material, Summary, summarise, text};
use crate::sessions::Rules;

const EXAMPLES: &str = "\
Examples:
  kingtide inspect captures/monday                                   for people
  kingtide inspect captures/monday --json | jq .upload_bytes         for scripts (schema: schemas/inspect.json)
  kingtide inspect captures/monday --json | jq -e '.damage == []'    fails when the capture is damaged
  kingtide inspect captures/monday --audit                           lists what it holds; fails on a secret

Exit status of --audit: 0 no secret, 1 a secret was found, 3 none was found and the capture is damaged.
A capture that was torn by a crash is read up to the tear; what is missing stands first.";

/// Show what a capture holds: routes, stages, upload sizes, burstiness, damage.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct InspectArgs {
    /// Directory of the capture.
    capture: PathBuf,
    #[command(flatten)]
    rules: RulesArgs,
    /// JSON on stdout instead of text.
    #[arg(long)]
    json: bool,
    /// List what kinds of values the capture holds, and fail when a secret is among them.
    #[arg(long)]
    audit: bool,
    /// The redaction rules that the capture was made under, if not the built-in ones.
    #[arg(long, value_name = "FILE", requires = "audit")]
    redaction: Option<PathBuf>,
}

pub fn run(args: &InspectArgs) -> anyhow::Result<Exit> {
    if args.audit {
        return audit::run(&args.capture, args.redaction.as_deref(), args.json);
    }
    let rules = args.rules.read()?;
    // A summary tells what was recorded, not what a replay would add to it.
    let rules = Rules { given: rules.given.without_repairs(), ..rules };
    let summary = summary_of(&args.capture, &rules)?;
    let result =
        if args.json { serde_json::to_string_pretty(&summary)? + "\n" } else { text::render(&summary) };
    print_result(&result)?;
    Ok(Exit::Held)
}

/// Reads a capture and sums it up.
pub(super) fn summary_of(path: &Path, rules: &Rules) -> anyhow::Result<Summary> {
    let recorded = Recorded::read(path, rules)?;
    Ok(summarise(&Material {
        capture: &recorded.name,
        sessions: &recorded.sessions.sessions,
        ledger: recorded.ledger,
        removed: recorded.removed,
        gaps: &recorded.gaps,
        damage: &recorded.damage,
    }))
}
