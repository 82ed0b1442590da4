//! `kingtide scenario show NAME`.

use std::fmt::Write as _;

use clap::Args;

use super::found::{extent, found};
use crate::cli::{Exit, print_result};
use crate::report::format::{number, seconds};
use crate::report::table::{Align, Table};
use crate::scenario::report::Unit;
use crate::scenario::{Scenario, Source};

const EXAMPLES: &str = "\
Examples:
  kingtide scenario show threshold
  kingtide scenario show ./night.toml";

/// Show what a scenario does and asks, without sending.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// Name of a scenario, or path of its file.
    name: String,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<Exit> {
    let mut text = String::new();
    tell(&found(&args.name)?, &mut text)?;
    print_result(&text)?;
    Ok(Exit::Held)
}

fn tell(scenario: &Scenario, text: &mut String) -> std::fmt::Result {
    let (level, time) = extent(&scenario.load);
    writeln!(text, "{}: {}", scenario.name, scenario.about)?;
    let source = match &scenario.source {
        Some(Source::Model(path)) => format!("the model {}", path.display()),
        Some(Source::Capture(path)) => format!("the capture {}", path.display()),
        None => "to be given: a capture, or --model FILE".to_owned(),
    };
    writeln!(text, "sessions   {source}")?;
    writeln!(text, "load       {level} at most, {time}")?;
    if let Some(rate) = scenario.expect_per_s {
        writeln!(text, "expected   {} requests a second", number(Some(rate)))?;
    }
    if !scenario.stop.is_off() {
        writeln!(text, "stops at   {}", scenario.stop)?;
    }
    for demand in &scenario.criteria.0 {
        writeln!(text, "asks       {demand}")?;
    }
    if let Some(shape) = scenario.load.shape() {
        let unit = Unit::of(&scenario.load);
        let mut table = Table::of_numbers(["from", "to", "load"]).align(2, Align::Left);
        let mut begins = 0.0;
        for phase in &shape.phases {
            for (span, to) in [(phase.over, "rises or falls to"), (phase.hold, "held at")] {
                if !span.is_zero() {
                    let ends = begins + span.as_secs_f64();
                    let load = format!("{to} {}", unit.tell(phase.level));
                    table.row([seconds(Some(begins)), seconds(Some(ends)), load]);
                    begins = ends;
                }
            }
        }
        write!(text, "\n{}", table.render(0))?;
    }
    Ok(())
}
