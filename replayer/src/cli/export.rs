//! `kingtide export`: a capture in a format that other programs read.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kingtide_common::capture::{Capture, CaptureError, Damage};

use super::Exit;
use super::capture::explained;
use super::selection::SelectionArgs;
use crate::export::har::Scheme;
use crate::export::output::Output;
use crate::export::{Document, Exported, Wanted, csv, har, parquet};
use crate::report::format::counted;
use crate::rows;

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

pub fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
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
        let mut line = format!("{}: {}", self.out.display(), counted(exchanges, "exchange"));
        if gaps > 0 {
            line += &format!(", {}", counted(gaps, "gap"));
        }
        if left_out > 0 {
            line += &format!(", {} left out", counted(left_out, "exchange"));
        }
        eprintln!("{line}");
    }
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
