//! The data of the page's charts, as JSON inside a `<script type="application/json">`.

use serde::Serialize;

use super::monitors::Watched;
use super::words;
use crate::measure::run::{CurvePoint, RunReport, Second};

#[derive(Serialize)]
struct Charts<'a> {
    runs: Vec<ChartRun>,
    watched: &'a [Watched],
}

#[derive(Serialize)]
struct ChartRun {
    name: String,
    /// Samples behind the curves: the slowest of them stands at "1 in `samples`".
    samples: u64,
    latency: Vec<[f64; 2]>,
    service: Vec<[f64; 2]>,
    seconds: Vec<u64>,
    sent: Vec<u64>,
    users: Vec<u64>,
    in_flight: Vec<u64>,
    failed: Vec<u64>,
    latency_ms_p95: Vec<Option<f64>>,
}

/// JSON that cannot end the script element it stands in: every `<` is written as `\u003c`.
pub(super) fn json(runs: &[RunReport], watched: &[Watched]) -> Result<String, serde_json::Error> {
    let names = words::run_names(runs).into_iter();
    let runs = names.zip(runs).map(|(name, run)| chart_run(name, run)).collect();
    let charts = Charts { runs, watched };
    Ok(serde_json::to_string(&charts)?.replace('<', "\\u003c"))
}

fn chart_run(name: String, run: &RunReport) -> ChartRun {
    let curve = |points: &[CurvePoint]| points.iter().map(|point| [point.share, point.ms]).collect();
    ChartRun {
        name,
        samples: run.latency_ms.count,
        latency: curve(&run.latency_curve),
        service: curve(&run.service_curve),
        seconds: column(run, |second| second.at_s),
        sent: column(run, |second| second.sent),
        users: column(run, |second| second.users),
        in_flight: column(run, |second| second.in_flight),
        failed: column(run, |second| second.failed),
        latency_ms_p95: column(run, |second| second.latency_ms_p95),
    }
}

fn column<T>(run: &RunReport, of: impl Fn(&Second) -> T) -> Vec<T> {
    run.series.iter().map(of).collect()
}
