//! Inner stages of a backend, from its `Server-Timing` header.
//!
//! `auth;dur=48, store;dur=2710.5;desc="s3"`; durations are milliseconds (W3C Server Timing). Read leniently:
//! what is no metric with a duration is passed over, and beyond [`METRICS_MAX`] nothing is kept.

use crate::exchange::ServerTiming;

/// Metrics kept of one answer.
pub const METRICS_MAX: usize = 32;
/// Bytes of a metric's name; a longer one is passed over.
const NAME_BYTES_MAX: usize = 64;

/// The metrics that have a duration, of all the header's values of one answer.
pub fn server_timings<'a>(values: impl Iterator<Item = &'a str>) -> impl Iterator<Item = ServerTiming> {
    values.flat_map(|value| value.split(',')).filter_map(server_timing).take(METRICS_MAX)
}

fn server_timing(metric: &str) -> Option<ServerTiming> {
    let mut parts = metric.split(';').map(str::trim);
    let is_name = |name: &&str| (1..=NAME_BYTES_MAX).contains(&name.len());
    let name = parts.next().filter(is_name)?.to_owned();
    let duration = parts.find_map(|part| part.strip_prefix("dur="))?.trim_matches('"');
    let duration_us = duration.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0)? * 1000.0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "finite and not negative; saturates"
    )]
    Some(ServerTiming { name, duration_us: duration_us.round() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_is_read_leniently() {
        let values = [
            "auth;dur=48, store;desc=\"s3\";dur=2710.5, cache;desc=hit, ;dur=1",
            "db;dur=-1, total;dur=x, app;dur=\"3\"",
        ];
        let timings: Vec<_> =
            server_timings(values.into_iter()).map(|timing| (timing.name, timing.duration_us)).collect();
        let expected = [("auth", 48_000), ("store", 2_710_500), ("app", 3_000)];
        assert_eq!(timings, expected.map(|(name, us)| (name.to_owned(), us)));
    }
}
