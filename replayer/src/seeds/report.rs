//! The joint report of several seeds: the contract of `seeds.json`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::figures::{Figure, Figures, of_route, of_run};
use super::gates::{self, GateFigures};
use super::merged::Merged;
use crate::measure::run::{GateKind, Percentiles, RunReport, Verdict};
use crate::measure::verdict::Judgement;
use crate::report::format::{counted, share};
use crate::report::words::listed;

/// Fewer do not vary.
const VALID_MIN: usize = 2;
/// Of the mean: an interval that is wider than so much to either side is worth more runs.
const WIDE: f64 = 0.1;

/// What the runs have in common beside their reports.
#[derive(Debug, Clone)]
pub struct Setting {
    /// All that were asked for, in order.
    pub seeds: Vec<u64>,
    /// Pause between two runs.
    pub settle_s: f64,
    /// Each run has a directory beside the report.
    pub has_files: bool,
    /// Why not all of them were run, if it was not the user's wish.
    pub broken_by: Option<String>,
    /// What a reader must know of the plans together, as sentences.
    pub cautions: Vec<String>,
}

/// See the module. Times are milliseconds, sizes bytes, shares 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedsReport {
    pub kingtide_version: String,
    pub capture: String,
    pub target: String,
    pub multiple: f64,
    pub mode: String,
    pub clock: String,
    pub uplink: String,
    pub settle_s: f64,
    pub runs: Vec<SeedRun>,
    /// Seeds that were asked for and not run.
    pub not_begun: Vec<u64>,
    /// Of the runs that count; so are all that follow.
    pub figures: Figures,
    pub routes: Vec<RouteFigures>,
    pub gates: GateFigures,
    pub merged: Merged,
    pub verdict: Verdict,
    /// Why, and what makes the figures less than they seem, in sentences a person can act on.
    pub reasons: Vec<String>,
}

/// One run, in brief: the rest is in its run.json.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedRun {
    pub seed: u64,
    /// Of its files, beside this one.
    pub directory: Option<String>,
    pub verdict: Verdict,
    /// Why it does not count.
    pub left_out: Option<String>,
    pub started: String,
    pub duration_s: f64,
    pub planned: u64,
    pub sent: u64,
    pub done: u64,
    pub failed: u64,
    pub latency_ms: Percentiles,
    pub service_ms: Percentiles,
    pub lag_ms: Percentiles,
    pub interrupted: bool,
}

/// A route over the runs that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteFigures {
    pub route: String,
    pub figures: Figures,
}

/// What the directory of a run is called.
pub fn directory_of(seed: u64) -> String {
    format!("seed-{seed}")
}

impl SeedsReport {
    /// Of one run at least; `merged` is of those that are valid.
    pub fn of(setting: &Setting, runs: &[RunReport], merged: Merged) -> Option<Self> {
        let first = runs.first()?;
        let valid: Vec<&RunReport> = runs.iter().filter(|run| run.verdict != Verdict::Invalid).collect();
        let figures = Figures::of(&valid.iter().map(|run| of_run(run)).collect::<Vec<_>>());
        let not_begun: Vec<u64> = setting.seeds.iter().skip(runs.len()).copied().collect();
        let Judgement { verdict, reasons } = judge(setting, runs, &not_begun);
        let cautions = cautions(runs, figures.get("latency_ms_p95"));
        Some(Self {
            kingtide_version: first.kingtide_version.clone(),
            capture: first.capture.clone(),
            target: first.target.clone(),
            multiple: first.multiple,
            mode: first.mode.clone(),
            clock: first.clock.clone(),
            uplink: first.uplink.clone(),
            settle_s: setting.settle_s,
            runs: runs.iter().map(|run| SeedRun::of(run, setting.has_files)).collect(),
            not_begun,
            figures,
            routes: routes(&valid),
            gates: gates::over(&valid.iter().map(|run| (run.seed, &run.fidelity)).collect::<Vec<_>>()),
            merged,
            verdict,
            reasons: reasons.into_iter().chain(cautions).chain(setting.cautions.iter().cloned()).collect(),
        })
    }
}

impl SeedRun {
    fn of(run: &RunReport, has_files: bool) -> Self {
        Self {
            seed: run.seed,
            directory: has_files.then(|| directory_of(run.seed)),
            verdict: run.verdict,
            left_out: left_out(run),
            started: run.started.clone(),
            duration_s: run.duration_s,
            planned: run.planned,
            sent: run.sent,
            done: run.done,
            failed: run.failed,
            latency_ms: run.latency_ms,
            service_ms: run.service_ms,
            lag_ms: run.lag_ms,
            interrupted: run.interrupted,
        }
    }
}

/// Of the routes in order of their first use.
fn routes(runs: &[&RunReport]) -> Vec<RouteFigures> {
    let mut seen = BTreeSet::new();
    let all = runs.iter().flat_map(|run| &run.routes).map(|route| route.route.as_str());
    all.filter(|route| seen.insert(*route)).map(|route| of_one_route(route, runs)).collect()
}

fn of_one_route(route: &str, runs: &[&RunReport]) -> RouteFigures {
    let of_runs = runs.iter().flat_map(|run| &run.routes).filter(|of_run| of_run.route == route);
    RouteFigures { route: route.to_owned(), figures: Figures::of(&of_runs.map(of_route).collect::<Vec<_>>()) }
}

/// | the valid runs       | verdict |
/// |----------------------|---------|
/// | are fewer than two   | INVALID |
/// | hold one that failed | FAIL    |
/// | else                 | PASS    |
fn judge(setting: &Setting, runs: &[RunReport], not_begun: &[u64]) -> Judgement {
    let of = |verdict: Verdict| runs.iter().filter(move |run| run.verdict == verdict);
    let failed: Vec<u64> = of(Verdict::Fail).map(|run| run.seed).collect();
    let valid = of(Verdict::Pass).count() + failed.len();
    let verdict = match valid {
        _ if valid < VALID_MIN => Verdict::Invalid,
        _ if failed.is_empty() => Verdict::Pass,
        _ => Verdict::Fail,
    };
    let too_few = (valid < VALID_MIN).then(|| {
        format!(
            "{valid} of {} is valid: it takes {VALID_MIN} to vary, so there is no interval",
            counted(setting.seeds.len() as u64, "run")
        )
    });
    let missed = of(Verdict::Fail).map(|run| {
        format!(
            "the target missed with seed {}: {}",
            run.seed,
            run.reasons.first().map_or("see its report", String::as_str)
        )
    });
    let left_out = of(Verdict::Invalid).map(|run| {
        format!("seed {} is left out of all figures: {}", run.seed, left_out(run).unwrap_or_default())
    });
    let stopped = (!not_begun.is_empty()).then(|| {
        let why = setting.broken_by.as_deref().unwrap_or("stopped");
        format!("{why}: {} not begun", seeds_named(not_begun))
    });
    Judgement { verdict, reasons: too_few.into_iter().chain(missed).chain(left_out).chain(stopped).collect() }
}

/// `seed 8`, `seeds 8, 9 and 10`.
pub(super) fn seeds_named(seeds: &[u64]) -> String {
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    let numbers: Vec<String> = seeds.iter().map(u64::to_string).collect();
    format!("{noun} {}", listed(&numbers).unwrap_or_default())
}

/// Why an invalid run is.
fn left_out(run: &RunReport) -> Option<String> {
    let interrupted = run.interrupted.then(|| "stopped before its plan was sent".to_owned());
    let is_cause = |kind| kind == Some(GateKind::Validity);
    let failed = run.fidelity.iter().filter(|(_, gate)| !gate.pass && is_cause(gate.kind));
    let causes: Vec<String> =
        interrupted.into_iter().chain(failed.map(|(name, gate)| gate.failure(name))).collect();
    (run.verdict == Verdict::Invalid).then(|| causes.join("; "))
}

fn cautions(runs: &[RunReport], p95: Option<&Figure>) -> Vec<String> {
    let has_interval = p95.is_some_and(|p95| p95.spread.interval.is_some());
    let meaning = has_interval.then(|| {
        "the 95 % intervals cover the luck of the draw and how this target and this machine were in these runs, one \
         after another; not other days"
            .to_owned()
    });
    let pairs = runs.windows(2).filter(|pair| pair[0].unfinished > 0);
    let busy = pairs.map(|pair| {
        format!(
            "seed {} began while {} of seed {} had no answer: the target may still have been at work on them",
            pair[1].seed,
            counted(pair[0].unfinished, "request"),
            pair[0].seed
        )
    });
    let http = runs.iter().find_map(|run| Some(format!("seed {}: {}", run.seed, run.http.caution()?)));
    meaning.into_iter().chain(p95.and_then(wide)).chain(busy).chain(http).collect()
}

/// How many runs it would take to know twice as well.
fn wide(p95: &Figure) -> Option<String> {
    let half = p95.spread.relative_half_width().filter(|half| *half > WIDE)?;
    let more = p95.spread.count_to_halve()?;
    Some(format!(
        "the mean latency p95 is known to within {} only; {more} valid runs would about halve that, if further ones \
         vary as these {} did",
        share(half),
        p95.spread.values.len()
    ))
}

#[cfg(test)]
mod tests;
