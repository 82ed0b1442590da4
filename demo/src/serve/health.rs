//! `GET /health`: pool and slot figures, requests inside and accepted uploads; no token, no pool connection needed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::App;
use super::gate::GateFigures;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `hung` once the `hang-after` fault struck.
    pub status: String,
    /// The database pool.
    pub pool: GateFigures,
    /// The object store's slots.
    pub slots: GateFigures,
    /// Requests inside, this one not counted.
    pub in_flight: usize,
    /// Uploads whose row is committed.
    pub uploads: Uploads,
    /// Memory kept by the `leak` fault.
    pub leaked_bytes: u64,
    /// Seconds since the start.
    pub uptime_s: f64,
}

/// Accepted uploads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploads {
    /// How many.
    pub accepted: u64,
    /// Bytes of their audio files.
    pub bytes: u64,
}

pub(crate) async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    let pool = app.database.gate();
    Json(Health {
        status: if pool.is_jammed() { "hung" } else { "ok" }.to_owned(),
        pool: pool.figures(),
        slots: app.slots.figures(),
        in_flight: app.in_flight.load(Ordering::SeqCst),
        uploads: app.uploads(),
        leaked_bytes: app.leaked_bytes(),
        uptime_s: app.uptime().as_secs_f64(),
    })
}
