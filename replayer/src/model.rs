//! Session models: sessions without a capture, from a TOML file that says what a user does
//! (every key: `configs/models/students.toml`).
//!
//! `file` reads and checks it, `template` its texts with placeholders, `law` what is drawn, `request` makes an exchange
//! of a step, and `visits` lets users do the steps until their time is over. What comes out is what a capture's reading
//! gives, holes with their sources included, so plan, drive and report need not know that nobody was recorded. Pure:
//! the same file, arrivals and seed give the same sessions on every machine, and a user's session is the same among 20 users
//! and among 200.

mod file;
mod law;
mod request;
mod template;
mod visits;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use kingtide_common::config::{self, ConfigError};
use kingtide_common::units::{Seed, Span};

use crate::sessions::Session;
use file::File;
pub use law::{Between, Sizes};
use visits::Pace;

/// Requests of all users of a model: their sessions are held in memory, about 2 KB a request.
const REQUESTS_MAX: usize = 2_000_000;
/// Long enough for what is drawn to even out.
const USUAL_STAY: Duration = Duration::from_hours(3);

/// What a user does.
#[derive(Debug, Clone)]
pub struct Model {
    file: File,
}

/// How many users do it, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    pub users: NonZeroUsize,
    /// New users a second, evenly, until all are there.
    pub spawn_per_s: f64,
    /// From the first user's first request; nobody begins a request after it.
    pub duration: Duration,
}

/// What differs from the file, in every step that has one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Think time before each step that has one, and before a user does it all again.
    pub think: Option<Between<Span>>,
    /// Of every uploaded file.
    pub sizes: Option<Sizes>,
}

/// A user's time, from the run's zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stay {
    pub comes: Duration,
    pub leaves: Duration,
}

/// Why a model gives no sessions.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ArrivalsError {
    #[error(
        "of {users} users at {spawn_per_s} a second the last comes after {}, when the run is over: \
         raise --spawn-per-s or --duration, or lower --users",
        Span(*duration)
    )]
    TooSlow { users: usize, spawn_per_s: f64, duration: Duration },
    #[error(
        "{users} users for {} send over {REQUESTS_MAX} requests, more than are held in memory: lower --users or \
         --duration, or let them think longer",
        Span(*duration)
    )]
    TooMany { users: usize, duration: Duration },
}

impl Model {
    /// Reads a user's file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (file, text) = config::load::<File>(path)?;
        Self::of(file, &path.display().to_string(), &text)
    }

    fn of(file: File, name: &str, text: &str) -> Result<Self, ConfigError> {
        let file = file.with_headers_in_each_step();
        file.check().map_err(|(at, why)| config::wrong_at(name, text, at, why))?;
        Ok(Self { file })
    }

    /// The same with some things otherwise.
    pub fn changed(mut self, changes: &Changes) -> Result<Self, String> {
        self.file.change(changes);
        self.file.check().map(|()| self).map_err(|(_, why)| why)
    }

    /// A session for each stay, in their order, with as many requests as there is time for when answers are very quick: how
    /// many there really is time for, the answers will tell ([`crate::plan::staying`]).
    pub fn staying(&self, stays: &[Stay], seed: Seed) -> Result<Vec<Session>, ArrivalsError> {
        let mut left = REQUESTS_MAX;
        let session = |(user, stay): (usize, &Stay)| {
            let session = visits::session(&self.file, user, *stay, Pace::Quick, seed, left);
            let session = session.ok_or_else(|| ArrivalsError::TooMany {
                users: stays.len(),
                duration: stays.iter().map(|stay| stay.leaves).max().unwrap_or_default(),
            })?;
            left -= session.steps.len();
            Ok(session)
        };
        stays.iter().enumerate().map(session).collect()
    }

    /// Requests a second of one user whose answers take what they usually do, by the steps of a long stay.
    pub fn usual_rate_per_s(&self) -> f64 {
        let stay = Stay { comes: Duration::ZERO, leaves: USUAL_STAY };
        let session = visits::session(&self.file, 0, stay, Pace::Usual, Seed(1), REQUESTS_MAX);
        session.map_or(0.0, |session| session.steps.len() as f64 / USUAL_STAY.as_secs_f64())
    }

    /// The session of each user, in order of their start. A session lasts as long as its user stays: who does it all
    /// again does so within it, with the same account.
    pub fn sessions(&self, arrivals: &Arrivals, seed: Seed) -> Result<Vec<Session>, ArrivalsError> {
        let Arrivals { spawn_per_s, duration, .. } = *arrivals;
        let users = arrivals.users.get();
        let mut left = REQUESTS_MAX;
        let session = |user: usize| {
            let start = Duration::try_from_secs_f64(user as f64 / spawn_per_s).unwrap_or(Duration::MAX);
            if start >= duration {
                return Err(ArrivalsError::TooSlow { users, spawn_per_s, duration });
            }
            let stay = Stay { comes: start, leaves: duration };
            let session = visits::session(&self.file, user, stay, Pace::Usual, seed, left)
                .ok_or(ArrivalsError::TooMany { users, duration })?;
            left -= session.steps.len();
            Ok(session)
        };
        (0..users).map(session).collect()
    }
}

#[cfg(test)]
mod tests;
