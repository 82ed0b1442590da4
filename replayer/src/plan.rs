//! The plan: which clone of which session starts when. Pure: the same capture, multiple, mode and seed
//! give the same plan on every machine.
//!
//! [`amplify`] makes the plan, [`releases`] spells it out as planned sends, [`dispersion`] and [`fidelity`]
//! say how like the capture it is.

pub mod dispersion;
pub mod fidelity;
mod random;
mod releases;
mod starts;

use std::fmt;

use clap::ValueEnum;
use kingtide_common::units::{Multiple, Seed};
use serde::Serialize;

use crate::sessions::Session;

pub use dispersion::dispersion;
pub use fidelity::{Comparison, DispersionCheck, Fidelity, fidelity};
pub use releases::releases;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedClone {
    /// Index of the session it is a clone of.
    pub session: usize,
    /// Its first release, microseconds from the start of the run.
    pub start_us: u64,
}

/// Everything that will be sent in one run, as clones ordered by start.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub multiple: Multiple,
    pub mode: Mode,
    pub seed: Seed,
    /// Width of the bootstrap's shift of starts, seconds; 0 where starts are not shifted.
    pub shift_s: f64,
    /// Ordered by `start_us`.
    pub clones: Vec<PlannedClone>,
}

/// One planned send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Intended instant, microseconds from the start of the run.
    pub intended_us: u64,
    /// Index into [`Plan::clones`].
    pub clone: usize,
    /// Index into the session's steps.
    pub step: usize,
}

/// Plans a run of `multiple` times the captured sessions.
///
/// At 1× every mode but `steady` is the capture itself: each session once, at its own instant. `crowd` and
/// `steady` draw round(multiple × sessions) sessions with replacement, never fewer than one.
pub fn amplify(sessions: &[Session], multiple: Multiple, mode: Mode, seed: Seed) -> Plan {
    let captured = Captured::new(sessions);
    let is_capture = (multiple.get() - 1.0).abs() < f64::EPSILON;
    let (shift_s, clones) = match mode {
        _ if sessions.is_empty() => (0.0, Vec::new()),
        Mode::Crowd if is_capture => (0.0, starts::each_once(&captured, 1.0)),
        Mode::Crowd => starts::crowd(&captured, multiple, seed),
        Mode::Steady => (0.0, starts::steady(&captured, multiple, seed)),
        Mode::Volley => (0.0, starts::volley(&captured, multiple, seed)),
        Mode::Tempo => (0.0, starts::each_once(&captured, multiple.get())),
    };
    Plan { multiple, mode, seed, shift_s, clones }
}

impl Plan {
    /// By what starts and gaps are divided: the multiple in `tempo`, else 1.
    pub fn speed(&self) -> f64 {
        if self.mode == Mode::Tempo { self.multiple.get() } else { 1.0 }
    }

    /// Intended instants of all releases, microseconds from the start of the run, clone by clone.
    pub fn instants_us(&self, sessions: &[Session]) -> Vec<u64> {
        let steps = self.clones.iter().flat_map(|clone| {
            let steps = sessions[clone.session].steps.iter();
            steps.map(move |step| self.intended_us(*clone, step.offset_us))
        });
        steps.collect()
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

/// When the captured sessions and their requests started, from the capture's first request.
#[derive(Debug)]
struct Captured<'a> {
    sessions: &'a [Session],
    starts_us: Vec<u64>,
    /// The last start.
    span_us: u64,
}

impl<'a> Captured<'a> {
    fn new(sessions: &'a [Session]) -> Self {
        let first_ns = sessions.iter().map(|session| session.start_ns).min().unwrap_or_default();
        let starts_us: Vec<u64> =
            sessions.iter().map(|session| session.start_ns.abs_diff(first_ns) / 1000).collect();
        let span_us = starts_us.iter().copied().max().unwrap_or_default();
        Self { sessions, starts_us, span_us }
    }

    /// Instants of the requests of one session that starts at `start_us`.
    fn requests_us(&self, session: usize, start_us: u64) -> impl Iterator<Item = u64> {
        self.sessions[session].steps.iter().map(move |step| start_us.saturating_add(step.offset_us))
    }

    fn instants_us(&self) -> Vec<u64> {
        let starts = self.starts_us.iter().enumerate();
        starts.flat_map(|(session, start_us)| self.requests_us(session, *start_us)).collect()
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
