//! `kingtide capacity`: how many times the captured users the target holds, and how it gives way.

mod aim;
mod exit;
mod ground;
mod load;
mod progress;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use kingtide_common::units::{Multiple, Span};

use self::aim::Aim;
use self::ground::Ground;
use self::load::{Load, LoadArgs};
use super::alert::AlertArgs;
use super::monitors::{self, MonitorsArgs};
use super::replay::stop;
use super::replay::users::UsersArgs;
use super::target::{Site, TargetArgs};
use super::{Exit, json_of, prepare_directory, print_result};
use crate::alert::Alerts;
use crate::capacity::answer::Answer;
use crate::capacity::field::Field;
use crate::capacity::search::{Config, Search, TooShort};
use crate::capacity::several::Several;
use crate::capacity::slo::Slo;
use crate::drive::{Clock, DriveConfig};
use crate::monitor::timeline::Timeline;
use crate::report::capacity as text;
use crate::report::{self, CAPACITY_FILE};

/// More trials than any search has.
const SEEDS_OF_A_SEARCH: u64 = 1000;
/// From one bracketing load to the next, where nobody is disturbed, and elsewhere.
const GROWTH: f64 = 2.0;
const GROWTH_CAREFUL: f64 = 1.25;

const EXAMPLES: &str = "\
Examples:
  kingtide capacity captures/monday --target http://127.0.0.1:8080 --identities accounts.csv
  kingtide capacity captures/monday --target http://10.0.0.7 --slo 'p95<10s,errors<5%' --budget 40m --out runs/capacity
  kingtide capacity captures/monday --target http://10.0.0.7 --slo 'p99(POST /api/students/upload-recording)<8s'
  kingtide capacity captures/monday --target http://10.0.0.7 --steps 1,2,5,10         the classic staircase
  kingtide capacity captures/monday --target http://10.0.0.7 --fail-under 5 --json    for CI: exit 1 below 5x
  kingtide capacity captures/monday --target http://10.0.0.7 --seeds 3 --out runs/capacity  how much it varies
  kingtide capacity captures/monday --env staging                     target, level, accounts and guard of an environment
  kingtide capacity --model configs/models/students.toml --users 20 --target http://10.0.0.7 --identities accounts.csv

A trial holds one load: sessions start evenly at a multiple of the captured mean rate, new users each. It passes when
every criterion surely holds over the requests that were planned (what was late, not sent or not answered is a bad
request) and the backlog does not grow. The search doubles the load (a public target: by a quarter) until it fails, closes
in between, checks both bounds once more, then whether the target recovers.

With --model 1x are --users at once, who wait for each answer (a closed loop): the result is in users.

The guard of --env bounds --max (by multiple_max, and a model's users by users_max) and --budget; its abort rules are not for
a search, which ends each trial by its own. A kill file ends the search.

What it says is true for the length of its trials: a leak that fills up in an hour is not seen in two minutes.

Exit status:
  0  a capacity, or a lower bound of one, was found (and it is not below --fail-under)
  1  the target fails at the smallest load, hung, did not come back, or is below --fail-under
  2  bad input: arguments, files, a silent target
  3  nothing can be said: this machine was the limit, verdicts contradict each other, stopped";

/// Find how many times the captured users a target holds, with an interval, and how it gives way.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CapacityArgs {
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    users: UsersArgs,
    /// What the target is to hold: percentiles of the latency from the planned instant, share of errors, answers a
    /// second; of one route with its name: p95(POST /api/upload)<8s [default: the environment's, else p95<10s,errors<5%].
    #[arg(long, value_name = "CRITERIA")]
    slo: Option<Slo>,
    /// Smallest load to try.
    #[arg(long, value_name = "N", default_value = "0.1")]
    min: Multiple,
    /// Largest load to try [default: 1000, or what the environment's guard allows].
    #[arg(long, value_name = "N")]
    max: Option<Multiple>,
    /// First load to try.
    #[arg(long, value_name = "N", default_value = "1")]
    start: Multiple,
    /// Hold these loads, the smallest first, until one fails, instead of searching; then look whether the target recovers.
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "seeds")]
    steps: Option<Vec<Multiple>>,
    /// Time in which load is sent, of all trials together; the first two are held whatever it is. Against simulated targets 95 % of the estimates are within 5 %
    /// of the truth at 30m, 87 % at 20m, 68 % at 10m.
    #[arg(long, value_name = "TIME", default_value = "30m")]
    budget: Span,
    /// Requests of all trials together [default: no limit].
    #[arg(long, value_name = "COUNT")]
    budget_requests: Option<u64>,
    /// Length of a full trial [default: what the criteria and the rates need, at least 60s].
    #[arg(long, value_name = "TIME")]
    trial: Option<Span>,
    /// How close the bounds are when the search ends.
    #[arg(long, value_name = "SHARE", default_value = "4%")]
    width: super::share::Share,
    /// Longest wait for an answer, from the first byte sent.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    /// Start of the random sequence: each trial draws from it anew.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// So many searches one after another, of the seeds S, S+1000 and so on, and what they say together. Each has the
    /// whole budget [default: one search].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(2..=20))]
    seeds: Option<u64>,
    /// Threads that send [default: one per core].
    #[arg(long, value_name = "COUNT")]
    workers: Option<NonZeroUsize>,
    /// Exit with 1 when the capacity is below this.
    #[arg(long, value_name = "N")]
    fail_under: Option<Multiple>,
    /// Write the result into this directory, as capacity.json.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    monitors: MonitorsArgs,
    /// JSON on stdout instead of text (schema: replayer/schemas/capacity.json).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    alert: AlertArgs,
}

pub fn run(args: &CapacityArgs) -> anyhow::Result<Exit> {
    let load = args.load.open(args.seed)?;
    let site = args.target.look()?;
    let aim = Aim::of(args, &site, &load)?;
    let monitors = args.monitors.read(site.environment.as_ref())?;
    let site = site.entered()?;
    let config = args.drive_config(&site, load.is_model())?;
    let ground = Ground::new(args, &load, aim, config, monitors)?;
    args.out.as_deref().map_or(Ok(()), |directory| prepare_directory(directory, CAPACITY_FILE))?;
    eprintln!("{}", ground.sentence());
    let seeds = args.all_seeds()?;
    let alerts = args.alert.start()?;
    alerts.tell(&format!("a capacity search begins: {}", ground.sentence()));
    match seeds.as_slice() {
        [seed] => single(args, &ground, *seed, &alerts),
        seeds => several(args, &ground, seeds, &alerts),
    }
}

fn single(args: &CapacityArgs, ground: &Ground<'_>, seed: u64, alerts: &Alerts) -> anyhow::Result<Exit> {
    let (answer, watched) = ground.search(seed)?;
    alerts.tell(&text::headline(&answer.finding));
    let kept = monitors::write(args.out.as_deref(), &watched);
    tell(args, json_of(&answer)?, || text::render(&answer))?;
    kept?;
    Ok(exit::exit_of(&answer, args.fail_under))
}

/// One after another; each is kept as it ends.
fn several(args: &CapacityArgs, ground: &Ground<'_>, seeds: &[u64], alerts: &Alerts) -> anyhow::Result<Exit> {
    let mut answers = Vec::new();
    for (at, seed) in seeds.iter().enumerate() {
        eprintln!("search {} of {}, seed {seed}", at + 1, seeds.len());
        let (answer, watched) = ground.search(*seed)?;
        eprintln!("{}", text::headline(&answer.finding));
        alerts.tell(&text::headline(&answer.finding));
        let is_stopped = answer.interrupted;
        if let Some(directory) = args.out.as_ref().map(|out| out.join(format!("seed-{seed}"))) {
            keep(&directory, &answer, &watched)?;
        }
        answers.push(answer);
        if is_stopped {
            break;
        }
    }
    let several = Several::of(seeds[..answers.len()].to_vec(), answers);
    tell(args, json_of(&several)?, || text::render_several(&several))?;
    Ok(exit::exit_of_several(&several, args.fail_under))
}

fn keep(directory: &Path, answer: &Answer, watched: &Timeline) -> anyhow::Result<()> {
    prepare_directory(directory, CAPACITY_FILE)?;
    report::write_whole(&directory.join(CAPACITY_FILE), &json_of(answer)?)?;
    Ok(monitors::write(Some(directory), watched)?)
}

/// Told whatever became of the file: nobody wants to repeat an hour for a full disk.
fn tell(args: &CapacityArgs, json: String, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let kept =
        args.out.as_deref().map(|directory| report::write_whole(&directory.join(CAPACITY_FILE), &json));
    print_result(&if args.json { json } else { text() })?;
    Ok(kept.transpose().map(|_| ())?)
}

impl CapacityArgs {
    fn drive_config(&self, site: &Site, is_model: bool) -> anyhow::Result<DriveConfig> {
        let timeout = self.timeout.0;
        ensure!(!timeout.is_zero(), "--timeout 0s: no answer comes in no time; write 60s");
        let stop = stop::on_signals_or(site.kill_files.clone())?;
        let mut config = DriveConfig::new(site.target.clone(), timeout, stop);
        self.users.apply(&mut config, site)?;
        site.apply(&mut config);
        // How long answers took is recorded in a capture; a model only supposes it, so its users wait for them.
        config.clock = if is_model { Clock::Think } else { Clock::Offsets };
        config.drain = timeout;
        config.workers = self.workers.unwrap_or(config.workers);
        Ok(config)
    }

    /// The first seed of each search: its trials take those after it.
    fn all_seeds(&self) -> anyhow::Result<Vec<u64>> {
        let seeds = (0..self.seeds.unwrap_or(1)).map(|at| self.seed.checked_add(at * SEEDS_OF_A_SEARCH));
        let seeds: Option<Vec<u64>> = seeds.collect();
        seeds.with_context(|| {
            format!("--seed {}: there are not so many seeds from there on; begin lower", self.seed)
        })
    }

    fn search(
        &self,
        seed: u64,
        field: &Field<'_>,
        load: &Load,
        aim: &Aim,
        is_careful: bool,
    ) -> Result<Search, TooShort> {
        let whole_s = |span: Span| span.0.as_secs().max(1);
        Search::new(Config {
            multiple_min: aim.multiple_min,
            multiple_max: aim.multiple_max,
            multiple_start: self.start.get().clamp(aim.multiple_min, aim.multiple_max),
            growth: if is_careful { GROWTH_CAREFUL } else { GROWTH },
            width: self.width.get(),
            session_s: load.source().settled().as_secs_f64(),
            budget_requests: self.budget_requests,
            full_s: self.trial.map(whole_s),
            steps: self.steps.as_ref().map(|steps| sorted(steps)),
            seed,
            ..Config::new(aim.slo.clone(), field.unit_per_s, whole_s(self.budget))
        })
    }
}

/// The smallest first: a search goes upwards.
fn sorted(steps: &[Multiple]) -> Vec<f64> {
    let mut steps: Vec<f64> = steps.iter().map(|step| step.get()).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    steps
}
