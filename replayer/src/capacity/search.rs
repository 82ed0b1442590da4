//! The search: which load is tried next, and when enough is known. A state machine without a socket or a clock.

mod conclusion;
pub(super) mod history;
mod lengths;
mod recovery;

use kingtide_common::units::Multiple;

use super::estimate;
use super::finding::{Finding, Outcome, TrialRecord};
use super::slo::Slo;
use super::trial::{Observation, Purpose, Trial};
use super::verdict::{self, Judged, Verdict};
use super::watch::Watch;
use history::{History, Load};
use lengths::Lengths;
pub use lengths::TooShort;

/// Interval trials near the border.
const INTERVAL_TRIALS: usize = 6;
/// Full-length trials under each bound.
const VERIFIED_TRIALS: usize = 2;
/// Of the lower bound: the load that a target must come back to after an overload.
const RECOVERY_SHARE: f64 = 0.7;
/// Of the lower bound, or of the interval's lower end: at the border itself half of all trials fail.
const RERUN_SHARE: f64 = 0.95;
/// A target that is not back by then stays where it is.
const RECOVERY_S_MAX: u64 = 300;
/// Where a lower bound no longer passes, the next load below it.
const DOWN_STEP: f64 = 1.3;
const RERUNS_MAX: usize = 4;
/// So many sure verdicts against each other are no chance.
const CONTRADICTIONS: usize = 3;
/// Invalid trials in a row at one load.
const INVALID_MAX: usize = 4;
/// How close to what cannot be generated a passing load must be.
const UNGENERABLE_WIDTH: f64 = 1.15;

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
    records: Vec<TrialRecord>,
}

impl Config {
    /// With the defaults: from 1×, doubling, to 4 %.
    pub fn new(slo: Slo, unit_per_s: f64, budget_s: u64) -> Self {
        Self {
            slo,
            multiple_min: Multiple::SMALLEST,
            multiple_max: Multiple::LARGEST,
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

/// A load to try, or the end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Decision {
    Try(f64, Purpose),
    End(Outcome),
}

impl Search {
    pub fn new(config: Config) -> Result<Self, TooShort> {
        let search = Self { config, records: Vec::new() };
        search.lengths().check()?;
        Ok(search)
    }

    /// The same until [`Self::on_trial`] is called.
    pub fn next(&self) -> Next {
        match self.decide() {
            Decision::Try(multiple, purpose) => Next::Trial(self.trial(multiple, purpose)),
            Decision::End(outcome) => Next::Done(Box::new(self.conclude(outcome))),
        }
    }

    /// The rule that may stop the trial early.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.config.slo)
    }

    /// Takes what a trial showed; says what it means.
    pub fn on_trial(&mut self, trial: &Trial, observed: &Observation) -> &Judged {
        let judged = verdict::judge(&self.config.slo, observed);
        let recovered_after_s = self.recovered_after_s(trial, observed, &judged);
        let sending_s = observed.sending_s;
        self.records.push(TrialRecord { trial: *trial, sending_s, recovered_after_s, judged });
        &self.records[self.records.len() - 1].judged
    }

    /// What is known so far; for who is interrupted.
    pub fn finding(&self) -> Finding {
        let outcome = match self.decide() {
            Decision::End(outcome) => outcome,
            Decision::Try(..) => Outcome::Interrupted,
        };
        self.conclude(outcome)
    }

    fn history(&self) -> History<'_> {
        History(&self.records)
    }

    /// The first phase that has something left to do.
    fn decide(&self) -> Decision {
        let history = self.history();
        let first = self.warm_up(history).or_else(|| after_hang(history)).or_else(|| self.recovery(history));
        let searched =
            first.or_else(|| self.after_invalid(history)).or_else(|| self.unfinished_search(history));
        searched.filter(|decision| self.fits(*decision)).unwrap_or_else(|| self.ending(history))
    }

    fn unfinished_search(&self, history: History<'_>) -> Option<Decision> {
        if let Some(steps) = &self.config.steps {
            return staircase(steps, history);
        }
        if history.contradictions() >= CONTRADICTIONS {
            return None;
        }
        self.bracket(history)
            .or_else(|| overload_seen(history))
            .or_else(|| extend(history))
            .or_else(|| self.refine(history))
            .or_else(|| verify(history))
            .or_else(|| interval(history))
    }

    fn warm_up(&self, history: History<'_>) -> Option<Decision> {
        history.0.is_empty().then_some(Decision::Try(self.first_multiple(), Purpose::WarmUp))
    }

    fn first_multiple(&self) -> f64 {
        let steps = self.config.steps.iter().flatten().copied().reduce(f64::min);
        steps.unwrap_or(self.config.multiple_start.clamp(self.config.multiple_min, self.config.multiple_max))
    }

    /// A light load goes on until the target is back or was given long enough.
    fn recovery(&self, history: History<'_>) -> Option<Decision> {
        let is_recovery = |record: &&TrialRecord| record.trial.purpose == Purpose::Recovery;
        let looked = || self.records.iter().rev().take_while(is_recovery);
        let last = looked().next()?;
        let waited_s: u64 = looked().map(|record| record.sending_s).sum();
        let misses = looked().any(|record| record.judged.has_failed());
        match last.recovered_after_s {
            Some(_) => None,
            None if history.passed().is_none() => None,
            // Slower than before, but what was asked for it holds: no reason to call it broken.
            None if waited_s >= RECOVERY_S_MAX => misses.then_some(Decision::End(Outcome::Metastable)),
            None => Some(Decision::Try(last.trial.multiple, Purpose::Recovery)),
        }
    }

    /// An invalid trial is repeated once: it says nothing about its load. One that stays so below a load that was valid is
    /// asked for again by the phases, and not for ever.
    fn after_invalid(&self, history: History<'_>) -> Option<Decision> {
        let counts = |record: &&TrialRecord| record.trial.purpose != Purpose::WarmUp;
        let last =
            history.last().filter(|record| record.judged.verdict == Verdict::Invalid).filter(counts)?;
        let at = |record: &&TrialRecord| {
            history::same(record.trial.multiple, last.trial.multiple)
                && record.judged.verdict == Verdict::Invalid
                && record.trial.purpose != Purpose::WarmUp
        };
        let times = self.records.iter().rev().take_while(at).count();
        match times {
            1 => Some(Decision::Try(last.trial.multiple, last.trial.purpose)),
            2..INVALID_MAX => None,
            _ => Some(Decision::End(Outcome::GeneratorLimited)),
        }
    }

    /// Outwards from the first load, until one passes and one fails.
    fn bracket(&self, history: History<'_>) -> Option<Decision> {
        let Config { multiple_min, multiple_max, growth, .. } = self.config;
        match (history.passed(), history.upper()) {
            (Some(_), Some(_)) => None,
            (None, None) if history.ungenerable().is_some_and(|limit| limit <= multiple_min) => {
                Some(Decision::End(Outcome::Invalid))
            }
            (None, None) if let Some(limit) = history.ungenerable() => {
                Some(Decision::Try((limit / growth).max(multiple_min), Purpose::Bracket))
            }
            (None, None) => Some(Decision::Try(self.first_multiple(), Purpose::Bracket)),
            (None, Some(upper)) if upper.multiple <= multiple_min && upper.trials == 0 => {
                Some(Decision::Try(upper.multiple, Purpose::Verify))
            }
            (None, Some(upper)) if upper.multiple <= multiple_min => {
                Some(Decision::End(Outcome::FailsAtSmallest))
            }
            (None, Some(upper)) => {
                Some(Decision::Try((upper.multiple / growth).max(multiple_min), Purpose::Bracket))
            }
            (Some(passed), None) => {
                let above = self.above(passed.multiple, history.ungenerable());
                Some(above.unwrap_or_else(|| proven(passed, history.ungenerable().is_some(), multiple_max)))
            }
        }
    }

    /// The next larger load to try, below what cannot be generated.
    fn above(&self, passed: f64, ungenerable: Option<f64>) -> Option<Decision> {
        let next = match ungenerable {
            Some(limit) if limit / passed <= UNGENERABLE_WIDTH => return None,
            Some(limit) => (passed * limit).sqrt(),
            None if passed >= self.config.multiple_max => return None,
            None => (passed * self.config.growth).min(self.config.multiple_max),
        };
        Some(Decision::Try(next, Purpose::Bracket))
    }

    /// The geometric mean of the bounds, until they are close.
    fn refine(&self, history: History<'_>) -> Option<Decision> {
        let (lower, upper) = (history.passed()?.multiple, history.upper()?.multiple);
        let is_close = upper / lower <= 1.0 + self.config.width;
        (!is_close).then_some(Decision::Try((lower * upper).sqrt(), Purpose::Refine))
    }

    /// After the search: an overload, the way back, and the lower bound once more.
    fn ending(&self, history: History<'_>) -> Decision {
        let outcome = self.outcome(history);
        let wanted = after_search(history, &self.config).filter(|_| outcome != Outcome::Unstable);
        let next = wanted.filter(|decision| self.is_paid_for(*decision, 0));
        next.unwrap_or(Decision::End(outcome))
    }

    fn outcome(&self, history: History<'_>) -> Outcome {
        let bounds = (history.lower(), history.upper());
        match bounds {
            _ if history.contradictions() >= CONTRADICTIONS => Outcome::Unstable,
            (None, None) if history.classifying().next().is_none() => Outcome::Invalid,
            (Some(lower), Some(upper)) if self.config.steps.is_some() || self.is_close(lower, upper) => {
                Outcome::Found
            }
            (Some(lower), None) if lower.multiple >= self.top() => Outcome::MaximumReached,
            (None, Some(upper)) if self.config.steps.is_some() && upper.multiple <= self.first_multiple() => {
                Outcome::FailsAtSmallest
            }
            _ => Outcome::BudgetExhausted,
        }
    }

    fn is_close(&self, lower: Load, upper: Load) -> bool {
        upper.is_full && upper.multiple / lower.multiple <= 1.0 + self.config.width
    }

    fn top(&self) -> f64 {
        let steps = self.config.steps.iter().flatten().copied().reduce(f64::max);
        steps.unwrap_or(self.config.multiple_max)
    }

    /// Whether there is time and are requests left for it, the ending's set aside.
    fn fits(&self, decision: Decision) -> bool {
        let Decision::Try(multiple, _) = decision else { return true };
        let end_s = self.lengths().bracket_s(multiple) + self.lengths().full_s();
        let is_first = history::History(&self.records).classifying().next().is_none();
        is_first || self.is_paid_for(decision, end_s)
    }

    /// Whether time and requests are left for it, and time for what comes after.
    fn is_paid_for(&self, decision: Decision, after_s: u64) -> bool {
        let Decision::Try(multiple, _) = decision else { return true };
        let needed_s = self.spent_s() + self.cost_s(decision) + after_s;
        let requests = multiple * self.config.unit_per_s * self.cost_s(decision) as f64;
        let within = |budget: u64| self.spent_requests() + requests <= budget as f64;
        needed_s <= self.config.budget_s && self.config.budget_requests.is_none_or(within)
    }

    fn spent_s(&self) -> u64 {
        self.records.iter().map(|record| record.sending_s).sum()
    }

    fn spent_requests(&self) -> f64 {
        self.records.iter().map(|record| record.judged.planned_per_s * record.sending_s as f64).sum()
    }

    fn cost_s(&self, decision: Decision) -> u64 {
        match decision {
            Decision::Try(multiple, purpose) => self.length_s(multiple, purpose),
            Decision::End(_) => 0,
        }
    }

    fn trial(&self, multiple: f64, purpose: Purpose) -> Trial {
        let length_s = self.length_s(multiple, purpose);
        let seed = self.config.seed + self.records.len() as u64;
        let multiple = multiple.min(self.config.multiple_max);
        Trial { multiple, length_s, ramp_s: length_s.div_ceil(10), seed, purpose }
    }

    fn length_s(&self, multiple: f64, purpose: Purpose) -> u64 {
        let lengths = self.lengths();
        match purpose {
            _ if purpose.is_full_length() => lengths.full_s(),
            // Whatever the user's trials: in a shorter one no target can be seen to be back.
            Purpose::Recovery => lengths.bracket_s(multiple).max(recovery::LENGTH_S_MIN),
            _ => lengths.bracket_s(multiple),
        }
    }

    fn lengths(&self) -> Lengths<'_> {
        Lengths { config: &self.config, history: self.history() }
    }

    fn recovered_after_s(&self, trial: &Trial, observed: &Observation, judged: &Judged) -> Option<u64> {
        let is_bad = judged.has_failed() || judged.verdict == Verdict::Invalid;
        if trial.purpose != Purpose::Recovery || is_bad {
            return None;
        }
        let is_recovery = |record: &&TrialRecord| record.trial.purpose == Purpose::Recovery;
        let before_s: u64 =
            self.records.iter().rev().take_while(is_recovery).map(|record| record.sending_s).sum();
        let back_at_s = match recovery::baseline(self.history(), trial.multiple) {
            Some(baseline) => recovery::back_at_s(&baseline, observed)?,
            // Nothing to compare with: it is back where what is asked for holds.
            None => (judged.verdict == Verdict::Pass).then_some(0)?,
        };
        Some(before_s + observed.rest_s + back_at_s)
    }

    fn conclude(&self, outcome: Outcome) -> Finding {
        conclusion::conclude(&self.config, self.history(), outcome, self.lengths().full_s())
    }
}

/// A target that hangs is not loaded any further, but for one light load that asks whether it came back.
fn after_hang(history: History<'_>) -> Option<Decision> {
    let has_looked = history.last().is_some_and(|record| record.trial.purpose == Purpose::Recovery);
    let lightest = history.loads().into_iter().find(|load| !load.is_high).map(|load| load.multiple);
    let smallest = || history.0.iter().map(|record| record.trial.multiple).reduce(f64::min);
    let lighter = || smallest().map(|multiple| multiple * RECOVERY_SHARE);
    match (history.has_hung(), has_looked, lightest.or_else(lighter)) {
        (false, ..) => None,
        (true, false, Some(multiple)) => Some(Decision::Try(multiple, Purpose::Recovery)),
        (true, ..) => Some(Decision::End(Outcome::Hang)),
    }
}

/// The largest load that passed is proven by full-length trials before it is called a bound.
fn proven(passed: Load, is_limited: bool, multiple_max: f64) -> Decision {
    match (passed.trials >= VERIFIED_TRIALS, is_limited) {
        (false, _) => Decision::Try(passed.multiple, Purpose::Verify),
        (true, true) => Decision::End(Outcome::GeneratorLimited),
        (true, false) if passed.multiple >= multiple_max => Decision::End(Outcome::MaximumReached),
        (true, false) => Decision::End(Outcome::BudgetExhausted),
    }
}

/// After the first overload: a target that does not come back would make every later trial fail.
fn overload_seen(history: History<'_>) -> Option<Decision> {
    let is_first = history.count(Purpose::Recovery) == 0;
    let has_failed = history.last().is_some_and(|record| record.judged.has_failed());
    let passed = history.clearly_passed().filter(|_| is_first && has_failed)?;
    Some(Decision::Try(passed * RECOVERY_SHARE, Purpose::Recovery))
}

/// A full-length trial that decided nothing gets a second one at its load.
fn extend(history: History<'_>) -> Option<Decision> {
    let extends = |purpose| matches!(purpose, Purpose::Refine | Purpose::Verify | Purpose::Step);
    let last = history.last().filter(|record| extends(record.trial.purpose))?;
    let load = history.loads().into_iter().find(|load| history::same(load.multiple, last.trial.multiple))?;
    (load.is_unsure && load.trials < 2).then_some(Decision::Try(load.multiple, last.trial.purpose))
}

/// Both bounds rest on two full-length trials: one verdict of many is wrong by chance.
fn verify(history: History<'_>) -> Option<Decision> {
    let bounds = [history.passed()?, history.upper()?];
    let weak = bounds.into_iter().find(|load| load.trials < VERIFIED_TRIALS)?;
    Some(Decision::Try(weak.multiple, Purpose::Verify))
}

fn interval(history: History<'_>) -> Option<Decision> {
    let middle = estimate::border(history.full_length())?;
    (history.count(Purpose::Interval) < INTERVAL_TRIALS).then_some(Decision::Try(middle, Purpose::Interval))
}

fn staircase(steps: &[f64], history: History<'_>) -> Option<Decision> {
    if let Some(again) = extend(history) {
        return Some(again);
    }
    if history.upper().is_some() {
        return None;
    }
    let tried = history.loads();
    let untried = steps.iter().find(|step| !tried.iter().any(|load| history::same(load.multiple, **step)));
    untried.map(|step| Decision::Try(*step, Purpose::Step))
}

/// An overload, unless the last trial was one; the way back; the lower bound once more, and less while it fails.
fn after_search(history: History<'_>, config: &Config) -> Option<Decision> {
    let (lower, upper) = (history.lower()?.multiple, history.upper()?.multiple);
    let last = history.last()?;
    let reruns: Vec<&TrialRecord> = history.0.iter().filter(|r| r.trial.purpose == Purpose::Rerun).collect();
    match last.trial.purpose {
        Purpose::Rerun if !last.judged.has_failed() => None,
        Purpose::Rerun if reruns.len() == 1 => Some(Decision::Try(last.trial.multiple, Purpose::Rerun)),
        Purpose::Rerun if reruns.len() <= RERUNS_MAX => {
            Some(Decision::Try(last.trial.multiple / DOWN_STEP, Purpose::Rerun))
        }
        Purpose::Rerun => None,
        // Not back, and no time left to wait for it: what came now would say nothing.
        Purpose::Recovery if last.recovered_after_s.is_none() => None,
        Purpose::Recovery => Some(Decision::Try(rerun_multiple(history, lower, config), Purpose::Rerun)),
        Purpose::Overload => Some(Decision::Try(lower * RECOVERY_SHARE, Purpose::Recovery)),
        _ if last.judged.has_failed() => Some(Decision::Try(lower * RECOVERY_SHARE, Purpose::Recovery)),
        _ => Some(Decision::Try(upper, Purpose::Overload)),
    }
}

/// Where it surely passed before.
fn rerun_multiple(history: History<'_>, lower: f64, config: &Config) -> f64 {
    estimate::estimate(history.full_length(), config.slo.spare_per_s(), config.width)
        .map_or(lower, |estimate| estimate.low.clamp(lower * RECOVERY_SHARE, lower))
        * RERUN_SHARE
}

#[cfg(test)]
mod tests;
