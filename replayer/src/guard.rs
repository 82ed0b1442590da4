//! What keeps load from where it must not go: which target, how much, when, and when to stop.
//!
//! | rule | asked | refuses |
//! |---|---|---|
//! | `kind` | before the first connection | a `local` environment whose host is neither this machine nor in a private network |
//! | `word` | | production, and a public target of no environment, whose host was not typed once more |
//! | `targets` | | a host that is not in the list; without one, any but the environment's own |
//! | `kill_file` | | a kill file that is there already |
//! | `hours` | | an instant outside of the allowed hours; then the planned end too |
//! | `multiple_max`, `users_max`, `bytes_max`, `duration_max` | before the first request | a plan above the cap |
//! | `smoke_within` | | more than one user where no single one has passed lately |
//!
//! Pure: who asks brings what was found out ([`Visit`], [`Load`]). Every decision is kept, also the good ones, so that
//! `--dry-run` shows them. While a run lasts, [`abort`] and the kill file end it ([`overseer`]).

pub mod abort;
pub mod hours;
pub mod overseer;
mod rules;
pub mod smoke;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kingtide_common::units::{ByteSize, Multiple, Span};
use serde::Deserialize;
use time::OffsetDateTime;

pub use self::rules::{HostPattern, Incomplete, Rules};
use crate::drive::{Uplink, planned_end_us};
use crate::plan::Plan;
use crate::report::format::counted;
use crate::sessions::Outlines;

/// What an environment is for; decides what its guard asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Local,
    Staging,
    Production,
}

/// The rules of a target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Guard {
    /// `None`: of no environment.
    pub kind: Option<Kind>,
    pub rules: Rules,
    /// Where they stand.
    pub file: Option<PathBuf>,
}

/// What is known of a target before anything is sent to it.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    pub host: &'a str,
    /// With its port where that is not the scheme's own.
    pub authority: &'a str,
    /// This machine, or in a private network.
    pub is_private: bool,
    /// What the user typed.
    pub word: Option<&'a str>,
    pub now: OffsetDateTime,
    /// A kill file that is there.
    pub kill_file: Option<&'a PathBuf>,
}

/// What a plan would send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    pub multiple: f64,
    pub users: u64,
    /// Of request bodies.
    pub body_bytes: u64,
    pub duration: Duration,
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub rule: &'static str,
    /// The file and key, or the flag, that says so.
    pub place: String,
    pub is_allowed: bool,
    /// What was looked at, and against what; of a refusal the remedy too.
    pub text: String,
}

/// All that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused(pub Vec<Decision>);

impl Load {
    pub fn of(plan: &Plan, sessions: &Outlines, uplink: Uplink) -> Self {
        let steps = plan.clones().flat_map(|clone| plan.steps(clone, sessions));
        Self {
            multiple: plan.multiple.get(),
            users: plan.users() as u64,
            body_bytes: steps.map(|step| step.body_bytes).sum(),
            duration: Duration::from_micros(planned_end_us(plan, sessions, uplink)),
        }
    }
}

/// Nothing when all is allowed.
pub fn admit(decisions: &[Decision]) -> Result<(), Refused> {
    let refused: Vec<Decision> = decisions.iter().filter(|decision| !decision.is_allowed).cloned().collect();
    if refused.is_empty() { Ok(()) } else { Err(Refused(refused)) }
}

impl Guard {
    /// Before the first connection.
    pub fn at_the_door(&self, visit: &Visit<'_>) -> Vec<Decision> {
        let decisions =
            [self.kind(visit), Some(self.word(visit)), self.targets(visit), self.kill_file(visit)];
        decisions.into_iter().flatten().chain(self.hours(visit.now, "it is")).collect()
    }

    /// Before the first request. `smoke` is the age of the last passing run of one user.
    pub fn on_plan(&self, load: &Load, now: OffsetDateTime, smoke: Option<Duration>) -> Vec<Decision> {
        let caps = [self.multiple(load), self.users(load), self.bytes(load), self.duration(load.duration)];
        let end = self.hours(now + load.duration, "the plan ends").filter(|decision| !decision.is_allowed);
        caps.into_iter().flatten().chain(end).chain(self.smoke(load.users, smoke)).collect()
    }

    /// The part of [`on_plan`](Self::on_plan) that does not depend on a plan.
    pub fn on_search(&self, budget: Duration, now: OffsetDateTime, smoke: Option<Duration>) -> Vec<Decision> {
        let end = self.hours(now + budget, "the search ends").filter(|decision| !decision.is_allowed);
        self.duration(budget).into_iter().chain(end).chain(self.smoke(u64::MAX, smoke)).collect()
    }

    /// The largest multiple that may be tried with so many users at 1×, if that is known.
    pub fn multiple_max(&self, users: Option<u64>) -> Option<f64> {
        let by_users = self.rules.users_max.zip(users).map(|(max, users)| max as f64 / users.max(1) as f64);
        self.rules.multiple_max.map(Multiple::get).into_iter().chain(by_users).reduce(f64::min)
    }

    fn kind(&self, visit: &Visit<'_>) -> Option<Decision> {
        (self.kind == Some(Kind::Local)).then(|| {
            let Visit { host, is_private, .. } = visit;
            let good = format!("{host} is this machine, or in a private network");
            let bad = format!(
                "{host} is neither this machine nor in a private network, as a local target is; write kind = \
                 \"staging\" or \"production\""
            );
            Decision::of("kind", self.place("kind"), *is_private, good, bad)
        })
    }

    fn word(&self, visit: &Visit<'_>) -> Decision {
        let Visit { host, is_private, word, .. } = visit;
        let why = match self.kind {
            Some(Kind::Production) => Some(format!("{host} is production")),
            Some(Kind::Local | Kind::Staging) => None,
            None => (!is_private).then(|| format!("{host} is neither this machine nor in a private network")),
        };
        let is_named = word.is_some_and(|word| word.eq_ignore_ascii_case(host));
        let place = "--yes-this-is".to_owned();
        match why {
            None => {
                Decision::of("word", place, true, format!("{host} need not be named again"), String::new())
            }
            Some(why) => {
                let bad = format!("{why}; if you may load it, repeat its name: --yes-this-is {host}");
                Decision::of("word", place, is_named, format!("{why}, and was named again"), bad)
            }
        }
    }

    fn targets(&self, visit: &Visit<'_>) -> Option<Decision> {
        self.file.as_ref()?;
        let Visit { host, authority, .. } = visit;
        let listed: Vec<String> = self.rules.targets.iter().map(ToString::to_string).collect();
        let is_listed = self.rules.targets.iter().any(|pattern| pattern.fits(host, authority));
        let bad = format!(
            "{authority} is not in the list ({}); leave --target out, or add it to the list",
            listed.join(", ")
        );
        Some(Decision::of(
            "targets",
            self.place("guard.targets"),
            is_listed,
            format!("{authority} is in the list"),
            bad,
        ))
    }

    fn kill_file(&self, visit: &Visit<'_>) -> Option<Decision> {
        let path = visit.kill_file?.display();
        let bad = format!("{path} is there: somebody stopped all runs; remove it when they may go on");
        let place = self.file.as_ref().map(|_| self.place("guard.kill_file"));
        let place = place.unwrap_or_else(|| "--kill-file".to_owned());
        Some(Decision::of("kill_file", place, false, String::new(), bad))
    }

    fn hours(&self, at: OffsetDateTime, what: &str) -> Option<Decision> {
        let hours = self.rules.hours.as_ref()?;
        let said = hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        let now = hours.first().map_or_else(String::new, |window| window.tell(at));
        let bad = format!("{what} {now}, allowed is {said}; wait, or take a shorter run");
        let is_within = hours.iter().any(|window| window.holds(at));
        Some(Decision::of(
            "hours",
            self.place("guard.hours"),
            is_within,
            format!("{what} {now}, within {said}"),
            bad,
        ))
    }

    fn multiple(&self, load: &Load) -> Option<Decision> {
        let max = self.rules.multiple_max?;
        let multiple = load.multiple;
        let bad = format!("-x {multiple} is above {}; give -x {} or less", max.get(), max.get());
        let good = format!("-x {multiple} of at most {}", max.get());
        Some(Decision::of("multiple_max", self.place("guard.multiple_max"), multiple <= max.get(), good, bad))
    }

    fn users(&self, load: &Load) -> Option<Decision> {
        let max = self.rules.users_max?;
        let users = counted(load.users, "user");
        let bad = format!("{users} are above {max}; lower -x or --users");
        let good = format!("{users} of at most {max}");
        Some(Decision::of("users_max", self.place("guard.users_max"), load.users <= max, good, bad))
    }

    fn bytes(&self, load: &Load) -> Option<Decision> {
        let max = self.rules.bytes_max?;
        let bytes = ByteSize(load.body_bytes);
        let bad = format!("request bodies of {bytes} are above {max}; lower -x, --users or --duration");
        let good = format!("request bodies of {bytes} of at most {max}");
        Some(Decision::of("bytes_max", self.place("guard.bytes_max"), bytes.0 <= max.0, good, bad))
    }

    fn duration(&self, duration: Duration) -> Option<Decision> {
        let max = self.rules.duration_max?;
        let lasts = Span(Duration::from_secs(duration.as_secs()));
        let bad = format!(
            "sending for {lasts} is above {max}; lower --duration (of a search --budget), or take a part of the \
             capture (kingtide edit)"
        );
        let good = format!("sending for {lasts} of at most {max}");
        Some(Decision::of("duration_max", self.place("guard.duration_max"), duration <= max.0, good, bad))
    }

    /// A single user is the smoke run itself.
    fn smoke(&self, users: u64, last: Option<Duration>) -> Option<Decision> {
        let within = self.rules.smoke_within?;
        let ago = last.map(|age| format!("{} ago", Span(Duration::from_secs(age.as_secs()))));
        let is_alone = users <= 1;
        let is_fresh = last.is_some_and(|age| age <= within.0);
        let good = match &ago {
            _ if is_alone => "one user is the smoke run itself".to_owned(),
            ago => format!("one user passed {}", ago.as_deref().unwrap_or_default()),
        };
        let bad = format!(
            "one user must have passed against this target within {within} ({}); first let one through: \
             a replay with this --env of a model with --users 1, or the smoke scenario",
            ago.map_or_else(|| "none has yet".to_owned(), |ago| format!("the last did {ago}"))
        );
        Some(Decision::of("smoke_within", self.place("guard.smoke_within"), is_alone || is_fresh, good, bad))
    }

    /// The file and key, or the key alone.
    pub fn place(&self, key: &str) -> String {
        self.file.as_ref().map_or_else(|| key.to_owned(), |file| format!("{}: {key}", file.display()))
    }
}

impl Decision {
    fn of(rule: &'static str, place: String, is_allowed: bool, good: String, bad: String) -> Self {
        Self { rule, place, is_allowed, text: if is_allowed { good } else { bad } }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusals: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str("the guard refuses: ")?;
        f.write_str(&refusals.join("\n  and "))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}

#[cfg(test)]
mod tests;
