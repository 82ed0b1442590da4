//! `kingtide replay`: sends the sessions of a capture or a model at a multiple, and reports what came of it.
//!
//! Everything that can be wrong with the input is found before the first request goes out.

mod answers;
pub(super) mod driving;
pub(super) mod dry_run;
pub(super) mod machine;
pub(super) mod player;
mod progress;
mod samples;
mod several;
pub(super) mod stop;
mod uplink;
pub(super) mod users;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use kingtide_common::units::{Multiple, Seed};

use self::driving::DrivingArgs;
use self::player::{Course, Planning, Played, Player};
use self::several::SettleArgs;
use super::gates::GatesArgs;
use super::monitor::text::happened;
use super::seeds::SeedsArgs;
use super::share::Share;
use super::source::SourceArgs;
use super::thresholds::{Grading, ThresholdsArgs};
use super::{Exit, json_of, print_result};
use crate::alert::Alerts;
use crate::measure::run::{RunReport, Verdict};
use crate::plan::Mode;
use crate::report::format::{count, ms, multiple};
use crate::report::gates::GatesTold;
use crate::report::words::verdict_name;
use crate::report::{Report, terminal};
use crate::seeds::report::directory_of;

const EXAMPLES: &str = "\
Examples:
  kingtide replay captures/monday --target http://127.0.0.1:8080 -x 1      the capture itself, each session once
  kingtide replay captures/monday --target http://127.0.0.1:8080 -x 5 --identities accounts.csv --out runs/5x
  kingtide replay captures/monday --target https://staging.example.com -x 2 --yes-this-is staging.example.com
  kingtide replay captures/monday --env staging -x 2          target, accounts and guard of an environment
  kingtide replay captures/monday --env production -x 1 --dry-run      what would be sent, and whether it may
  kingtide replay captures/monday --target http://10.0.0.7 -x 5 --abort 'errors>10%,p95>20s'
  kingtide replay captures/monday --target https://app.staging.internal -x 2 --ca staging-ca.pem
  kingtide replay captures/monday --target http://10.0.0.7 -x 10 --json | jq .verdict
  kingtide replay captures/monday --target http://10.0.0.7 -x 5 --seeds 5 --out runs/5x   with intervals
  kingtide replay captures/monday --target http://10.0.0.7 -x 5 --uplink 3g     every upload at 750 kbit/s
  kingtide replay captures/monday --target http://10.0.0.7 -x 5 --monitor configs/monitors.toml --out runs/5x
  kingtide replay captures/monday --target http://10.0.0.7 -x 10 --samples requests.csv.gz --samples-max 1g
  kingtide replay captures/monday --target http://10.0.0.7 -x 5 --out runs/5x --grade     good, acceptable or poor
  kingtide replay --model configs/models/students.toml --users 50 --spawn-per-s 5 --duration 10m \
      --target http://10.0.0.7 --identities accounts.csv                        without a capture

Every user of the replay logs in with an account of its own: --identities is a CSV file whose first line
names the columns (email,password), with at least as many lines as the plan has users who log in. Or say
what each column is: --identity 'email=student{n:05}@school.example' --identity password=env:PASSWORD, and
--identity 'email={mint}' --identity 'password={mint}' where sessions register their accounts themselves.

What kingtide cannot find out (or found wrongly) about sessions and values is said in a TOML file, --rules FILE:
see configs/bindings.toml, and kingtide plan --show-bindings for what it found.

A damaged capture is replayed as far as it reads; the report says what is missing.

Before the first request the machine is looked at: descriptors and local ports for the plan's connections, cores and
load, clock and timer, the way to the target. What is tight is said and kept in run.json (preflight); a plan that
cannot work from here is refused. --headroom also tries how many times the plan's busiest seconds it can send on time.

With --monitor the target's database, machine and processes are watched beside the run: DIR/monitors.json, and charts on
the page of kingtide report. Whatever a monitor cannot see is a gap there; the run goes on.

--abort, or the guard of --env, ends a run that hurts its target: looked at every second. The run has failed then (1); one
that a kill file ends is invalid (3).

With --seeds each plan is played by itself, with accounts of its own as far as the file has them, into DIR/seed-S.
DIR/seeds.json says of each figure the mean over the runs with its 95 % interval, and what all requests together give.
A run that is invalid is left out; with fewer than two valid runs the whole is.

Ctrl-C releases nothing more, waits for what is in flight and reports; a second one ends at once. Seeds whose turn had
not come are not begun.

Exit status:
  0  the target held         2  bad input: arguments, files, a silent target, too few descriptors or ports
  1  the target missed       3  the run is invalid: generator late, stopped, values without a source";

/// Replay the sessions of a capture, or of a model, at any multiple, as new users with their rhythm.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ReplayArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// How many times the captured users, 0.1 to 1000.
    #[arg(short = 'x', long, value_name = "N", default_value = "1")]
    multiple: Multiple,
    /// How users are multiplied.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    #[command(flatten)]
    seeds: SeedsArgs,
    #[command(flatten)]
    settle: SettleArgs,
    #[command(flatten)]
    driving: DrivingArgs,
    /// Share of the planned requests that may fail before the target has missed.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    max_failures: Share,
    /// Write the report into this directory, as run.json (with --seeds: seeds.json, and a directory for each run).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// JSON on stdout instead of a table (schema: replayer/schemas/run.json, with --seeds seeds.json).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gates: GatesArgs,
    #[command(flatten)]
    thresholds: ThresholdsArgs,
}

pub fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let seeds = args.seeds.all()?;
    args.driving.samples.check(seeds.len())?;
    driving::bounded("--settle", args.settle.settle)?;
    ensure!(
        args.out.is_some() || !args.driving.monitors.is_asked(),
        "--monitor: what it sees is written into a directory; give --out DIR"
    );
    let site = args.driving.target.look()?;
    // Only one run is graded.
    let grading = args.thresholds.read_or(site.thresholds().filter(|_| seeds.len() == 1))?;
    ensure!(
        seeds.len() == 1 || !grading.is_wanted(),
        "--grade and --thresholds are of one run: with --seeds grade each, kingtide report DIR/seed-* --grade"
    );
    let orders = args.driving.orders(&site, args.thresholds.levels(site.thresholds())?);
    let traffic = args.source.open()?;
    if args.driving.dry_run {
        return dry_run::run(&args.driving, &args.planning(), &orders, &site, &traffic, &seeds);
    }
    let site = site.entered()?;
    let config = args.driving.config(&site, args.source.is_model())?;
    let course = Course {
        driving: &args.driving,
        planning: args.planning(),
        orders,
        max_failures: args.max_failures.get(),
    };
    let out = args.out.as_deref();
    let is_one = seeds.len() == 1;
    let directory =
        |seed: Seed| if is_one { Some(out?.to_owned()) } else { Some(out?.join(directory_of(seed.0))) };
    let player = Player::prepared(course, traffic, site, config, &seeds, directory)?;
    let alerts = args.driving.alert.start()?;
    alerts.tell(&format!(
        "a replay at {} ({}) to {} begins",
        multiple(args.multiple.get()),
        args.mode,
        player.config.target.origin()
    ));
    let ended =
        if is_one { single(args, &player, &grading, &alerts) } else { several::run(args, &player, &alerts) };
    ended.inspect_err(|error| alerts.tell(&format!("the replay broke off: {error:#}")))
}

/// The run of one seed.
fn single(
    args: &ReplayArgs,
    player: &Player<'_>,
    grading: &Grading,
    alerts: &Alerts,
) -> anyhow::Result<Exit> {
    let Played { run, watched, kept, .. } = player.play(&player.turns[0])?;
    let exit = exit_of(run.verdict);
    // Told whatever became of the file: nobody wants to repeat an hour for a full disk.
    print_result(&if args.json { json_of(&run)? } else { table(run.clone(), args.gates.told()) })?;
    alerts.tell(&ended(&run));
    kept?;
    let assessment = grading.assess(args.out.as_deref(), &run)?;
    assessment.breaches.iter().for_each(|breach| alerts.tell(&breach.sentence()));
    if !args.json {
        print_result(&(assessment.render() + &happened(&watched)))?;
    }
    Ok(exit)
}

impl ReplayArgs {
    fn planning(&self) -> Planning {
        Planning::Amplified(self.multiple, self.mode)
    }
}

pub(super) fn table(run: RunReport, told: GatesTold) -> String {
    let errors: Vec<String> =
        run.errors.iter().map(|(class, errors)| format!("{class} {}", count(*errors))).collect();
    let errors = if errors.is_empty() { String::new() } else { format!("errors: {}\n", errors.join(", ")) };
    terminal::render(&Report { capture: None, runs: vec![run] }, told) + &errors
}

/// The end of a run, for who is not looking.
pub(super) fn ended(run: &RunReport) -> String {
    format!(
        "{}: {} at {} to {}: p95 {}, {} of {} failed",
        verdict_name(run.verdict).to_uppercase(),
        run.capture,
        multiple(run.multiple),
        run.target,
        ms(run.latency_ms.p95),
        count(run.failed),
        count(run.planned)
    )
}

pub(super) fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass => Exit::Held,
        Verdict::Fail => Exit::Missed,
        Verdict::Undecided | Verdict::Invalid => Exit::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{CommandFactory, FromArgMatches, Parser};
    use kingtide_common::units::Seed;

    use super::*;
    use crate::drive::Clock;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn parsed(words: &str) -> Result<ReplayArgs, clap::Error> {
        let words = std::iter::once("replay").chain(words.split_whitespace());
        let matches = Line::command().try_get_matches_from(words)?;
        Ok(Line::from_arg_matches(&matches)?.args)
    }

    #[test]
    fn defaults_are_those_of_the_help() {
        let args = parsed("capture --target http://127.0.0.1:1").unwrap();
        assert_eq!(
            (args.mode, args.driving.clock(false), args.seeds.all().unwrap()),
            (Mode::Crowd, Clock::Offsets, vec![Seed(1)])
        );
        assert_eq!(args.driving.waits(), (Duration::from_mins(1), None));
        assert!((args.max_failures.get() - 0.01).abs() < f64::EPSILON);
    }

    #[test]
    fn users_of_a_model_think_unless_told_otherwise() {
        let clock = |words| {
            let args = parsed(&format!("--model m.toml --target http://127.0.0.1:1 {words}")).unwrap();
            args.driving.clock(args.source.is_model())
        };
        assert_eq!([clock(""), clock("--clock offsets --users 3")], [Clock::Think, Clock::Offsets]);
    }

    #[test]
    fn sessions_come_from_a_capture_or_a_model() {
        for (words, part) in [
            ("", "<CAPTURE|--model <FILE>>"),
            ("capture --model m.toml", "cannot be used with"),
            ("capture --users 3", "cannot be used with"),
            ("--model m.toml --rules r.toml", "cannot be used with"),
        ] {
            let refused = parsed(&format!("{words} --target http://127.0.0.1:1")).unwrap_err().to_string();
            assert!(refused.contains(part), "{words}: {refused}");
        }
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for words in [
            "-x 0",
            "-x 2000",
            "--ca",
            "--max-failures 101%",
            "--timeout soon",
            "--clock wall",
            "--workers 0",
        ] {
            assert!(parsed(&format!("capture --target http://127.0.0.1 {words}")).is_err(), "{words}");
        }
    }
}
