//! What all searches of a command have in common, and one search on it.

use std::time::Instant;

use anyhow::Context as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::CapacityArgs;
use super::aim::Aim;
use super::load::Load;
use super::progress::Progress;
use crate::assessment::grown;
use crate::bottleneck::{self, Profile};
use crate::capacity::answer::{Answer, Unit};
use crate::capacity::cold_start::ColdStart;
use crate::capacity::field::Field;
use crate::capacity::finding::Finding;
use crate::capacity::scalability::scalability;
use crate::capacity::search::{Next, Search};
use crate::capacity::trial::Purpose;
use crate::capacity::verdict::Verdict;
use crate::cli::http;
use crate::cli::replay::stop;
use crate::drive::DriveConfig;
use crate::measure::http::HttpCounts;
use crate::monitor::Monitors;
use crate::monitor::settings::Settings;
use crate::monitor::timeline::Timeline;
use crate::thresholds::Thresholds;

pub(super) struct Ground<'a> {
    args: &'a CapacityArgs,
    load: &'a Load,
    aim: Aim,
    config: DriveConfig,
    monitors: Vec<Settings>,
    unit: Unit,
    foretold: Option<String>,
}

/// What came of a search.
struct Searched {
    finding: Finding,
    profiles: Vec<Profile>,
    http: HttpCounts,
    cold_start: Option<ColdStart>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(
        args: &'a CapacityArgs,
        load: &'a Load,
        aim: Aim,
        config: DriveConfig,
        monitors: Vec<Settings>,
    ) -> anyhow::Result<Self> {
        let foretold = http::foretell(load.outlines(), &config);
        let field = Field::new(load.source(), config.clone(), &aim.slo);
        let unit = load.unit(field.with_context(|| load.name().to_owned())?.unit_per_s);
        Ok(Self { args, load, aim, config, monitors, unit, foretold })
    }

    pub(super) fn sentence(&self) -> String {
        let target = self.config.target.origin();
        let (name, unit) = (self.load.name(), self.unit.sentence());
        let lines = [format!("{name}: 1x is {unit}; to {target}, {}", self.aim.slo)];
        lines.into_iter().chain(self.foretold.clone()).collect::<Vec<_>>().join("\n")
    }

    /// What was found, and what the monitors saw meanwhile.
    pub(super) fn search(&self, seed: u64) -> anyhow::Result<(Answer, Timeline)> {
        let Self { args, load, aim, unit, .. } = self;
        let mut field = Field::new(load.source(), self.config.clone(), &aim.slo)?;
        let is_careful = !self.config.target.is_private();
        let searching = args.search(seed, &field, load, aim, is_careful)?;
        let (started, began) = (OffsetDateTime::now_utc(), Instant::now());
        let watching = Monitors::start(&self.monitors)?;
        let Searched { finding, profiles, http, cold_start } = search(searching, &mut field)?;
        let watched = watching.stop(began);
        let lasted_s = began.elapsed().as_secs_f64();
        let mut suspects = bottleneck::diagnose(&profiles);
        bottleneck::confirm(&mut suspects, &watched);
        let answer = Answer {
            kingtide_version: env!("CARGO_PKG_VERSION").to_owned(),
            capture: load.name().to_owned(),
            target: self.config.target.origin(),
            started: started.format(&Rfc3339).unwrap_or_default(),
            duration_s: lasted_s,
            cold_start,
            scalability: scalability(&finding.trials, finding.retrograde.is_some()),
            finding: unit.complete(finding),
            unit: *unit,
            bottleneck: suspects,
            grown: grown::during(&watched, lasted_s, &Thresholds::default()),
            next_limit: bottleneck::next_limit(&profiles),
            cautions: load
                .cautions()
                .into_iter()
                .chain(self.foretold.clone())
                .chain(http.caution())
                .chain(stop::killed_by(&aim.kill_files))
                .collect(),
            http,
            interrupted: field.is_stopped(),
        };
        Ok((answer, watched))
    }
}

/// Asks, holds and tells until the search has enough or the user has.
fn search(mut search: Search, field: &mut Field<'_>) -> anyhow::Result<Searched> {
    let (mut progress, mut profiles, mut http) = (Progress::default(), Vec::new(), HttpCounts::default());
    let mut cold_start = None;
    let finding = loop {
        let trial = match search.next() {
            Next::Done(finding) => break *finding,
            Next::Trial(trial) => trial,
        };
        if field.is_stopped() {
            break search.finding();
        }
        progress.begins(&trial);
        let played = field.play(&trial, search.watch(), &mut |second| progress.second(second))?;
        played.measured.iter().for_each(|measured| http.add_run(&measured.recorder.http));
        if played.is_interrupted {
            progress.ends(None);
            break search.finding();
        }
        if trial.purpose == Purpose::WarmUp {
            cold_start = played.cold_start();
        }
        let judged = search.on_trial(&trial, &played.observation);
        progress.ends(Some(judged));
        let tells = trial.purpose.classifies() && judged.verdict != Verdict::Invalid;
        profiles.extend(played.profile(judged).filter(|_| tells));
    };
    Ok(Searched { finding, profiles, http, cold_start })
}
