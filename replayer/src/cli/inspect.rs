//! `kingtide inspect`: what a capture holds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use kingtide_common::capture::Capture;
use kingtide_common::units::Span;

use super::capture::{explained, open};
use super::{Exit, print_result};
use crate::inspect::{self, Summary, gather, summarise, text, waterfall};
use crate::report::format::counted;
use crate::sessions::Rules;
use crate::sessions::users::{Group, Groups};

const EXAMPLES: &str = "\
Examples:
  kingtide inspect captures/monday                                   for people
  kingtide inspect captures/monday --json | jq .upload_bytes         for scripts (schema: schemas/inspect.json)
  kingtide inspect captures/monday --json | jq -e '.damage == []'    fails when the capture is damaged
  kingtide inspect captures/monday --session 1                       the first session, request by request
  kingtide inspect captures/monday --session '{fp:0123456789abcdef.40}'
  kingtide inspect captures/monday --exchange 4711                   one request: stages, headers, upload curve
  kingtide inspect captures/monday --idle-gap 2h                     sessions end after two hours of silence

A capture that was torn by a crash is read up to the tear; what is missing stands first. One that is still being
written is read up to the last second.";

/// Show what a capture holds: sessions, routes, stages, upload sizes, burstiness, damage.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct InspectArgs {
    /// Directory of the capture.
    capture: PathBuf,
    /// JSON on stdout instead of text.
    #[arg(long, conflicts_with_all = ["session", "exchange"])]
    json: bool,
    /// One session: its number in the order of their starts, from 1, or its key.
    #[arg(long, value_name = "N|KEY", conflicts_with = "exchange")]
    session: Option<String>,
    /// One exchange by its id; `--session` shows ids.
    #[arg(long, value_name = "ID")]
    exchange: Option<u64>,
    /// Silence of a user that begins a new session, such as `30m` [default: chosen from the capture's silences]
    #[arg(long, value_name = "TIME", value_parser = idle_gap)]
    idle_gap: Option<Duration>,
}

fn idle_gap(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

pub fn run(args: &InspectArgs) -> anyhow::Result<Exit> {
    let rules = Rules { idle_gap: args.idle_gap };
    let result = match (&args.session, args.exchange) {
        (Some(session), _) => one_session(&args.capture, session, &rules)?,
        (None, Some(id)) => one_exchange(&args.capture, id)?,
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

fn one_session(path: &Path, wanted: &str, rules: &Rules) -> anyhow::Result<String> {
    let capture = open(path)?;
    let Groups { groups, .. } = gather(&capture, rules).map_err(|error| explained(&error))?.into_users();
    let group = found(&groups, wanted).with_context(|| format!("{}", path.display()))?;
    let ids = group.rows.iter().map(|row| row.id).collect();
    let mut exchanges = exchanges(&capture, &ids)?;
    exchanges.sort_by_key(|exchange| (exchange.started_ns, exchange.id));
    Ok(waterfall::session(&group.key, group.is_orphan, &exchanges))
}

/// The session with a number or key. A user whose exchanges an idle gap parts has several of one key.
fn found<'a>(groups: &'a [Group], wanted: &str) -> anyhow::Result<&'a Group> {
    if groups.is_empty() {
        bail!("--session {wanted}: the capture holds no exchange");
    }
    if let Ok(number) = wanted.parse::<usize>() {
        let place = number.checked_sub(1).and_then(|place| groups.get(place));
        return place
            .ok_or_else(|| anyhow!("--session {wanted}: the capture has sessions 1 to {}", groups.len()));
    }
    let of_key: Vec<usize> =
        (0..groups.len()).filter(|place| groups[*place].key.starts_with(wanted)).collect();
    match of_key[..] {
        [one] => Ok(&groups[one]),
        [] => bail!(
            "--session {wanted}: no session has a key that begins so; the first one's is `{}`, numbers go from 1 to {}",
            groups[0].key,
            groups.len()
        ),
        _ => {
            let numbers: Vec<String> = of_key.iter().take(10).map(|place| (place + 1).to_string()).collect();
            bail!(
                "--session {wanted}: {} have a key that begins so; choose by number: {}",
                counted(of_key.len() as u64, "session"),
                numbers.join(", ")
            )
        }
    }
}

fn one_exchange(path: &Path, id: u64) -> anyhow::Result<String> {
    let capture = open(path)?;
    if let Some(exchange) = exchanges(&capture, &BTreeSet::from([id]))?.first() {
        return Ok(waterfall::exchange(exchange));
    }
    let Groups { groups, .. } =
        gather(&capture, &Rules::default()).map_err(|error| explained(&error))?.into_users();
    let ids = groups.iter().flat_map(|group| &group.rows).map(|row| row.id);
    match ids.min_by_key(|other| other.abs_diff(id)) {
        Some(nearest) => {
            bail!("{}: --exchange {id}: there is none; the nearest id is {nearest}", path.display())
        }
        None => bail!("{}: --exchange {id}: the capture holds no exchange", path.display()),
    }
}

fn exchanges(
    capture: &Capture,
    ids: &BTreeSet<u64>,
) -> anyhow::Result<Vec<kingtide_common::exchange::Exchange>> {
    inspect::exchanges(capture, ids).map_err(|error| explained(&error))
}
