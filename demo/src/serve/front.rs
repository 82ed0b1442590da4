//! What every request passes before its handler: the in-flight count and shedding, a cold start, the blocked event
//! loop; and after it, the cut answer. `/health` passes none of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;

use super::App;
use crate::faults::{ColdStart, Shed};

/// What a shed client is told to wait, seconds.
const RETRY_AFTER_S: &str = "1";
/// Largest body read past so that a refused client can read its answer, bytes.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Largest answer the truncation fault cuts; all of ours are smaller.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Pause before a cut, so that the first half has left for the client.
const CUT_PAUSE: Duration = Duration::from_millis(5);

pub(crate) async fn front(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.uri().path() == "/health" {
        return next.run(request).await;
    }
    let inside = Inside::new(&app);
    if let Some(shed) = app.config.faults.shed.filter(|shed| inside.before >= shed.in_flight) {
        drop(inside);
        return refuse(shed, request).await;
    }
    tokio::time::sleep(app.cold_wait()).await;
    app.pass_event_loop().await;
    let response = next.run(request).await;
    if app.draws_truncation() { truncated(response).await } else { response }
}

/// Counts a request as inside until dropped.
struct Inside {
    app: Arc<App>,
    before: usize,
}

impl Inside {
    fn new(app: &Arc<App>) -> Self {
        let before = app.in_flight.fetch_add(1, Ordering::SeqCst);
        Self { app: Arc::clone(app), before }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.app.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn refuse(shed: Shed, request: Request) -> Response {
    drain(request.into_body()).await;
    let status = StatusCode::from_u16(shed.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let retry = [(header::RETRY_AFTER, RETRY_AFTER_S)];
    (status, retry, axum::Json(serde_json::json!({"detail": "Too busy, try again"}))).into_response()
}

/// Reads past a body, at most [`DRAIN_BYTES_MAX`]: closing on unread bytes would reset the connection and take the
/// answer with it.
pub(crate) async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if bytes > left {
            return;
        }
        left -= bytes;
    }
}

/// The answer with its full `Content-Length` and half its bytes, then a closed connection.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = bytes.slice(..bytes.len() / 2);
    let cut = stream::once(async {
        tokio::time::sleep(CUT_PAUSE).await;
        Err(io::Error::other("answer cut by the truncate fault"))
    });
    Response::from_parts(parts, Body::from_stream(stream::iter([Ok(half)]).chain(cut)))
}

/// When a service scaled to zero is warm again. Pure: instants come as durations since its process began.
#[derive(Debug, Default)]
pub(crate) struct Warmth {
    warm_at: Duration,
    last: Option<Duration>,
}

impl Warmth {
    /// A request arrives at `now`; how long it waits for the start.
    pub(crate) fn arrive(&mut self, now: Duration, cold: ColdStart) -> Duration {
        let is_cold = self.last.is_none_or(|last| now.saturating_sub(last) > cold.idle);
        if is_cold {
            self.warm_at = now + cold.start;
        }
        self.last = Some(now.max(self.warm_at));
        self.warm_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_arrives_during_a_cold_start_waits_for_its_end() {
        let cold = ColdStart { start: Duration::from_millis(800), idle: Duration::from_secs(5) };
        let mut warmth = Warmth::default();
        let waits: Vec<u128> = [0, 300, 900, 5_000, 10_900]
            .map(|now| warmth.arrive(Duration::from_millis(now), cold).as_millis())
            .to_vec();
        assert_eq!(waits, [800, 500, 0, 0, 800]);
    }
}
