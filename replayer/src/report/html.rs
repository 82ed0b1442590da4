//! The HTML page: one file that needs no network, verdict first, legible without JavaScript.
//!
//! Tables, bars and the histogram are HTML; only the curves over time and percentiles are drawn by uPlot
//! from the JSON in the page. Style, script and uPlot are inlined; the page forbids itself every request
//! by its Content-Security-Policy.

use askama::Template;

use super::format::seconds;
use super::{Report, ReportError, words};
use crate::inspect::Summary;
use crate::measure::run::{RunReport, Verdict};
use crate::monitor::timeline::Timeline;

mod achieved;
mod bars;
mod charts;
mod grid;
mod monitors;
mod rows;

use bars::{Histogram, StageBars};
use grid::Grid;
use monitors::Watched;

const STYLE: &str = include_str!("../../assets/report.css");
const SCRIPT: &str = include_str!("../../assets/report.js");
const UPLOT_STYLE: &str = include_str!("../../assets/uPlot.min.css");
const UPLOT_SCRIPT: &str = include_str!("../../assets/uPlot.iife.min.js");
const UPLOT_LICENSE: &str = include_str!("../../assets/uPlot.LICENSE");

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    headline: String,
    tone: &'static str,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    runs: Vec<RunView>,
    watched: Vec<Watched>,
    volumes: Grid,
    times: Grid,
    stages: Grid,
    route_stages: Grid,
    routes: Grid,
    failures: Grid,
    statuses: Grid,
    sent: Grid,
    captured_stages: Grid,
    fidelity: Grid,
    capture: Option<CaptureView<'a>>,
    chart_data: String,
    version: &'static str,
}

/// A run's badge and what happened in it.
struct RunView {
    name: String,
    verdict: &'static str,
    tone: &'static str,
    sentence: String,
    reasons: Vec<String>,
}

struct CaptureView<'a> {
    summary: &'a Summary,
    facts: Vec<(&'static str, String)>,
    stages: Vec<StageBars>,
    uploads: Histogram,
}

/// The page as text.
pub fn page(report: &Report) -> Result<String, ReportError> {
    page_with_monitors(report, &[])
}

/// The page with what monitors saw beside each run, in the order of the runs.
pub fn page_with_monitors(report: &Report, timelines: &[Timeline]) -> Result<String, ReportError> {
    let runs = &report.runs;
    let watched = monitors::views(runs, timelines);
    let page = Page {
        headline: words::headline(runs),
        tone: tone_of_all(runs),
        facts: facts(report),
        warnings: warnings(report.capture.as_ref()),
        runs: run_views(runs),
        volumes: rows::volumes(runs),
        times: rows::times(runs),
        stages: rows::client_stages(runs),
        route_stages: rows::route_stages(runs),
        routes: rows::routes(runs, report.capture.as_ref()),
        failures: rows::failures(runs),
        statuses: rows::statuses(runs),
        sent: achieved::sent(runs),
        captured_stages: achieved::stages(runs),
        fidelity: rows::fidelity(runs),
        capture: report.capture.as_ref().map(capture_view),
        chart_data: charts::json(runs, &watched)?,
        watched,
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(page.render()?)
}

fn run_views(runs: &[RunReport]) -> Vec<RunView> {
    let lightest = words::baseline(runs);
    let view = |(name, run): (String, &RunReport)| RunView {
        name,
        verdict: words::verdict_name(run.verdict),
        tone: tone(run.verdict),
        sentence: words::with_bound_units(&words::describe(run, lightest)),
        reasons: run.reasons.iter().map(|reason| words::with_bound_units(reason)).collect(),
    };
    words::run_names(runs).into_iter().zip(runs).map(view).collect()
}

fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Undecided | Verdict::Invalid => "invalid",
    }
}

/// The worst that can be said of any run.
fn tone_of_all(runs: &[RunReport]) -> &'static str {
    let any = |verdict| runs.iter().any(|run| run.verdict == verdict);
    match () {
        () if runs.is_empty() => "neutral",
        () if any(Verdict::Fail) => "fail",
        () if any(Verdict::Undecided) || any(Verdict::Invalid) => "invalid",
        () => "pass",
    }
}

/// Facts that the runs share; what differs between them is listed.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let runs = &report.runs;
    let of_capture = report.capture.as_ref().map(|capture| capture.capture.clone());
    let captures = of_capture.unwrap_or_else(|| distinct(runs, |run| run.capture.clone()));
    let facts = [
        ("Capture", captures),
        ("Target", distinct(runs, |run| run.target.clone())),
        ("Started", runs.iter().map(|run| to_the_second(&run.started)).min().unwrap_or_default()),
        ("Amplified by", distinct(runs, |run| run.mode.clone())),
        ("Clock within sessions", distinct(runs, |run| run.clock.clone())),
        ("Uplink of request bodies", distinct(runs, |run| run.uplink.clone())),
        ("Seed", distinct(runs, |run| run.seed.to_string())),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// An RFC 3339 instant in UTC without its fraction.
fn to_the_second(instant: &str) -> String {
    instant.split_once('.').map_or_else(|| instant.to_owned(), |(whole, _)| format!("{whole}Z"))
}

fn distinct(runs: &[RunReport], of: impl Fn(&RunReport) -> String) -> String {
    let mut values: Vec<String> = runs.iter().map(of).collect();
    values.sort();
    values.dedup();
    values.join(", ")
}

/// What weakens everything below: damage and loss of the capture.
fn warnings(capture: Option<&Summary>) -> Vec<String> {
    let Some(capture) = capture else { return Vec::new() };
    let damage = capture.damage.iter().map(|damage| format!("The capture is damaged: {damage}."));
    let unrecorded = capture.ledger.map_or(0, |ledger| ledger.lost());
    let loss = (unrecorded > 0).then(|| {
        format!(
            "The capture is incomplete: {} not recorded.",
            super::format::counted(unrecorded, "accepted request")
        )
    });
    damage.chain(loss).collect()
}

fn capture_view(summary: &Summary) -> CaptureView<'_> {
    use super::format::{UNKNOWN, count, size};
    let recorded = summary
        .ledger
        .map(|ledger| format!("{} of {} accepted", count(ledger.recorded), count(ledger.accepted)));
    let facts = [
        ("Length", seconds(Some(summary.duration_s))),
        ("Exchanges", count(summary.exchanges)),
        ("Sessions", count(summary.sessions)),
        ("Files", count(summary.upload_bytes.count)),
        ("File bytes", size(Some(summary.upload_bytes.sum))),
        ("Recorded", recorded.unwrap_or_else(|| UNKNOWN.to_owned())),
    ];
    CaptureView {
        summary,
        facts: facts.into(),
        stages: StageBars::of_slowest(summary),
        uploads: Histogram::of(&summary.upload_histogram),
    }
}

#[cfg(test)]
mod tests;
