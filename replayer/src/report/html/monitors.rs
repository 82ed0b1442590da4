//! What monitors saw beside the runs: a chart for each group of metrics that can share an axis, and what happened.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::run::RunReport;
use crate::monitor::timeline::{Event, EventKind, Point, Timeline};
use crate::monitor::unit::Unit;
use crate::report::format::seconds;
use crate::report::words;

/// Points of a line; a longer one is drawn by its maxima.
const POINTS_MAX: usize = 1_000;
/// Events in the table.
const EVENTS_MAX: usize = 50;

/// Beside one run.
#[derive(Debug, Serialize)]
pub(super) struct Watched {
    /// Its place among those that were watched.
    #[serde(skip)]
    pub(super) at: usize,
    #[serde(skip)]
    pub(super) run: String,
    pub(super) charts: Vec<Chart>,
    #[serde(skip)]
    pub(super) events: Vec<EventRow>,
    #[serde(skip)]
    pub(super) events_left_out: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Chart {
    #[serde(skip)]
    pub(super) title: String,
    #[serde(skip)]
    pub(super) hint: &'static str,
    unit: Unit,
    at_s: Vec<f64>,
    /// Instants of what happened to the monitors that are drawn, and to the target.
    marks_s: Vec<f64>,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    values: Vec<Option<f64>>,
}

#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) at: String,
    pub(super) monitor: String,
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// What shares a chart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    unit: Unit,
    /// Counts of different things share no axis.
    monitor: Option<String>,
    kind: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Counts {
    /// Of connections, descriptors, whatever the monitor counts.
    Things,
    /// What should be none.
    Trouble,
    Waits,
}

/// Of each run that was watched.
pub(super) fn views(runs: &[RunReport], timelines: &[Timeline]) -> Vec<Watched> {
    let named = words::run_names(runs).into_iter().zip(timelines);
    let watched = named.filter(|(_, timeline)| !timeline.series.is_empty() || !timeline.events.is_empty());
    watched.enumerate().map(|(at, (run, timeline))| view(at, run, timeline)).collect()
}

fn view(at: usize, run: String, timeline: &Timeline) -> Watched {
    let mut groups: BTreeMap<Group, Vec<(&str, &[Point])>> = BTreeMap::new();
    for (metric, points) in &timeline.series {
        if is_drawn(metric, timeline) {
            groups.entry(Group::of(metric)).or_default().push((metric, points));
        }
    }
    Watched {
        at,
        run,
        charts: groups.iter().map(|(group, series)| Chart::of(group, series, &timeline.events)).collect(),
        events: timeline.events.iter().take(EVENTS_MAX).map(EventRow::of).collect(),
        events_left_out: timeline.events.len().saturating_sub(EVENTS_MAX),
    }
}

/// The connections of all of a server and their limit would flatten those of one database where they are far from it.
fn is_drawn(metric: &str, timeline: &Timeline) -> bool {
    let (limit, all) = (".max_connections", ".server_total");
    let Some(monitor) = metric.strip_suffix(limit).or(metric.strip_suffix(all)) else { return true };
    let most = |name| timeline.max(&format!("{monitor}{name}"));
    most(all).unwrap_or(0.0) * 2.0 > most(limit).unwrap_or(f64::INFINITY)
}

/// What happened is told where it can be seen; a target that slept can be everywhere.
fn is_marked(event: &Event, series: &[(&str, &[Point])]) -> bool {
    let is_of =
        |metric: &str| metric.strip_prefix(event.monitor.as_str()).is_some_and(|rest| rest.starts_with('.'));
    let is_drawn = series.iter().any(|(metric, _)| is_of(metric));
    event.kind != EventKind::Note && (is_drawn || event.kind == EventKind::ColdStart)
}

impl Group {
    fn of(metric: &str) -> Self {
        let unit = Unit::of(metric);
        let (monitor, name) = metric.split_once('.').unwrap_or((metric, ""));
        let kind = match name {
            "slow_queries" | "lock_waits" => Counts::Trouble,
            _ if name.starts_with("waits_") => Counts::Waits,
            _ => Counts::Things,
        };
        let is_count = unit == Unit::Count;
        Self {
            unit,
            monitor: is_count.then(|| monitor.to_owned()),
            kind: if is_count { kind } else { Counts::Things },
        }
    }

    fn title(&self) -> String {
        let monitor = self.monitor.as_deref().unwrap_or_default();
        match (self.unit, self.kind) {
            (Unit::Count, Counts::Things) => monitor.to_owned(),
            (Unit::Count, Counts::Trouble) => format!("{monitor}: slow queries and lock waits"),
            (Unit::Count, Counts::Waits) => format!("{monitor}: waits"),
            (Unit::Share, _) => "Shares".to_owned(),
            (Unit::Seconds, _) => "Times".to_owned(),
            (Unit::Milliseconds, _) => "Times in milliseconds".to_owned(),
            (Unit::Bytes, _) => "Sizes".to_owned(),
            (Unit::BytesPerS, _) => "Transfer".to_owned(),
            (Unit::PerS, _) => "Rates".to_owned(),
        }
    }

    fn hint(&self) -> &'static str {
        match (self.unit, self.kind) {
            (Unit::Count, Counts::Things) => "how many at each look",
            (Unit::Count, Counts::Trouble) => "going on at each look",
            (Unit::Count, Counts::Waits) => "what active connections wait for",
            (Unit::Share, _) => "of what there is",
            (Unit::Seconds | Unit::Milliseconds | Unit::Bytes, _) => "at each look",
            (Unit::BytesPerS | Unit::PerS, _) => "between two looks",
        }
    }
}

impl Chart {
    fn of(group: &Group, series: &[(&str, &[Point])], events: &[Event]) -> Self {
        let clock = Clock::of(series);
        let prefix = group.monitor.as_ref().map(|monitor| format!("{monitor}.")).unwrap_or_default();
        let line = |(metric, points): &(&str, &[Point])| Line {
            name: metric.strip_prefix(&prefix).unwrap_or(metric).to_owned(),
            values: clock.values(points),
        };
        let marks = events.iter().filter(|event| is_marked(event, series));
        Self {
            title: group.title(),
            hint: group.hint(),
            unit: group.unit,
            lines: series.iter().map(line).collect(),
            marks_s: marks.map(|event| event.at_s).take(POINTS_MAX).collect(),
            at_s: clock.0,
        }
    }
}

/// The instants of a chart: those of all its metrics, and no more than can be told apart.
struct Clock(Vec<f64>);

impl Clock {
    fn of(series: &[(&str, &[Point])]) -> Self {
        let mut at_s: Vec<f64> =
            series.iter().flat_map(|(_, points)| points.iter().map(|point| point.at_s)).collect();
        at_s.sort_by(f64::total_cmp);
        at_s.dedup();
        let step = at_s.len().div_ceil(POINTS_MAX).max(1);
        Self(at_s.into_iter().step_by(step).collect())
    }

    /// A metric at each instant until the next: its largest value, nothing where it could not be seen. Between its looks,
    /// while others had theirs, the last value stands.
    fn values(&self, points: &[Point]) -> Vec<Option<f64>> {
        let (mut rest, mut last) = (points, None);
        let ends = self.0.iter().skip(1).copied().chain([f64::INFINITY]);
        let value = |end: f64| {
            let (here, after) = rest.split_at(rest.partition_point(|point| point.at_s < end));
            rest = after;
            if !here.is_empty() {
                last = here.iter().filter_map(|point| point.value).reduce(f64::max);
            }
            last
        };
        ends.map(value).collect()
    }
}

impl EventRow {
    fn of(event: &Event) -> Self {
        let at = if event.at_s < 0.0 { "before".to_owned() } else { seconds(Some(event.at_s)) };
        Self {
            at,
            monitor: event.monitor.clone(),
            kind: event.kind.words(),
            text: words::with_bound_units(&event.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(f64, Option<f64>)]) -> Vec<Point> {
        values.iter().map(|&(at_s, value)| Point { at_s, value }).collect()
    }

    fn timeline(metrics: &[&str]) -> Timeline {
        let points = points(&[(0.0, Some(1.0)), (5.0, None), (10.0, Some(3.0))]);
        let series = metrics.iter().map(|metric| ((*metric).to_owned(), points.clone())).collect();
        Timeline { series, events: Vec::new() }
    }

    #[test]
    fn metrics_that_can_share_an_axis_share_a_chart() {
        let timeline = timeline(&[
            "host.cpu_share",
            "process.cpu_share",
            "postgres.active",
            "postgres.total",
            "postgres.lock_waits",
            "postgres.waits_io",
            "process.threads",
            "process.rss_bytes",
        ]);
        let view = view(0, "5×".to_owned(), &timeline);
        let charts: Vec<(&str, Vec<&str>)> = view
            .charts
            .iter()
            .map(|chart| (chart.title.as_str(), chart.lines.iter().map(|line| line.name.as_str()).collect()))
            .collect();
        assert_eq!(
            charts,
            [
                ("postgres", vec!["active", "total"]),
                ("postgres: slow queries and lock waits", vec!["lock_waits"]),
                ("postgres: waits", vec!["waits_io"]),
                ("process", vec!["threads"]),
                ("Shares", vec!["host.cpu_share", "process.cpu_share"]),
                ("Sizes", vec!["process.rss_bytes"]),
            ]
        );
        assert_eq!(view.charts[0].lines[0].values, [Some(1.0), None, Some(3.0)]);
    }

    #[test]
    fn the_limit_of_connections_is_drawn_where_it_is_near() {
        let mut timeline = timeline(&["postgres.server_total", "postgres.max_connections"]);
        let drawn = |timeline: &Timeline| view(0, String::new(), timeline).charts[0].lines.len();
        assert_eq!(drawn(&timeline), 2);
        timeline.series.insert("postgres.max_connections".to_owned(), points(&[(0.0, Some(100.0))]));
        assert!(view(0, String::new(), &timeline).charts.is_empty());
    }

    #[test]
    fn what_happened_is_marked_where_it_can_be_seen() {
        let event = |at_s, monitor: &str, kind| Event {
            at_s,
            monitor: monitor.to_owned(),
            kind,
            text: String::new(),
        };
        let events = vec![
            event(1.0, "postgres", EventKind::LockWait),
            event(2.0, "postgres", EventKind::Note),
            event(3.0, "target", EventKind::ColdStart),
            event(4.0, "postgres-2", EventKind::Gap),
        ];
        let timeline = Timeline { events, ..timeline(&["postgres.active", "host.cpu_share"]) };
        let view = view(0, String::new(), &timeline);
        let marks: Vec<&[f64]> = view.charts.iter().map(|chart| chart.marks_s.as_slice()).collect();
        assert_eq!(marks, [&[1.0, 3.0][..], &[3.0]]);
        assert_eq!(view.events.len(), 4);
    }

    #[test]
    fn monitors_with_looks_of_their_own_share_a_clock() {
        let (one, other) =
            (points(&[(0.0, Some(1.0)), (5.0, Some(2.0))]), points(&[(1.0, Some(7.0)), (5.0, None)]));
        let clock = Clock::of(&[("a", &one), ("b", &other)]);
        assert_eq!(clock.0, [0.0, 1.0, 5.0]);
        assert_eq!(clock.values(&one), [Some(1.0), Some(1.0), Some(2.0)]);
        assert_eq!(clock.values(&other), [None, Some(7.0), None]);
    }

    #[test]
    fn a_long_line_keeps_its_peaks() {
        let long: Vec<Point> = (0..5_000)
            .map(|at| Point { at_s: f64::from(at), value: Some(if at == 1_232 { 9.0 } else { 1.0 }) })
            .collect();
        let clock = Clock::of(&[("a", &long)]);
        let values = clock.values(&long);
        assert_eq!((clock.0.len(), values.len()), (1_000, 1_000));
        assert!(values.contains(&Some(9.0)));
    }
}
