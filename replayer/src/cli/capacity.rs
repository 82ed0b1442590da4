//! `kingtide capacity`: how many times the captured users the target holds, and how it gives way.

mod load;
mod progress;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Args;
use kingtide_common::units::{Multiple, Span};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::load::{Load, LoadArgs};
use self::progress::Progress;
use super::http;
use super::replay::stop;
use super::replay::users::UsersArgs;
use super::target::TargetArgs;
use super::{Exit, prepare_directory, print_result};
use crate::bottleneck::{self, Profile};
use crate::capacity::answer::Answer;
use crate::capacity::field::Field;
use crate::capacity::finding::{Bound, Capacity, Finding, Outcome};
use crate::capacity::scalability::scalability;
use crate::capacity::search::{Config, Next, Search, TooShort};
use crate::capacity::slo::Slo;
use crate::capacity::verdict::Verdict;
use crate::drive::{Clock, DriveConfig};
use crate::measure::http::HttpCounts;
use crate::measure::route::Routes;
use crate::report;
use crate::report::capacity as text;
use crate::sessions::Outlines;

/// Where the result of a search lies in its directory.
const CAPACITY_FILE: &str = "capacity.json";
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
  kingtide capacity --model configs/models/students.toml --users 20 --target http://10.0.0.7 --identities accounts.csv

A trial holds one load: sessions start evenly at a multiple of the captured mean rate, new users each. It passes when
every criterion surely holds over the requests that were planned (what was late, not sent or not answered is a bad
request) and the backlog does not grow. The search doubles the load (a public target: by a quarter) until it fails, closes
in between, checks both bounds once more, then whether the target recovers.

With --model 1x are --users at once, who wait for each answer (a closed loop): the result is in users.

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
    /// second; of one route with its name: p95(POST /api/upload)<8s.
    #[arg(long, value_name = "CRITERIA", default_value = "p95<10s,errors<5%")]
    slo: Slo,
    /// Smallest load to try.
    #[arg(long, value_name = "N", default_value = "0.1")]
    min: Multiple,
    /// Largest load to try.
    #[arg(long, value_name = "N", default_value = "1000")]
    max: Multiple,
    /// First load to try.
    #[arg(long, value_name = "N", default_value = "1")]
    start: Multiple,
    /// Hold these loads, the smallest first, until one fails, instead of searching; then look whether the target recovers.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
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
    /// Threads that send [default: one per core].
    #[arg(long, value_name = "COUNT")]
    workers: Option<NonZeroUsize>,
    /// Exit with 1 when the capacity is below this.
    #[arg(long, value_name = "N")]
    fail_under: Option<Multiple>,
    /// Write the result into this directory, as capacity.json.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// JSON on stdout instead of text (schema: replayer/schemas/capacity.json).
    #[arg(long)]
    json: bool,
}

pub fn run(args: &CapacityArgs) -> anyhow::Result<Exit> {
    ensure!(
        args.min <= args.max,
        "--min {} is above --max {}: no load lies between them",
        args.min,
        args.max
    );
    let load = args.load.open(args.seed)?;
    args.check_routes(load.outlines())?;
    let config = args.drive_config(load.is_model())?;
    let target = config.target.origin();
    let is_careful = !config.target.is_private();
    let foretold = http::foretell(load.outlines(), &config);
    let mut field = Field::new(load.source(), config, &args.slo).with_context(|| load.name().to_owned())?;
    let searching = args.search(&field, &load, is_careful)?;
    args.out.as_deref().map_or(Ok(()), |directory| prepare_directory(directory, CAPACITY_FILE))?;
    let unit = load.unit(field.unit_per_s);
    eprintln!("{}: 1x is {}; to {target}, {}", load.name(), unit.sentence(), args.slo);
    if let Some(sentence) = &foretold {
        eprintln!("{sentence}");
    }
    let started = OffsetDateTime::now_utc();
    let began = Instant::now();
    let Searched { finding, profiles, http } = search(searching, &mut field)?;
    let answer = Answer {
        kingtide_version: env!("CARGO_PKG_VERSION").to_owned(),
        capture: load.name().to_owned(),
        target,
        started: started.format(&Rfc3339).unwrap_or_default(),
        duration_s: began.elapsed().as_secs_f64(),
        scalability: scalability(&finding.trials),
        finding: unit.complete(finding),
        unit,
        bottleneck: bottleneck::diagnose(&profiles),
        next_limit: bottleneck::next_limit(&profiles),
        cautions: load.cautions().into_iter().chain(foretold).chain(http.caution()).collect(),
        http,
        interrupted: field.is_stopped(),
    };
    let json = serde_json::to_string_pretty(&answer)? + "\n";
    let kept =
        args.out.as_deref().map(|directory| report::write_whole(&directory.join(CAPACITY_FILE), &json));
    // Told whatever became of the file: nobody wants to repeat an hour for a full disk.
    print_result(&if args.json { json } else { text::render(&answer) })?;
    kept.transpose()?;
    Ok(exit_of(&answer, args.fail_under))
}

/// What came of a search.
struct Searched {
    finding: Finding,
    profiles: Vec<Profile>,
    http: HttpCounts,
}

/// Asks, holds and tells until the search has enough or the user has.
fn search(mut search: Search, field: &mut Field<'_>) -> anyhow::Result<Searched> {
    let (mut progress, mut profiles, mut http) = (Progress::default(), Vec::new(), HttpCounts::default());
    let finding = loop {
        let trial = match search.next() {
            Next::Done(finding) => break *finding,
            Next::Trial(trial) => trial,
        };
        if field.is_stopped() {
            break search.finding();
        }
        progress.begins(&trial);
        let played = field.play(&trial, search.watch(&trial), &mut |second| progress.second(second))?;
        played.measured.iter().for_each(|measured| http.add_run(&measured.recorder.http));
        if played.is_interrupted {
            progress.ends(None);
            break search.finding();
        }
        let judged = search.on_trial(&trial, &played.observation);
        progress.ends(Some(judged));
        let tells = trial.purpose.classifies() && judged.verdict != Verdict::Invalid;
        profiles.extend(played.profile(judged).filter(|_| tells));
    };
    Ok(Searched { finding, profiles, http })
}

impl CapacityArgs {
    fn drive_config(&self, is_model: bool) -> anyhow::Result<DriveConfig> {
        let timeout = self.timeout.0;
        ensure!(!timeout.is_zero(), "--timeout 0s: no answer comes in no time; write 60s");
        let mut config = DriveConfig::new(self.target.allowed()?, timeout, stop::on_signals()?);
        self.users.apply(&mut config)?;
        // How long answers took is recorded in a capture; a model only supposes it, so its users wait for them.
        config.clock = if is_model { Clock::Think } else { Clock::Offsets };
        config.http = self.target.http();
        config.drain = timeout;
        config.workers = self.workers.unwrap_or(config.workers);
        Ok(config)
    }

    /// A criterion about a route that the capture does not have would always hold.
    fn check_routes(&self, sessions: &Outlines) -> anyhow::Result<()> {
        let routes = Routes::of(sessions);
        for route in self.slo.criteria.iter().filter_map(|criterion| criterion.route.as_ref()) {
            ensure!(
                routes.labels().contains(route),
                "--slo: the capture has no route `{route}`; it has {}",
                routes.labels().join(", ")
            );
        }
        Ok(())
    }

    fn search(&self, field: &Field<'_>, load: &Load, is_careful: bool) -> Result<Search, TooShort> {
        let whole_s = |span: Span| span.0.as_secs().max(1);
        Search::new(Config {
            multiple_min: self.min.get(),
            multiple_max: self.max.get(),
            multiple_start: self.start.get().clamp(self.min.get(), self.max.get()),
            growth: if is_careful { GROWTH_CAREFUL } else { GROWTH },
            width: self.width.get(),
            session_s: load.source().settled().as_secs_f64(),
            budget_requests: self.budget_requests,
            full_s: self.trial.map(whole_s),
            steps: self.steps.as_ref().map(|steps| sorted(steps)),
            seed: self.seed,
            ..Config::new(self.slo.clone(), field.unit_per_s, whole_s(self.budget))
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

fn exit_of(answer: &Answer, fail_under: Option<Multiple>) -> Exit {
    let finding = &answer.finding;
    let least = fail_under.map_or(0.0, Multiple::get);
    match (finding.verdict, &finding.capacity) {
        (Outcome::Invalid | Outcome::Unstable, _) => Exit::Invalid,
        _ if answer.interrupted => Exit::Invalid,
        (Outcome::FailsAtSmallest | Outcome::Hang | Outcome::Metastable, _) => Exit::Missed,
        (_, None) => Exit::Invalid,
        // A load that failed.
        (_, Some(capacity)) if capacity.bound == Bound::AtMost && capacity.multiple <= least => Exit::Missed,
        (_, Some(capacity)) if capacity.bound == Bound::AtMost => Exit::Invalid,
        (_, Some(capacity)) if capacity.multiple >= least => Exit::Held,
        (_, Some(capacity)) if capacity.bound == Bound::AtLeast && !has_failed_by(capacity, least) => {
            Exit::Invalid
        }
        _ => Exit::Missed,
    }
}

/// Of a staircase: the step that failed is its upper end.
fn has_failed_by(capacity: &Capacity, least: f64) -> bool {
    capacity.high > capacity.multiple && capacity.high <= least
}
