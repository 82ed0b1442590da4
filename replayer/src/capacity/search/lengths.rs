//! How long trials must be.
//!
//! A full-length trial is at least
//! - 60 s;
//! - 600/λ: 30 requests beyond a p95;
//! - 8.6 · (c_a² + c_s²)/(w²·λ): the length at which a drift of w, the search's width, is seen with α = 5 % and a power of
//!   90 %; both squared coefficients of variation are taken as 1, that of Poisson arrivals and exponential service;
//! - four sessions, so that late steps of sessions have their share of the load;
//!
//! and at most a fourteenth of the budget, because a search needs about as many.

use super::Config;
use super::history::History;
use crate::capacity::trial::Purpose;

const FULL_S_MIN: f64 = 60.0;
const BRACKET_S_MIN: f64 = 30.0;
/// Requests in a bracketing trial.
const BRACKET_REQUESTS: f64 = 200.0;
const FULL_REQUESTS: f64 = 600.0;
const DRIFT: f64 = 8.6 * 2.0;
const SESSIONS: f64 = 4.0;
/// At least half of any trial is of the load that it is called by.
const SESSIONS_MIN: f64 = 2.0;
const TRIALS: f64 = 14.0;

pub(super) struct Lengths<'a> {
    pub(super) config: &'a Config,
    pub(super) history: History<'a>,
}

/// Trials that end before their sessions do: their load grows to their end, and is never what they are called by.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "sessions send for {session_s:.0} s, and trials would last {full_s} s: a load is there only when sessions have come that \
     long; give --trial {least_s}s or more, and a --budget of {budget_s}s for the {TRIALS} of a search"
)]
#[allow(clippy::struct_field_names, reason = "units end the name")]
pub struct TooShort {
    session_s: f64,
    full_s: u64,
    least_s: u64,
    budget_s: u64,
}

impl Lengths<'_> {
    pub(super) fn check(&self) -> Result<(), TooShort> {
        let (session_s, full_s) = (self.config.session_s, self.full_s());
        let least_s = seconds(SESSIONS_MIN * session_s);
        let budget_s = seconds(TRIALS * least_s as f64);
        if full_s < least_s { Err(TooShort { session_s, full_s, least_s, budget_s }) } else { Ok(()) }
    }

    pub(super) fn full_s(&self) -> u64 {
        self.config.full_s.unwrap_or_else(|| {
            let per_s = self.config.unit_per_s * self.bracketed();
            let wanted = [
                FULL_REQUESTS / per_s,
                DRIFT / (self.config.width.powi(2) * per_s),
                SESSIONS * self.config.session_s,
            ];
            let longest = wanted.into_iter().fold(FULL_S_MIN, f64::max);
            seconds(longest.min((self.config.budget_s as f64 / TRIALS).max(FULL_S_MIN)))
        })
    }

    pub(super) fn bracket_s(&self, multiple: f64) -> u64 {
        let wanted = BRACKET_REQUESTS / (self.config.unit_per_s * multiple);
        let by_rule = seconds(wanted.max(BRACKET_S_MIN).max(SESSIONS_MIN * self.config.session_s));
        self.config.bracket_s.unwrap_or(by_rule.min(self.full_s()))
    }

    /// The largest load that passed while bracketing: the same during the whole refinement.
    fn bracketed(&self) -> f64 {
        let passed = self
            .history
            .0
            .iter()
            .filter(|record| record.trial.purpose == Purpose::Bracket && !record.judged.has_failed());
        let largest = passed.map(|record| record.trial.multiple).reduce(f64::max);
        largest.unwrap_or(self.config.multiple_start)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive; a float beyond u64 saturates"
)]
fn seconds(length: f64) -> u64 {
    length.ceil() as u64
}
