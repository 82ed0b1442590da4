//! `kingtide scenario`: named loads with criteria, from files: which there are, what one is, and a run of it.

mod found;
mod list;
mod run;
mod show;

use clap::{Args, Subcommand};

use self::list::ListArgs;
use self::run::RunArgs;
use self::show::ShowArgs;
use super::Exit;

const EXAMPLES: &str = "\
Examples:
  kingtide scenario list
  kingtide scenario show spike
  kingtide scenario run smoke --target http://127.0.0.1:8000 --identities accounts.csv
  kingtide scenario run peak --duration 1m --users 10 --target http://10.0.0.7 --identities accounts.csv
  kingtide scenario run normal captures/monday -x 2 --target http://10.0.0.7 --identities accounts.csv
  kingtide scenario run ./night.toml --target http://10.0.0.7 --json | jq .scenario.standing";

/// Run named loads with criteria: smoke, normal, peak, stress, spike, endurance and your own.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true, subcommand_required = true)]
pub struct ScenarioArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Run(Box<RunArgs>),
}

pub fn run(args: &ScenarioArgs) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Run(args) => run::run(args),
    }
}
