//! `kingtide replay`: sends the sessions of a capture or a model at a multiple, and reports what came of it.
//!
//! Everything that can be wrong with the input is found before the first request goes out.

mod answers;
mod dry_run;
pub(super) mod machine;
mod player;
mod progress;
mod samples;
mod several;
pub(super) mod stop;
mod uplink;
pub(super) mod users;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use kingtide_common::units::{Multiple, Seed, Span};

use self::answers::AnswersArgs;
use self::machine::MachineArgs;
use self::player::{Played, Player};
use self::samples::SamplesArgs;
use self::several::SettleArgs;
use self::uplink::UplinkArgs;
use self::users::UsersArgs;
use super::alert::AlertArgs;
use super::gates::GatesArgs;
use super::seeds::SeedsArgs;
use super::share::Share;
use super::source::SourceArgs;
use super::target::{Site, TargetArgs};
use super::thresholds::{Grading, ThresholdsArgs};
use super::{Exit, json_of, print_result};
use crate::alert::Alerts;
use crate::drive::{Clock, DriveConfig, Late};
use crate::guard::abort::AbortRules;
use crate::guard::overseer::Orders;
use crate::measure::run::{RunReport, Verdict};
use crate::plan::Mode;
use crate::report::format::{count, ms, multiple};
use crate::report::gates::GatesTold;
use crate::report::words::verdict_name;
use crate::report::{Report, terminal};
use crate::seeds::report::directory_of;

const WAIT_MAX: Duration = Duration::from_hours(24);

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
    #[command(flatten)]
    target: TargetArgs,
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
    users: UsersArgs,
    /// Where requests within a session take their instants from [default: offsets; with --model think].
    #[arg(long, value_enum)]
    clock: Option<Clock>,
    /// What happens to a request that this machine is over 10 ms late for.
    #[arg(long, value_enum, default_value_t)]
    late: Late,
    #[command(flatten)]
    uplink: UplinkArgs,
    /// Longest wait for an answer, from the first byte sent; what an upload takes by --uplink comes on top.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    /// Longest wait for what is in flight after the last planned request [default: the timeout, at least 30s].
    /// With --clock think the last request is the last that an answer led to.
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    #[command(flatten)]
    answers: AnswersArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// Share of the planned requests that may fail before the target has missed.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    max_failures: Share,
    /// Threads that send [default: one per core].
    #[arg(long, value_name = "COUNT")]
    workers: Option<NonZeroUsize>,
    /// Write the report into this directory, as run.json (with --seeds: seeds.json, and a directory for each run).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    samples: SamplesArgs,
    /// JSON on stdout instead of a table (schema: replayer/schemas/run.json, with --seeds seeds.json).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gates: GatesArgs,
    #[command(flatten)]
    thresholds: ThresholdsArgs,
    #[command(flatten)]
    alert: AlertArgs,
    /// End the run when it hurts: errors>SHARE of the requests that ended, pNN>TIME of the latency, over the last
    /// seconds, when it is surely so; or off [default: the environment's, else off]. Example: --abort
    /// 'errors>10%,p95>20s'
    #[arg(help_heading = "Guard", long, value_name = "RULES")]
    abort: Option<AbortRules>,
    /// Say what would be sent, and what the guard says of it, and send nothing. Exits with 0 when it is allowed, else 2.
    #[arg(help_heading = "Guard", long)]
    dry_run: bool,
}

pub fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let seeds = args.seeds.all()?;
    args.samples.check(seeds.len())?;
    let site = args.target.look()?;
    // Only one run is graded.
    let of_environment = site.environment.as_ref().and_then(|environment| environment.thresholds.as_deref());
    let grading = args.thresholds.read_or(of_environment.filter(|_| seeds.len() == 1))?;
    ensure!(
        seeds.len() == 1 || !grading.is_wanted(),
        "--grade and --thresholds are of one run: with --seeds grade each, kingtide report DIR/seed-* --grade"
    );
    let traffic = args.source.open()?;
    if args.dry_run {
        return dry_run::run(args, &site, &traffic, &seeds);
    }
    let site = site.entered()?;
    let config = args.drive_config(&site)?;
    let out = args.out.as_deref();
    let is_one = seeds.len() == 1;
    let directory =
        |seed: Seed| if is_one { Some(out?.to_owned()) } else { Some(out?.join(directory_of(seed.0))) };
    let player = Player::prepared(args, traffic, site, config, &seeds, directory)?;
    let alerts = args.alert.start()?;
    alerts.tell(&format!(
        "a replay at {} ({}) to {} begins",
        multiple(args.multiple.get()),
        args.mode,
        player.config.target.origin()
    ));
    let ended = if is_one { single(&player, &grading, &alerts) } else { several::run(&player, &alerts) };
    ended.inspect_err(|error| alerts.tell(&format!("the replay broke off: {error:#}")))
}

/// The run of one seed.
fn single(player: &Player<'_>, grading: &Grading, alerts: &Alerts) -> anyhow::Result<Exit> {
    let Played { run, kept, .. } = player.play(&player.turns[0])?;
    let exit = exit_of(run.verdict);
    // Told whatever became of the file: nobody wants to repeat an hour for a full disk.
    print_result(&if player.args.json {
        json_of(&run)?
    } else {
        table(run.clone(), player.args.gates.told())
    })?;
    alerts.tell(&ended(&run));
    kept?;
    let assessment = grading.assess(player.args.out.as_deref(), &run)?;
    assessment.breaches.iter().for_each(|breach| alerts.tell(&breach.sentence()));
    if !player.args.json {
        print_result(&assessment.render())?;
    }
    Ok(exit)
}

impl ReplayArgs {
    /// How long answers took is recorded in a capture; a model only supposes it, so its users wait for them.
    fn clock(&self) -> Clock {
        self.clock.unwrap_or(if self.source.is_model() { Clock::Think } else { Clock::Offsets })
    }

    /// What may end a run before its time.
    fn orders(&self, site: &Site) -> Orders {
        let rules = self.abort.clone().or_else(|| site.guard.rules.abort.clone()).unwrap_or_default();
        Orders { rules, kill_file: site.guard.rules.kill_file.clone() }
    }

    fn drive_config(&self, site: &Site) -> anyhow::Result<DriveConfig> {
        let timeout = self.timeout.0;
        ensure!(!timeout.is_zero(), "--timeout 0s: no answer comes in no time; write 60s");
        let waits = [
            ("--timeout", self.timeout),
            ("--drain", self.drain.unwrap_or(self.timeout)),
            ("--settle", self.settle.settle),
        ];
        for (flag, span) in waits {
            ensure!(span.0 <= WAIT_MAX, "{flag} {span}: nobody waits that long; give at most 24h");
        }
        let mut config = DriveConfig::new(site.target.clone(), timeout, stop::on_signals()?);
        self.users.apply(&mut config, site)?;
        site.apply(&mut config);
        config.clock = self.clock();
        config.late = self.late;
        config.uplink = self.uplink.uplink;
        config.drain = self.drain.map_or(config.drain, |drain| drain.0);
        self.answers.apply(&mut config)?;
        config.workers = self.workers.unwrap_or(config.workers);
        Ok(config)
    }
}

fn table(run: RunReport, told: GatesTold) -> String {
    let errors: Vec<String> =
        run.errors.iter().map(|(class, errors)| format!("{class} {}", count(*errors))).collect();
    let errors = if errors.is_empty() { String::new() } else { format!("errors: {}\n", errors.join(", ")) };
    terminal::render(&Report { capture: None, runs: vec![run] }, told) + &errors
}

/// The end of a run, for who is not looking.
fn ended(run: &RunReport) -> String {
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

fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass => Exit::Held,
        Verdict::Fail => Exit::Missed,
        Verdict::Invalid => Exit::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};
    use kingtide_common::units::Seed;

    use super::*;

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
            (args.mode, args.clock(), args.seeds.all().unwrap()),
            (Mode::Crowd, Clock::Offsets, vec![Seed(1)])
        );
        assert_eq!((args.timeout.0, args.drain), (Duration::from_mins(1), None));
        assert!((args.max_failures.get() - 0.01).abs() < f64::EPSILON);
    }

    #[test]
    fn users_of_a_model_think_unless_told_otherwise() {
        let clock =
            |words| parsed(&format!("--model m.toml --target http://127.0.0.1:1 {words}")).unwrap().clock();
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
