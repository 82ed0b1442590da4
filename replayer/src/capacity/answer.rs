//! What `kingtide capacity` says in the end: the finding, and what its units mean for this capture.

use serde::{Deserialize, Serialize};

use super::cold_start::ColdStart;
use super::finding::{Capacity, Finding, Safe, TrialRecord};
use super::scalability::Scalability;
use crate::assessment::Grown;
use crate::bottleneck::{NextLimit, Suspect};
use crate::measure::http::HttpCounts;
use crate::report::format::{number, size};
use crate::sessions::{Outline, Outlines, StepOutline};

/// See the module. JSON schema: replayer/schemas/capacity.json.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub kingtide_version: String,
    pub capture: String,
    pub target: String,
    /// RFC 3339 UTC.
    pub started: String,
    pub duration_s: f64,
    /// What 1× is.
    pub unit: Unit,
    #[serde(flatten)]
    pub finding: Finding,
    /// What may have given way first, the likeliest first.
    pub bottleneck: Vec<Suspect>,
    /// What grew all through the search, as monitors saw it: what leaks.
    pub grown: Vec<Grown>,
    /// What gives way after the likeliest of them; `None` without one.
    pub next_limit: Option<NextLimit>,
    /// Seen in the warm-up; `None` without one.
    pub cold_start: Option<ColdStart>,
    /// `None` where the trials leave it open.
    pub scalability: Option<Scalability>,
    /// Which HTTP the connections of all trials spoke.
    pub http: HttpCounts,
    /// The user stopped it: what was known by then.
    pub interrupted: bool,
    pub cautions: Vec<String>,
}

/// Units of the same load differ by what sessions are drawn, and by no more than this.
const LIKE: f64 = 0.05;

/// What 1× means: the capture's means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub requests_per_s: f64,
    /// `None` where users of a model begin again and again.
    pub sessions_per_s: Option<f64>,
    /// Of request bodies.
    pub bytes_per_s: f64,
    /// Of a model those asked for; of a capture its sessions under way at once, by Little's law: starts a second × mean
    /// duration.
    pub users: f64,
}

impl Unit {
    /// Of sessions that make so many requests a second in all.
    pub fn of(sessions: &Outlines, requests_per_s: f64) -> Self {
        let steps = || sessions.iter().flat_map(|session| session.steps);
        let requests = steps().count().max(1) as f64;
        let bytes: u64 = steps().map(|step| step.body_bytes).sum();
        let sessions_per_s = requests_per_s * sessions.len() as f64 / requests;
        let lasted_us: u64 = sessions.iter().map(duration_us).sum();
        Self {
            requests_per_s,
            sessions_per_s: Some(sessions_per_s),
            bytes_per_s: requests_per_s * bytes as f64 / requests,
            users: sessions_per_s * lasted_us as f64 / 1e6 / sessions.len().max(1) as f64,
        }
    }

    /// Of so many users of a model, who make so many requests a second; these sessions are theirs.
    pub fn of_users(users: usize, sessions: &Outlines, requests_per_s: f64) -> Self {
        Self { users: users as f64, sessions_per_s: None, ..Self::of(sessions, requests_per_s) }
    }

    /// Whether so many times the one is so many times the other.
    pub fn is_like(&self, other: &Self) -> bool {
        let near = |one: f64, other: f64| (one - other).abs() <= LIKE * one.max(other);
        near(self.requests_per_s, other.requests_per_s) && near(self.users, other.users)
    }

    pub fn sentence(&self) -> String {
        format!(
            "{} requests/s, {}/s, {} users at once",
            number(Some(self.requests_per_s)),
            bytes(self.bytes_per_s),
            number(Some(self.users))
        )
    }

    /// The finding with what follows from the capture.
    #[must_use]
    pub fn complete(&self, finding: Finding) -> Finding {
        let complete = |capacity: Capacity| {
            // Users in a closed loop ask for less than they are supposed to when answers are slow.
            let seen_per_s =
                self.sessions_per_s.is_none().then(|| nearest_per_s(&finding, capacity.multiple)).flatten();
            let requests_per_s = seen_per_s.unwrap_or(capacity.requests_per_s);
            Capacity {
                requests_per_s,
                bytes_per_s: Some(self.bytes_per_s / self.requests_per_s * requests_per_s),
                users: Some(self.users * capacity.multiple),
                ..capacity
            }
        };
        let capacity = finding.capacity.map(complete);
        let part = |safe: Safe, capacity: &Capacity| Safe {
            requests_per_s: capacity.requests_per_s * safe.share,
            bytes_per_s: capacity.bytes_per_s.map(|bytes| bytes * safe.share),
            users: capacity.users.map(|users| users * safe.share),
            ..safe
        };
        Finding {
            capacity,
            safe: finding.safe.zip(capacity.as_ref()).map(|(safe, of)| part(safe, of)),
            ..finding
        }
    }
}

/// What was planned a second in the trial whose load was nearest.
fn nearest_per_s(finding: &Finding, multiple: f64) -> Option<f64> {
    let held = finding
        .trials
        .iter()
        .filter(|record| record.trial.purpose.classifies() && record.judged.planned_per_s > 0.0);
    let nearest = held.min_by(|a, b| {
        let distance = |record: &TrialRecord| (record.judged.multiple - multiple).abs();
        distance(a).total_cmp(&distance(b))
    });
    nearest.map(|record| record.judged.planned_per_s)
}

/// A size, as a float has it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not negative; a float beyond u64 saturates
pub(crate) fn bytes(bytes: f64) -> String {
    size(Some(bytes.round() as u64))
}

/// From the first request to the end of the last answer.
fn duration_us(session: Outline<'_>) -> u64 {
    session.steps.iter().map(StepOutline::end_us).max().unwrap_or_default()
}
