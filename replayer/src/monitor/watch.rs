//! One monitor's looks, one after another, each within its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kingtide_common::units::Span;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::host::{self, Host};
use super::http::Endpoint;
use super::json::JsonEndpoint;
use super::log::Log;
use super::look::{Blind, Look};
use super::postgres::{self, Postgres};
use super::process::{self, Processes};
use super::prometheus::Prometheus;
use super::settings::{Settings, What};

/// Points of a metric that are kept: so long a run may be at its interval.
const KEPT: Duration = Duration::from_hours(24);
const POINTS_MAX: u128 = 100_000;

/// A log that is written to while others read it.
#[derive(Debug, Clone)]
pub(super) struct SharedLog(Arc<Mutex<Log>>);

/// What looks.
#[derive(Debug)]
pub(super) struct Watch {
    source: Source,
    interval: Duration,
    look_max: Duration,
    log: SharedLog,
}

#[derive(Debug)]
enum Source {
    Postgres(Box<Postgres>),
    Host(Host),
    Process(Processes),
    Prometheus(Prometheus),
    Json(JsonEndpoint),
}

impl Watch {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let (interval, look_max) = (settings.interval, settings.look_max());
        let source = Source::new(&settings.what, look_max);
        let source = source.map_err(|why| format!("monitor {}: {why}", settings.name))?;
        let points_max = (KEPT.as_millis() / interval.as_millis().max(1)).min(POINTS_MAX);
        let points_max = usize::try_from(points_max).unwrap_or(usize::MAX);
        let log = Log::new(&settings.name, &source.metrics(), points_max);
        Ok(Self { source, interval, look_max, log: SharedLog(Arc::new(Mutex::new(log))) })
    }

    pub(super) fn log(&self) -> SharedLog {
        self.log.clone()
    }

    /// One look, within its time.
    pub(super) async fn look(&mut self) -> Result<Look, Blind> {
        let looked = timeout(self.look_max, self.source.look()).await;
        looked.unwrap_or_else(|_| Err(Blind(format!("no answer within {}", Span(self.look_max)))))
    }

    /// Until it is dropped.
    pub(super) async fn run(mut self, began: Instant) {
        let mut ticks = interval(self.interval);
        // After a look that took longer the next one is at the next tick, not all of them at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let at_s = began.elapsed().as_secs_f64();
            match self.look().await {
                Ok(look) => self.log.lock().saw(at_s, look),
                Err(blind) => self.log.lock().blind(at_s, &blind),
            }
        }
    }
}

impl Source {
    fn new(what: &What, look_max: Duration) -> Result<Self, String> {
        Ok(match what {
            What::Postgres { url, slow_query } => {
                Self::Postgres(Box::new(Postgres::new(url, *slow_query, look_max)?))
            }
            What::Host => Self::Host(Host::default()),
            What::Process(which) => Self::Process(Processes::new(which.clone())),
            What::Prometheus { url, metrics } => {
                Self::Prometheus(Prometheus::new(Endpoint::new(url)?, metrics.clone()))
            }
            What::Json { url, metrics } => {
                Self::Json(JsonEndpoint::new(Endpoint::new(url)?, metrics.clone()))
            }
        })
    }

    /// What it has to say of each look that it can take.
    fn metrics(&self) -> Vec<String> {
        let owned = |metrics: &[&str]| metrics.iter().map(|metric| (*metric).to_owned()).collect();
        match self {
            Self::Postgres(_) => owned(postgres::METRICS),
            Self::Host(_) => owned(host::METRICS),
            Self::Process(_) => owned(process::METRICS),
            Self::Prometheus(prometheus) => prometheus.metrics(),
            Self::Json(json) => json.metrics(),
        }
    }

    async fn look(&mut self) -> Result<Look, Blind> {
        match self {
            Self::Postgres(postgres) => postgres.look().await,
            Self::Host(host) => host.look(),
            Self::Process(processes) => processes.look(),
            Self::Prometheus(prometheus) => prometheus.look().await,
            Self::Json(json) => json.look().await,
        }
    }
}

impl SharedLog {
    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
