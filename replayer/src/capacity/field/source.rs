//! What the multiples of a search multiply, and the plan of each of its trials.

use std::num::NonZeroUsize;
use std::time::Duration;

use kingtide_common::units::{Multiple, Seed};

use super::{FieldError, PlayError};
use crate::capacity::trial::{Tick, Trial};
use crate::model::{Arrivals, ArrivalsError, Model};
use crate::plan::{self, Load, Mode, Plan};
use crate::sessions::{Outlines, Session};
use crate::store::Store;

/// So long a model's users are watched to see how much they ask for.
const MODEL_SAMPLE: Duration = Duration::from_mins(5);

/// What a multiple is a multiple of.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// Starts of captured sessions at their mean rate: users come whatever becomes of those before them.
    Sessions(&'a Store),
    /// So many users of a model at once, who begin again when they are done: a closed loop.
    Users { model: &'a Model, users: NonZeroUsize },
}

/// What is played in a trial.
pub(super) struct Prepared<'a> {
    pub(super) plan: Plan,
    pub(super) store: Held<'a>,
    /// Requests that the plan has in each second; none where answers decide when they are due.
    pub(super) planned: Vec<u64>,
}

/// The sessions of a trial.
pub(super) enum Held<'a> {
    Theirs(&'a Store),
    Own(Box<Store>),
}

impl AsRef<Store> for Held<'_> {
    fn as_ref(&self) -> &Store {
        match self {
            Self::Theirs(store) => store,
            Self::Own(store) => store,
        }
    }
}

impl<'a> Source<'a> {
    /// How long after sessions began to come at a rate their requests do; a model's users are all there after the ramp.
    pub fn settled(self) -> Duration {
        match self {
            Self::Sessions(store) => Duration::from_micros(plan::settled_us(store.outlines())),
            Self::Users { .. } => Duration::ZERO,
        }
    }

    pub(super) fn unit_per_s(self) -> Result<f64, FieldError> {
        match self {
            Self::Sessions(store) => plan::unit_per_s(store.outlines()).ok_or(FieldError::NoRate),
            Self::Users { model, users } => {
                let sessions = crowd(model, users, users.get() as f64, MODEL_SAMPLE, Seed(1))?;
                let requests: usize = sessions.iter().map(|session| session.steps.len()).sum();
                Ok(requests as f64 / MODEL_SAMPLE.as_secs_f64())
            }
        }
    }

    pub(super) fn prepare(self, trial: &Trial) -> Result<Prepared<'a>, PlayError> {
        let seed = Seed(trial.seed);
        // Lighter than the lightest multiple there is a recovery may ask for.
        let multiple = |multiple: f64| {
            Multiple::new(multiple.clamp(Multiple::SMALLEST, Multiple::LARGEST)).expect("it is clamped")
        };
        match self {
            Self::Sessions(store) => {
                let sessions = store.outlines();
                let load = Load::held(trial.length_s * 1_000_000, trial.ramp_s * 1_000_000);
                let plan = plan::trial(sessions, multiple(trial.multiple), load, seed);
                let plan = plan.expect("the unit is known, so there is a rate");
                let planned = planned_by_second(&plan, sessions, trial.length_s);
                Ok(Prepared { plan, store: Held::Theirs(store), planned })
            }
            Self::Users { model, users } => {
                let users = times(users, trial.multiple);
                let spawn_per_s = users.get() as f64 / trial.ramp_s.max(1) as f64;
                let sessions = crowd(model, users, spawn_per_s, Duration::from_secs(trial.length_s), seed)?;
                let store = Store::of(sessions)?;
                let plan = plan::amplify(store.outlines(), multiple(1.0), Mode::Crowd, seed);
                Ok(Prepared { plan, store: Held::Own(Box::new(store)), planned: Vec::new() })
            }
        }
    }

    /// What 1× plans in a second of this trial. A closed loop asks for less when answers are slow: its load is its users.
    pub(super) fn unit_of(self, unit_per_s: f64, trial: &Trial, seconds: &[Tick], sending_s: u64) -> f64 {
        let index = |second| usize::try_from(second).unwrap_or(usize::MAX);
        let held = seconds.iter().take(index(sending_s)).skip(index(trial.ramp_s));
        let planned: Vec<u64> = held.map(|tick| tick.planned).collect();
        let per_s = planned.iter().sum::<u64>() as f64 / planned.len().max(1) as f64;
        match self {
            Self::Users { .. } if per_s > 0.0 => per_s / trial.multiple,
            _ => unit_per_s,
        }
    }
}

fn crowd(
    model: &Model,
    users: NonZeroUsize,
    spawn_per_s: f64,
    duration: Duration,
    seed: Seed,
) -> Result<Vec<Session>, ArrivalsError> {
    model.sessions(&Arrivals { users, spawn_per_s, duration }, seed)
}

/// At least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive; a float beyond usize saturates
fn times(users: NonZeroUsize, multiple: f64) -> NonZeroUsize {
    NonZeroUsize::new((users.get() as f64 * multiple).round() as usize).unwrap_or(NonZeroUsize::MIN)
}

/// Requests that the plan has in each second of its length.
fn planned_by_second(plan: &Plan, sessions: &Outlines, length_s: u64) -> Vec<u64> {
    let mut planned = vec![0; usize::try_from(length_s).expect("a trial's seconds are few")];
    for at_us in plan.instants_us(sessions) {
        let second = usize::try_from(at_us / 1_000_000).unwrap_or(usize::MAX);
        planned.get_mut(second).into_iter().for_each(|planned| *planned += 1);
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_loop_that_is_slow_has_the_load_of_its_users() {
        let model = Model::read("../configs/models/students.toml".as_ref()).unwrap();
        let users = NonZeroUsize::new(10).unwrap();
        let source = Source::Users { model: &model, users };
        let trial = Trial {
            multiple: 3.0,
            length_s: 20,
            ramp_s: 2,
            seed: 1,
            purpose: crate::capacity::trial::Purpose::Step,
        };
        let Prepared { store, plan, planned } = source.prepare(&trial).unwrap();
        assert_eq!((store.as_ref().len(), plan.users(), planned.len()), (30, 30, 0));
        let tick = Tick { planned: 6, ..Tick::default() };
        let unit = source.unit_of(99.0, &trial, &vec![tick.clone(); 20], 20);
        assert!((unit - 2.0).abs() < 1e-9, "6 a second of 3×: {unit}");
        let open = Source::Sessions(store.as_ref());
        assert!((open.unit_of(99.0, &trial, &[tick], 20) - 99.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_open_load_plans_by_second_what_lies_within_the_trial() {
        let model = Model::read("../configs/models/students.toml".as_ref()).unwrap();
        let arrivals = Arrivals {
            users: NonZeroUsize::new(20).unwrap(),
            spawn_per_s: 2.0,
            duration: Duration::from_mins(1),
        };
        let store = Store::of(model.sessions(&arrivals, Seed(1)).unwrap()).unwrap();
        let trial = Trial {
            multiple: 2.0,
            length_s: 30,
            ramp_s: 3,
            seed: 1,
            purpose: crate::capacity::trial::Purpose::Step,
        };
        let Prepared { planned, plan, .. } = Source::Sessions(&store).prepare(&trial).unwrap();
        assert_eq!(planned.len(), 30);
        let within = plan.instants_us(store.outlines()).filter(|at_us| *at_us < 30_000_000).count();
        assert_eq!(planned.iter().sum::<u64>(), within as u64);
    }
}
