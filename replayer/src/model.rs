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

/// Requests of all users of a model: their sessions are held in memory, about 2 KB a request.
const REQUESTS_MAX: usize = 2_000_000;

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
            let session = visits::session(&self.file, user, start, duration, seed, left)
                .ok_or(ArrivalsError::TooMany { users, duration })?;
            left -= session.steps.len();
            Ok(session)
        };
        (0..users).map(session).collect()
    }
}

#[cfg(test)]
mod tests;
