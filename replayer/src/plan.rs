//! The plan: which clone of which session starts when. Pure: the same capture, multiple, mode and seed
//! give the same plan on every machine.
//!
//! [`amplify`] makes the plan, [`releases`] spells it out as planned sends, [`dispersion`] and [`fidelity`]
//! say how like the capture it is. A plan holds no clones: it makes them in order from its seed as often as
//! they are asked for, so that its memory follows the capture and not the multiple (unless starts move by as much
//! as the capture is long).

mod blocks;
mod crowd;
pub mod dispersion;
pub mod fidelity;
mod ks;
pub(crate) mod random;
mod releases;
mod starts;
mod stays;
mod trial;

use std::fmt;
use std::sync::Arc;

use clap::ValueEnum;
use kingtide_common::units::{Multiple, Seed};
use serde::Serialize;

use crate::sessions::{Outlines, StepOutline};
use starts::Starts;

pub use dispersion::dispersion;
pub(crate) use fidelity::total_variation;
pub use fidelity::{Comparison, DispersionCheck, Fidelity, Shapes, fidelity};
pub use releases::releases;
pub use stays::staying;
pub use trial::{Load, settled_us, trial, unit_per_s};

/// How the captured population is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Local session bootstrap: N times the users under the same clock.
    #[default]
    Crowd,
    /// Starts as a stationary process at the capture's mean rate × N.
    Steady,
    /// Aligned copies: every captured start happens N times at its own instant.
    Volley,
    /// Time compression: drains the capture faster, not a capacity test.
    Tempo,
}

/// A clone of a session: a new user with the recorded behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedClone {
    /// Its first release, microseconds from the start of the run.
    pub start_us: u64,
    /// Index of the session it is a clone of.
    pub session: usize,
}

/// Everything that will be sent in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub multiple: Multiple,
    pub mode: Mode,
    pub seed: Seed,
    /// Width of the bootstrap's shift of starts, seconds; 0 where starts are not shifted.
    pub shift_s: f64,
    /// Of a trial of the capacity search; `None`: the starts span what the captured ones span.
    load: Option<Load>,
    /// When the user of each session leaves, microseconds from the start of the run; `None`: when it is done.
    leaves_us: Option<Arc<[u64]>>,
    starts: Arc<Starts>,
}

/// One planned send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Intended instant, microseconds from the start of the run.
    pub intended_us: u64,
    /// Which of [`Plan::clones`].
    pub clone: usize,
    /// Index into the session's steps.
    pub step: usize,
}

/// Plans a run of `multiple` times the captured sessions.
///
/// At 1× every mode but `steady` is the capture itself: each session once, at its own instant. `crowd` and
/// `steady` draw round(multiple × sessions) sessions with replacement, never fewer than one.
pub fn amplify(sessions: &Outlines, multiple: Multiple, mode: Mode, seed: Seed) -> Plan {
    let starts = Arc::new(Starts::of(sessions));
    let plan = Plan { multiple, mode, seed, shift_s: 0.0, load: None, leaves_us: None, starts };
    let shift_s = if plan.is_shifted() { crowd::fitted_s(&plan, sessions) } else { 0.0 };
    Plan { shift_s, ..plan }
}

impl Plan {
    /// All clones, ordered by start and session.
    ///
    /// Holds the clones of one block of sessions and, in `crowd`, of those that start within six widths of the
    /// shift.
    pub fn clones(&self) -> Box<dyn Iterator<Item = PlannedClone> + Send + '_> {
        if let Some(load) = &self.load {
            return Box::new(trial::clones(self, load));
        }
        match self.mode {
            _ if self.starts.is_empty() => Box::new(std::iter::empty()),
            Mode::Crowd if self.is_capture() => Box::new(self.starts.each_once(1.0)),
            Mode::Crowd => Box::new(crowd::clones(self)),
            Mode::Steady => Box::new(starts::steady(self)),
            Mode::Volley => Box::new(starts::volley(self)),
            Mode::Tempo => Box::new(self.starts.each_once(self.multiple.get())),
        }
    }

    /// How many clones there are.
    pub fn users(&self) -> usize {
        match self.starts.len() {
            0 => 0,
            _ if self.load.is_some() => self.starts_of_load(),
            captured if self.is_drawn() || self.mode == Mode::Volley => self.multiplied(captured),
            captured => captured,
        }
    }

    /// Whether chance has a part in which sessions are cloned.
    pub(crate) fn is_drawn(&self) -> bool {
        let is_drawn = match self.mode {
            Mode::Steady => true,
            Mode::Crowd => !self.is_capture(),
            Mode::Volley | Mode::Tempo => false,
        };
        is_drawn && !self.starts.is_empty()
    }

    /// Whether another seed gives another plan of the same sessions.
    pub fn is_by_chance(&self) -> bool {
        let is_fraction = || !self.users().is_multiple_of(self.starts.len());
        self.is_drawn() || (self.mode == Mode::Volley && !self.starts.is_empty() && is_fraction())
    }

    fn is_shifted(&self) -> bool {
        self.mode == Mode::Crowd && self.is_drawn()
    }

    fn is_capture(&self) -> bool {
        (self.multiple.get() - 1.0).abs() < f64::EPSILON
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a multiple is positive and ≤ 1000
    fn multiplied(&self, captured: usize) -> usize {
        ((self.multiple.get() * captured as f64).round() as usize).max(1)
    }

    /// By what starts and gaps are divided: the multiple in `tempo`, else 1.
    pub fn speed(&self) -> f64 {
        if self.mode == Mode::Tempo { self.multiple.get() } else { 1.0 }
    }

    /// Intended instants of all releases, microseconds from the start of the run, clone by clone.
    pub fn instants_us<'a>(&'a self, sessions: &'a Outlines) -> impl Iterator<Item = u64> + 'a {
        self.clones().flat_map(move |clone| {
            let steps = self.steps(clone, sessions).iter();
            steps.map(move |step| self.intended_us(clone, step.offset_us))
        })
    }

    /// Of a clone's steps those that the plan has: all of them, or those before a trial's end.
    pub(crate) fn steps<'a>(&self, clone: PlannedClone, sessions: &'a Outlines) -> &'a [StepOutline] {
        let steps = sessions.get(clone.session).steps;
        let Some(load) = &self.load else { return steps };
        let length_us = load.length_us();
        let within = |step: &StepOutline| self.intended_us(clone, step.offset_us) < length_us;
        &steps[..steps.partition_point(within)]
    }

    /// Intended instant of what the captured session did at `offset_us`, microseconds from the start of the run.
    pub fn intended_us(&self, clone: PlannedClone, offset_us: u64) -> u64 {
        clone.start_us.saturating_add(self.scaled_us(offset_us))
    }

    /// A captured duration as this plan plays it, microseconds: shorter in `tempo`.
    pub fn scaled_us(&self, captured_us: u64) -> u64 {
        scaled(captured_us, self.speed())
    }
}

/// `time_us / speed`, exact at speed 1.
fn scaled(time_us: u64, speed: f64) -> u64 {
    if (speed - 1.0).abs() < f64::EPSILON { time_us } else { rounded_us(time_us as f64 / speed) }
}

/// A time that is known not to be negative, in whole microseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a float beyond u64 saturates
fn rounded_us(time_us: f64) -> u64 {
    time_us.max(0.0).round() as u64
}

impl Mode {
    /// What the mode changes in the rhythm of N times the users, by design; `None` when it keeps it.
    pub fn changes(self) -> Option<&'static str> {
        match self {
            Self::Crowd => None,
            Self::Steady => Some("steady spreads the starts evenly and takes the bursts away"),
            Self::Volley => Some("volley starts all copies of a user at the same instant"),
            Self::Tempo => Some("tempo drains the capture faster, not a capacity test"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crowd => "crowd",
            Self::Steady => "steady",
            Self::Volley => "volley",
            Self::Tempo => "tempo",
        })
    }
}

#[cfg(test)]
mod tests;
