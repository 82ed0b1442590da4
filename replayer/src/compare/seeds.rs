//! The figures of two series of seeds: the unit that varies is the run, so that intervals cover the luck of the draw and how
//! the target was from run to run.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Findings;
use super::difference::Difference;
use super::estimate::Estimate;
use super::figure::{Figure, Scale, Worse};
use crate::measure::run::Verdict;
use crate::seeds::Unit;
use crate::statistics::Ratio;
use crate::statistics::ratio::Count;

/// Of `seeds.json`, what is compared.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Seeds {
    pub(super) capture: String,
    pub(super) target: String,
    pub(super) multiple: f64,
    pub(super) mode: String,
    pub(super) clock: String,
    pub(super) uplink: String,
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
    runs: Vec<OneRun>,
    figures: Values,
    routes: Vec<Route>,
    merged: Merged,
}

#[derive(Debug, Clone, Deserialize)]
struct OneRun {
    seed: u64,
    verdict: Verdict,
    started: String,
    planned: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Route {
    route: String,
    figures: Values,
}

/// By name, a value a run.
type Values = BTreeMap<String, OfRuns>;

#[derive(Debug, Clone, Deserialize)]
struct OfRuns {
    values: Vec<f64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Merged {
    routes: BTreeMap<String, Sent>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Sent {
    sent: u64,
}

/// Those of `seeds::figures` that say something of the target, in the order in which they are told.
const FIGURES: [(&str, Unit, Worse); 7] = [
    ("failed_share", Unit::Share, Worse::Higher),
    ("latency_ms_p50", Unit::Milliseconds, Worse::Higher),
    ("latency_ms_p95", Unit::Milliseconds, Worse::Higher),
    ("latency_ms_p99", Unit::Milliseconds, Worse::Higher),
    ("service_ms_p95", Unit::Milliseconds, Worse::Higher),
    ("sent_per_s", Unit::PerSecond, Worse::Lower),
    ("done_per_s", Unit::PerSecond, Worse::Lower),
];

impl Seeds {
    fn counting(&self) -> impl Iterator<Item = &OneRun> {
        self.runs.iter().filter(|run| run.verdict != Verdict::Invalid)
    }

    /// Seeds of the runs that count.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.counting().map(|run| run.seed).collect()
    }

    pub(super) fn started(&self) -> String {
        self.runs.first().map(|run| run.started.clone()).unwrap_or_default()
    }

    /// Requests of a run, on average.
    fn requests(&self, route: Option<&str>) -> f64 {
        let count = self.numbers().len().max(1) as f64;
        let all = match route {
            None => self.counting().map(|run| run.planned).sum(),
            Some(route) => self.merged.routes.get(route).map_or(0, |of| of.sent),
        };
        all as f64 / count
    }
}

pub(super) fn findings(a: &Seeds, b: &Seeds) -> Findings {
    let is_same_plan = a.numbers() == b.numbers();
    let all = of_scope(None, (a, &a.figures), (b, &b.figures), is_same_plan);
    let routes = a.routes.iter().filter_map(|ours| {
        let theirs = b.routes.iter().find(|theirs| theirs.route == ours.route)?;
        Some(of_scope(Some(&ours.route), (a, &ours.figures), (b, &theirs.figures), is_same_plan))
    });
    let figures = all.into_iter().chain(routes.flatten()).collect();
    let pairing = if is_same_plan {
        "both played the same seeds: each run is held against the one of the same seed"
    } else {
        "the seeds differ: the luck of the draw is in the intervals; the same seeds for both tell smaller differences"
    };
    Findings { is_same_plan, figures, bottleneck: None, cautions: vec![pairing.to_owned()] }
}

type Side<'a> = (&'a Seeds, &'a Values);

fn of_scope(route: Option<&str>, a: Side<'_>, b: Side<'_>, is_same_plan: bool) -> Vec<Figure> {
    let figure = |&(name, unit, worse): &(&str, Unit, Worse)| {
        let (ours, theirs) = (&a.1.get(name)?.values, &b.1.get(name)?.values);
        let estimate = |(seeds, _): Side<'_>, values: &[f64]| match unit {
            Unit::Share => share(values, seeds.requests(route)),
            _ => Some(Estimate::Mean { values: values.to_vec(), scale: Scale::Ratio }),
        };
        Some(Figure {
            name: name.to_owned(),
            route: route.map(str::to_owned),
            unit,
            worse,
            decides: matches!(name, "failed_share" | "latency_ms_p95"),
            a: estimate(a, ours)?,
            b: estimate(b, theirs)?,
            difference: difference(unit, ours, theirs, is_same_plan),
        })
    };
    FIGURES.iter().filter_map(figure).collect()
}

/// A run is what a second is within one: failures of a run share their fate.
fn share(values: &[f64], requests: f64) -> Option<Estimate> {
    let runs = values.iter().map(|share| Count { asked: requests, counted: share * requests });
    Ratio::of(&runs.collect::<Vec<_>>()).map(Estimate::Share)
}

fn difference(unit: Unit, a: &[f64], b: &[f64], is_same_plan: bool) -> Difference {
    match unit {
        _ if a.len().min(b.len()) < 2 => Difference::Unknown("one run has no interval".to_owned()),
        // Two series without a failure are not sure that there is none: their intervals have a width.
        Unit::Share => Difference::Sides { correlation: 0.0 },
        _ if is_same_plan && a.len() == b.len() => {
            Difference::Pairs(a.iter().zip(b).map(|(a, b)| b.ln() - a.ln()).collect())
        }
        _ => Difference::Sides { correlation: 0.0 },
    }
}
