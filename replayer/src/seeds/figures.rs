//! Figures by name, each over all runs that have it.

use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use crate::measure::run::{RouteReport, RunReport};
use crate::report::format::{self, number};
use crate::report::words::spoken;
use crate::statistics::{Interval, Spread};

/// What a figure is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "bytes")]
    Bytes,
    /// 0 to 1.
    #[serde(rename = "share")]
    Share,
    /// Of the captured users.
    #[serde(rename = "x")]
    Multiple,
    /// A count, an index, a distance.
    #[serde(rename = "1")]
    Number,
}

/// A figure of one run; `None` where nothing was measured for it.
pub type Reading = (String, Unit, Option<f64>);

/// A figure over several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    pub unit: Unit,
    #[serde(flatten)]
    pub spread: Spread,
}

/// In the order in which they were first read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures(Vec<(String, Figure)>);

impl Unit {
    fn bounds(self) -> RangeInclusive<f64> {
        0.0..=if self == Self::Share { 1.0 } else { f64::INFINITY }
    }

    /// What names of its figures end with, or hold before the percentile.
    fn in_names(self) -> &'static str {
        match self {
            Self::Milliseconds => "_ms",
            Self::Seconds => "_s",
            Self::PerSecond => "_per_s",
            Self::Bytes => "_bytes",
            Self::Share | Self::Multiple | Self::Number => "",
        }
    }

    /// A name for people, who read the unit beside the number.
    pub fn title(self, name: &str) -> String {
        spoken(&name.replacen(self.in_names(), "", 1))
    }

    /// For people.
    pub fn written(self, value: f64) -> String {
        match self {
            Self::Milliseconds => format::ms(Some(value)),
            Self::Seconds => format::seconds(Some(value)),
            Self::PerSecond => format!("{}/s", number(Some(value))),
            Self::Bytes => format::size(whole(value)),
            Self::Share => format::share(value),
            Self::Multiple => format!("{}×", number(Some(value))),
            Self::Number => number(Some(value)),
        }
    }
}

/// No size is negative or beyond what a `u64` holds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
fn whole(value: f64) -> Option<u64> {
    value.is_finite().then_some(value.round() as u64)
}

impl Figure {
    /// `None` where no run has it.
    pub fn of(unit: Unit, values: Vec<f64>) -> Option<Self> {
        Some(Self { unit, spread: Spread::of(values, &unit.bounds())? })
    }

    /// `4.2 ms [3.9 ms, 4.5 ms]`: the mean and its interval.
    pub fn told(&self) -> String {
        let mean = self.unit.written(self.spread.mean);
        match self.spread.interval {
            Some(Interval { low, high }) => {
                format!("{mean} [{}, {}]", self.unit.written(low), self.unit.written(high))
            }
            None => mean,
        }
    }
}

impl Figures {
    /// Of the readings of each run.
    pub fn of(runs: &[Vec<Reading>]) -> Self {
        let mut names: Vec<(&str, Unit)> = Vec::new();
        for (name, unit, _) in runs.iter().flatten() {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name, *unit));
            }
        }
        let values = |name: &str| {
            runs.iter().flatten().filter(|(is, ..)| is == name).filter_map(|(.., value)| *value).collect()
        };
        let figures = names
            .into_iter()
            .filter_map(|(name, unit)| Some((name.to_owned(), Figure::of(unit, values(name))?)));
        Self(figures.collect())
    }

    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.iter().find(|(is, _)| *is == name).map(|(_, figure)| figure)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.0.iter().map(|(name, figure)| (name.as_str(), figure))
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// What one would quote of a run.
pub fn of_run(run: &RunReport) -> Vec<Reading> {
    use Unit::{Milliseconds, PerSecond, Share};
    let per_second = |count: u64| (run.duration_s > 0.0).then(|| count as f64 / run.duration_s);
    let latency = &run.latency_ms;
    let figures = [
        ("latency_ms_p50", Milliseconds, latency.p50),
        ("latency_ms_p95", Milliseconds, latency.p95),
        ("latency_ms_p99", Milliseconds, latency.p99),
        ("service_ms_p95", Milliseconds, run.service_ms.p95),
        ("failed_share", Share, share(run.failed, run.planned)),
        ("sent_per_s", PerSecond, per_second(run.sent)),
        ("done_per_s", PerSecond, per_second(run.done)),
        ("lag_ms_p99", Milliseconds, run.lag_ms.p99),
    ];
    let rhythms = run.achieved.dispersion.iter().flat_map(|(window, rhythm)| {
        let planned = run.dispersion_planned.get(window).copied();
        [("planned", planned), ("sent", rhythm.sent)]
            .map(|(of, index)| (format!("dispersion_{of}_{window}s"), Unit::Number, index))
    });
    figures.into_iter().map(|(name, unit, value)| (name.to_owned(), unit, value)).chain(rhythms).collect()
}

/// What one would quote of a route.
pub fn of_route(route: &RouteReport) -> Vec<Reading> {
    let figures = [
        ("latency_ms_p95", Unit::Milliseconds, route.latency_ms.p95),
        ("service_ms_p95", Unit::Milliseconds, route.service_ms.p95),
        ("failed_share", Unit::Share, share(route.failed, route.planned)),
    ];
    figures.map(|(name, unit, value)| (name.to_owned(), unit, value)).into()
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(name: &str, value: Option<f64>) -> Reading {
        (name.to_owned(), Unit::Milliseconds, value)
    }

    #[test]
    fn a_figure_is_over_the_runs_that_have_it() {
        let runs = [
            vec![reading("first", Some(1.0)), reading("never", None)],
            vec![reading("second", Some(5.0)), reading("first", Some(3.0))],
        ];
        let figures = Figures::of(&runs);
        let names: Vec<&str> = figures.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["first", "second"], "what no run has is no figure");
        assert_eq!(figures.get("first").unwrap().spread.values, [1.0, 3.0]);
        assert_eq!(figures.get("second").unwrap().spread.interval, None);
        let json = serde_json::to_string(&figures).unwrap();
        assert!(json.starts_with(r#"{"first":{"unit":"ms","values":[1.0,3.0],"mean":2.0"#), "{json}");
    }

    #[test]
    fn titles_have_no_units() {
        let titles = [
            (Unit::Milliseconds, "latency_ms_p95", "latency p95"),
            (Unit::PerSecond, "sent_per_s", "sent"),
            (Unit::Bytes, "upload_bytes", "upload"),
            (Unit::Number, "dispersion_sent_1s", "dispersion sent 1s"),
        ];
        for (unit, name, title) in titles {
            assert_eq!(unit.title(name), title);
        }
    }

    #[test]
    fn it_is_told_with_its_interval_in_its_unit() {
        let told = |unit, values: &[f64]| Figure::of(unit, values.to_vec()).unwrap().told();
        assert_eq!(told(Unit::Milliseconds, &[4.0, 5.0, 6.0]), "5.0 ms [2.5 ms, 7.5 ms]");
        assert_eq!(told(Unit::Share, &[0.0, 0.01]), "0.5 % [0 %, 6.9 %]");
        assert_eq!(told(Unit::PerSecond, &[12.0]), "12/s");
        assert_eq!(told(Unit::Bytes, &[1e6, 1e6]), "1.00 MB [1.00 MB, 1.00 MB]");
    }
}
