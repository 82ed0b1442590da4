//! A scenario with other numbers or another source than its file has, by the command line.

use std::num::NonZeroUsize;
use std::time::Duration;

use kingtide_common::units::{Multiple, Span};

use super::shape::{Phase, Shape};
use super::{Load, Source};

/// What was given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    pub source: Option<Source>,
    pub users: Option<NonZeroUsize>,
    pub multiple: Option<Multiple>,
    pub spawn_per_s: Option<f64>,
    pub duration: Option<Duration>,
}

/// Each is a session in memory before the first request.
const USERS_MAX: usize = 100_000;

/// What does not go together, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OverrideError(String);

impl Overrides {
    /// The load in place of the file's; `source` is whose it will be.
    pub fn load(&self, load: &Load, source: &Source) -> Result<Load, OverrideError> {
        match source {
            Source::Model(_) => self.of_users(load),
            Source::Capture(_) => self.of_multiples(load),
        }
    }

    fn of_users(&self, load: &Load) -> Result<Load, OverrideError> {
        if self.multiple.is_some() {
            return refuse("-x multiplies a capture; of a model say --users");
        }
        if self.users.is_some_and(|users| users.get() > USERS_MAX) {
            return refuse("--users: at most 100,000 are held from here");
        }
        let users = self.users.map(|users| users.get() as f64);
        let shape = match (load, users, self.duration) {
            (Load::Users(shape), users, _) => self.timed(shape, users.unwrap_or(shape.peak()))?,
            (Load::Multiples(shape), Some(users), _) => self.timed(&shape.with_peak(users), users)?,
            (Load::Whole(_), Some(users), Some(hold)) => self
                .timed(&Shape { phases: vec![Phase { level: users, over: Duration::ZERO, hold }] }, users)?,
            (Load::Multiples(_), None, _) => {
                return refuse("the scenario's load is times a capture; of a model say --users");
            }
            (Load::Whole(_), ..) => {
                return refuse(
                    "the scenario's load is times a capture; of a model say --users and --duration",
                );
            }
        };
        Ok(Load::Users(shape))
    }

    fn of_multiples(&self, load: &Load) -> Result<Load, OverrideError> {
        if self.users.is_some() || self.spawn_per_s.is_some() {
            return refuse("--users and --spawn-per-s are of a model; of a capture say -x");
        }
        let peak = self.multiple.map(Multiple::get);
        let lasting =
            |shape: Shape| Load::Multiples(shape.lasting(self.duration.unwrap_or(shape.duration())));
        match (load, peak, self.duration) {
            (Load::Users(_), None, _) => refuse(
                "the scenario's load is users; say with -x how many times the capture its peak is to be",
            ),
            (Load::Users(shape), Some(peak), _) => Ok(lasting(shape.with_peak(peak))),
            (Load::Multiples(shape), peak, _) => Ok(lasting(shape.with_peak(peak.unwrap_or(shape.peak())))),
            (Load::Whole(multiple), peak, None) => Ok(Load::Whole(peak.unwrap_or(*multiple))),
            (Load::Whole(multiple), peak, Some(hold)) => {
                let level = peak.unwrap_or(*multiple);
                Ok(Load::Multiples(Shape { phases: vec![Phase { level, over: Duration::ZERO, hold }] }))
            }
        }
    }

    /// One rise keeps its rate, whatever the number of users; several keep their times.
    fn timed(&self, shape: &Shape, users: f64) -> Result<Shape, OverrideError> {
        let whole = self.duration.unwrap_or(shape.duration());
        match (shape.phases.as_slice(), self.spawn_per_s) {
            ([phase], None) => {
                let over = phase.over.mul_f64(users / phase.level);
                if self.users.is_some() && over >= whole {
                    return late(&format!("--users {users}"), users, over, whole);
                }
                let hold = shape.duration().saturating_sub(over);
                Ok(Shape { phases: vec![Phase { level: users, over, hold }] }.lasting(whole))
            }
            ([_], Some(rate)) => risen(users, rate, whole),
            (_, None) => Ok(shape.with_peak(users).lasting(whole)),
            (_, Some(_)) => refuse("--spawn-per-s: the scenario has phases, with times of their own"),
        }
    }
}

fn risen(users: f64, rate: f64, whole: Duration) -> Result<Shape, OverrideError> {
    let over = Duration::try_from_secs_f64(users / rate).ok().filter(|_| rate.is_finite() && rate > 0.0);
    let Some(over) = over else {
        return refuse("--spawn-per-s: users must come; write 2, or 0.5 for one in two seconds");
    };
    match whole.checked_sub(over).filter(|hold| !hold.is_zero()) {
        Some(hold) => Ok(Shape { phases: vec![Phase { level: users, over, hold }] }),
        None => late(&format!("--spawn-per-s {rate}"), users, over, whole),
    }
}

fn late(flag: &str, users: f64, over: Duration, whole: Duration) -> Result<Shape, OverrideError> {
    Err(OverrideError(format!(
        "{flag}: the last of {users} users comes after {}, when it is over ({}); raise --spawn-per-s, or --duration",
        Span(over),
        Span(whole)
    )))
}

fn refuse<T>(why: &str) -> Result<T, OverrideError> {
    Err(OverrideError(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(level: f64, over_s: u64, hold_s: u64) -> Phase {
        Phase { level, over: Duration::from_secs(over_s), hold: Duration::from_secs(hold_s) }
    }

    fn users(phases: &[Phase]) -> Load {
        Load::Users(Shape { phases: phases.to_vec() })
    }

    fn times(phases: &[Phase]) -> Load {
        Load::Multiples(Shape { phases: phases.to_vec() })
    }

    fn given(users: usize, multiple: f64, spawn_per_s: f64, duration_s: u64) -> Overrides {
        Overrides {
            source: None,
            users: NonZeroUsize::new(users),
            multiple: Multiple::new(multiple).ok(),
            spawn_per_s: Some(spawn_per_s).filter(|rate| *rate > 0.0),
            duration: Some(Duration::from_secs(duration_s)).filter(|duration| !duration.is_zero()),
        }
    }

    #[test]
    fn numbers_of_the_command_line_go_before_those_of_the_file() {
        let model = Source::Model("m.toml".into());
        let capture = Source::Capture("c".into());
        let plain = users(&[phase(20.0, 10, 290)]);
        let steps = users(&[phase(10.0, 0, 100), phase(50.0, 0, 100)]);
        let held = times(&[phase(2.0, 10, 50)]);
        let cases = [
            ("as it is", &plain, &model, given(0, 0.0, 0.0, 0), plain.clone()),
            (
                "more users at the same rate",
                &plain,
                &model,
                given(40, 0.0, 0.0, 0),
                users(&[phase(40.0, 20, 280)]),
            ),
            ("another rate", &plain, &model, given(0, 0.0, 20.0, 0), users(&[phase(20.0, 1, 299)])),
            ("another time", &plain, &model, given(0, 0.0, 0.0, 60), users(&[phase(20.0, 10, 50)])),
            ("all of them", &plain, &model, given(10, 0.0, 5.0, 12), users(&[phase(10.0, 2, 10)])),
            (
                "phases",
                &steps,
                &model,
                given(5, 0.0, 0.0, 20),
                users(&[phase(1.0, 0, 10), phase(5.0, 0, 10)]),
            ),
            (
                "a capture in the place of users",
                &plain,
                &capture,
                given(0, 3.0, 0.0, 0),
                times(&[phase(3.0, 10, 290)]),
            ),
            (
                "a model in the place of a capture",
                &held,
                &model,
                given(30, 0.0, 0.0, 0),
                users(&[phase(30.0, 10, 50)]),
            ),
            ("another multiple", &held, &capture, given(0, 5.0, 0.0, 30), times(&[phase(5.0, 10, 20)])),
            ("the whole capture", &Load::Whole(2.0), &capture, given(0, 0.0, 0.0, 0), Load::Whole(2.0)),
            ("a part of it", &Load::Whole(2.0), &capture, given(0, 0.0, 0.0, 9), times(&[phase(2.0, 0, 9)])),
        ];
        for (case, load, source, overrides, expected) in cases {
            assert_eq!(overrides.load(load, source).unwrap(), expected, "{case}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_remedy() {
        let model = Source::Model("m.toml".into());
        let capture = Source::Capture("c".into());
        let plain = users(&[phase(20.0, 10, 290)]);
        let steps = users(&[phase(10.0, 0, 100), phase(50.0, 0, 100)]);
        let cases = [
            (&plain, &capture, given(0, 0.0, 0.0, 0), "say with -x"),
            (&plain, &capture, given(5, 2.0, 0.0, 0), "of a capture say -x"),
            (&plain, &model, given(0, 2.0, 0.0, 0), "of a model say --users"),
            (&Load::Whole(1.0), &model, given(5, 0.0, 0.0, 0), "--users and --duration"),
            (&steps, &model, given(0, 0.0, 2.0, 0), "has phases"),
            (&plain, &model, given(0, 0.0, 2.0, 5), "the last of 20 users comes after 10s"),
            (&plain, &model, given(0, 0.0, f64::NAN, 5), "users must come"),
        ];
        for (load, source, mut overrides, part) in cases {
            overrides.spawn_per_s = overrides.spawn_per_s.or(part.contains("must come").then_some(f64::NAN));
            let said = overrides.load(load, source).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
    }
}
