//! The plan: which clone of which session starts when. Pure: the same capture, multiple, mode and seed
//! give the same plan on every machine.

use std::fmt;

use kingtide_common::units::{Multiple, Seed};

/// How the captured population is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
