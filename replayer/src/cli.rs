//! The command line: which commands exist, where their output goes, and what their exit status says.
//!
//! Each command is a module with its arguments and `run(&Args) -> anyhow::Result<Exit>`. An `Err` is
//! bad input: it is printed as `error: …` with its remedy and exits with 2. Everything else a command
//! finds out about the target is an [`Exit`]. The result goes to stdout through [`print_result`],
//! everything else to stderr.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use serde::Serialize;

mod alert;
pub mod capacity;
mod capture;
pub mod compare;
pub mod completions;
mod criteria;
pub mod edit;
pub mod env;
pub mod export;
mod gates;
mod http;
pub mod import;
pub mod inspect;
mod interrupt;
mod model;
pub mod monitor;
mod monitors;
pub mod plan;
pub mod replay;
pub mod report;
pub mod scenario;
mod seeds;
mod selection;
mod share;
mod source;
pub mod synth;
mod target;
mod thresholds;

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The target held (or the command did what it was asked for).
    Held = 0,
    /// The target missed its criteria.
    Missed = 1,
    /// Arguments, configuration or files that cannot be used.
    BadInput = 2,
    /// The run or the capture cannot speak about the target.
    Invalid = 3,
}

const EXAMPLES: &str = "\
Examples:
  kingtide inspect captures/monday                    what the capture holds
  kingtide import har session.har --out captures/s    a capture of what a browser recorded
  kingtide plan captures/monday -x 5 --seed 7         what a replay at 5× would send, without sending
  kingtide replay captures/monday --target http://127.0.0.1:8080 -x 5 --out runs/5x
  kingtide replay --model configs/models/students.toml --users 20 --target http://127.0.0.1:8080
  kingtide scenario run smoke --target http://127.0.0.1:8080 --identities accounts.csv
  kingtide monitor --postgres env:DATABASE_URL --host --for 1m
  kingtide report --capture captures/monday runs/1x runs/5x --html report.html
  kingtide compare runs/before runs/after             what became worse, with intervals
  kingtide edit captures/monday --from +10m --to +20m --out captures/rush
  kingtide export parquet captures/monday --out monday.parquet
  kingtide env check staging                          whether every part of an environment works
  kingtide synth samples                              sample recordings of 50 KB to 2 MB

Exit status:
  0  the target held        2  bad input: arguments, configuration, files
  1  the target missed      3  the run is invalid: generator late, stopped, values without a source
  130, 143  import, edit, export or synth was interrupted by Ctrl-C or SIGTERM: nothing half-made is left

The result goes to stdout, progress and diagnostics to stderr (KINGTIDE_LOG=debug for more).";

/// Replays captured sessions at any multiple as new users, and reports what gave way.
#[derive(Debug, Parser)]
#[command(name = "kingtide", version, after_long_help = EXAMPLES, max_term_width = 110)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inspect(inspect::InspectArgs),
    Import(import::ImportArgs),
    Plan(plan::PlanArgs),
    Replay(Box<replay::ReplayArgs>),
    Capacity(Box<capacity::CapacityArgs>),
    Scenario(scenario::ScenarioArgs),
    Monitor(monitor::MonitorArgs),
    Report(report::ReportArgs),
    Compare(compare::CompareArgs),
    Edit(edit::EditArgs),
    Export(export::ExportArgs),
    Synth(synth::SynthArgs),
    Env(env::EnvArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the arguments name, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command.run().unwrap_or_else(|error| refuse(&error)),
        Err(usage) => explain(&usage),
    }
}

impl Command {
    fn run(&self) -> anyhow::Result<Exit> {
        match self {
            Self::Inspect(args) => inspect::run(args),
            Self::Import(args) => import::run(args),
            Self::Plan(args) => plan::run(args),
            Self::Replay(args) => replay::run(args),
            Self::Capacity(args) => capacity::run(args),
            Self::Scenario(args) => scenario::run(args),
            Self::Monitor(args) => monitor::run(args),
            Self::Report(args) => report::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Edit(args) => edit::run(args),
            Self::Export(args) => export::run(args),
            Self::Synth(args) => synth::run(args),
            Self::Env(args) => env::run(args),
            Self::Completions(args) => completions::run(args),
        }
    }
}

/// `--out DIR`: makes it, and finds out early whether this file can be written into it.
fn prepare_directory(directory: &Path, file: &str) -> anyhow::Result<()> {
    let name = directory.display();
    std::fs::create_dir_all(directory).with_context(|| format!("--out: cannot make the directory {name}"))?;
    crate::report::can_write(&directory.join(file)).context("--out")
}

/// Writes the result of a command to stdout. A reader that went away (`| head`) is no error: the
/// command still ends with its own status.
pub fn print_result(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// A result for scripts, as it is printed and written.
fn json_of(result: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(result)? + "\n")
}

/// Help and version are results; everything else that clap objects to is bad input.
fn explain(usage: &clap::Error) -> Exit {
    let _ = usage.print();
    if usage.use_stderr() { Exit::BadInput } else { Exit::Held }
}

fn refuse(error: &anyhow::Error) -> Exit {
    let _ = writeln!(io::stderr(), "error: {}", causes(error));
    Exit::BadInput
}

/// The error and its causes in one line; a cause that the line tells already is not repeated.
fn causes(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = anyhow::Error::new(cause).context("capture: no such file").context("cannot inspect");
        assert_eq!(causes(&error), "cannot inspect: capture: no such file");
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Example"), "{} has no examples", command.get_name());
        }
    }

    #[test]
    fn what_is_not_there_is_bad_input() {
        let exits = ["nonsense", "--nonsense"].map(|word| run(["kingtide".into(), word.into()]));
        assert_eq!(exits, [Exit::BadInput; 2]);
        assert_eq!(run(["kingtide".into(), "--version".into()]), Exit::Held);
    }
}
