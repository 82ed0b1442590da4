//! What a metric's number is of: the end of its name says so.

use serde::Serialize;

use crate::report::format::{UNKNOWN, ms, number, seconds, share, size};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Unit {
    Count,
    /// 0 to 1.
    Share,
    Seconds,
    /// Also where a percentile follows: `latency_ms_p95`.
    Milliseconds,
    Bytes,
    BytesPerS,
    PerS,
}

impl Unit {
    pub fn of(metric: &str) -> Self {
        let ends = [
            ("_bytes_per_s", Self::BytesPerS),
            ("_per_s", Self::PerS),
            ("_bytes", Self::Bytes),
            ("_share", Self::Share),
            ("_s", Self::Seconds),
        ];
        let is_ms = metric.ends_with("_ms") || metric.contains("_ms_");
        let by_end = ends.into_iter().find(|(end, _)| metric.ends_with(end)).map(|(_, unit)| unit);
        if is_ms { Self::Milliseconds } else { by_end.unwrap_or(Self::Count) }
    }

    /// A value of it, for people.
    pub fn told(self, value: Option<f64>) -> String {
        let Some(known) = value.filter(|value| value.is_finite()) else { return UNKNOWN.to_owned() };
        match self {
            Self::Count => number(value),
            Self::Share => share(known),
            Self::Seconds => seconds(value),
            Self::Milliseconds => ms(value),
            Self::Bytes => size(Some(whole(known))),
            Self::BytesPerS => format!("{}/s", size(Some(whole(known)))),
            Self::PerS => format!("{}/s", number(value)),
        }
    }
}

/// A metric's value, for people.
pub fn written(metric: &str, value: f64) -> String {
    Unit::of(metric).told(Some(value))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are no fractions, none is negative"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_is_its_unit() {
        for (metric, value, told) in [
            ("postgres.active", 18.0, "18"),
            ("host.cpu_share", 0.42, "42 %"),
            ("postgres.longest_query_s", 1.25, "1.2 s"),
            ("process.rss_bytes", 256e6, "256.00 MB"),
            ("host.network_sent_bytes_per_s", 1.4e6, "1.40 MB/s"),
            ("proxy.requests_per_s", 7.5, "7.5/s"),
            ("run.latency_ms_p95", 812.0, "812 ms"),
        ] {
            assert_eq!(Unit::of(metric).told(Some(value)), told, "{metric}");
        }
        assert_eq!(Unit::Bytes.told(None), "–");
    }
}
