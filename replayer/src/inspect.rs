//! What a capture holds, as one summary for people (`inspect/text.rs`) and for scripts (JSON, schema:
//! `replayer/schemas/inspect.json`).
//!
//! Pure: exchanges, sessions and the ledger in, numbers out. Percentiles are exact (nearest rank over
//! all values, see [`distribution`]). What cannot be known from this capture is `null`, never 0.

use std::collections::BTreeMap;

use kingtide_common::capture::{Damage, Removed};
use kingtide_common::cut::CutUsers;
use kingtide_common::exchange::{Body, Exchange, Gap};
use kingtide_common::ledger::Ledger;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::plan;
use crate::sessions::Session;

pub mod distribution;
mod limits;
mod routes;
mod stages;
pub mod synthesised;
pub mod text;
mod uploads;
pub mod waterfall;

pub use distribution::{Sizes, StageTimes};
pub use limits::{Judged, LimitSummary};
pub use routes::RouteSummary;
pub use synthesised::Synthesised;
pub use uploads::SizeBin;

/// What a summary is made of.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// What the capture is called in the report.
    pub capture: &'a str,
    /// Every exchange of the capture is a step of one of them.
    pub sessions: &'a [Session],
    /// `None` when the manifest is lost.
    pub ledger: Option<Ledger>,
    /// What the retention took away.
    pub removed: Removed,
    pub gaps: &'a [Gap],
    pub damage: &'a [Damage],
}

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

/// Sums up a capture.
pub fn summarise(material: &Material<'_>) -> Summary {
    let exchanges = exchanges_of(material.sessions);
    let tables = stages::collect(&exchanges);
    let uploads = uploads::sizes(exchanges.iter().copied());
    Summary {
        capture: material.capture.to_owned(),
        started: first_start_ns(&exchanges).and_then(rfc3339),
        duration_s: duration_s(&exchanges),
        exchanges: exchanges.len() as u64,
        sessions: material.sessions.len() as u64,
        orphans: count_where(material.sessions, |session| session.orphan),
        cut: cut(material),
        unread_bodies: count_where(&exchanges, |one| matches!(one.request_body, Body::Unread(_))),
        statuses: statuses_of(exchanges.iter().copied()),
        upload_histogram: uploads::histogram(uploads.values()),
        upload_bytes: uploads.sizes(),
        body_bytes: body_bytes(&exchanges),
        ends: limits::ends(&exchanges),
        limits: limits::summarise(&tables),
        stages: tables.outer_times(),
        stages_inner: tables.inner_times(),
        routes: routes::summarise(tables),
        ledger: material.ledger,
        dispersion: dispersion(&exchanges),
        synthesised: synthesised::count(exchanges.iter().copied()),
        gaps: material.gaps.to_vec(),
        removed: Some(material.removed).filter(|removed| !removed.is_nothing()),
        damage: material.damage.to_vec(),
    }
}

fn cut(material: &Material<'_>) -> u64 {
    let users = CutUsers::of(material.gaps);
    count_where(material.sessions, |session| session.steps.iter().any(|step| users.include(&step.exchange)))
}

fn exchanges_of(sessions: &[Session]) -> Vec<&Exchange> {
    sessions.iter().flat_map(|session| &session.steps).map(|step| &step.exchange).collect()
}

fn count_where<T>(items: &[T], is: impl Fn(&T) -> bool) -> u64 {
    items.iter().filter(|item| is(item)).count() as u64
}

fn first_start_ns(exchanges: &[&Exchange]) -> Option<i64> {
    exchanges.iter().map(|exchange| exchange.started_ns).min()
}

fn duration_s(exchanges: &[&Exchange]) -> f64 {
    let end_ns = exchanges.iter().map(|exchange| exchange.done_ns()).max().unwrap_or_default();
    let start_ns = first_start_ns(exchanges).unwrap_or_default();
    end_ns.saturating_sub(start_ns) as f64 / 1e9
}

/// To the millisecond: `2026-11-23T18:53:44.120Z`.
fn rfc3339(utc_ns: i64) -> Option<String> {
    let whole_ms = i128::from(utc_ns).div_euclid(1_000_000) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(whole_ms).ok()?.format(&Rfc3339).ok()
}

fn statuses_of<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for exchange in exchanges {
        *counts.entry(exchange.status).or_insert(0) += 1;
    }
    counts.into_iter().map(|(status, count)| (status_name(status), count)).collect()
}

fn status_name(status: Option<u16>) -> String {
    status.map_or_else(|| "none".to_owned(), |status| status.to_string())
}

fn body_bytes(exchanges: &[&Exchange]) -> Amount {
    let sizes = exchanges.iter().map(|exchange| exchange.request_body_bytes).filter(|bytes| *bytes > 0);
    sizes.fold(Amount::default(), |all, bytes| Amount { count: all.count + 1, sum: all.sum + bytes })
}

fn dispersion(exchanges: &[&Exchange]) -> BTreeMap<String, Option<f64>> {
    let first_ns = first_start_ns(exchanges).unwrap_or_default();
    let since_first_us =
        |exchange: &&Exchange| exchange.started_ns.saturating_sub(first_ns).unsigned_abs() / 1000;
    let starts_us: Vec<u64> = exchanges.iter().map(since_first_us).collect();
    let span_us = starts_us.iter().max().map_or(0, |last_us| last_us + 1);
    let windows = plan::dispersion::WINDOWS_S.into_iter();
    let index = |window_s| plan::dispersion::dispersion(&starts_us, window_s, span_us);
    windows.map(|window_s| (plan::dispersion::label(window_s), index(window_s))).collect()
}

#[cfg(test)]
pub(crate) mod tests;
