//! `kingtide inspect`: what a capture holds.

mod audit;
mod one;

use std::path::{Path, PathBuf};

use clap::Args;

use super::capture::{RulesArgs, explained, open};
use super::{Exit, print_result};
use crate::inspect::{Summary, gather, summarise, text};
use crate::sessions::Rules;

const EXAMPLES: &str = "\
Examples:
  kingtide inspect captures/monday                                   for people
  kingtide inspect captures/monday --json | jq .upload_bytes         for scripts (schema: replayer/schemas/inspect.json)
  kingtide inspect captures/monday --json | jq -e '.damage == []'    fails when the capture is damaged
  kingtide inspect captures/monday --session 1                       the first session, request by request
  kingtide inspect captures/monday --exchange 4711                   one request: stages, headers, upload curve
  kingtide inspect captures/monday --idle-gap 2h                     sessions end after two hours of silence
  kingtide inspect captures/monday --audit                           lists what it holds; fails on a secret

Exit status of --audit: 0 no secret, 1 a secret was found, 3 none was found and the capture is damaged.
A capture that was torn by a crash is read up to the tear; what is missing stands first.";

/// Show what a capture holds: sessions, routes, stages, upload sizes, burstiness, damage.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct InspectArgs {
    /// Directory of the capture.
    capture: PathBuf,
    #[command(flatten)]
    rules: RulesArgs,
    /// JSON on stdout instead of text.
    #[arg(long, conflicts_with_all = ["session", "exchange"])]
    json: bool,
    /// One session: its number in the order of their starts, from 1, or the beginning of its key.
    #[arg(long, value_name = "N|KEY", conflicts_with_all = ["exchange", "audit"])]
    session: Option<String>,
    /// One exchange by its id; `--session` shows ids.
    #[arg(long, value_name = "ID", conflicts_with = "audit")]
    exchange: Option<u64>,
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
    let result = match (&args.session, args.exchange) {
        (Some(wanted), _) => one::session(&args.capture, wanted, &rules)?,
        (None, Some(id)) => one::exchange(&args.capture, id)?,
        (None, None) => whole(args, &rules)?,
    };
    print_result(&result)?;
    Ok(Exit::Held)
}

fn whole(args: &InspectArgs, rules: &Rules) -> anyhow::Result<String> {
    let summary = summary_of(&args.capture, rules)?;
    Ok(if args.json { serde_json::to_string_pretty(&summary)? + "\n" } else { text::render(&summary) })
}

/// Reads a capture and sums it up.
pub(super) fn summary_of(path: &Path, rules: &Rules) -> anyhow::Result<Summary> {
    let gathered = gather(&open(path)?, rules).map_err(|error| explained(&error))?;
    Ok(summarise(&path.display().to_string(), gathered))
}
