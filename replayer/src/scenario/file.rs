//! The file of a scenario as it is written, and what cannot be meant: what is wrong within one value is found as it is read,
//! what does not fit together by [`File::load`]; both are answered with the line.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use kingtide_common::config::Spanned;
use kingtide_common::units::{Multiple, Span};
use serde::Deserialize;

use super::Load;
use super::criterion::Criteria;
use super::shape::{Phase, Shape};
use crate::guard::abort::AbortRules;
use crate::model::{Between, Sizes};

/// Where in the text, and why.
pub(super) type Mistake = (Range<usize>, String);

/// As long as a run has a row for each second: [`crate::measure::series::SECONDS_MAX`].
const DURATION_MAX: Duration = Duration::from_hours(12);

/// See the module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) about: Spanned<String>,
    /// From the file's directory.
    pub(super) model: Option<Spanned<PathBuf>>,
    pub(super) capture: Option<Spanned<PathBuf>>,
    users: Option<Spanned<NonZeroUsize>>,
    multiple: Option<Spanned<Multiple>>,
    spawn_per_s: Option<Spanned<f64>>,
    duration: Option<Spanned<Span>>,
    #[serde(default)]
    phase: Vec<Spanned<FilePhase>>,
    pub(super) think: Option<Between<Span>>,
    pub(super) sizes: Option<Spanned<Sizes>>,
    pub(super) expect_per_s: Option<Spanned<f64>>,
    #[serde(default)]
    pub(super) criteria: Criteria,
    #[serde(default)]
    pub(super) stop: AbortRules,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePhase {
    users: Option<usize>,
    multiple: Option<f64>,
    #[serde(default)]
    over: Span,
    #[serde(default)]
    hold: Span,
}

impl File {
    pub(super) fn load(&self) -> Result<Load, Mistake> {
        let load = if self.phase.is_empty() { self.plain()? } else { self.phased()? };
        if let Some(shape) = load.shape()
            && shape.duration() > DURATION_MAX
        {
            let lasts = Span(shape.duration());
            return Err((
                self.at(),
                format!("it lasts {lasts}; at most 12h can be, which the series of a run holds"),
            ));
        }
        Ok(load)
    }

    /// Its beginning, where nothing more exact is known.
    fn at(&self) -> Range<usize> {
        self.about.span()
    }

    fn plain(&self) -> Result<Load, Mistake> {
        match (&self.users, &self.multiple) {
            (Some(users), None) => Ok(Load::Users(self.risen(users.get_ref().get() as f64)?)),
            (None, Some(multiple)) => self.plain_multiple(multiple),
            (Some(users), Some(_)) => {
                Err((users.span(), "users of a model or a multiple of a capture: leave one out".to_owned()))
            }
            (None, None) => {
                let why = "it has no load: write users = 20, multiple = 2, or [[phase]]";
                Err((self.at(), why.to_owned()))
            }
        }
    }

    fn plain_multiple(&self, multiple: &Spanned<Multiple>) -> Result<Load, Mistake> {
        if let Some(spawn) = &self.spawn_per_s {
            let why = "spawn_per_s is of users; let a multiple rise in a [[phase]], with over";
            return Err((spawn.span(), why.to_owned()));
        }
        let level = multiple.get_ref().get();
        let Some(duration) = &self.duration else { return Ok(Load::Whole(level)) };
        let hold = some_time(duration)?;
        Ok(Load::Multiples(Shape { phases: vec![Phase { level, over: Duration::ZERO, hold }] }))
    }

    /// All users, one after the other, for the rest of the time.
    fn risen(&self, users: f64) -> Result<Shape, Mistake> {
        let Some(duration) = &self.duration else {
            return Err((self.at(), "it has no end: write duration = \"5m\"".to_owned()));
        };
        let whole = some_time(duration)?;
        let over = match &self.spawn_per_s {
            None => Duration::ZERO,
            Some(rate) => spawned(users, rate)?,
        };
        let Some(hold) = whole.checked_sub(over).filter(|hold| !hold.is_zero()) else {
            let why = format!(
                "the last of {users} users comes after {}, when it is over: raise spawn_per_s or duration",
                Span(over)
            );
            return Err((duration.span(), why));
        };
        Ok(Shape { phases: vec![Phase { level: users, over, hold }] })
    }

    fn phased(&self) -> Result<Load, Mistake> {
        let plain = [
            self.users.as_ref().map(Spanned::span),
            self.multiple.as_ref().map(Spanned::span),
            self.spawn_per_s.as_ref().map(Spanned::span),
            self.duration.as_ref().map(Spanned::span),
        ];
        if let Some(at) = plain.into_iter().flatten().next() {
            return Err((at, "the phases say how many and how long; leave it out".to_owned()));
        }
        let is_users = self.phase[0].get_ref().users.is_some();
        let phases = self.phase.iter().map(|phase| one(phase, is_users)).collect::<Result<Vec<_>, _>>()?;
        let shape = Shape { phases };
        if shape.phases[0].level <= 0.0 || shape.duration().is_zero() {
            return Err((self.phase[0].span(), "the first phase must have some load".to_owned()));
        }
        Ok(if is_users { Load::Users(shape) } else { Load::Multiples(shape) })
    }
}

fn one(phase: &Spanned<FilePhase>, is_users: bool) -> Result<Phase, Mistake> {
    let FilePhase { users, multiple, over, hold } = *phase.get_ref();
    let level = match (users, multiple) {
        (Some(users), None) if is_users => users as f64,
        (None, Some(multiple)) if !is_users && (0.0..=Multiple::LARGEST).contains(&multiple) => multiple,
        _ => {
            let why =
                "a phase has users, or a multiple (0 to 1000), and all phases of a scenario the same of them";
            return Err((phase.span(), why.to_owned()));
        }
    };
    if (over.0 + hold.0).is_zero() {
        return Err((
            phase.span(),
            "a phase takes time: write over = \"10s\", hold = \"1m\" or both".to_owned(),
        ));
    }
    Ok(Phase { level, over: over.0, hold: hold.0 })
}

fn spawned(users: f64, rate: &Spanned<f64>) -> Result<Duration, Mistake> {
    let over = Duration::try_from_secs_f64(users / rate.get_ref()).ok();
    let over = over.filter(|_| rate.get_ref().is_finite() && *rate.get_ref() > 0.0);
    over.ok_or_else(|| (rate.span(), "users must come; write 2, or 0.5 for one in two seconds".to_owned()))
}

fn some_time(duration: &Spanned<Span>) -> Result<Duration, Mistake> {
    let span = duration.get_ref().0;
    if span.is_zero() {
        return Err((duration.span(), "no request fits into no time; write 5m".to_owned()));
    }
    Ok(span)
}
