//! The search: which load is tried next, and when enough is known. A state machine without a socket or a clock.

use super::finding::Finding;
use super::slo::Slo;
use super::trial::{Observation, Trial};
use super::verdict::Judged;
use super::watch::Watch;

/// What is searched for, and with what.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub slo: Slo,
    pub multiple_min: f64,
    pub multiple_max: f64,
    /// The first load; 1 unless something is known.
    pub multiple_start: f64,
    /// From one bracketing load to the next: 2, in production 1.25.
    pub growth: f64,
    /// Stop when the bounds are this close: 0.04.
    pub width: f64,
    /// Planned requests a second that 1× means.
    pub unit_per_s: f64,
    /// Mean time from a session's first to its last request: a trial needs as long to be in its steady state.
    pub session_s: f64,
    /// Sending time in all.
    pub budget_s: u64,
    pub budget_requests: Option<u64>,
    /// Instead of what the formulas say.
    pub full_s: Option<u64>,
    pub bracket_s: Option<u64>,
    /// The classic staircase instead of a search.
    pub steps: Option<Vec<f64>>,
    /// That of the first trial; each has another.
    pub seed: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Trial(Trial),
    Done(Box<Finding>),
}

#[derive(Debug, Clone)]
pub struct Search {
    config: Config,
}

impl Config {
    /// With the defaults: from 1×, doubling, to 4 %.
    pub fn new(slo: Slo, unit_per_s: f64, budget_s: u64) -> Self {
        Self {
            slo,
            multiple_min: 0.1,
            multiple_max: 1000.0,
            multiple_start: 1.0,
            growth: 2.0,
            width: 0.04,
            unit_per_s,
            session_s: 0.0,
            budget_s,
            budget_requests: None,
            full_s: None,
            bracket_s: None,
            steps: None,
            seed: 1,
        }
    }
}

impl Search {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// The same until [`Self::on_trial`] is called.
    pub fn next(&self) -> Next {
        unimplemented!("stub of the interface")
    }

    /// The rule that may stop the trial early.
    pub fn watch(&self, trial: &Trial) -> Watch {
        let _ = trial;
        Watch::new(&self.config.slo)
    }

    /// Takes what a trial showed; says what it means.
    pub fn on_trial(&mut self, trial: &Trial, observed: &Observation) -> &Judged {
        let _ = (trial, observed);
        unimplemented!("stub of the interface")
    }

    /// What is known so far; for who is interrupted.
    pub fn finding(&self) -> Finding {
        unimplemented!("stub of the interface")
    }
}
