//! Two capacities: their ratio, and whether a change moved what was suspected.

use serde::Deserialize;

use super::difference::Difference;
use super::estimate::Estimate;
use super::figure::{Figure, Worse};
use super::judge::{self, Verdict};
use super::{Findings, Relevant};
use crate::bottleneck::split::CLIENT;
use crate::bottleneck::{Confidence, Suspect};
use crate::capacity::answer::Unit as OneTimes;
use crate::capacity::finding::{Bound, Capacity, Outcome};
use crate::report::words::spoken;
use crate::seeds::Unit;
use crate::statistics::Interval;

/// Of `capacity.json`, what is compared.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Found {
    pub(super) capture: String,
    pub(super) target: String,
    pub(super) started: String,
    pub(super) slo: String,
    /// Of older files unknown.
    pub(super) unit: Option<OneTimes>,
    pub(super) verdict: Outcome,
    pub(super) capacity: Option<Capacity>,
    pub(super) interrupted: bool,
    pub(super) reasons: Vec<String>,
    failure_mode: Option<String>,
    bottleneck: Vec<Suspect>,
}

/// What `kingtide capacity --seeds` leaves: several searches, and the mean of their capacities.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Several {
    capacity: Option<Together>,
    searches: Vec<Found>,
    reasons: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Together {
    multiple: f64,
    low: f64,
    high: f64,
}

impl Several {
    /// All of them as one: the first one's words, the mean of all for a capacity. `None` where nothing was searched.
    pub(super) fn together(self) -> Option<Found> {
        let Self { capacity, searches, reasons } = self;
        let first = searches.into_iter().next()?;
        let capacity = capacity.zip(first.capacity).map(|(Together { multiple, low, high }, of_first)| {
            Capacity { multiple, low, high, bound: Bound::Estimate, ..of_first }
        });
        Some(Found { capacity, reasons, ..first })
    }
}

impl Found {
    /// As its file has it.
    pub(super) fn verdict_name(&self) -> String {
        serde_json::to_value(self.verdict)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

pub(super) fn findings(a: &Found, b: &Found, relevant: Relevant) -> Findings {
    let figures: Vec<Figure> = a.capacity.as_ref().zip(b.capacity.as_ref()).map(figure).into_iter().collect();
    let is_higher = judge::judge(&figures, relevant).iter().any(|told| told.verdict == Verdict::Better);
    let bottleneck = is_higher.then(|| confirmed(a, b)).flatten();
    Findings { is_same_plan: false, figures, bottleneck, cautions: cautions(a, b) }
}

fn figure((a, b): (&Capacity, &Capacity)) -> Figure {
    Figure {
        name: "capacity".to_owned(),
        route: None,
        unit: Unit::Multiple,
        worse: Worse::Lower,
        decides: true,
        a: estimate(a),
        b: estimate(b),
        difference: Difference::Sides { correlation: 0.0 },
    }
}

/// Where only a bound is known, the other one is anywhere.
fn estimate(capacity: &Capacity) -> Estimate {
    let value = capacity.multiple;
    let (low, high) = match capacity.bound {
        Bound::Estimate => (capacity.low, capacity.high),
        // A staircase knows the step that failed.
        Bound::AtLeast if capacity.high > value => (value, capacity.high),
        Bound::AtLeast => (value, f64::INFINITY),
        Bound::AtMost => (0.0, value),
    };
    Estimate::Known { value, interval: Some(Interval { low, high }) }
}

/// A's first suspect, where it is no longer what grows most though B was loaded with more than A held: a change of what was
/// suspected moved the capacity.
fn confirmed(a: &Found, b: &Found) -> Option<Suspect> {
    let suspect = a.bottleneck.first()?;
    let is_still = |other: &Suspect| (&other.stage, &other.route) == (&suspect.stage, &suspect.route);
    // Where B tells no stages, or met no limit, the suspected one is not seen to be better.
    let told = b.bottleneck.first().filter(|other| !CLIENT.contains(&other.stage.as_str()))?;
    let has_gone = !is_still(told);
    has_gone.then(|| Suspect { confidence: Confidence::Confirmed, ..suspect.clone() })
}

fn cautions(a: &Found, b: &Found) -> Vec<String> {
    let mode = |found: &Found| found.failure_mode.as_deref().map_or("unknown".to_owned(), spoken);
    let fails = (a.failure_mode != b.failure_mode)
        .then(|| format!("how the target gives way changed: {} in A, {} in B", mode(a), mode(b)));
    let limits = |found: &Found| found.bottleneck.first().map(|suspect| suspect.stage.clone());
    let limit = (limits(a) != limits(b)).then(|| {
        let [a, b] = [limits(a), limits(b)].map(|stage| stage.unwrap_or_else(|| "nothing".to_owned()));
        format!("what grows most changed: {a} in A, {b} in B")
    });
    let length = |found: &Found| found.capacity.as_ref().map(|capacity| capacity.trial_s);
    let lengths = (length(a) != length(b)).then(|| {
        let [a, b] = [length(a), length(b)].map(Option::unwrap_or_default);
        format!("trials were {a} s long in A, {b} s in B: a capacity holds for the length of its trials")
    });
    let is_bound =
        |found: &Found| found.capacity.as_ref().is_some_and(|capacity| capacity.bound != Bound::Estimate);
    let bounds = (is_bound(a) || is_bound(b))
        .then(|| "only a bound is known of one: the ratio has one, too".to_owned());
    [fails, limit, lengths, bounds].into_iter().flatten().collect()
}
