//! `kingtide scenario list`.

use clap::Args;

use super::found::{all, extent};
use crate::cli::{Exit, print_result};
use crate::report::table::{Align, Table};

const EXAMPLES: &str = "\
Examples:
  kingtide scenario list
  KINGTIDE_CONFIG=~/loads kingtide scenario list      also those in ~/loads/scenarios";

/// List the scenarios: those of configs/scenarios in the working directory, and of $KINGTIDE_CONFIG/scenarios.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ListArgs {}

/// A file that cannot be used is told of in its place, and makes the exit status 2.
pub(super) fn run(_: &ListArgs) -> anyhow::Result<Exit> {
    let scenarios = all();
    let mut table = Table::of_numbers(["scenario", "load", "time", "about"]).align(3, Align::Left);
    let mut exit = Exit::Held;
    for (name, scenario) in scenarios {
        match scenario {
            Ok(scenario) => {
                let (level, time) = extent(&scenario.load);
                table.row([name, level, time, scenario.about]);
            }
            Err(why) => {
                eprintln!("error: {why}");
                exit = Exit::BadInput;
            }
        }
    }
    anyhow::ensure!(
        !table.is_empty() || exit != Exit::Held,
        "there is no configs/scenarios here; go to where it is, or set KINGTIDE_CONFIG to the directory that holds scenarios"
    );
    print_result(&table.render(0))?;
    Ok(exit)
}
