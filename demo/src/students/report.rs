//! What the students saw, as a table and as JSON.
//!
//! Everything planned is accounted for: planned = done + unfinished + unsent, and only a complete 2xx answer with the
//! right content is `ok`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The requests a student makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    Login,
    Profile,
    Assignments,
    Activities,
    Upload,
}

impl Route {
    /// In the order of a visit.
    pub const ALL: [Self; 5] =
        [Self::Login, Self::Profile, Self::Assignments, Self::Activities, Self::Upload];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Profile => "profile",
            Self::Assignments => "assignments",
            Self::Activities => "activities",
            Self::Upload => "upload",
        }
    }
}

/// How one request ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Absent without a complete answer.
    pub status: Option<u16>,
    /// Class of the failure: `connect`, `broken`, `truncated`, `timeout`, `status`, `bad_answer`, `wrong_bytes`,
    /// `wrong_digest`.
    pub error: Option<&'static str>,
    /// From sending to the last byte of the answer.
    pub latency: Duration,
}

/// Percentiles of complete answers, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LatencyMs {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// One route's figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RouteReport {
    pub planned: u64,
    /// Begun.
    pub sent: u64,
    /// Ended, well or not.
    pub done: u64,
    /// Ended with a complete 2xx answer and the right content.
    pub ok: u64,
    pub statuses: BTreeMap<u16, u64>,
    pub latency_ms: LatencyMs,
}

/// Uploads and their bytes, of the audio files and of whole request bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct UploadReport {
    pub count: u64,
    pub file_bytes: u64,
    pub body_bytes: u64,
}

/// The whole visit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub seed: u64,
    pub students: u64,
    /// Students who came to their end, whatever it was.
    pub finished_students: u64,
    pub elapsed_s: f64,
    /// Ended by a signal.
    pub interrupted: bool,
    pub planned: u64,
    pub sent: u64,
    pub done: u64,
    pub ok: u64,
    /// Sent and never ended.
    pub unfinished: u64,
    /// Never sent, because a step before failed or time was over.
    pub unsent: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// Failures by class.
    pub errors: BTreeMap<String, u64>,
    pub latency_ms: LatencyMs,
    pub routes: BTreeMap<&'static str, RouteReport>,
    /// Uploads begun.
    pub uploads_sent: UploadReport,
    /// Uploads confirmed by the service with their size and digest.
    pub uploads: UploadReport,
}

impl Report {
    /// Whether everything planned was answered with 2xx.
    pub fn is_ok(&self) -> bool {
        self.ok == self.planned
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<12} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "route", "planned", "sent", "done", "ok", "p50 ms", "p95 ms", "p99 ms", "max ms"
        )?;
        for route in Route::ALL {
            if let Some(figures) = self.routes.get(route.name()) {
                write_route(out, route.name(), figures)?;
            }
        }
        self.write_summary(out)
    }
}

fn write_route(out: &mut fmt::Formatter<'_>, name: &str, route: &RouteReport) -> fmt::Result {
    let LatencyMs { p50, p95, p99, max } = route.latency_ms;
    writeln!(
        out,
        "{name:<12} {:>8} {:>8} {:>8} {:>8} {p50:>10.1} {p95:>10.1} {p99:>10.1} {max:>10.1}",
        route.planned, route.sent, route.done, route.ok
    )
}

impl Report {
    fn write_summary(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UploadReport { count, file_bytes, body_bytes } = self.uploads;
        writeln!(out, "\nuploads kept  {count}, {file_bytes} bytes of audio, {body_bytes} bytes of bodies")?;
        writeln!(
            out,
            "students      {} of {} finished in {:.1} s",
            self.finished_students, self.students, self.elapsed_s
        )?;
        if !self.is_ok() {
            let errors: Vec<String> =
                self.errors.iter().map(|(class, count)| format!("{class} {count}")).collect();
            writeln!(
                out,
                "failures      {} (unfinished {}, unsent {})",
                errors.join(", "),
                self.unfinished,
                self.unsent
            )?;
        }
        let verdict = if self.is_ok() { "every request got 2xx" } else { "not every request got 2xx" };
        let how = if self.interrupted { ", interrupted" } else { "" };
        writeln!(out, "verdict       {verdict}{how}")
    }
}
