//! `kingtide scenario run NAME`: a replay whose plan and criteria are those of a file.

mod verdict;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use kingtide_common::units::{Multiple, Seed, Span};
use time::OffsetDateTime;
use time::macros::format_description;

use self::verdict::Judge;
use super::found::found;
use crate::alert::Alerts;
use crate::capacity::field::bar;
use crate::cli::capture::{Recorded, RulesArgs};
use crate::cli::criteria::check_routes;
use crate::cli::gates::GatesArgs;
use crate::cli::model::Modelled;
use crate::cli::monitor::text::happened;
use crate::cli::replay::driving::DrivingArgs;
use crate::cli::replay::player::{Course, Planning, Played, Player};
use crate::cli::replay::{dry_run, ended, exit_of, table};
use crate::cli::source::Traffic;
use crate::cli::target::Site;
use crate::cli::thresholds::{Grading, ThresholdsArgs};
use crate::cli::{Exit, json_of, print_result};
use crate::drive::DriveConfig;
use crate::guard::overseer::Orders;
use crate::measure::run::RunReport;
use crate::model::Model;
use crate::monitor::settings::Settings;
use crate::plan::Mode;
use crate::report::{folder, scenario as told};
use crate::scenario::overrides::Overrides;
use crate::scenario::{Load, Scenario, Source};

const EXAMPLES: &str = "\
Examples:
  kingtide scenario run smoke --target http://127.0.0.1:8000 --identities accounts.csv
  kingtide scenario run normal --duration 30s --target http://127.0.0.1:8000 --identities accounts.csv --out runs/normal
  kingtide scenario run normal --env staging
  kingtide scenario run normal captures/monday -x 2 --target http://10.0.0.7 --identities accounts.csv

Users come and leave by the scenario's shape, whatever the target does: they wait for their answers, think, and go on until
their time is over. Each needs an account of its own (--identities), also one who comes after others have left.

Results go to results/HOST_SCENARIO_TIME (with --env the environment's name; or --out DIR): report.html, run.json, samples.csv.gz, and for spreadsheets stats.csv,
failures.csv and stats_history.csv.

A criterion about requests is met when its whole 95 % interval is; where the interval holds the limit it is UNDECIDED, and a
longer run would tell.

Exit status:
  0  all criteria are met      2  bad input: arguments, files, a silent target
  1  one is missed             3  undecided or invalid: too short, nothing looked, generator late, stopped by Ctrl-C";

/// Run a scenario against a target, and judge its criteria.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// Name of a scenario, or path of its file.
    name: String,
    /// Capture whose sessions are played in place of the scenario's.
    #[arg(value_name = "CAPTURE", requires = "multiple", conflicts_with_all = ["model", "users", "spawn_per_s"])]
    capture: Option<PathBuf>,
    /// Model whose users are played in place of the scenario's (every key: configs/models/students.toml).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "idle_gap"])]
    model: Option<PathBuf>,
    /// Users at the peak [default: the scenario's].
    #[arg(long, value_name = "COUNT")]
    users: Option<NonZeroUsize>,
    /// How many times the capture at the peak [default: the scenario's].
    #[arg(short = 'x', long, value_name = "N")]
    multiple: Option<Multiple>,
    /// New users a second until all are there [default: the scenario's].
    #[arg(long, value_name = "RATE")]
    spawn_per_s: Option<f64>,
    /// How long it lasts; what is held becomes shorter or longer, ramps stay while there is time for them
    /// [default: the scenario's].
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,
    #[command(flatten)]
    rules: RulesArgs,
    /// Start of the random sequence: the same seed gives the same plan.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    driving: DrivingArgs,
    /// Write the results into this directory [default: results/HOST_SCENARIO_TIME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// JSON on stdout instead of text: run.json with `scenario` in it (schema: replayer/schemas/run.json).
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gates: GatesArgs,
    #[command(flatten)]
    thresholds: ThresholdsArgs,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let scenario = args.scenario()?;
    let site = args.driving.target.look()?;
    let grading = args.thresholds.read_or(site.thresholds())?;
    let (traffic, planning) = args.traffic(&scenario)?;
    let seed = Seed(args.seed);
    check_routes("criteria", scenario.criteria.of_requests(), traffic.sessions(seed)?.outlines())?;
    let of_guard = args.driving.orders(&site, args.thresholds.levels(site.thresholds())?);
    let orders = Orders { rules: scenario.stop.clone().and(&of_guard.rules), ..of_guard };
    if args.driving.dry_run {
        return dry_run::run(&args.driving, &planning, &orders, &site, &traffic, &[seed]);
    }
    let monitors = args.driving.monitors.read(site.environment.as_ref())?;
    for metric in unseen(&scenario, &monitors) {
        eprintln!(
            "warning: no monitor is named after {metric}: that criterion will be UNDECIDED (--monitor, or --env)"
        );
    }
    let site = site.entered()?;
    let config = args.config(&site, &scenario)?;
    let out = args.out.clone().unwrap_or_else(|| folder_of(&scenario.name, &site));
    let course = Course {
        driving: &args.driving,
        planning,
        orders,
        // Whether too many failed, the criteria say.
        max_failures: 1.0,
    };
    let player = Player::prepared(course, traffic, site, config, &[seed], |_| Some(out.clone()))?;
    let judge = Judge { scenario: &scenario, usual_per_s: scenario.usual_per_s()? };
    let alerts = args.driving.alert.start()?;
    alerts.tell(&format!("the scenario {} to {} begins", scenario.name, player.config.target.origin()));
    let ended = args.play(&player, &judge, &out, &grading, &alerts);
    ended.inspect_err(|error| alerts.tell(&format!("the scenario broke off: {error:#}")))
}

/// Metrics of criteria that no monitor has the name of.
fn unseen<'a>(scenario: &'a Scenario, monitors: &[Settings]) -> Vec<&'a str> {
    let is_seen =
        |metric: &str| monitors.iter().any(|monitor| metric.split('.').next() == Some(&monitor.name));
    scenario
        .criteria
        .of_monitors()
        .map(|limit| limit.metric.as_str())
        .filter(|metric| !is_seen(metric))
        .collect()
}

impl RunArgs {
    fn play(
        &self,
        player: &Player<'_>,
        judge: &Judge<'_>,
        out: &Path,
        grading: &Grading,
        alerts: &Alerts,
    ) -> anyhow::Result<Exit> {
        let played = player
            .play_and(&player.turns[0], |run, measured, watched| judge.complete(run, measured, watched))?;
        let Played { run, watched, kept, .. } = played;
        let exit = exit_of(run.verdict);
        let happened = happened(&watched);
        let written = folder::write(out, &run, watched);
        // Told whatever became of the files: nobody wants to repeat an hour for a full disk.
        print_result(&if self.json { json_of(&run)? } else { self.text(&run) })?;
        alerts.tell(&ended(&run));
        kept?;
        written?;
        let assessment = grading.assess(Some(out), &run)?;
        assessment.breaches.iter().for_each(|breach| alerts.tell(&breach.sentence()));
        if !self.json {
            print_result(&(assessment.render() + &happened))?;
        }
        eprintln!("results in {}", out.display());
        Ok(exit)
    }

    /// The scenario's verdict first.
    fn text(&self, run: &RunReport) -> String {
        let scenario = run.scenario.as_ref().map(told::render).unwrap_or_default();
        scenario + "\n" + &table(run.clone(), self.gates.told())
    }

    /// As it will be run.
    fn scenario(&self) -> anyhow::Result<Scenario> {
        let scenario = found(&self.name)?;
        let given = match (&self.model, &self.capture) {
            (Some(model), _) => Some(Source::Model(model.clone())),
            (None, capture) => capture.clone().map(Source::Capture),
        };
        let Some(source) = given.or_else(|| scenario.source.clone()) else {
            bail!(
                "scenario {}: whose sessions? its file names none; give a capture, or --model FILE",
                scenario.name
            )
        };
        let overrides = Overrides {
            source: Some(source.clone()),
            users: self.users,
            multiple: self.multiple,
            spawn_per_s: self.spawn_per_s,
            duration: self.duration.map(|duration| duration.0),
        };
        let load =
            overrides.load(&scenario.load, &source).with_context(|| format!("scenario {}", scenario.name))?;
        // What the file expects is of its own load.
        let is_other = load != scenario.load;
        let expect_per_s = scenario.expect_per_s.filter(|_| !is_other || self.is_only_shorter());
        Ok(Scenario { source: Some(source), load, expect_per_s, ..scenario })
    }

    fn is_only_shorter(&self) -> bool {
        self.users.is_none() && self.multiple.is_none() && self.model.is_none() && self.capture.is_none()
    }

    fn config(&self, site: &Site, scenario: &Scenario) -> anyhow::Result<DriveConfig> {
        let is_model = matches!(scenario.source, Some(Source::Model(_)));
        let bars = scenario.criteria.of_requests().map(bar).collect();
        Ok(DriveConfig { bars, ..self.driving.config(site, is_model)? })
    }

    fn traffic(&self, scenario: &Scenario) -> anyhow::Result<(Traffic, Planning)> {
        match (&scenario.source, &scenario.load) {
            (Some(Source::Model(path)), Load::Users(shape)) => {
                let stays = shape.stays();
                let modelled = Modelled::staying(path.clone(), scenario.read_model(path)?, stays.clone());
                Ok((Traffic::Modelled(Box::new(modelled)), Planning::Staying(stays)))
            }
            (Some(Source::Capture(path)), load) => {
                let recorded = Arc::new(Recorded::read_traffic(path, &self.rules)?);
                Ok((Traffic::Captured(recorded), of_capture(load)?))
            }
            _ => unreachable!("a model has users, and whose sessions they are is known"),
        }
    }
}

fn of_capture(load: &Load) -> anyhow::Result<Planning> {
    match load {
        Load::Whole(multiple) => Ok(Planning::Amplified(Multiple::new(*multiple)?, Mode::Crowd)),
        Load::Multiples(shape) => Ok(Planning::Shaped(shape.clone())),
        Load::Users(_) => unreachable!("a capture is multiplied"),
    }
}

impl Scenario {
    fn read_model(&self, path: &Path) -> anyhow::Result<Model> {
        let model = Model::read(path).map_err(|error| anyhow!("model: {}", error.in_one_line()))?;
        model.changed(&self.changes).map_err(|why| anyhow!("scenario {}: {why}", self.name))
    }

    /// Of one user of its model.
    fn usual_per_s(&self) -> anyhow::Result<Option<f64>> {
        match &self.source {
            Some(Source::Model(path)) => Ok(Some(self.read_model(path)?.usual_rate_per_s())),
            _ => Ok(None),
        }
    }
}

/// `results/staging_normal_20261130T231455Z`; without an environment the host has its place.
fn folder_of(scenario: &str, site: &Site) -> PathBuf {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = OffsetDateTime::now_utc().format(form).unwrap_or_default();
    let host = site.target.authority().to_owned();
    let host = site.environment.as_ref().map_or(host, |environment| environment.name.clone());
    let kept = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let host: String = host.chars().map(kept).collect();
    PathBuf::from("results").join(format!("{host}_{scenario}_{time}"))
}
