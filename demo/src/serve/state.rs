//! What the requests of one running service share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep_until};

use super::auth::TokenKeys;
use super::database::{Database, DatabaseError};
use super::front::Warmth;
use super::gate::Gate;
use super::school::School;
use super::{ServeConfig, health::Uploads};
use crate::accounts::{Purpose, stream};
use crate::law::millis;

pub(crate) struct App {
    pub(crate) config: ServeConfig,
    pub(crate) database: Database,
    pub(crate) slots: Arc<Gate>,
    pub(crate) tokens: TokenKeys,
    pub(crate) in_flight: AtomicUsize,
    started: Instant,
    accepted: AtomicU64,
    accepted_bytes: AtomicU64,
    /// Uploads that passed the hang point, for the `hang-after` fault.
    admitted: AtomicU64,
    /// Memory the `leak` fault keeps.
    leaked: Mutex<Vec<Vec<u8>>>,
    warmth: Mutex<Warmth>,
    /// Until when the event loop is booked.
    event_loop: Mutex<Instant>,
    random: Mutex<ChaCha8Rng>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    pub(crate) async fn open(config: ServeConfig) -> Result<Self, DatabaseError> {
        let school = School { seed: config.seed, students: config.students };
        let database = Database::open(&config.database, config.law.pool, school).await?;
        if config.faults.hang_after == Some(0) {
            database.gate().jam();
        }
        Ok(Self {
            slots: Gate::new(config.law.slots),
            tokens: TokenKeys::new(config.token_ttl_s),
            in_flight: AtomicUsize::new(0),
            started: Instant::now(),
            accepted: AtomicU64::new(0),
            accepted_bytes: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            leaked: Mutex::default(),
            warmth: Mutex::default(),
            event_loop: Mutex::new(Instant::now()),
            random: Mutex::new(stream(config.seed, Purpose::Service, 0)),
            database,
            config,
        })
    }

    pub(crate) fn auth_time(&self) -> Duration {
        millis(self.config.law.auth_ms * self.config.faults.slow_db_factor)
    }

    pub(crate) fn db_time(&self) -> Duration {
        millis(self.config.law.db_ms * self.config.faults.slow_db_factor)
    }

    pub(crate) fn store_time(&self) -> Duration {
        self.config.law.store.draw(&mut *locked(&self.random))
    }

    pub(crate) fn draws_truncation(&self) -> bool {
        let probability = self.config.faults.truncate_probability;
        probability > 0.0 && locked(&self.random).random_bool(probability)
    }

    pub(crate) fn cold_wait(&self) -> Duration {
        let now = self.started.elapsed();
        self.config.faults.cold_start.map_or(Duration::ZERO, |cold| locked(&self.warmth).arrive(now, cold))
    }

    /// Books this request's serial work and waits until it is done. Bookings never overlap, so the rate is exact.
    pub(crate) async fn pass_event_loop(&self) {
        let span = millis(self.config.law.block_ms);
        if !span.is_zero() {
            let until = self.book_event_loop(span);
            sleep_until(until).await;
        }
    }

    fn book_event_loop(&self, span: Duration) -> Instant {
        let mut booked = locked(&self.event_loop);
        *booked = (*booked).max(Instant::now()) + span;
        *booked
    }

    /// Where the `hang-after` fault strikes: exactly its number of uploads passes, later ones never return.
    pub(crate) async fn pass_hang_point(&self) {
        let admitted = self.admitted.fetch_add(1, Ordering::SeqCst);
        if self.config.faults.hang_after.is_some_and(|limit| admitted >= limit) {
            self.database.gate().jam();
            std::future::pending::<()>().await;
        }
    }

    /// Counts an upload whose row is committed.
    pub(crate) fn accept(&self, bytes: u64) {
        self.accepted_bytes.fetch_add(bytes, Ordering::SeqCst);
        let accepted = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        if self.config.faults.leak_bytes > 0 {
            locked(&self.leaked).push(vec![0xa5; self.config.faults.leak_bytes]);
        }
        if self.config.faults.hang_after.is_some_and(|limit| accepted >= limit) {
            self.database.gate().jam();
        }
    }

    pub(crate) fn uploads(&self) -> Uploads {
        Uploads {
            accepted: self.accepted.load(Ordering::SeqCst),
            bytes: self.accepted_bytes.load(Ordering::SeqCst),
        }
    }

    pub(crate) fn leaked_bytes(&self) -> u64 {
        locked(&self.leaked).iter().map(|kept| kept.len() as u64).sum()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
