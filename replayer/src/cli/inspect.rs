//! `kingtide inspect`: what a capture holds.

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
}

pub fn run(args: &InspectArgs) -> anyhow::Result<Exit> {
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
