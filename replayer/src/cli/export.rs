//! `kingtide export`: a capture in a format that other programs read.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kingtide_common::capture::{Capture, CaptureError, Damage};
use kingtide_common::units::ByteSize;

use super::capture::{Recorded, RulesArgs, explained};
use super::selection::SelectionArgs;
use super::{Exit, interrupt};
use crate::export::har::Scheme;
use crate::export::output::Output;
use crate::export::{Document, Exported, Wanted, csv, goreplay, har, k6, parquet};
use crate::report::format::counted;
use crate::rows;
use crate::sessions::Session;

const EXAMPLES: &str = "\
Examples:
  kingtide export parquet captures/monday --out monday.parquet
  duckdb -c \"select method, status, count(*) from 'monday.parquet' group by all\"
  kingtide export har captures/monday --session 7 --out session-7.har
  kingtide export csv captures/monday --status 5xx,none --out - | head

An export is written whole or not at all; what it cannot hold stands in captures/README.md, \"Exporting\".
What a capture hides stays hidden: fingerprints stay as they are, files have no content.
A damaged capture is exported as far as it reads; what is missing is said on stderr.";

/// Write a capture in a format that other programs read.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ExportArgs {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    Har(HarArgs),
    Parquet(ParquetArgs),
    Csv(CsvArgs),
    Goreplay(GoreplayArgs),
    K6(K6Args),
}

/// What every format needs.
#[derive(Debug, Args)]
struct Common {
    /// Directory of the capture.
    capture: PathBuf,
    /// Where to write; `-` for stdout.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    selection: SelectionArgs,
}

const HAR_EXAMPLES: &str = "\
Examples:
  kingtide export har captures/monday --out monday.har
  kingtide export har captures/monday --session 7 --scheme https --out session-7.har
  kingtide export har captures/monday --from +10m --to +20m --out - | jq '.log.entries | length'";

/// HTTP Archive 1.2, for browsers' network panels and analysers.
///
/// Times are the edge's: `send` is receiving the request, `wait` until the answer's first byte. What HAR has
/// no place for (stages, pacing, who answered) stands in `_kingtide` of each entry.
#[derive(Debug, Args)]
#[command(after_long_help = HAR_EXAMPLES)]
struct HarArgs {
    #[command(flatten)]
    common: Common,
    /// Scheme of the URLs; the capture knows only connections whose TLS handshake the proxy made.
    #[arg(long, value_enum, default_value_t)]
    scheme: Scheme,
}

const PARQUET_EXAMPLES: &str = "\
Examples:
  kingtide export parquet captures/monday --out monday.parquet
  duckdb -c \"select route, quantile_cont(done_us, 0.95) / 1000 as p95_ms from 'monday.parquet'
             where kind = 'exchange' group by route\"
  python3 -c \"import pandas; print(pandas.read_parquet('monday.parquet').describe())\"";

/// Parquet, for DuckDB, pandas, polars and Spark: all columns of the capture, gaps included.
#[derive(Debug, Args)]
#[command(after_long_help = PARQUET_EXAMPLES)]
struct ParquetArgs {
    #[command(flatten)]
    common: Common,
    /// Rows of a row group: what readers skip and read in parallel, and what is held in memory.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    group_rows: u32,
}

const CSV_EXAMPLES: &str = "\
Examples:
  kingtide export csv captures/monday --out monday.csv
  kingtide export csv captures/monday --route '/api/upload*' --out - | cut -d, -f4,12,33";

/// CSV, for spreadsheets: a line an exchange, stages in milliseconds, without headers and bodies.
#[derive(Debug, Args)]
#[command(after_long_help = CSV_EXAMPLES)]
struct CsvArgs {
    #[command(flatten)]
    common: Common,
}

const GOREPLAY_EXAMPLES: &str = "\
Examples:
  kingtide export goreplay captures/monday --out monday.gor
  kingtide export goreplay captures/monday --route '/api/*' --max-body 5m --out api.gor
  gor --input-file monday.gor --output-http http://127.0.0.1:8000

The file is as large as the traffic was: bodies are made at their recorded size.";

/// GoReplay's file (.gor): requests and answers as HTTP/1.1.
///
/// Bodies that the capture does not hold are made at their recorded size. Fingerprints stay as they are, so
/// that GoReplay's middleware can put live values in their place.
#[derive(Debug, Args)]
#[command(after_long_help = GOREPLAY_EXAMPLES)]
struct GoreplayArgs {
    #[command(flatten)]
    common: Common,
    /// Longer bodies are cut to this size; how many is said on stderr.
    #[arg(long, value_name = "SIZE", default_value = "16m")]
    max_body: ByteSize,
}

const K6_EXAMPLES: &str = "\
Examples:
  kingtide export k6 captures/monday --out monday.js
  k6 run -e BASE_URL=http://127.0.0.1:8000 -e IDENTITIES=accounts.csv -e TIMES=5 monday.js
  kingtide edit captures/monday --sample 5% --out some && kingtide export k6 some --out some.js

The script says at its top what it does otherwise than `kingtide replay`.";

/// A script for k6: a scenario a session, with recorded offsets and values bound to live answers.
///
/// A session is exported whole when one of its exchanges is meant.
#[derive(Debug, Args)]
#[command(after_long_help = K6_EXAMPLES)]
struct K6Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    rules: RulesArgs,
}

pub fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    interrupt::leave_nothing_half_made()?;
    match &args.format {
        Format::Har(args) => {
            args.common.export(|out| Ok(Box::new(har::Archive::begin(out, args.scheme)?)))?;
        }
        Format::Parquet(args) => {
            args.common.refuse_terminal()?;
            let group_rows = args.group_rows as usize;
            args.common.export(|out| Ok(Box::new(parquet::Columns::begin(out, group_rows)?)))?;
        }
        Format::Csv(args) => args.common.export(|out| Ok(Box::new(csv::Table::begin(out)?)))?,
        Format::Goreplay(args) => {
            let body_bytes_max = args.max_body.0;
            args.common.export(|out| Ok(Box::new(goreplay::Recording::begin(out, body_bytes_max))))?;
        }
        Format::K6(args) => script(&args.common, &args.rules)?,
    }
    Ok(Exit::Held)
}

impl Common {
    /// Streams what is wanted of the capture into a document.
    fn export(
        &self,
        begin: impl for<'a> FnOnce(&'a mut Output) -> io::Result<Box<dyn Document + 'a>>,
    ) -> anyhow::Result<()> {
        let capture = Capture::open(&self.capture).map_err(|error| explained(&error))?;
        let wanted = self.selection.wanted(&capture)?;
        let mut output = self.output()?;
        let mut document = begin(&mut output).with_context(|| self.unwritable())?;
        let written = write(&capture, &wanted, document.as_mut());
        let notes = document.notes();
        drop(document);
        let (exported, damage) = match written {
            Ok(written) => written,
            Err(Stopped::Capture(error)) => return Err(explained(&error)),
            // `| head` has read what it wanted.
            Err(Stopped::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(Stopped::Output(error)) => return Err(error).with_context(|| self.unwritable()),
        };
        self.refuse_nothing(exported)?;
        output.commit().with_context(|| self.unwritable())?;
        self.report(exported, &damage);
        for note in notes {
            eprintln!("warning: {note}");
        }
        Ok(())
    }

    fn output(&self) -> anyhow::Result<Output> {
        if self.is_stdout() {
            return Ok(Output::stdout());
        }
        Output::file(&self.out).with_context(|| self.unwritable())
    }

    fn is_stdout(&self) -> bool {
        self.out == Path::new("-")
    }

    fn unwritable(&self) -> String {
        format!("--out {} cannot be written", self.out.display())
    }

    fn refuse_terminal(&self) -> anyhow::Result<()> {
        if self.is_stdout() && io::stdout().is_terminal() {
            bail!("--out -: this format is binary; name a file, or pipe it on");
        }
        Ok(())
    }

    fn refuse_nothing(&self, exported: Exported) -> anyhow::Result<()> {
        if exported.exchanges > 0 {
            return Ok(());
        }
        let capture = self.capture.display();
        match exported.left_out {
            0 => bail!("{capture} holds no exchange; record some traffic first"),
            count => bail!(
                "none of the {} of {capture} is what was asked for; `kingtide inspect {capture}` lists its routes and statuses",
                counted(count, "exchange")
            ),
        }
    }

    fn report(&self, exported: Exported, damage: &[Damage]) {
        for damage in damage {
            eprintln!("warning: the capture is damaged: {damage}");
        }
        let Exported { exchanges, gaps, left_out } = exported;
        let mut said = vec![counted(exchanges, "exchange")];
        if gaps > 0 {
            said.push(counted(gaps, "gap"));
        }
        if left_out > 0 {
            said.push(format!("{} left out", counted(left_out, "exchange")));
        }
        eprintln!("{}: {}", self.out.display(), said.join(", "));
    }
}

/// A script is made of sessions, and these of the whole capture.
fn script(args: &Common, rules: &RulesArgs) -> anyhow::Result<()> {
    let capture = Capture::open(&args.capture).map_err(|error| explained(&error))?;
    let wanted = args.selection.wanted(&capture)?;
    let recorded = Recorded::read_traffic(&args.capture, rules)?;
    let is_meant = |session: &Session| session.steps.iter().any(|step| wanted.takes(&step.exchange));
    let all = recorded.sessions.sessions.sessions();
    let sessions: Vec<Session> =
        all.filter(|session| session.as_ref().map_or(true, is_meant)).collect::<Result<_, _>>()?;
    let sessions: Vec<&Session> = sessions.iter().collect();
    let exchanges = sessions.iter().map(|session| session.steps.len() as u64).sum();
    let left_out = recorded.outlines().requests() as u64 - exchanges;
    let exported = Exported { exchanges, left_out, ..Exported::default() };
    args.refuse_nothing(exported)?;
    let name = args.capture.file_name().unwrap_or_default().to_string_lossy();
    let mut output = args.output()?;
    match k6::write(&mut output, &name, &sessions).and_then(|()| output.commit()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).with_context(|| args.unwritable());
        }
        _ => args.report(exported, &[]),
    }
    Ok(())
}

/// Why an export is not whole.
enum Stopped {
    Capture(CaptureError),
    Output(io::Error),
}

impl From<CaptureError> for Stopped {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn write(
    capture: &Capture,
    wanted: &Wanted,
    document: &mut dyn Document,
) -> Result<(Exported, Vec<Damage>), Stopped> {
    let mut exported = Exported::default();
    let damage = rows::each(capture, |row| Ok::<_, Stopped>(exported.add(row, wanted, document)?))?;
    document.finish(&damage)?;
    Ok((exported, damage))
}
