//! One row per second of the run: counts, bytes, and the latencies that ended in it.
//!
//! With three digits the answers of a busy second would lie in thousands of buckets, and a run may have
//! [`SECONDS_MAX`] of them. Here a second keeps 32 buckets per octave (an error of at most 1.6 %), as many as were
//! hit: a few hundred bytes. They merge exactly.

use std::collections::BTreeMap;

use super::run::Second;

const NS_PER_S: u64 = 1_000_000_000;
/// Twelve hours; what comes later is counted in the last second.
pub const SECONDS_MAX: usize = 43_200;
const BUCKETS_PER_OCTAVE_LOG2: u32 = 5;

/// Counts of one second, as they are collected.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    planned: u64,
    sent: u64,
    /// Sent requests that ended, in whatever way.
    settled: u64,
    /// What ended without being sent counts too.
    ended: u64,
    /// Complete answers no worse than the captured ones.
    good: u64,
    done: u64,
    failed: u64,
    sent_bytes: u64,
    received_bytes: u64,
    /// Users who came in it, and those who went.
    arrived: u64,
    gone: u64,
    latency: CoarseHistogram,
}

/// The seconds of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    rows: Vec<Row>,
}

/// A sparse histogram with logarithmic buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CoarseHistogram {
    buckets: BTreeMap<u16, u64>,
}

/// The end of a request, as a second counts it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct End {
    pub at_ns: u64,
    pub was_sent: bool,
    pub is_done: bool,
    pub is_failed: bool,
    /// Given up for want of an answer, its own or that of the request whose value it needs.
    pub is_given_up: bool,
    /// Counted among the latencies, where the request has one.
    pub latency_ns: Option<u64>,
}

/// What happened in a second: see [`Series::clock_seconds`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClockSecond {
    pub sent: u64,
    /// Requests that ended, sent or not, in whatever way.
    pub ended: u64,
    /// Complete answers no worse than the captured ones.
    pub good: u64,
    /// Of what ended in it.
    pub latency_ms_p50: Option<f64>,
    pub latency_ms_p95: Option<f64>,
}

impl End {
    /// A complete answer no worse than the captured one.
    pub fn is_good(&self) -> bool {
        self.is_done && !self.is_failed
    }
}

impl Series {
    /// A request that the plan wants sent then: counted ahead, so that a second says what it was meant to be
    /// before it is over, whatever became of its requests.
    pub fn planned(&mut self, at_ns: u64) {
        self.row(at_ns).planned += 1;
    }

    /// A user's first request is due.
    pub fn arrived(&mut self, at_ns: u64) {
        self.row(at_ns).arrived += 1;
    }

    /// A user has had the last answer.
    pub fn gone(&mut self, at_ns: u64) {
        self.row(at_ns).gone += 1;
    }

    pub fn sent(&mut self, at_ns: u64) {
        self.row(at_ns).sent += 1;
    }

    pub fn sent_bytes(&mut self, at_ns: u64, bytes: u64) {
        self.row(at_ns).sent_bytes += bytes;
    }

    pub fn received_bytes(&mut self, at_ns: u64, bytes: u64) {
        self.row(at_ns).received_bytes += bytes;
    }

    pub fn ended(&mut self, end: &End) {
        let row = self.row(end.at_ns);
        row.settled += u64::from(end.was_sent);
        row.ended += 1;
        row.good += u64::from(end.is_good());
        row.done += u64::from(end.is_done);
        row.failed += u64::from(end.is_failed);
        if let Some(latency_ns) = end.latency_ns {
            row.latency.record(latency_ns);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        let longest = self.rows.len().max(other.rows.len());
        self.rows.resize_with(longest, Row::default);
        for (row, more) in self.rows.iter_mut().zip(&other.rows) {
            row.merge(more);
        }
    }

    /// The rows of the report, without gaps.
    pub fn seconds(&self) -> Vec<Second> {
        let (mut in_flight, mut users) = (0_u64, 0_u64);
        let second = |(at_s, row): (usize, &Row)| {
            in_flight = (in_flight + row.sent).saturating_sub(row.settled);
            users = (users + row.arrived).saturating_sub(row.gone);
            row.second(at_s as u64, in_flight, users)
        };
        self.rows.iter().enumerate().map(second).collect()
    }

    /// What happened in each second, by the clock.
    pub fn clock_seconds(&self) -> impl Iterator<Item = ClockSecond> {
        self.rows.iter().map(|row| ClockSecond {
            sent: row.sent,
            ended: row.ended,
            good: row.good,
            latency_ms_p50: row.latency.quantile_ms(0.5),
            latency_ms_p95: row.latency.quantile_ms(0.95),
        })
    }

    fn row(&mut self, at_ns: u64) -> &mut Row {
        let second = usize::try_from(at_ns / NS_PER_S).unwrap_or(SECONDS_MAX).min(SECONDS_MAX - 1);
        if self.rows.len() <= second {
            self.rows.resize_with(second + 1, Row::default);
        }
        &mut self.rows[second]
    }
}

impl Row {
    fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.settled += other.settled;
        self.ended += other.ended;
        self.good += other.good;
        self.done += other.done;
        self.failed += other.failed;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.arrived += other.arrived;
        self.gone += other.gone;
        self.latency.merge(&other.latency);
    }

    fn second(&self, at_s: u64, in_flight: u64, users: u64) -> Second {
        Second {
            at_s,
            planned: self.planned,
            sent: self.sent,
            done: self.done,
            failed: self.failed,
            ended: self.ended,
            in_flight,
            users,
            latency_ms_p50: self.latency.quantile_ms(0.5),
            latency_ms_p95: self.latency.quantile_ms(0.95),
            latency_ms_p99: self.latency.quantile_ms(0.99),
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
        }
    }
}

impl CoarseHistogram {
    pub fn record(&mut self, duration_ns: u64) {
        self.add(bucket_of(duration_ns), 1);
    }

    pub fn add(&mut self, bucket: u16, count: u64) {
        *self.buckets.entry(bucket).or_default() += count;
    }

    pub fn merge(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
    }

    /// The value at a quantile of 0 to 1, milliseconds; `None` without samples.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let total: u64 = self.buckets.values().sum();
        let rank = (total as f64 * quantile).ceil().max(1.0);
        let mut below = 0.0;
        let reached = self.buckets.iter().find(|(_, count)| {
            below += **count as f64;
            below >= rank
        });
        reached.map(|(bucket, _)| middle_ns(*bucket) / 1e6)
    }
}

/// Logarithmic bucket of a duration: the position of its highest bit, and the five bits below it.
pub fn bucket_of(duration_ns: u64) -> u16 {
    let value = duration_ns.max(1 << BUCKETS_PER_OCTAVE_LOG2);
    let octave = value.ilog2() - BUCKETS_PER_OCTAVE_LOG2;
    let within = (value >> octave) - (1 << BUCKETS_PER_OCTAVE_LOG2);
    let bucket = (u64::from(octave) << BUCKETS_PER_OCTAVE_LOG2) + within;
    u16::try_from(bucket).expect("59 octaves of 32 buckets fit in 16 bits")
}

/// Buckets there are.
pub const BUCKETS: usize = 60 << BUCKETS_PER_OCTAVE_LOG2;

fn middle_ns(bucket: u16) -> f64 {
    let octave = i32::from(bucket >> BUCKETS_PER_OCTAVE_LOG2);
    let within = f64::from(bucket & ((1 << BUCKETS_PER_OCTAVE_LOG2) - 1));
    (f64::from(1_u16 << BUCKETS_PER_OCTAVE_LOG2) + within + 0.5) * 2_f64.powi(octave)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(at_ns: u64, latency_ns: u64) -> End {
        End {
            at_ns,
            was_sent: true,
            is_done: true,
            is_failed: false,
            is_given_up: false,
            latency_ns: Some(latency_ns),
        }
    }

    #[test]
    fn in_flight_is_what_was_sent_and_has_not_ended() {
        let mut series = Series::default();
        for at_ns in [0, 1, 2] {
            series.planned(at_ns);
            series.sent(at_ns);
        }
        series.ended(&ended(NS_PER_S + 1, NS_PER_S));
        series.ended(&ended(3 * NS_PER_S, 3 * NS_PER_S));
        let in_flight: Vec<u64> = series.seconds().iter().map(|second| second.in_flight).collect();
        assert_eq!(in_flight, [3, 2, 2, 1]);
        assert_eq!(series.seconds()[2].latency_ms_p95, None);
    }

    #[test]
    fn users_are_those_who_came_and_have_not_gone() {
        let mut series = Series::default();
        for at_ns in [0, 1, NS_PER_S] {
            series.arrived(at_ns);
        }
        series.gone(2 * NS_PER_S);
        let users: Vec<u64> = series.seconds().iter().map(|second| second.users).collect();
        assert_eq!(users, [2, 3, 2]);
    }

    #[test]
    fn what_was_never_sent_never_was_in_flight() {
        let mut series = Series::default();
        series.ended(&End {
            was_sent: false,
            is_done: false,
            is_failed: true,
            is_given_up: false,
            ..ended(5, 5)
        });
        let second = series.seconds()[0];
        assert_eq!((second.in_flight, second.failed, second.done), (0, 1, 0));
    }

    #[test]
    fn a_run_without_end_has_a_last_second() {
        let mut series = Series::default();
        series.sent(u64::MAX);
        assert_eq!(series.seconds().len(), SECONDS_MAX);
    }

    proptest! {
        #[test]
        fn merged_halves_equal_the_whole(ends in prop::collection::vec((0..5 * NS_PER_S, 0..u64::MAX), 0..60)) {
            let (mut whole, mut left, mut right) = (Series::default(), Series::default(), Series::default());
            for (index, (at_ns, latency_ns)) in ends.into_iter().enumerate() {
                let half = if index % 2 == 0 { &mut left } else { &mut right };
                for series in [&mut whole, half] {
                    series.sent(at_ns / 2);
                    series.ended(&ended(at_ns, latency_ns));
                }
            }
            left.merge(&right);
            prop_assert_eq!(left.seconds(), whole.seconds());
        }

        #[test]
        fn a_bucket_is_within_two_percent(duration_ns in 1_000_u64..3_600_000_000_000) {
            let middle = middle_ns(bucket_of(duration_ns));
            prop_assert!((middle / duration_ns as f64 - 1.0).abs() < 0.017, "{middle}");
            prop_assert!(usize::from(bucket_of(u64::MAX)) < BUCKETS);
        }
    }
}
