//! The values that monitors saw, by metric, on the clock of the run: 0 is the plan's zero.
//!
//! A metric is `<monitor>.<name>` (`postgres.active`). Its unit ends the name (`_s`, `_bytes`, `_share` of 0 to 1); a name
//! without one counts. Where a monitor could not look, there is a point without a value, never one that was made up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    pub series: BTreeMap<String, Vec<Point>>,
    /// In the order in which they were seen.
    pub events: Vec<Event>,
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Negative before the first request was due.
    pub at_s: f64,
    /// `None`: the monitor could not look.
    pub value: Option<f64>,
}

/// What cannot be said by a number: a lock wait with its blocker, a slow query, a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at_s: f64,
    pub monitor: String,
    pub kind: EventKind,
    /// For people; texts of queries are masked.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The monitor lost what it looks at, or found it again.
    Gap,
    LockWait,
    SlowQuery,
    IdleInTransaction,
    ColdStart,
    /// What the monitor says of itself: what it may not see, what it has left out.
    Note,
}

impl EventKind {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::LockWait => "lock wait",
            Self::SlowQuery => "slow query",
            Self::IdleInTransaction => "held transaction",
            Self::ColdStart => "cold start",
            Self::Note => "note",
        }
    }
}

impl Timeline {
    /// The values of a metric that are there, in order.
    pub fn values(&self, metric: &str) -> impl Iterator<Item = (f64, f64)> + '_ {
        let points = self.series.get(metric).map(Vec::as_slice).unwrap_or_default();
        points.iter().filter_map(|point| Some((point.at_s, point.value?)))
    }

    pub fn max(&self, metric: &str) -> Option<f64> {
        self.values(metric).map(|(_, value)| value).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_has_no_value() {
        let point = |at_s: f64, value: Option<f64>| Point { at_s, value };
        let points = vec![point(0.0, Some(3.0)), point(5.0, None), point(10.0, Some(2.0))];
        let timeline =
            Timeline { series: BTreeMap::from([("postgres.active".to_owned(), points)]), events: vec![] };
        assert_eq!(timeline.values("postgres.active").collect::<Vec<_>>(), [(0.0, 3.0), (10.0, 2.0)]);
        assert_eq!((timeline.max("postgres.active"), timeline.max("postgres.total")), (Some(3.0), None));
    }
}
