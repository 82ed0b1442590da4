//! What a capture holds, as one summary for people (`inspect/text.rs`) and for scripts (JSON, schema:
//! `replayer/schemas/inspect.json`).
//!
//! [`gather`] reads, [`summarise`] is pure: counts, sessions and the ledger in, numbers out. Percentiles are exact
//! (nearest rank over all values, see [`distribution`]). What cannot be known from this capture is `null`, never 0.

use std::collections::BTreeMap;

use kingtide_common::capture::{Damage, Removed};
use kingtide_common::exchange::Gap;
use kingtide_common::ledger::Ledger;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::sessions::IdleGap;
use crate::sessions::users::{Group, Groups};

mod counts;
pub mod distribution;
mod gather;
pub mod histogram;
mod limits;
mod routes;
mod shape;
pub mod synthesised;
mod tally;
pub mod text;
mod uploads;
mod values;
pub mod waterfall;

pub use distribution::{Sizes, Speeds, StageTimes};
pub use gather::{Gathered, gather};
pub use limits::{Judged, LimitSummary};
pub use routes::RouteSummary;
pub use shape::{Arrivals, SessionShape};
pub use synthesised::Synthesised;
pub use uploads::SizeBin;

/// How many, and how much together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub count: u64,
    /// Bytes.
    pub sum: u64,
}

/// What a capture holds. Times in milliseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub capture: String,
    /// First byte of the first request, RFC 3339 UTC; `null` for an empty capture.
    pub started: Option<String>,
    /// From there to the end of the last exchange.
    pub duration_s: f64,
    pub exchanges: u64,
    pub sessions: u64,
    /// Sessions that use a credential whose login the capture does not hold.
    pub orphans: u64,
    /// Sessions of which only the beginning is in the capture: the rest was shed.
    pub cut: u64,
    /// Silence of a user that begins a new session.
    pub idle_gap: IdleGap,
    pub session_shape: SessionShape,
    pub arrivals: Arrivals,
    /// Request bodies that should have been looked into and could not be.
    pub unread_bodies: u64,
    /// By status; `none` for exchanges that got no answer.
    pub statuses: BTreeMap<String, u64>,
    /// By who ended them and where they stood, two letters as HAProxy writes them; complete ones are left
    /// out, and so are those of captures from before the code was recorded.
    pub ends: BTreeMap<String, u64>,
    /// By name; limits that no exchange met are left out.
    pub limits: BTreeMap<String, LimitSummary>,
    pub routes: Vec<RouteSummary>,
    /// `null` when the manifest is lost.
    pub ledger: Option<Ledger>,
    /// File parts of multipart requests.
    pub upload_bytes: Sizes,
    /// The same as a histogram from the smallest to the largest, without holes.
    pub upload_histogram: Vec<SizeBin>,
    /// Of uploads, from their first to their last byte.
    pub uplink_bytes_per_s: Speeds,
    /// Request bodies that are not empty, transfer coding removed.
    pub body_bytes: Amount,
    pub stages: BTreeMap<String, StageTimes>,
    /// From the backend's `Server-Timing`; within `upstream_wait`.
    pub stages_inner: BTreeMap<String, StageTimes>,
    /// Index of dispersion of request starts by window in seconds; `null` when the capture is too short.
    pub dispersion: BTreeMap<String, Option<f64>>,
    /// What an import made up; `null` for what the proxy recorded.
    pub synthesised: Option<Synthesised>,
    pub gaps: Vec<Gap>,
    /// Segments that were recorded and are gone: taken away by the retention, or with their directory; `null`
    /// when there are none.
    pub removed: Option<Removed>,
    /// What could not be read, as sentences.
    pub damage: Vec<Damage>,
}

/// Sums up what was gathered of a capture, which is called `capture` in the report.
pub fn summarise(capture: &str, gathered: Gathered) -> Summary {
    let Gathered { counts, users, cut, ledger, removed, damage } = gathered;
    Summary {
        capture: capture.to_owned(),
        started: first_start_ns(&users).and_then(rfc3339),
        duration_s: duration_s(&users),
        exchanges: counts.exchanges,
        sessions: users.groups.len() as u64,
        orphans: users.groups.iter().filter(|group| group.is_orphan).count() as u64,
        cut,
        idle_gap: users.idle_gap,
        session_shape: SessionShape::of(&users.groups),
        arrivals: counts.arrivals,
        unread_bodies: counts.unread_bodies,
        statuses: counts.statuses,
        ends: counts.ends,
        limits: counts.limits,
        routes: counts.routes,
        ledger,
        upload_bytes: counts.upload_bytes,
        upload_histogram: counts.upload_histogram,
        uplink_bytes_per_s: counts.uplink_bytes_per_s,
        body_bytes: counts.body_bytes,
        stages: counts.stages,
        stages_inner: counts.stages_inner,
        dispersion: counts.dispersion,
        synthesised: counts.synthesised,
        gaps: counts.gaps,
        removed: Some(removed).filter(|removed| !removed.is_nothing()),
        damage,
    }
}

fn first_start_ns(users: &Groups) -> Option<i64> {
    users.groups.iter().map(Group::start_ns).min()
}

fn duration_s(users: &Groups) -> f64 {
    let end_ns = users.groups.iter().map(Group::end_ns).max().unwrap_or_default();
    end_ns.saturating_sub(first_start_ns(users).unwrap_or_default()) as f64 / 1e9
}

/// To the millisecond: `2026-11-23T18:53:44.120Z`.
fn rfc3339(utc_ns: i64) -> Option<String> {
    let whole_ms = i128::from(utc_ns).div_euclid(1_000_000) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(whole_ms).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
pub(crate) mod tests;
