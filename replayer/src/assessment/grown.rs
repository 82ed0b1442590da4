//! What grew all through a run: memory, connections and descriptors that leak, latency that creeps.

use serde::Serialize;

use crate::measure::run::RunReport;
use crate::monitor::timeline::Timeline;
use crate::monitor::unit::written;
use crate::report::format::{seconds, share};
use crate::statistics::{Interval, Trend, median};
use crate::thresholds::Thresholds;

/// Shorter runs show pools and caches that fill, and call it a leak.
const RUN_S_MIN: f64 = 300.0;
/// They fill in the first fifth, which is left out.
const FILLING_SHARE: f64 = 0.2;
/// Less than that in the whole run, of what there was, is not worth a word.
const GROWTH_SHARE_MIN: f64 = 0.02;
/// Latencies of single seconds are ragged: their median over so many is a point.
const WINDOW_S: usize = 10;
const LATENCIES: [&str; 2] = ["run.latency_ms_p50", "run.latency_ms_p95"];

/// A metric that surely grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grown {
    pub metric: String,
    /// In the metric's unit.
    pub per_min: f64,
    /// 95 %.
    pub interval: Interval,
    /// At the end of the run, on the line of the trend.
    pub value: f64,
    /// Of what there was where the trend begins.
    pub growth_share: f64,
    /// Its critical level, and how long it takes to get there.
    pub limit: Option<f64>,
    pub limit_in_s: Option<f64>,
}

/// Of what monitors saw and the run's own latencies; the steepest first.
pub fn of(run: &RunReport, seen: &Timeline, thresholds: &Thresholds) -> Vec<Grown> {
    let end_s =
        run.series.iter().rposition(|second| second.planned > 0).map_or(0.0, |last| last as f64 + 1.0);
    during(seen, end_s, thresholds)
}

/// Of what was seen in the seconds from 0 to `end_s`.
pub fn during(seen: &Timeline, end_s: f64, thresholds: &Thresholds) -> Vec<Grown> {
    if end_s < RUN_S_MIN {
        return Vec::new();
    }
    let of_metric = |metric: &String| judged(metric, &points(seen, metric, end_s), end_s, thresholds);
    let metrics = seen.series.keys().filter(|metric| is_worth(metric));
    let mut grown: Vec<Grown> = metrics.filter_map(of_metric).collect();
    grown.sort_by(|a, b| b.growth_share.total_cmp(&a.growth_share));
    grown
}

/// What a leak shows in, and latency; how busy something is follows the load.
fn is_worth(metric: &str) -> bool {
    const LEAKS: [&str; 7] = [
        "_bytes",
        "memory_share",
        "descriptors",
        "total",
        "idle_in_transaction",
        "connections",
        "checked_out",
    ];
    const ONLY_GROWS: [&str; 5] = ["disk", "network", "temp", "read", "written"];
    let name = metric.rsplit('.').next().unwrap_or(metric);
    let is_counter = ONLY_GROWS.iter().any(|part| name.contains(part));
    LATENCIES.contains(&metric) || (LEAKS.iter().any(|part| name.ends_with(part)) && !is_counter)
}

fn points(seen: &Timeline, metric: &str, end_s: f64) -> Vec<(f64, f64)> {
    let range = FILLING_SHARE * end_s..=end_s;
    let points: Vec<(f64, f64)> = seen.values(metric).filter(|(at_s, _)| range.contains(at_s)).collect();
    if LATENCIES.contains(&metric) { points.chunks(WINDOW_S).map(middle).collect() } else { points }
}

/// Of some neighbours: the mean of their times, and the median of their values.
fn middle(points: &[(f64, f64)]) -> (f64, f64) {
    let at_s = points.iter().map(|(at_s, _)| at_s).sum::<f64>() / points.len() as f64;
    (at_s, median(points.iter().map(|(_, value)| *value)).unwrap_or_default())
}

/// `None` of what does not surely grow, or hardly.
fn judged(metric: &str, points: &[(f64, f64)], end_s: f64, thresholds: &Thresholds) -> Option<Grown> {
    let is_sure = |trend: &Trend| trend.is_sure() && trend.interval.low > 0.0;
    let trend = Trend::of(points).filter(is_sure)?;
    // The line that has as many points above as below.
    let offset = median(points.iter().map(|(x, y)| y - trend.slope * x))?;
    let [first, value] = [points.first()?.0, end_s].map(|at_s| offset + trend.slope * at_s);
    let growth_share = (value - first) / first.abs().max(f64::MIN_POSITIVE);
    let limit = thresholds.critical(metric);
    (growth_share >= GROWTH_SHARE_MIN).then(|| Grown {
        metric: metric.to_owned(),
        per_min: 60.0 * trend.slope,
        interval: Interval { low: 60.0 * trend.interval.low, high: 60.0 * trend.interval.high },
        value,
        growth_share,
        limit,
        limit_in_s: limit.and_then(|limit| trend.until(value, limit)),
    })
}

impl Grown {
    /// `process.rss_bytes grows by 3.10 MB/min [2.80 MB, 3.40 MB], 12 % of it in this run; at 5.00 GB in 5 h 2 min`.
    pub fn sentence(&self) -> String {
        let written = |value| written(&self.metric, value);
        let reaches = self.limit.zip(self.limit_in_s).map(|(limit, in_s)| {
            format!("; at {}, which is critical, in {} if that goes on", written(limit), seconds(Some(in_s)))
        });
        let Interval { low, high } = self.interval;
        format!(
            "{} grows by {}/min [{}, {}], by {} since the run's first fifth{}",
            self.metric,
            written(self.per_min),
            written(low),
            written(high),
            percent(self.growth_share),
            reaches.unwrap_or_default()
        )
    }
}

/// A growth may be more than all there was.
fn percent(growth: f64) -> String {
    if growth < 1.0 { share(growth) } else { format!("{:.0} %", 100.0 * growth) }
}
