//! Gates over several runs: their values, and in which runs they did not pass.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{Figure, Unit};
use crate::measure::gates::Gates;
use crate::measure::run::GateKind;

/// One gate over several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateFigure {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<GateKind>,
    /// Seeds of the runs in which it failed.
    pub failed: Vec<u64>,
    /// In which it passed because nobody can tell.
    pub undecided: Vec<u64>,
    /// `null` where no run has a value.
    pub value: Option<Figure>,
}

impl GateFigure {
    /// Ok with every seed.
    pub fn is_ok(&self) -> bool {
        self.failed.is_empty() && self.undecided.is_empty()
    }
}

/// By name.
pub type GateFigures = BTreeMap<String, GateFigure>;

/// Of the gates of each seed.
pub fn over(runs: &[(u64, &Gates)]) -> GateFigures {
    let names = runs.iter().flat_map(|(_, gates)| gates.keys());
    names.map(|name| (name.clone(), one(name, runs))).collect()
}

fn one(name: &str, runs: &[(u64, &Gates)]) -> GateFigure {
    let gates = || runs.iter().filter_map(|(seed, gates)| Some((*seed, gates.get(name)?)));
    let unit = if name.ends_with("_share") { Unit::Share } else { Unit::Number };
    GateFigure {
        kind: gates().find_map(|(_, gate)| gate.kind),
        failed: gates().filter(|(_, gate)| !gate.pass).map(|(seed, _)| seed).collect(),
        undecided: gates().filter(|(_, gate)| gate.pass && !gate.decided).map(|(seed, _)| seed).collect(),
        value: Figure::of(unit, gates().filter_map(|(_, gate)| gate.value).collect()),
    }
}
