//! What a scenario asks: criteria of an SLO (`p95<10s`), and limits to what is seen beside the requests
//! (`postgres.total<=20`).
//!
//! The first are shares of requests and so have intervals. The second are limits that are not to be passed once; `requests.failed`
//! and `requests.hung` count those of the run, any other name is a metric of a monitor.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::capacity::slo::{Criterion, SloError};

/// In the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Criteria(pub Vec<Demand>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Demand {
    Slo(Criterion),
    Limit(Limit),
}

/// A bound that a metric is never to pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub metric: String,
    pub is: Bound,
    pub value: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    AtMost,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    #[error(transparent)]
    Slo(#[from] SloError),
    #[error(
        "`{text}` is no limit ({why}): write postgres.total<=20, host.cpu_share<=90% or requests.failed<=0"
    )]
    Limit { text: String, why: &'static str },
}

impl Criteria {
    /// Those about shares and rates of requests.
    pub fn of_requests(&self) -> impl Iterator<Item = &Criterion> {
        self.0.iter().filter_map(|demand| match demand {
            Demand::Slo(criterion) => Some(criterion),
            Demand::Limit(_) => None,
        })
    }

    /// Metrics that a monitor must see.
    pub fn of_monitors(&self) -> impl Iterator<Item = &Limit> {
        self.0.iter().filter_map(|demand| match demand {
            Demand::Limit(limit) if !limit.metric.starts_with(OF_REQUESTS) => Some(limit),
            _ => None,
        })
    }
}

/// What begins the names of the run's own counts.
pub const OF_REQUESTS: &str = "requests.";
/// The run's own counts.
pub const COUNTS: [&str; 2] = ["requests.failed", "requests.hung"];

impl Limit {
    pub fn holds(&self, value: f64) -> bool {
        match self.is {
            Bound::AtMost => value <= self.value,
            Bound::AtLeast => value >= self.value,
        }
    }
}

impl FromStr for Demand {
    type Err = DemandError;

    fn from_str(text: &str) -> Result<Self, DemandError> {
        let sign = [("<=", Bound::AtMost), (">=", Bound::AtLeast)];
        let found = sign.into_iter().find_map(|(sign, is)| Some((text.split_once(sign)?, is)));
        match found {
            Some(((metric, value), is)) => Ok(Self::Limit(limit(text, metric.trim(), is, value.trim())?)),
            None => Ok(Self::Slo(text.parse()?)),
        }
    }
}

fn limit(text: &str, metric: &str, is: Bound, value: &str) -> Result<Limit, DemandError> {
    let refuse = |why| DemandError::Limit { text: text.trim().to_owned(), why };
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if metric.split_once('.').is_none_or(|(monitor, name)| !is_word(monitor) || !name.split('.').all(is_word))
    {
        return Err(refuse("a metric is <monitor>.<name>"));
    }
    if metric.starts_with(OF_REQUESTS) && !COUNTS.contains(&metric) {
        return Err(refuse("of requests there are requests.failed and requests.hung"));
    }
    let percent = value.strip_suffix('%');
    let number: f64 =
        percent.unwrap_or(value).trim().parse().map_err(|_| refuse("the bound is no number"))?;
    if !number.is_finite() {
        return Err(refuse("the bound is no number"));
    }
    let value = if percent.is_some() { number / 100.0 } else { number };
    Ok(Limit { metric: metric.to_owned(), is, value })
}

impl TryFrom<String> for Demand {
    type Error = DemandError;

    fn try_from(text: String) -> Result<Self, DemandError> {
        text.parse()
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slo(criterion) => criterion.fmt(f),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.is {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        };
        write!(f, "{}{sign}{}", self.metric, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_written_as_they_are_read() {
        for text in [
            "p95<10s",
            "errors(POST /a)<1%",
            "throughput>8/s",
            "postgres.total<=20",
            "requests.failed<=0",
            "pool.free>=2",
        ] {
            assert_eq!(text.parse::<Demand>().unwrap().to_string(), text);
        }
        assert_eq!("host.cpu_share<=90%".parse::<Demand>().unwrap().to_string(), "host.cpu_share<=0.9");
    }

    #[test]
    fn what_is_no_criterion_is_answered_with_the_reason() {
        for (text, reason) in [
            ("total<=20", "a metric is <monitor>.<name>"),
            ("postgres.total<=many", "no number"),
            ("postgres.total<=inf", "no number"),
            ("requests.slow<=3", "requests.failed and requests.hung"),
            ("p95<10", "needs a unit"),
        ] {
            let said = text.parse::<Demand>().unwrap_err().to_string();
            assert!(said.contains(reason), "{text}: {said}");
        }
    }
}
