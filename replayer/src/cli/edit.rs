//! `kingtide edit`: a capture made from others.

mod show;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Args;
use kingtide_common::capture::Capture;
use kingtide_common::redact::{Privacy, Rules};
use kingtide_common::units::Span;

use super::capture::explained;
use super::selection::{SelectionArgs, exchanges, first_ns};
use super::share::Share;
use super::{Exit, interrupt, print_result};
use crate::destination::{self, Allowed};
use crate::edit::{
    Align, Choice, Crossing, EditError, Edits, Hiding, Picking, Source, digest, edit, shifts_ns,
};

const EXAMPLES: &str = "\
Examples:
  kingtide edit captures/monday --from +10m --to +20m --out captures/rush
  kingtide edit captures/monday --route '/api/upload*' --out captures/uploads     whole sessions that upload
  kingtide edit captures/monday --sample 10% --seed 7 --out captures/tenth
  kingtide edit captures/monday captures/tuesday --align day --out captures/two-days
  kingtide edit captures/monday --privacy strict --rekey --drop-clients --drop-headers User-Agent --out shared
  kingtide edit captures/torn --out captures/repaired                             rewritten as far as it reads

A criterion keeps the whole session of an exchange that meets it: a request without its login could not be
replayed. --exchanges keeps single exchanges instead. The ledger of the result says what was left out
(`filtered`, `sampled_out`), its manifest what it was made from.
The result is a directory that is there whole or not at all; a source is never changed.";

/// Make a capture from others: filter, cut, sample, merge, repair, anonymise further.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct EditArgs {
    /// Directories of the captures; several are merged, each start of each stays a start.
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Directory of the result; it must not be there yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Keep single exchanges that meet the criteria, not whole sessions. What depends on the others can no
    /// longer be replayed.
    #[arg(long, conflicts_with_all = ["crossing", "sample"])]
    exchanges: bool,
    /// What becomes of sessions that cross --from or --to.
    #[arg(long, value_enum, default_value_t)]
    crossing: Crossing,
    /// Keep this share of the sessions, 10% or 0.1, of each capture.
    #[arg(long, value_name = "SHARE")]
    sample: Option<Share>,
    /// Start of the random sequence that samples: the same seed keeps the same sessions.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Put captures of different times over the first: `start`, so that first requests coincide; `day`, by whole
    /// days, so that the time of day stays.
    #[arg(long, value_enum, help_heading = "Times")]
    align: Option<Align>,
    /// Move all times: +2h, -30m, or `random` by up to ten years. Headers such as Date keep theirs.
    #[arg(long, value_name = "OFFSET", allow_hyphen_values = true, help_heading = "Times")]
    shift: Option<Shift>,
    /// Hide what these rules name as well (a file as configs/redaction.toml).
    #[arg(long, value_name = "FILE", help_heading = "Anonymise further")]
    redact: Option<PathBuf>,
    /// `strict` hides every text of bodies, queries and fields, and every header that is not plain.
    #[arg(long, value_name = "PRIVACY", value_parser = privacy, help_heading = "Anonymise further")]
    privacy: Option<Privacy>,
    /// Make all fingerprints anew, and do not say what the result was made from: it cannot be joined with
    /// another edit of the same capture by either. Ids and times that were kept still can.
    #[arg(long, help_heading = "Anonymise further")]
    rekey: bool,
    /// Leave these headers out of requests and responses: User-Agent,Date.
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Anonymise further")]
    drop_headers: Vec<String>,
    /// Leave the fingerprints of client addresses out. Users without a credential may then fall apart by
    /// connection.
    #[arg(long, help_heading = "Anonymise further")]
    drop_clients: bool,
    /// JSON on stdout instead of text (schema: replayer/schemas/edit.json).
    #[arg(long)]
    json: bool,
}

/// How far times are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    By(i64),
    Random,
}

pub fn run(args: &EditArgs) -> anyhow::Result<Exit> {
    interrupt::leave_nothing_half_made()?;
    // The cheapest mistake to find is found first.
    destination::check(&args.out, Allowed::Nothing)?;
    let edits = args.edits()?;
    let sources = args.sources()?;
    let progress = show::Progress::begin();
    let summary = edit(&sources, &edits, &args.out, |read| progress.at(read)).map_err(told)?;
    progress.end();
    for source in &summary.sources {
        for damage in &source.damage {
            eprintln!("warning: {} is damaged: {damage}", source.capture);
        }
    }
    args.caution();
    print_result(&if args.json {
        serde_json::to_string_pretty(&summary)? + "\n"
    } else {
        show::text(&summary)
    })?;
    Ok(Exit::Held)
}

impl EditArgs {
    fn sources(&self) -> anyhow::Result<Vec<Source>> {
        let open = |path: &PathBuf| Capture::open(path).map_err(|error| explained(&error));
        let captures = self.captures.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let firsts_ns = captures.iter().map(first_ns).collect::<anyhow::Result<Vec<_>>>()?;
        let shifts_ns = shifts_ns(&firsts_ns, self.align);
        let common_ns = self.shift.map_or(0, Shift::ns);
        let mut sources = Vec::new();
        for ((capture, path), (first_ns, shift_ns)) in
            captures.into_iter().zip(&self.captures).zip(firsts_ns.iter().zip(shifts_ns))
        {
            let absolute = std::path::absolute(path)?;
            let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let digest = digest(path).with_context(|| path.display().to_string())?;
            let choice = self.choice(&capture, *first_ns)?;
            sources.push(Source {
                capture,
                name,
                digest,
                choice,
                shift_ns: shift_ns.saturating_add(common_ns),
            });
        }
        Ok(sources)
    }

    /// Sessions are looked for only where whole ones are asked for.
    fn choice(&self, capture: &Capture, first_ns: i64) -> anyhow::Result<Choice> {
        let wanted = self.selection.wanted_at(first_ns)?;
        let crosses = self.selection.has_period() && self.crossing != Crossing::Cut;
        let by_session = self.sample.is_some()
            || self.selection.names_sessions()
            || (!self.exchanges && (crosses || !wanted.selection.is_everything()));
        if !by_session {
            return Ok(Choice::by_exchange(wanted));
        }
        if self.exchanges {
            return Ok(Choice::by_exchange(self.selection.wanted(capture)?));
        }
        let sample = self.sample.map(|share| (share.get(), self.seed));
        let picking = Picking { wanted, crossing: self.crossing, sample };
        Choice::by_session(exchanges(capture)?, &picking, |members| self.selection.named(members))
    }

    fn edits(&self) -> anyhow::Result<Edits> {
        let at_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let at_ns = i64::try_from(at_ns).unwrap_or_default();
        Ok(Edits { hiding: self.hiding()?, changes: self.changes(), at_ns })
    }

    fn hiding(&self) -> anyhow::Result<Hiding> {
        let hiding = Hiding::default().drop_headers(&self.drop_headers).drop_clients(self.drop_clients);
        let hiding = if self.redact.is_some() || self.privacy.is_some() {
            let rules = self.redact.as_deref().map(Rules::load).transpose().context("--redact")?;
            hiding.redact(rules.unwrap_or_else(Rules::built_in), self.privacy.unwrap_or_default())?
        } else {
            hiding
        };
        Ok(if self.rekey { hiding.rekey()? } else { hiding })
    }

    /// What was asked for, for the manifest; a random shift does not tell how far.
    fn changes(&self) -> Vec<String> {
        let mut changes = self.selection.changes();
        if self.exchanges {
            changes.push("single exchanges".to_owned());
        }
        if self.selection.has_period() && !self.exchanges {
            changes.push(format!("sessions that cross the cut: {}", word(&self.crossing)));
        }
        if let Some(share) = self.sample {
            changes.push(format!("--sample {} --seed {}", share.get(), self.seed));
        }
        if let Some(align) = self.align {
            changes.push(format!("--align {}", word(&align)));
        }
        match self.shift {
            None => {}
            Some(Shift::Random) => changes.push("times moved at random".to_owned()),
            Some(Shift::By(ns)) => changes.push(format!("times moved by {} ms", ns / 1_000_000)),
        }
        if self.redact.is_some() || self.privacy.is_some() {
            let privacy = if self.privacy == Some(Privacy::Strict) { "strict" } else { "default" };
            changes.push(format!("redacted again, {privacy}"));
        }
        if self.rekey {
            changes.push("fingerprints made anew".to_owned());
        }
        if !self.drop_headers.is_empty() {
            changes.push(format!("--drop-headers {}", self.drop_headers.join(",")));
        }
        if self.drop_clients {
            changes.push("--drop-clients".to_owned());
        }
        changes
    }

    /// Times that a shift does not reach.
    fn caution(&self) {
        let drops_date = self.drop_headers.iter().any(|name| name.eq_ignore_ascii_case("date"));
        if self.shift.is_some() && !drops_date {
            eprintln!(
                "warning: headers still tell the time of the recording; add --drop-headers Date,Last-Modified,Expires"
            );
        }
    }
}

/// A value of an enum as it is written on the command line.
fn word(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn privacy(text: &str) -> Result<Privacy, String> {
    match text {
        "default" => Ok(Privacy::Default),
        "strict" => Ok(Privacy::Strict),
        _ => Err("it is `default` or `strict`".to_owned()),
    }
}

/// An error with what a user can do about it.
fn told(error: EditError) -> anyhow::Error {
    match error {
        EditError::Capture(error) => explained(&error),
        other => other.into(),
    }
}

impl Shift {
    fn ns(self) -> i64 {
        const DECADE_NS: u128 = 10 * 365 * 86_400_000_000_000;
        match self {
            Self::By(ns) => ns,
            Self::Random => {
                // A version 4 UUID is 122 bits from the system's random source.
                let random = uuid::Uuid::new_v4().as_u128() % (2 * DECADE_NS);
                i64::try_from(random).unwrap_or_default() - i64::try_from(DECADE_NS).unwrap_or_default()
            }
        }
    }
}

impl FromStr for Shift {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "random" {
            return Ok(Self::Random);
        }
        let (sign, span) = match text.split_at_checked(1) {
            Some(("+", span)) => (1, span),
            Some(("-", span)) => (-1, span),
            _ => bail!("`{text}` is no offset: write +2h, -30m or random"),
        };
        let span: Span = span.parse()?;
        let ns = i64::try_from(span.0.as_nanos()).context("such an offset is too long")?;
        Ok(Self::By(sign * ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_signed_or_random() {
        assert_eq!("+2h".parse::<Shift>().unwrap(), Shift::By(7_200_000_000_000));
        assert_eq!("-30m".parse::<Shift>().unwrap(), Shift::By(-1_800_000_000_000));
        assert_eq!("random".parse::<Shift>().unwrap(), Shift::Random);
        for text in ["", "2h", "+", "-x", "+9999999999h"] {
            assert!(text.parse::<Shift>().is_err(), "{text}");
        }
        let bound = 10 * 365 * 86_400_000_000_000_i64;
        assert!((-bound..=bound).contains(&Shift::Random.ns()));
    }
}
