//! When a metric was beyond a level, by the looks on a timeline.

use kingtide_common::config::Spanned;
use serde::Serialize;

use super::{Thresholds, WatchRule};
use crate::measure::run::RunReport;
use crate::monitor::timeline::{Point, Timeline};
use crate::monitor::unit::written;
use crate::report::format::seconds;

/// What the run itself is called among the monitors.
const RUN: &str = "run";
/// Of any monitor.
const ANY: &str = "*";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Warning,
    Critical,
}

/// A metric was above its warning, and maybe above what is critical.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Breach {
    pub metric: String,
    /// The worst that it was.
    pub severity: Severity,
    /// The level of that.
    pub limit: f64,
    /// The first look that was above `limit`, and the last.
    pub from_s: f64,
    pub to_s: f64,
    /// The highest value, as a mean over the watch's window.
    pub worst: f64,
    /// First and last look that was above what is critical.
    #[serde(skip)]
    critical_s: Option<(f64, f64)>,
}

/// Why a rule cannot be meant.
pub(super) fn backwards(rule: &WatchRule) -> Option<String> {
    let WatchRule { metric, warning, critical, .. } = rule;
    let unnamed = (!metric.contains('.'))
        .then(|| format!("`{metric}` names no monitor; write postgres.{metric}, or *.{metric} for any"));
    unnamed.or_else(|| {
        (warning > critical).then(|| format!("{metric}: warning {warning} is above critical {critical}"))
    })
}

impl Thresholds {
    /// Of each metric in order of time.
    pub fn breaches(&self, timeline: &Timeline) -> Vec<Breach> {
        let of_rule = |rule: &WatchRule| -> Vec<Breach> {
            let series = timeline.series.iter().filter(|(metric, _)| rule.is_about(metric));
            series.flat_map(|(metric, points)| rule.breaches(metric, points)).collect()
        };
        self.watches.iter().flat_map(|rule| of_rule(rule.get_ref())).collect()
    }

    /// The critical level of a metric: where a leak would end.
    pub fn critical(&self, metric: &str) -> Option<f64> {
        Some(self.rule_of(metric)?.critical)
    }

    /// The first that is about it.
    pub(super) fn rule_of(&self, metric: &str) -> Option<&WatchRule> {
        self.watches.iter().map(Spanned::get_ref).find(|rule| rule.is_about(metric))
    }
}

impl WatchRule {
    fn is_about(&self, metric: &str) -> bool {
        let Some((monitor, name)) = self.metric.split_once('.') else { return false };
        let is_any = monitor == ANY && metric.split_once('.').is_some_and(|(_, of)| of == name);
        self.metric == metric || is_any
    }

    fn breaches(&self, metric: &str, points: &[Point]) -> Vec<Breach> {
        let mut breaches: Vec<Breach> = Vec::new();
        let mut is_open = false;
        for (at, point) in points.iter().enumerate() {
            let above = self.mean(&points[..=at]).filter(|value| *value > self.warning);
            match above {
                Some(value) if is_open => breaches.last_mut().expect("one is open").go_on(point.at_s, value),
                Some(value) => breaches.push(Breach::begin(metric, point.at_s, value)),
                None => {}
            }
            is_open = above.is_some();
            if above.is_some_and(|value| value > self.critical) {
                breaches.last_mut().expect("one is open").is_critical_at(point.at_s);
            }
        }
        for breach in &mut breaches {
            breach.weigh(self);
        }
        breaches
    }

    /// Over the window before the last look; `None` where that look saw nothing.
    pub(super) fn mean(&self, points: &[Point]) -> Option<f64> {
        let last = points.last()?;
        let now = last.value?;
        let Some(window) = self.window else { return Some(now) };
        let from_s = last.at_s - window.0.as_secs_f64();
        let recent =
            points.iter().rev().take_while(|point| point.at_s > from_s).filter_map(|point| point.value);
        let (sum, count) = recent.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        Some(if count > 0.0 { sum / count } else { now })
    }
}

impl Breach {
    fn begin(metric: &str, at_s: f64, value: f64) -> Self {
        let metric = metric.to_owned();
        let (severity, critical_s) = (Severity::Warning, None);
        Self { metric, severity, limit: 0.0, from_s: at_s, to_s: at_s, worst: value, critical_s }
    }

    fn go_on(&mut self, at_s: f64, value: f64) {
        self.to_s = at_s;
        self.worst = self.worst.max(value);
    }

    fn is_critical_at(&mut self, at_s: f64) {
        self.critical_s = Some((self.critical_s.map_or(at_s, |(from_s, _)| from_s), at_s));
    }

    /// Of one that became critical the time is that in which it was.
    fn weigh(&mut self, rule: &WatchRule) {
        (self.severity, self.limit) = (Severity::Warning, rule.warning);
        if let Some((from_s, to_s)) = self.critical_s {
            (self.severity, self.limit) = (Severity::Critical, rule.critical);
            (self.from_s, self.to_s) = (from_s, to_s);
        }
    }
}

impl Breach {
    /// `critical: postgres.active above 18 from 12 s to 47 s, at worst 20`.
    pub fn sentence(&self) -> String {
        let written = |value| written(&self.metric, value);
        let at = |at_s: f64| if at_s > 0.0 { seconds(Some(at_s)) } else { "0 s".to_owned() };
        format!(
            "{}: {} above {} from {} to {}, at worst {}",
            self.severity.name(),
            self.metric,
            written(self.limit),
            at(self.from_s),
            at(self.to_s),
            written(self.worst)
        )
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What monitors saw, and beside it what the run itself shows second by second.
pub fn with_run(timeline: &Timeline, run: &RunReport) -> Timeline {
    let mut both = timeline.clone();
    let mut add = |name: &str, value: &dyn Fn(&crate::measure::run::Second) -> Option<f64>| {
        let point = |second| Point { at_s: second_at(second), value: value(second) };
        both.series.insert(format!("{RUN}.{name}"), run.series.iter().map(point).collect());
    };
    add("latency_ms_p95", &|second| second.latency_ms_p95);
    add("latency_ms_p50", &|second| second.latency_ms_p50);
    add("failed_share", &|second| {
        let ended = second.done.max(second.failed);
        (ended > 0).then(|| second.failed as f64 / ended as f64)
    });
    both
}

fn second_at(second: &crate::measure::run::Second) -> f64 {
    second.at_s as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn timeline(metric: &str, values: &[Option<f64>]) -> Timeline {
        let point = |(at, value): (usize, &Option<f64>)| Point { at_s: 5.0 * at as f64, value: *value };
        let points = values.iter().enumerate().map(point).collect();
        Timeline { series: BTreeMap::from([(metric.to_owned(), points)]), events: Vec::new() }
    }

    fn breaches(metric: &str, values: &[f64]) -> Vec<Breach> {
        let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        Thresholds::default().breaches(&timeline(metric, &values))
    }

    #[test]
    fn a_breach_has_its_time_its_level_and_its_worst() {
        let found = breaches("postgres.active", &[3.0, 16.0, 19.0, 17.0, 15.0, 16.0]);
        let told: Vec<_> = found
            .iter()
            .map(|breach| (breach.severity, breach.limit, breach.from_s, breach.to_s, breach.worst))
            .collect();
        assert_eq!(
            told,
            [(Severity::Critical, 18.0, 10.0, 10.0, 19.0), (Severity::Warning, 15.0, 25.0, 25.0, 16.0)]
        );
        assert!(breaches("postgres.lock_waits", &[0.0, 0.0]).is_empty(), "none is none");
        assert_eq!(breaches("postgres.lock_waits", &[0.0, 1.0])[0].severity, Severity::Warning);
        assert!(breaches("mysql.active", &[99.0]).is_empty());
    }

    #[test]
    fn a_peak_within_the_window_is_none() {
        // 15 s hold three looks.
        assert!(breaches("host.cpu_share", &[0.2, 0.2, 1.0, 0.2, 0.2]).is_empty());
        let busy = breaches("host.cpu_share", &[0.2, 0.8, 0.8, 0.8, 1.0, 1.0]);
        assert_eq!((busy.len(), busy[0].from_s, busy[0].severity), (1, 25.0, Severity::Critical));
    }

    #[test]
    fn where_nothing_was_seen_a_breach_ends() {
        let gap = [Some(16.0), None, Some(16.0)];
        assert_eq!(Thresholds::default().breaches(&timeline("postgres.active", &gap)).len(), 2);
    }

    #[test]
    fn a_star_is_any_monitor() {
        let text = "[[watch]]\nmetric = \"*.active\"\nwarning = 1\ncritical = 2";
        let rules = Thresholds::of_text("t.toml", text).unwrap();
        assert_eq!(rules.breaches(&timeline("orders.active", &[Some(5.0)])).len(), 1);
        assert_eq!(rules.critical("other.active"), Some(2.0));
    }

    #[test]
    fn a_run_is_watched_by_its_seconds() {
        let mut run = crate::report::tests::failing_run();
        run.series.iter_mut().for_each(|second| (second.done, second.failed) = (10, 2));
        let both = with_run(&Timeline::default(), &run);
        let found = Thresholds::default().breaches(&both);
        let failing = found.iter().find(|breach| breach.metric == "run.failed_share").unwrap();
        assert_eq!((failing.severity, failing.from_s), (Severity::Critical, 0.0));
    }
}
