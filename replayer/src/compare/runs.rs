//! The figures of two runs.

use super::difference::Difference;
use super::estimate::{Estimate, PERCENTILES, reported, stage_name};
use super::figure::{Figure, Worse};
use super::samples::{RouteSamples, Samples};
use super::{Findings, comparable};
use crate::measure::ClientStage;
use crate::measure::run::{Percentiles, RouteReport, RunReport, Second};
use crate::seeds::Unit;
use crate::statistics::ratio::Count;
use crate::statistics::spread::CONFIDENCE;
use crate::statistics::{Interval, Ratio};

/// What users meet, and what of it is the target's own: a slow upload hides how long the answer takes.
const DECIDING: [&str; 3] = ["failed_share", "latency_ms_p95", "wait_ms_p95"];
/// Routes with fewer requests on either side are shown and decide nothing.
const DECIDING_REQUESTS_MIN: u64 = 100;

/// Of the planned time, what answers need to come as evenly as requests: the first ones have none before them.
const RAMP_SHARE: usize = 5;

/// A run, and its samples where they are beside it.
#[derive(Debug, Clone)]
pub struct Run {
    pub report: RunReport,
    pub(super) samples: Option<Samples>,
}

/// A figure of one run, of all requests, with its 95 % interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub name: String,
    pub value: f64,
    pub interval: Option<Interval>,
}

/// A count of a second.
type OfSecond = fn(&Second) -> u64;

/// One run's part of a figure.
struct Part {
    name: String,
    unit: Unit,
    worse: Worse,
    estimate: Estimate,
}

pub(super) fn findings(a: &Run, b: &Run) -> Findings {
    let is_same_plan = comparable::is_same_plan(&a.report, &b.report);
    let all = pair_up(None, a.parts(), b.parts(), is_same_plan, true);
    let routes = a.report.routes.iter().filter_map(|ours| {
        let theirs = b.report.routes.iter().find(|theirs| theirs.route == ours.route)?;
        let decides = ours.planned.min(theirs.planned) >= DECIDING_REQUESTS_MIN;
        let (of_a, of_b) = (a.parts_of(ours), b.parts_of(theirs));
        Some(pair_up(Some(&ours.route), of_a, of_b, is_same_plan, decides))
    });
    let figures = all.into_iter().chain(routes.flatten()).collect();
    let cautions = cautions(a, b, is_same_plan);
    Findings { is_same_plan, figures, bottleneck: None, cautions }
}

/// Figures of what both have.
fn pair_up(
    route: Option<&str>,
    a: Vec<Part>,
    mut b: Vec<Part>,
    is_same_plan: bool,
    decides: bool,
) -> Vec<Figure> {
    let figure = |ours: Part| {
        let at = b.iter().position(|theirs| theirs.name == ours.name)?;
        let theirs = b.swap_remove(at);
        Some(Figure {
            decides: decides && DECIDING.contains(&ours.name.as_str()),
            route: route.map(str::to_owned),
            unit: ours.unit,
            worse: ours.worse,
            difference: Difference::by_second(&ours.estimate, &theirs.estimate, is_same_plan),
            name: ours.name,
            a: ours.estimate,
            b: theirs.estimate,
        })
    };
    a.into_iter().filter_map(figure).collect()
}

impl Run {
    /// One without samples.
    pub(crate) fn bare(report: RunReport) -> Self {
        Self { report, samples: None }
    }

    /// What is known of all its requests; with intervals, where there are samples.
    pub fn known(&self) -> Vec<Known> {
        let of_part = |part: Part| Known::of(part.name, &part.estimate);
        let own: Vec<Known> = self.parts().into_iter().map(of_part).collect();
        let failed = own.iter().find(|known| known.name == "failed_share");
        let success = failed.map(Known::success);
        let throughput =
            throughput(&self.report).map(|share| Known::of("throughput_share".to_owned(), &share));
        success.into_iter().chain(throughput).chain(own).collect()
    }

    /// Of all requests.
    fn parts(&self) -> Vec<Part> {
        let run = &self.report;
        let of_samples = self.samples.as_ref().map(|samples| measured(&samples.all(), samples.seconds));
        let parts = of_samples.unwrap_or_else(|| {
            let failed = planned_seconds(run).iter().map(|second| count(second.planned, second.failed));
            let failed = Ratio::of(&failed.collect::<Vec<_>>()).map(Estimate::Share);
            failed
                .into_iter()
                .map(failed_part)
                .chain(bare(&run.latency_ms, |stage| run.stages_ms.get(stage)))
                .collect()
        });
        parts.into_iter().chain(rates(run)).collect()
    }

    fn parts_of(&self, route: &RouteReport) -> Vec<Part> {
        match &self.samples {
            Some(samples) => {
                let of_route = samples.routes.get(&route.route);
                of_route.map(|of_route| measured(of_route, samples.seconds)).unwrap_or_default()
            }
            None => bare(&route.latency_ms, |stage| route.stages_ms.get(stage)).collect(),
        }
    }

    fn caution(&self, name: &str) -> Option<String> {
        let Some(samples) = &self.samples else {
            return Some(format!(
                "{name} has no samples.csv.gz beside its run.json, so its times have no intervals: replay with --out"
            ));
        };
        let missing = self.report.planned.saturating_sub(samples.count as u64 + self.report.withheld);
        (missing > self.report.attempts.retry_not_needed).then(|| {
            format!(
                "{name}'s samples lack {missing} of {} requests; figures are of the others",
                self.report.planned
            )
        })
    }
}

impl Known {
    fn of(name: String, estimate: &Estimate) -> Self {
        Self { name, value: estimate.value(), interval: estimate.at(CONFIDENCE) }
    }

    /// What did not fail.
    fn success(&self) -> Self {
        let interval =
            self.interval.map(|Interval { low, high }| Interval { low: 1.0 - high, high: 1.0 - low });
        Self { name: "success_share".to_owned(), value: 1.0 - self.value, interval }
    }
}

/// Answers a second by requests planned a second.
fn throughput(run: &RunReport) -> Option<Estimate> {
    let seconds = planned_seconds(run);
    let steady = &seconds[seconds.len() / RAMP_SHARE..];
    let counts: Vec<Count> = steady.iter().map(|second| count(second.planned, second.done)).collect();
    Ratio::of(&counts).map(Estimate::Rate)
}

/// By the samples.
fn measured(samples: &RouteSamples, seconds: usize) -> Vec<Part> {
    let failed = Ratio::of(&samples.failed(seconds)).map(|ratio| failed_part(Estimate::Share(ratio)));
    let latency = samples.latency(seconds);
    let latency = PERCENTILES.iter().filter_map(|(name, share)| {
        Some(time_part(format!("latency_ms_{name}"), Estimate::Quantile(latency.quantile(*share)?)))
    });
    let stages = ClientStage::ALL.into_iter().filter_map(|stage| {
        let p95 = samples.stage(stage, seconds).quantile(0.95)?;
        Some(time_part(stage_name(stage), Estimate::Quantile(p95)))
    });
    failed.into_iter().chain(latency).chain(stages).collect()
}

/// Times as the report has them, without intervals.
fn bare<'a>(
    latency: &'a Percentiles,
    stage: impl Fn(&str) -> Option<&'a Percentiles> + 'a,
) -> impl Iterator<Item = Part> + 'a {
    let known = |value| Estimate::Known { value, interval: None };
    let latency = PERCENTILES.iter().filter_map(move |(name, _)| {
        Some(time_part(format!("latency_ms_{name}"), known(reported(latency, name)?)))
    });
    let stages = ClientStage::ALL
        .into_iter()
        .filter_map(move |of| Some(time_part(stage_name(of), known(stage(of.name())?.p95?))));
    latency.chain(stages)
}

fn failed_part(estimate: Estimate) -> Part {
    Part { name: "failed_share".to_owned(), unit: Unit::Share, worse: Worse::Higher, estimate }
}

fn time_part(name: String, estimate: Estimate) -> Part {
    Part { name, unit: Unit::Milliseconds, worse: Worse::Higher, estimate }
}

fn count(asked: u64, counted: u64) -> Count {
    Count { asked: asked as f64, counted: counted as f64 }
}

/// Up to the last second for which something was planned; what comes later is the drain.
fn planned_seconds(run: &RunReport) -> &[Second] {
    let last = run.series.iter().rposition(|second| second.planned > 0);
    &run.series[..last.map_or(0, |last| last + 1)]
}

/// Sends and answers a second, in the time for which was planned.
fn rates(run: &RunReport) -> impl Iterator<Item = Part> {
    let counts: [(&str, OfSecond); 2] =
        [("sent_per_s", |second| second.sent), ("done_per_s", |second| second.done)];
    counts.into_iter().filter_map(|(name, of)| {
        let seconds: Vec<Count> = planned_seconds(run).iter().map(|second| count(1, of(second))).collect();
        let estimate = Estimate::Rate(Ratio::of(&seconds)?);
        Some(Part { name: name.to_owned(), unit: Unit::PerSecond, worse: Worse::Lower, estimate })
    })
}

fn cautions(a: &Run, b: &Run, is_same_plan: bool) -> Vec<String> {
    let covered = if is_same_plan {
        "both played the same plan: intervals cover how these two runs went, not what another hour or machine changes"
    } else if a.report.seed == b.report.seed {
        "the runs went different ways though their seed is the same, as users who wait for their answers do: intervals cover the \
         luck of that as far as these two runs show it; longer ones tell smaller differences"
    } else {
        "the plans differ: intervals cover the luck of the draw as far as these two runs show it; the same seed for both \
         tells smaller differences"
    };
    let own = [("A", a), ("B", b)].into_iter().filter_map(|(name, run)| run.caution(name));
    own.chain(routes_missing(a, b)).chain([covered.to_owned()]).collect()
}

/// Routes that only one of them has.
fn routes_missing(a: &Run, b: &Run) -> Vec<String> {
    let lacks = |name: &str, of: &Run, other: &Run| -> Vec<String> {
        let routes = of.report.routes.iter().map(|route| &route.route);
        let only = routes.filter(|route| !other.report.routes.iter().any(|theirs| theirs.route == **route));
        only.map(|route| format!("only {name} has {route}")).collect()
    };
    [lacks("A", a, b), lacks("B", b, a)].concat()
}
