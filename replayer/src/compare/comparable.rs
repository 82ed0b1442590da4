//! Whether two results speak of the same thing. Where they do not, a difference is not the target's.

use std::fmt::Display;
use std::path::Path;

use super::Kind;
use super::input::{Input, Result};
use crate::capacity::finding::Outcome;
use crate::measure::run::{RunReport, Verdict};
use crate::report::format::{multiple, seconds};

/// In sentences; none where they can be compared.
pub(super) fn objections(a: &Input, b: &Input) -> Vec<String> {
    let (ours, theirs) = (a.result.kind(), b.result.kind());
    if ours != theirs {
        return vec![format!("A is {}, B is {}", ours.name(), theirs.name())];
    }
    let invalid = [("A", a), ("B", b)].into_iter().filter_map(|(name, input)| invalid(name, &input.result));
    invalid.chain(settings(&a.result, &b.result).into_iter().flatten()).collect()
}

fn invalid(name: &str, result: &Result) -> Option<String> {
    match result {
        Result::Run(run) => (run.report.verdict == Verdict::Invalid)
            .then(|| format!("{name} is INVALID: {}", first(&run.report.reasons))),
        Result::Seeds(seeds) => (seeds.verdict == Verdict::Invalid)
            .then(|| format!("{name} is INVALID: {}", first(&seeds.reasons))),
        Result::Capacity(found) => match found.verdict {
            _ if found.interrupted => Some(format!("{name} was stopped before it knew the capacity")),
            Outcome::Invalid | Outcome::Unstable => {
                Some(format!("{name} says nothing: {}", first(&found.reasons)))
            }
            _ if found.capacity.is_none() => {
                Some(format!("{name} has no capacity: {}", first(&found.reasons)))
            }
            _ => None,
        },
    }
}

fn first(reasons: &[String]) -> &str {
    reasons.first().map_or("it does not say why", String::as_str)
}

fn settings(a: &Result, b: &Result) -> Vec<Option<String>> {
    match (a, b) {
        (Result::Run(a), Result::Run(b)) => {
            let (a, b) = (&a.report, &b.report);
            vec![
                differs("scenario", &scenario(a), &scenario(b)),
                captures(&a.capture, &b.capture),
                differs("multiple", &multiple(a.multiple), &multiple(b.multiple)),
                differs("mode", &a.mode, &b.mode),
                differs("clock", &a.clock, &b.clock),
                differs("uplink", &a.uplink, &b.uplink),
            ]
        }
        (Result::Seeds(a), Result::Seeds(b)) => vec![
            captures(&a.capture, &b.capture),
            differs("multiple", &multiple(a.multiple), &multiple(b.multiple)),
            differs("mode", &a.mode, &b.mode),
            differs("clock", &a.clock, &b.clock),
            differs("uplink", &a.uplink, &b.uplink),
        ],
        (Result::Capacity(a), Result::Capacity(b)) => {
            let units = a.unit.zip(b.unit).filter(|(ours, theirs)| !ours.is_like(theirs));
            let units = units
                .and_then(|(ours, theirs)| differs("load that 1× is", &ours.sentence(), &theirs.sentence()));
            vec![captures(&a.capture, &b.capture), differs("SLO", &a.slo, &b.slo), units]
        }
        _ => Vec::new(),
    }
}

/// What was asked of a run beside its sessions; nothing of a plain replay.
fn scenario(run: &RunReport) -> String {
    run.scenario.as_ref().map_or_else(
        || "none".to_owned(),
        |scenario| {
            let peak = scenario.unit.tell(scenario.peak);
            format!("{} ({peak} for {})", scenario.name, seconds(Some(scenario.planned_s)))
        },
    )
}

/// The same capture may be written in several ways: its directory's name tells.
fn captures(a: &str, b: &str) -> Option<String> {
    (name_of(a) != name_of(b)).then(|| format!("the captures differ: A's is {a}, B's {b}"))
}

fn name_of(capture: &str) -> Option<&std::ffi::OsStr> {
    Path::new(capture).file_name()
}

fn differs<T: Display + PartialEq>(what: &str, a: &T, b: &T) -> Option<String> {
    (a != b).then(|| format!("the {what} differs: A has {a}, B has {b}"))
}

/// The same requests at the same instants.
pub(super) fn is_same_plan(a: &RunReport, b: &RunReport) -> bool {
    let plan = |run: &RunReport| (run.multiple.to_bits(), run.seed, run.sessions_planned, run.planned);
    let names = |run: &RunReport| [&run.mode, &run.clock, &run.uplink].map(String::clone);
    plan(a) == plan(b) && names(a) == names(b) && name_of(&a.capture) == name_of(&b.capture)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Runs => "one run",
            Self::Seeds => "several seeds",
            Self::Capacities => "a capacity",
        }
    }
}
