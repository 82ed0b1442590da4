//! Whether a metric has been critical for too long, look by look, while a run lasts.
//!
//! A peak is none: what is above its level must stay there for the watch's window, and in any case for two looks.

use std::collections::BTreeMap;

use super::{Thresholds, WatchRule};
use crate::monitor::timeline::Point;
use crate::monitor::unit::written;

/// What a run's monitors have seen lately, against the critical levels.
#[derive(Debug)]
pub struct CriticalWatch {
    thresholds: Thresholds,
    metrics: BTreeMap<String, Recent>,
}

/// A metric that stays above its critical level.
#[derive(Debug, Clone, PartialEq)]
pub struct Critical {
    pub metric: String,
    pub limit: f64,
    /// At the last look, as a mean over the watch's window.
    pub value: f64,
    pub lasts_s: f64,
}

/// Of one metric.
#[derive(Debug, Default)]
struct Recent {
    points: Vec<Point>,
    /// The first of the looks that were critical without one between that was not.
    since_s: Option<f64>,
}

impl CriticalWatch {
    pub fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, metrics: BTreeMap::new() }
    }

    /// Takes the last look at each metric, as often as one likes: a look that it knows already changes nothing.
    pub fn on_looks(&mut self, looks: BTreeMap<String, Point>) -> Option<Critical> {
        looks.into_iter().find_map(|(metric, look)| self.on_look(metric, look))
    }

    fn on_look(&mut self, metric: String, look: Point) -> Option<Critical> {
        let rule = self.thresholds.rule_of(&metric)?;
        let recent = self.metrics.entry(metric.clone()).or_default();
        let (value, lasts_s) = recent.on_look(look, rule)?;
        Some(Critical { metric, limit: rule.critical, value, lasts_s })
    }
}

impl Recent {
    /// The value and for how long, when that is too long.
    fn on_look(&mut self, look: Point, rule: &WatchRule) -> Option<(f64, f64)> {
        if self.points.last().is_some_and(|last| look.at_s <= last.at_s) {
            return None;
        }
        let window_s = rule.window.map_or(0.0, |window| window.0.as_secs_f64());
        self.points.push(look);
        self.points.retain(|point| point.at_s >= look.at_s - window_s);
        let Some(value) = rule.mean(&self.points).filter(|value| *value > rule.critical) else {
            self.since_s = None;
            return None;
        };
        let lasts_s = look.at_s - *self.since_s.get_or_insert(look.at_s);
        (lasts_s > 0.0 && lasts_s >= window_s).then_some((value, lasts_s))
    }
}

impl Critical {
    /// `postgres.active is 20, above the critical 18 for 5 s`.
    pub fn sentence(&self) -> String {
        let Self { metric, limit, value, lasts_s } = self;
        format!(
            "{metric} is {}, above the critical {} for {lasts_s:.0} s",
            written(metric, *value),
            written(metric, *limit)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second at which looks every five seconds end a run, each taken in three times.
    fn ends_at(metric: &str, values: &[Option<f64>]) -> Option<(f64, Critical)> {
        let mut watch = CriticalWatch::new(Thresholds::default());
        let mut points =
            values.iter().zip(0_u8..).map(|(&value, at)| Point { at_s: 5.0 * f64::from(at), value });
        points.find_map(|point| {
            let looks = || BTreeMap::from([(metric.to_owned(), point), ("other.x".to_owned(), point)]);
            let mut found = (0..3).map(|_| watch.on_looks(looks()));
            found.find_map(|critical| Some((point.at_s, critical?)))
        })
    }

    #[test]
    fn a_level_without_a_window_ends_it_at_the_second_look() {
        let (at_s, critical) = ends_at("postgres.active", &[Some(16.0), Some(19.0), Some(20.0)]).unwrap();
        assert_eq!((at_s, critical.limit, critical.value, critical.lasts_s), (10.0, 18.0, 20.0, 5.0));
        assert_eq!(critical.sentence(), "postgres.active is 20, above the critical 18 for 5 s");
    }

    #[test]
    fn peaks_gaps_warnings_and_metrics_of_no_level_end_nothing() {
        let high = Some(99.0);
        for (metric, values) in [
            ("postgres.active", [high, Some(1.0), high, Some(18.0), high]),
            ("postgres.active", [high, None, high, None, high]),
            ("postgres.active", [Some(17.0); 5]),
            ("mysql.active", [high; 5]),
        ] {
            assert_eq!(ends_at(metric, &values), None, "{metric} {values:?}");
        }
    }

    #[test]
    fn a_level_with_a_window_ends_it_when_its_mean_has_lasted_so_long() {
        // A window of 15 s holds three looks, and has passed since the first of four.
        let (at_s, _) = ends_at("host.cpu_share", &[Some(0.99); 9]).unwrap();
        assert!((at_s - 15.0).abs() < 1e-9, "{at_s}");
        assert_eq!(ends_at("host.cpu_share", &[Some(1.0), Some(1.0), Some(1.0), Some(0.2), Some(1.0)]), None);
    }
}
