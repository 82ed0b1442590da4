//! The grade of a run, figure by figure.

use serde::Serialize;

use super::{GradeRule, Thresholds};
use crate::compare::Known;
use crate::statistics::Interval;

/// The figures that can be graded.
const METRICS: [&str; 6] = [
    "success_share",
    "failed_share",
    "latency_ms_p50",
    "latency_ms_p95",
    "latency_ms_p99",
    "throughput_share",
];

/// The best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Good,
    Acceptable,
    Poor,
}

/// What a figure deserves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Grade {
    pub metric: String,
    pub value: f64,
    /// 95 %; `null` where nothing tells.
    pub interval: Option<Interval>,
    pub good: f64,
    pub poor: f64,
    /// What the interval's better end deserves; the grade, where the worse end deserves the same. Both are `null` without
    /// an interval.
    pub best: Option<Level>,
    pub worst: Option<Level>,
}

/// Why a rule can never apply.
pub(super) fn unknown(rule: &GradeRule) -> Option<String> {
    let GradeRule { metric, good, poor } = rule;
    if !METRICS.contains(&metric.as_str()) {
        return Some(format!("no figure `{metric}` is graded; there are {}", METRICS.join(", ")));
    }
    (good.total_cmp(poor).is_eq())
        .then(|| format!("good and poor are both {good}: nothing would be acceptable"))
}

impl Thresholds {
    /// Of the figures that are known; a run without uploads may lack some.
    pub fn grade(&self, figures: &[Known]) -> Vec<Grade> {
        let known = |rule: &GradeRule| {
            let figure = figures.iter().find(|figure| figure.name == rule.metric)?;
            Some(graded(rule, figure.value, figure.interval))
        };
        self.grades.iter().filter_map(|rule| known(rule.get_ref())).collect()
    }
}

fn graded(rule: &GradeRule, value: f64, interval: Option<Interval>) -> Grade {
    let levels = interval.map(|Interval { low, high }| [low, high].map(|end| level(rule, end)));
    let levels = levels.map(|[one, other]| (one.min(other), one.max(other)));
    Grade {
        metric: rule.metric.clone(),
        value,
        interval,
        good: rule.good,
        poor: rule.poor,
        best: levels.map(|(best, _)| best),
        worst: levels.map(|(_, worst)| worst),
    }
}

fn level(rule: &GradeRule, value: f64) -> Level {
    let GradeRule { good, poor, .. } = *rule;
    // Where more is better, all signs are the other way round.
    let sign = if good > poor { -1.0 } else { 1.0 };
    match () {
        () if sign * value <= sign * good => Level::Good,
        () if sign * value <= sign * poor => Level::Acceptable,
        () => Level::Poor,
    }
}

impl Grade {
    /// `good`, `good to acceptable` or `undecided`.
    pub fn told(&self) -> String {
        match (self.best, self.worst) {
            (Some(best), Some(worst)) if best == worst => best.name().to_owned(),
            (Some(best), Some(worst)) => format!("{} to {}: undecided", best.name(), worst.name()),
            _ => "undecided: no interval, for want of samples or of enough of them".to_owned(),
        }
    }
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Acceptable => "acceptable",
            Self::Poor => "poor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(metric: &str, low: f64, high: f64) -> String {
        let figure = Known {
            name: metric.to_owned(),
            value: f64::midpoint(low, high),
            interval: Some(Interval { low, high }),
        };
        Thresholds::default().grade(&[figure])[0].told()
    }

    #[test]
    fn the_whole_interval_decides() {
        let table = [
            ("latency_ms_p95", 8_000.0, 9_900.0, "good"),
            ("latency_ms_p95", 9_900.0, 10_100.0, "good to acceptable: undecided"),
            ("latency_ms_p95", 10_100.0, 14_900.0, "acceptable"),
            ("latency_ms_p95", 14_000.0, 16_000.0, "acceptable to poor: undecided"),
            ("latency_ms_p95", 2_000.0, 16_000.0, "good to poor: undecided"),
            ("latency_ms_p99", 31_000.0, 40_000.0, "poor"),
            ("success_share", 0.96, 0.99, "good"),
            ("success_share", 0.91, 0.94, "acceptable"),
            ("success_share", 0.80, 0.89, "poor"),
            ("throughput_share", 0.85, 1.0, "good to acceptable: undecided"),
            ("failed_share", 0.0, 0.019, "good"),
        ];
        for (metric, low, high, expected) in table {
            assert_eq!(told(metric, low, high), expected, "{metric} {low} to {high}");
        }
    }

    #[test]
    fn without_an_interval_nothing_is_graded() {
        let bare = Known { name: "latency_ms_p50".to_owned(), value: 1.0, interval: None };
        let grades = Thresholds::default().grade(&[bare]);
        assert_eq!((grades.len(), grades[0].best), (1, None));
        assert!(grades[0].told().starts_with("undecided"));
    }
}
