//! Plays plans against the target, one after another.
//!
//! What can be wrong with any of them is found before the first request of the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kingtide_common::units::{Multiple, Seed};

use super::driving::DrivingArgs;
use super::machine::Machine;
use super::progress::Display;
use crate::cli::capture::Recorded;
use crate::cli::source::Traffic;
use crate::cli::target::Site;
use crate::cli::{http, monitors};
use crate::cli::{json_of, prepare_directory};
use crate::drive::{self, DriveConfig, Measured};
use crate::guard::abort::Aborted;
use crate::guard::overseer::{Orders, Overseer};
use crate::guard::{self, smoke};
use crate::identities::{Demand, demand};
use crate::measure::achieved::Captured;
use crate::measure::raw::SampleWriter;
use crate::measure::run::{RunReport, Verdict};
use crate::measure::summary;
use crate::model::Stay;
use crate::monitor::Monitors;
use crate::monitor::cold_start::cold_starts;
use crate::monitor::settings::Settings;
use crate::monitor::timeline::Timeline;
use crate::plan::{self, Fidelity, Load, Mode, Plan};
use crate::preflight;
use crate::report::format::{counted, multiple};
use crate::report::{self, RUN_FILE, ReportError};
use crate::scenario::shape::Shape;
use crate::sessions::Outlines;
use crate::store::Store;

/// What a run created lies beside its report.
const CREATED_FILE: &str = "created.csv";
/// Some 10 MB.
const CREATED_MAX: usize = 100_000;

/// All that the plans have in common, and their turns.
pub(in crate::cli) struct Player<'a> {
    course: Course<'a>,
    traffic: Traffic,
    monitors: Vec<Settings>,
    site: Site,
    pub(in crate::cli) config: DriveConfig,
    pub(in crate::cli) turns: Vec<Turn>,
    /// Accounts that there are, if they can run out.
    accounts_held: Option<usize>,
}

/// What is done with the sessions of each turn.
pub(in crate::cli) struct Course<'a> {
    pub(in crate::cli) driving: &'a DrivingArgs,
    pub(in crate::cli) planning: Planning,
    /// What may end a run before its time.
    pub(in crate::cli) orders: Orders,
    /// Share of the planned requests that may fail.
    pub(in crate::cli) max_failures: f64,
}

/// How sessions become a plan.
pub(in crate::cli) enum Planning {
    Amplified(Multiple, Mode),
    /// Each session once, until its user leaves.
    Staying(Vec<Stay>),
    /// Sessions begin at times the capture's mean rate.
    Shaped(Shape),
}

/// The plan of one seed.
pub(in crate::cli) struct Turn {
    pub(in crate::cli) plan: Plan,
    /// `seed 2 of 5: `, and nothing for the only one.
    pub(super) label: String,
    accounts: usize,
    /// Those that the users of earlier turns take.
    accounts_before: usize,
    /// Directory of its files.
    out: Option<PathBuf>,
}

/// What is there before the first request.
struct Before {
    machine: Machine,
    fidelity: Fidelity,
    captured: Captured,
    samples: Option<SampleWriter>,
}

/// A plan that was played.
pub(in crate::cli) struct Played {
    pub(in crate::cli) run: RunReport,
    pub(in crate::cli) measured: Measured,
    pub(in crate::cli) watched: Timeline,
    /// Whether its run.json was written.
    pub(in crate::cli) kept: Result<(), ReportError>,
}

impl Planning {
    pub(super) fn plan(&self, sessions: &Outlines, seed: Seed) -> anyhow::Result<Plan> {
        Ok(match self {
            Self::Amplified(multiple, mode) => plan::amplify(sessions, *multiple, *mode, seed),
            Self::Shaped(shape) => shaped(shape, sessions, seed)?,
            Self::Staying(stays) => {
                let leaves_us: Vec<u64> = stays.iter().map(|stay| microseconds(stay.leaves)).collect();
                plan::staying(sessions, &leaves_us, seed)
            }
        })
    }
}

fn shaped(shape: &Shape, sessions: &Outlines, seed: Seed) -> anyhow::Result<Plan> {
    let peak = shape.peak();
    let corners = shape.corners().into_iter().map(|corner| (microseconds(corner.at), corner.level / peak));
    plan::trial(sessions, Multiple::new(peak)?, Load::of(corners), seed)
        .context("its sessions all start at the same instant, so it says no rate to multiply; record longer")
}

impl<'a> Player<'a> {
    /// `out` names the directory of each turn.
    pub(in crate::cli) fn prepared(
        course: Course<'a>,
        traffic: Traffic,
        site: Site,
        config: DriveConfig,
        seeds: &[Seed],
        out: impl Fn(Seed) -> Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let monitors = course.driving.monitors.read(site.environment.as_ref())?;
        ensure!(
            !course.orders.rules.monitors_critical || !monitors.is_empty(),
            "monitors=critical cannot end a run that no monitor watches: give --monitor FILE, or write a [[monitor]] \
             table into the environment's file"
        );
        let mut player =
            Self { course, traffic, monitors, site, config, turns: Vec::new(), accounts_held: None };
        for &seed in seeds {
            let (plan, demand) = player.planned(seed).map_err(|error| match seeds {
                [_] => error,
                _ => error.context(format!("seed {}", seed.0)),
            })?;
            let number = player.turns.len() + 1;
            let label = format!("seed {number} of {}: ", seeds.len());
            player.accounts_held = demand.held;
            player.turns.push(Turn {
                plan,
                label: if seeds.len() > 1 { label } else { String::new() },
                accounts: demand.accounts,
                accounts_before: player.accounts_needed(),
                out: out(seed),
            });
        }
        Ok(player)
    }

    /// The plan of the next turn, if it can be played. The first one's look at the machine is that of its turn.
    fn planned(&self, seed: Seed) -> anyhow::Result<(Plan, Demand)> {
        let recorded = self.traffic.sessions(seed)?;
        let sessions = recorded.outlines();
        let plan = self.course.planning.plan(sessions, seed)?;
        guard::admit(&self.site.on_plan(&guard::Load::of(&plan, sessions, self.config.uplink)))?;
        let demand = demand(self.config.identities.as_ref(), &plan, sessions)?;
        if !self.turns.is_empty() {
            preflight::check(&plan, sessions, &self.config)?;
        }
        Ok((plan, demand))
    }

    fn accounts_needed(&self) -> usize {
        self.turns.iter().map(|turn| turn.accounts).sum()
    }

    /// What a reader must know of the plans together, as sentences.
    pub(super) fn cautions(&self) -> Vec<String> {
        let needed = self.accounts_needed();
        let shared = self.accounts_held.filter(|held| *held < needed).map(|held| {
            format!(
                "the identities file has {} for the {} of all seeds: users of later runs log in as users of \
                 earlier ones; {} would do",
                counted(held as u64, "account"),
                counted(needed as u64, "user"),
                counted(needed as u64, "line"),
            )
        });
        let is_by_chance =
            !self.traffic.is_captured() || self.turns.iter().all(|turn| turn.plan.is_by_chance());
        let alike = (!is_by_chance).then(|| {
            "every seed gives the same plan here: figures vary by the target and this machine alone"
                .to_owned()
        });
        shared.into_iter().chain(alike).collect()
    }

    /// Plays the plan and reports on it; an error is this machine's.
    pub(super) fn play(&self, turn: &Turn) -> anyhow::Result<Played> {
        self.play_and(turn, |_, _, _| {})
    }

    /// The same; `add` completes the report before it is written.
    pub(in crate::cli) fn play_and(
        &self,
        turn: &Turn,
        add: impl FnOnce(&mut RunReport, &Measured, &Timeline),
    ) -> anyhow::Result<Played> {
        let recorded = self.traffic.sessions(turn.plan.seed)?;
        let (store, sessions) = (&recorded.sessions.sessions, recorded.outlines());
        announce(turn, &recorded, &self.config);
        let machine = self.course.driving.machine.look(&turn.plan, store, &self.config)?;
        turn.out.as_deref().map_or(Ok(()), |directory| prepare_directory(directory, RUN_FILE))?;
        let before = Before {
            machine,
            fidelity: plan::fidelity(&turn.plan, sessions),
            captured: Captured::of(store)?,
            samples: self.course.driving.samples.start(turn.out.as_deref(), sessions)?,
        };
        let config = DriveConfig {
            samples: before.samples.as_ref().map(SampleWriter::sink),
            identities: self.config.identities.as_ref().map(|all| all.after(turn.accounts_before)),
            created_max: if self.lists_created(turn) { CREATED_MAX } else { 0 },
            ..self.config.clone()
        };
        let Driven { measured, mut watched, aborted } = self.drive(turn, store, config)?;
        let mut run = self.report(turn, &recorded, before, &measured, aborted.as_ref());
        add(&mut run, &measured, &watched);
        self.stamp(turn, &run);
        watched.events.extend(cold_starts(&run.series));
        watched.events.sort_by(|one, other| one.at_s.total_cmp(&other.at_s));
        let json = json_of(&run)?;
        let write = |directory: &Path| {
            report::write_whole(&directory.join(RUN_FILE), &json)?;
            write_created(directory, &run, &measured)
        };
        let kept = turn.out.as_deref().map_or(Ok(()), write);
        let kept = kept.and(monitors::write(turn.out.as_deref(), &watched));
        Ok(Played { run, measured, watched, kept })
    }

    /// Sends, with the monitors and the overseer beside it.
    fn drive(&self, turn: &Turn, store: &Store, config: DriveConfig) -> anyhow::Result<Driven> {
        let sessions = store.outlines();
        let orders = &self.course.orders;
        let live = Arc::new(orders.live());
        let planned_end = Duration::from_micros(drive::planned_end_us(&turn.plan, sessions, config.uplink));
        let planned = drive::planned_requests(&turn.plan, sessions);
        let planned = (!turn.plan.has_stays()).then_some(planned);
        let monitors = Monitors::start(&self.monitors)?;
        let display = Display::start(&turn.label, Arc::clone(&live), planned, planned_end);
        let overseer =
            Overseer::start(orders, Arc::clone(&live), monitors.last_looks(), config.stop.clone())?;
        let config = DriveConfig { stop: overseer.stop.clone(), ..config };
        let measured = drive::run(&turn.plan, store, &config, &live);
        display.finish();
        let aborted = overseer.finish();
        let zero = live.zero().unwrap_or(monitors.began());
        Ok(Driven { measured: measured?, watched: monitors.stop(zero), aborted })
    }

    /// Who shares a target clears away what was created in it.
    fn lists_created(&self, turn: &Turn) -> bool {
        self.site.environment.is_some() && turn.out.is_some()
    }

    /// One user who passed opens the door for more.
    fn stamp(&self, turn: &Turn, run: &RunReport) {
        let is_smoke = self.site.environment.is_some() && turn.plan.users() == 1;
        // Whatever was asked of it: a target that only fails is no open door.
        let is_well = run.verdict == Verdict::Pass && run.done > 0 && run.failed == 0;
        if is_smoke
            && is_well
            && let Err(error) = smoke::passed(&self.site.target)
        {
            eprintln!("warning: that one user passed cannot be kept: {error}");
        }
    }

    fn report(
        &self,
        turn: &Turn,
        recorded: &Recorded,
        before: Before,
        measured: &Measured,
        aborted: Option<&Aborted>,
    ) -> RunReport {
        let context = summary::Context {
            capture: &recorded.name,
            is_recorded: !recorded.is_model,
            target: &self.config.target.origin(),
            clock: self.config.clock,
            uplink: self.config.uplink,
            plan: &turn.plan,
            sessions: recorded.outlines(),
            captured: &before.captured,
            max_failed_share: self.course.max_failures,
            fidelity: &before.fidelity,
            preflight: &before.machine.preflight,
            headroom: before.machine.headroom.as_ref(),
            cautions: &recorded.cautions(),
            samples: before.samples.map(SampleWriter::finish),
            aborted,
            lists_created: self.lists_created(turn),
        };
        summary::report(&context, measured)
    }
}

/// What came of a turn.
struct Driven {
    measured: Measured,
    watched: Timeline,
    /// Why it was ended before its time.
    aborted: Option<Aborted>,
}

/// Where a run lists what it created, if it does.
fn write_created(directory: &Path, run: &RunReport, measured: &Measured) -> Result<(), ReportError> {
    if run.created.is_none() {
        return Ok(());
    }
    let path = directory.join(CREATED_FILE);
    let rows = measured.recorder.created.to_csv(measured.routes.labels());
    report::write_whole(&path, &rows.unwrap_or_default())
}

fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn announce_stays(turn: &Turn, recorded: &Recorded, config: &DriveConfig) {
    let end_us = drive::planned_end_us(&turn.plan, recorded.outlines(), config.uplink);
    eprintln!(
        "{}{}: {} come and leave within {:.0} s (clock {}, seed {}), to {}",
        turn.label,
        recorded.name,
        counted(turn.plan.users() as u64, "user"),
        Duration::from_micros(end_us).as_secs_f64(),
        config.clock,
        turn.plan.seed.0,
        config.target.origin(),
    );
}

fn announce(turn: &Turn, recorded: &Recorded, config: &DriveConfig) {
    let (plan, sessions) = (&turn.plan, recorded.outlines());
    if plan.has_stays() {
        return announce_stays(turn, recorded, config);
    }
    let users = plan.users() as u64;
    let requests = drive::planned_requests(plan, sessions);
    let seconds = Duration::from_micros(drive::planned_end_us(plan, sessions, config.uplink)).as_secs_f64();
    eprintln!(
        "{}{}: {} at {} ({}, seed {}) = {} with {} in {seconds:.0} s, to {}",
        turn.label,
        recorded.name,
        counted(sessions.len() as u64, "session"),
        multiple(plan.multiple.get()),
        plan.mode,
        plan.seed.0,
        counted(users, "user"),
        counted(requests, "request"),
        config.target.origin(),
    );
    if let Some(sentence) = http::foretell(sessions, config) {
        eprintln!("{sentence}");
    }
}
