//! `kingtide env`: which environments there are, what they say, and whether every part of one works.

mod check;
mod probe;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::check::CheckArgs;
use super::{Exit, print_result};
use crate::environment::Environment;
use crate::guard::{Kind, Rules};
use crate::report::table::{Align, Table};

const EXAMPLES: &str = "\
Examples:
  kingtide env list                                                    those in configs/environments
  kingtide env show staging                                            what it says, with its defaults, without secrets
  kingtide env check staging                                           its file, guard, accounts, monitors, and whether it answers
  kingtide env check staging --model configs/models/students.toml      a login of the first account too
  kingtide env check production captures/monday --yes-this-is app.example.com

Environments are TOML files in configs/environments and $KINGTIDE_CONFIG/environments (every key:
configs/environments/staging.toml). Their secrets come from variables of the process, or from the file .env beside them.

Exit status of check:
  0  every part works        1  one does not        2  there is no such environment, or its file is wrong";

/// List, show and check environments: what is loaded, with which accounts, under which guard.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, arg_required_else_help = true)]
pub struct EnvArgs {
    #[command(subcommand)]
    command: EnvCommand,
}

#[derive(Debug, Subcommand)]
enum EnvCommand {
    /// Each by its name, kind and URL.
    List,
    /// What one says.
    Show {
        /// Its name, or the path of its file.
        name: String,
    },
    /// Try every part of one: its file, guard, monitors, target, accounts, a login, this machine.
    Check(CheckArgs),
}

pub fn run(args: &EnvArgs) -> anyhow::Result<Exit> {
    match &args.command {
        EnvCommand::List => list(),
        EnvCommand::Show { name } => {
            print_result(&shown(&Environment::find(name)?))?;
            Ok(Exit::Held)
        }
        EnvCommand::Check(args) => check::run(args),
    }
}

fn list() -> anyhow::Result<Exit> {
    let titles = ["name", "kind", "url", "file"];
    let mut table =
        (1..titles.len()).fold(Table::of_numbers(titles), |table, column| table.align(column, Align::Left));
    for (name, path) in Environment::all() {
        let row = match Environment::read(&path) {
            Ok(read) => [name, read.kind.to_string(), read.url, path.display().to_string()],
            Err(error) => [name, "–".to_owned(), "–".to_owned(), error.to_string()],
        };
        table.row(row);
    }
    let none = "none in configs/environments, nor in $KINGTIDE_CONFIG/environments\n".to_owned();
    print_result(&if table.is_empty() { none } else { table.render(0) })?;
    Ok(Exit::Held)
}

fn shown(environment: &Environment) -> String {
    let Environment { name, path, url, kind, ca, accounts, slo, thresholds, monitors, guard, .. } =
        environment;
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let columns = accounts.columns().join(", ");
    let accounts = match (&accounts.file, columns.is_empty()) {
        (None, true) => None,
        (Some(file), true) => Some(file.display().to_string()),
        (None, false) => Some(format!("made of templates for {columns}")),
        (Some(file), false) => Some(format!("{}, and templates for {columns}", file.display())),
    };
    let of_environment = [
        ("file", Some(path.display().to_string())),
        ("kind", Some(kind_sentence(*kind))),
        ("url", Some(url.clone())),
        ("tls.ca", file(ca)),
        ("identities", accounts),
        ("slo", slo.as_ref().map(ToString::to_string)),
        ("thresholds", file(thresholds)),
        ("monitors", Some(monitors.len().to_string())),
    ];
    let lines = of_environment.into_iter().chain(of_guard(&guard.rules));
    lines.fold(format!("{name}\n"), |mut text, (key, value)| {
        // Into a text nothing can fail.
        let _ = writeln!(text, "  {key:<20} {}", value.unwrap_or_else(|| "–".to_owned()));
        text
    })
}

fn kind_sentence(kind: Kind) -> String {
    let what = match kind {
        Kind::Local => "this machine, or a private network",
        Kind::Staging => "may be loaded without a word",
        Kind::Production => "its host must be typed",
    };
    format!("{kind}: {what}")
}

fn of_guard(rules: &Rules) -> [(&'static str, Option<String>); 10] {
    let listed = |texts: Vec<String>| texts.join(", ");
    [
        ("guard.targets", Some(listed(rules.targets.iter().map(ToString::to_string).collect()))),
        ("guard.multiple_max", rules.multiple_max.map(|max| max.to_string())),
        ("guard.users_max", rules.users_max.map(|max| max.to_string())),
        ("guard.bytes_max", rules.bytes_max.map(|max| max.to_string())),
        ("guard.duration_max", rules.duration_max.map(|max| max.to_string())),
        (
            "guard.hours",
            rules.hours.as_ref().map(|hours| listed(hours.iter().map(ToString::to_string).collect())),
        ),
        ("guard.smoke_within", rules.smoke_within.map(|within| within.to_string())),
        ("guard.abort", rules.abort.as_ref().map(ToString::to_string)),
        ("guard.kill_file", rules.kill_file.as_ref().map(|path| path.display().to_string())),
        ("guard.synthetic", rules.synthetic.as_ref().map(ToString::to_string)),
    ]
}
