//! Bars that need no script: stage times of the capture and the histogram of upload sizes.

use kingtide_common::stages::Stage;

use super::super::format::{count, counted, ms};
use crate::inspect::{RouteSummary, SizeBin, StageTimes, Summary, text};

/// Routes whose stages are shown, the slowest first; the others are in the JSON.
const ROUTES_SHOWN: usize = 8;

/// Stage times of one route, each bar as long as its p95 beside the slowest stage's p99.
#[derive(Debug)]
pub(super) struct StageBars {
    pub(super) route: String,
    pub(super) count: String,
    pub(super) total_p95: String,
    pub(super) rows: Vec<StageBar>,
}

#[derive(Debug)]
pub(super) struct StageBar {
    pub(super) name: String,
    pub(super) is_inner: bool,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) p99: String,
    /// Percent of the widest bar.
    pub(super) p50_width: String,
    pub(super) p95_width: String,
    pub(super) p99_width: String,
}

impl StageBars {
    /// Of the slowest routes, by their p95.
    pub(super) fn of_slowest(summary: &Summary) -> Vec<Self> {
        summary.routes_by_p95().into_iter().take(ROUTES_SHOWN).map(Self::of).collect()
    }

    fn of(route: &RouteSummary) -> Self {
        let longest_ms = route.stages.values().filter_map(|times| times.p99).fold(0.0, f64::max);
        let mut rows = Vec::new();
        for stage in Stage::ALL {
            rows.extend(bar(route.stages.get(stage.name()), stage.name(), false, longest_ms));
            if stage == Stage::UpstreamWait {
                let inner = route.stages_inner.iter();
                rows.extend(inner.filter_map(|(name, times)| bar(Some(times), name, true, longest_ms)));
            }
        }
        let total_p95 = ms(route.total().p95);
        Self { route: route.route.clone(), count: counted(route.count, "exchange"), total_p95, rows }
    }
}

fn bar(times: Option<&StageTimes>, name: &str, is_inner: bool, longest_ms: f64) -> Option<StageBar> {
    let times = times.filter(|times| times.count > 0)?;
    Some(StageBar {
        name: super::words::spoken(name),
        is_inner,
        p50: ms(times.p50),
        p95: ms(times.p95),
        p99: ms(times.p99),
        p50_width: width(times.p50, longest_ms),
        p95_width: width(times.p95, longest_ms),
        p99_width: width(times.p99, longest_ms),
    })
}

fn width(value: Option<f64>, longest: f64) -> String {
    let share = if longest > 0.0 { value.unwrap_or_default() / longest } else { 0.0 };
    format!("{:.2}", (share * 100.0).clamp(0.0, 100.0))
}

/// Upload sizes as columns.
#[derive(Debug)]
pub(super) struct Histogram {
    pub(super) bins: Vec<Column>,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) count: String,
    /// Percent of the highest column.
    pub(super) height: String,
}

impl Histogram {
    pub(super) fn of(bins: &[SizeBin]) -> Self {
        let highest = bins.iter().map(|bin| bin.count).max().unwrap_or_default() as f64;
        let column = |bin: &SizeBin| Column {
            name: text::bin_name(bin),
            count: count(bin.count),
            height: width(Some(bin.count as f64), highest),
        };
        Self { bins: bins.iter().map(column).collect() }
    }
}
