//! The service law: how the sample service spends its time, and the capacity that follows.
//!
//! An upload passes three kinds of station, each a fixed number of servers with a known mean hold:
//!
//! | station | servers | hold per upload |
//! |---|---|---|
//! | event loop | 1 | `block_ms` |
//! | database pool | `pool` | `auth_ms` + `db_ms`, both times the slow-db factor |
//! | object store | `slots` | mean of `store_ms` |
//!
//! A station with `c` servers and mean hold `h` completes at most `c / h` uploads a second whatever the
//! distribution of `h` (the utilisation law, Denning and Buzen 1978), so the capacity is the smallest of these.
//! With the `held-transaction` fault a pool connection is also held across the store call: its hold becomes
//! `auth_ms + store + db_ms`. With `shed` at most `n` requests are inside, so `n / (sum of all holds)` is a
//! bound too. These two bounds are reached only when the other stations leave no queue; elsewhere they are exact.
//!
//! Everything here is pure: no clock, no socket, no random source of its own.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::Serialize;

use crate::faults::Faults;

/// Requests of a student beside the uploads: login, profile, assignments, activities.
const READS_PER_STUDENT: f64 = 4.0;

/// Latency of one object-store call, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StoreLatency {
    /// Always the same.
    Constant(f64),
    /// Uniform between the two.
    Uniform(f64, f64),
    /// Log-normal with this mean and coefficient of variation.
    LogNormal { mean_ms: f64, variation: f64 },
}

/// Why a `--store-ms` value cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a store latency; write milliseconds as `3000`, a range as `2000..5000`, or \
     `lognormal:MEAN:CV` as in `lognormal:3000:0.5`"
)]
pub struct StoreLatencyError(String);

impl StoreLatency {
    /// Mean in milliseconds.
    pub fn mean_ms(self) -> f64 {
        match self {
            Self::Constant(ms) => ms,
            Self::Uniform(low, high) => f64::midpoint(low, high),
            Self::LogNormal { mean_ms, .. } => mean_ms,
        }
    }

    /// One draw.
    pub fn draw(self, rng: &mut impl Rng) -> Duration {
        millis(match self {
            Self::Constant(ms) => ms,
            Self::Uniform(low, high) => low + (high - low) * rng.random::<f64>(),
            Self::LogNormal { mean_ms, variation } => log_normal(rng, mean_ms, variation),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("lognormal:") {
            let (mean, variation) = rest.split_once(':')?;
            let mean_ms = number(mean).filter(|mean| *mean > 0.0)?;
            return Some(Self::LogNormal { mean_ms, variation: number(variation)? });
        }
        let Some((low, high)) = text.split_once("..") else {
            return number(text).map(Self::Constant);
        };
        let (low, high) = (number(low)?, number(high)?);
        (low <= high).then_some(Self::Uniform(low, high))
    }
}

impl FromStr for StoreLatency {
    type Err = StoreLatencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| StoreLatencyError(text.to_owned()))
    }
}

impl fmt::Display for StoreLatency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(ms) => write!(out, "{ms}"),
            Self::Uniform(low, high) => write!(out, "{low}..{high}"),
            Self::LogNormal { mean_ms, variation } => write!(out, "lognormal:{mean_ms}:{variation}"),
        }
    }
}

/// Largest number a flag takes, whatever its unit: 31 years of seconds.
pub(crate) const NUMBER_MAX: f64 = 1e9;

/// A number from 0 to [`NUMBER_MAX`] as typed by a user.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value| (0.0..=NUMBER_MAX).contains(value))
}

/// Milliseconds as a duration; what no duration can hold becomes zero.
pub(crate) fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

/// Log-normal by Box and Muller, with sigma² = ln(1 + cv²) and mu = ln(mean) − sigma²/2.
fn log_normal(rng: &mut impl Rng, mean_ms: f64, variation: f64) -> f64 {
    let sigma_squared = variation.mul_add(variation, 1.0).ln();
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let normal = radius * (TAU * rng.random::<f64>()).cos();
    normal.mul_add(sigma_squared.sqrt(), mean_ms.ln() - sigma_squared / 2.0).exp()
}

/// Everything that decides how long a request takes in the service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceLaw {
    /// Concurrent object-store calls; 0 is unlimited.
    pub slots: usize,
    /// Latency of one object-store call.
    pub store: StoreLatency,
    /// Size of the database pool; 0 is unlimited.
    pub pool: usize,
    /// Pool hold of the token check, milliseconds.
    pub auth_ms: f64,
    /// Pool hold of the write after the store call, milliseconds.
    pub db_ms: f64,
    /// Serial work per request, as in a single-threaded event loop, milliseconds.
    pub block_ms: f64,
}

impl Default for ServiceLaw {
    /// The reference case: pool of 20, 50 ms token check, 2–5 s store, 100 ms update.
    fn default() -> Self {
        let store = StoreLatency::Uniform(2000.0, 5000.0);
        Self { slots: 0, store, pool: 20, auth_ms: 50.0, db_ms: 100.0, block_ms: 0.0 }
    }
}

/// One bound on the upload rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// The station: `event_loop`, `pool`, `store_slots` or `in_flight_limit`.
    pub station: &'static str,
    /// Servers of the station.
    pub servers: usize,
    /// Mean time one upload holds a server, milliseconds.
    pub hold_ms: f64,
    /// `servers * 1000 / hold_ms`.
    pub uploads_per_s: f64,
    /// How `hold_ms` comes about.
    pub formula: &'static str,
}

/// The bounds for one mix of requests, and the smallest of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bounds {
    /// Uploads a second the service completes at most; absent when nothing limits it.
    pub uploads_per_s: Option<f64>,
    /// Station of the smallest bound.
    pub limited_by: Option<&'static str>,
    /// All bounds.
    pub terms: Vec<Term>,
}

/// What the law says about capacity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// Uploads alone.
    #[serde(flatten)]
    pub uploads: Bounds,
    /// Time of one upload in an idle service, milliseconds, without the transfer of its body.
    pub service_ms_mean: f64,
    /// Uploads of one student's visit, for `chain`.
    pub uploads_per_student: f64,
    /// The same bounds when each student also logs in and reads profile, assignments and activities.
    pub chain: Bounds,
}

/// Computes the capacity of a service with this law and these faults.
pub fn capacity(law: &ServiceLaw, faults: &Faults, uploads_per_student: f64) -> Capacity {
    let reads = if uploads_per_student > 0.0 { READS_PER_STUDENT / uploads_per_student } else { 0.0 };
    Capacity {
        uploads: bounds(law, faults, 0.0),
        service_ms_mean: service_ms(law, faults),
        uploads_per_student,
        chain: bounds(law, faults, reads),
    }
}

fn service_ms(law: &ServiceLaw, faults: &Faults) -> f64 {
    law.block_ms + (law.auth_ms + law.db_ms) * faults.slow_db_factor + law.store.mean_ms()
}

fn pool_hold(law: &ServiceLaw, faults: &Faults) -> (f64, &'static str) {
    let queries = (law.auth_ms + law.db_ms) * faults.slow_db_factor;
    if faults.held_transaction {
        return (queries + law.store.mean_ms(), "(auth + db) * slow_db + store (transaction held)");
    }
    (queries, "(auth + db) * slow_db")
}

fn bounds(law: &ServiceLaw, faults: &Faults, reads_per_upload: f64) -> Bounds {
    let (pool_ms, pool_formula) = pool_hold(law, faults);
    let read_ms = law.auth_ms * faults.slow_db_factor * reads_per_upload;
    let block_ms = law.block_ms * (1.0 + reads_per_upload);
    let inside = faults.shed.map_or(0, |shed| shed.in_flight);
    let inside_ms = service_ms(law, faults) + read_ms + law.block_ms * reads_per_upload;
    let terms: Vec<Term> = [
        term("event_loop", 1, block_ms, "block per request"),
        term("pool", law.pool, pool_ms + read_ms, pool_formula),
        term("store_slots", law.slots, law.store.mean_ms(), "mean of store"),
        term("in_flight_limit", inside, inside_ms, "block + (auth + db) * slow_db + store"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let least = terms.iter().min_by(|a, b| a.uploads_per_s.total_cmp(&b.uploads_per_s));
    let (uploads_per_s, limited_by) = (least.map(|term| term.uploads_per_s), least.map(|term| term.station));
    Bounds { uploads_per_s, limited_by, terms }
}

fn term(station: &'static str, servers: usize, hold_ms: f64, formula: &'static str) -> Option<Term> {
    let limits = servers > 0 && hold_ms > 0.0;
    limits.then(|| Term {
        station,
        servers,
        hold_ms,
        uploads_per_s: servers as f64 * 1000.0 / hold_ms,
        formula,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Purpose, stream};
    use crate::faults::Shed;

    fn uploads(law: &ServiceLaw, faults: &Faults) -> (f64, &'static str) {
        let bounds = capacity(law, faults, 2.5).uploads;
        (bounds.uploads_per_s.unwrap(), bounds.limited_by.unwrap())
    }

    #[track_caller]
    fn assert_limit(law: &ServiceLaw, faults: &Faults, per_s: f64, station: &str) {
        let (found, by) = uploads(law, faults);
        assert!((found - per_s).abs() < 1e-9, "{found} is not {per_s}");
        assert_eq!(by, station);
    }

    #[test]
    fn the_reference_case_is_limited_by_its_pool() {
        assert_limit(&ServiceLaw::default(), &Faults::default(), 20.0 / 0.150, "pool");
    }

    #[test]
    fn twenty_slots_of_three_seconds_are_6_67_a_second() {
        let law = ServiceLaw { slots: 20, store: StoreLatency::Constant(3000.0), ..ServiceLaw::default() };
        assert_limit(&law, &Faults::default(), 20.0 / 3.0, "store_slots");
    }

    #[test]
    fn a_held_transaction_turns_the_pool_into_the_limit() {
        let faults = Faults { held_transaction: true, ..Faults::default() };
        assert_limit(&ServiceLaw::default(), &faults, 20.0 / 3.650, "pool");
    }

    #[test]
    fn blocking_slow_queries_and_shedding_have_their_terms() {
        let blocked = ServiceLaw { block_ms: 10.0, ..ServiceLaw::default() };
        assert_limit(&blocked, &Faults::default(), 100.0, "event_loop");
        let slow = Faults { slow_db_factor: 4.0, ..Faults::default() };
        assert_limit(&ServiceLaw::default(), &slow, 20.0 / 0.600, "pool");
        let shed = Faults { shed: Some(Shed { in_flight: 10, status: 503 }), ..Faults::default() };
        assert_limit(&ServiceLaw::default(), &shed, 10.0 / 3.650, "in_flight_limit");
    }

    #[test]
    fn the_chain_counts_the_reads_of_each_student() {
        let chain = capacity(&ServiceLaw::default(), &Faults::default(), 2.0).chain;
        assert!((chain.uploads_per_s.unwrap() - 20.0 / 0.250).abs() < 1e-9);
    }

    #[test]
    fn nothing_limited_means_no_capacity_figure() {
        let law = ServiceLaw { pool: 0, ..ServiceLaw::default() };
        let bounds = capacity(&law, &Faults::default(), 2.5).uploads;
        assert_eq!((bounds.uploads_per_s, bounds.limited_by), (None, None));
    }

    #[test]
    fn latencies_parse_and_print() {
        for text in ["3000", "2000..5000", "lognormal:3000:0.5", "0"] {
            assert_eq!(text.parse::<StoreLatency>().unwrap().to_string(), text);
        }
        for text in ["", "fast", "5..2", "-1", "NaN", "1..", "lognormal:3", "lognormal:0:1", "inf"] {
            assert!(text.parse::<StoreLatency>().is_err(), "{text}");
        }
    }

    #[test]
    fn draws_have_the_stated_mean() {
        let mut rng = stream(1, Purpose::Service, 0);
        for text in ["30", "20..50", "lognormal:300:0.8"] {
            let law: StoreLatency = text.parse().unwrap();
            let sum: f64 = (0..40_000).map(|_| law.draw(&mut rng).as_secs_f64() * 1000.0).sum();
            let mean = sum / 40_000.0;
            assert!((mean / law.mean_ms() - 1.0).abs() < 0.02, "{text}: mean {mean}");
        }
    }
}
