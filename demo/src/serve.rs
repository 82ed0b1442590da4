//! The sample upload service: a language school's API as a FastAPI application would offer it, with a service law
//! and faults set by flags.
//!
//! `front → auth | catalogue | upload → database, store`. [`start`] runs it inside another program (tests of other
//! crates do), [`run`] until a signal.

mod auth;
mod catalogue;
mod database;
mod front;
mod gate;
mod health;
mod page;
mod refusal;
mod school;
mod state;
mod timing;
mod upload;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use database::DatabaseError;
pub use gate::GateFigures;
pub use health::{Health, Uploads};
pub(crate) use state::App;
pub use upload::AUDIO_TYPES;

use crate::faults::Faults;
use crate::law::ServiceLaw;

/// Smallest bound on a whole request body, bytes; the audio limit is checked after the form was read.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Sizes an audio file may have, in bytes, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadLimits {
    /// Below: 400.
    pub min_bytes: u64,
    /// Above: 413.
    pub max_bytes: u64,
}

impl Default for UploadLimits {
    /// 5 KB to 2 MB (1 KB is 1,000 bytes).
    fn default() -> Self {
        Self { min_bytes: 5_000, max_bytes: 2_000_000 }
    }
}

/// Everything the service is started with.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `sqlite::memory:`, `sqlite:FILE` or `postgres://…`.
    pub database: String,
    /// Seed of accounts, ids and store latencies.
    pub seed: u64,
    /// Accounts that exist.
    pub students: u64,
    /// Life of a token, seconds.
    pub token_ttl_s: u64,
    /// Sizes of audio files.
    pub limits: UploadLimits,
    /// How time passes.
    pub law: ServiceLaw,
    /// What goes wrong.
    pub faults: Faults,
    /// How long a shutdown waits for requests in flight.
    pub drain: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: "sqlite::memory:".to_owned(),
            seed: 1,
            students: 2000,
            token_ttl_s: 3600,
            limits: UploadLimits::default(),
            law: ServiceLaw::default(),
            faults: Faults::default(),
            drain: Duration::from_secs(15),
        }
    }
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("--listen {address}: {source}; take another port, or 0 for a free one")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// No size would be accepted.
    #[error("--min-bytes {} is above --max-bytes {}; no file would be accepted", .0.min_bytes, .0.max_bytes)]
    Limits(UploadLimits),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// stdout or signals cannot be used.
    #[error("this process cannot announce itself or listen for signals: {0}")]
    Process(#[from] std::io::Error),
}

/// A service that is listening.
#[derive(Debug)]
pub struct RunningServer {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    drain: Duration,
}

impl RunningServer {
    /// `http://127.0.0.1:PORT`
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Accepts no more, finishes requests in flight, closes the database. False when the drain time was not enough
    /// and requests were abandoned.
    pub async fn shutdown(self) -> bool {
        // The receiver is gone only when serving has ended already.
        let _ = self.stop.send(());
        let abort = self.served.abort_handle();
        let drained = tokio::time::timeout(self.drain, self.served).await.is_ok();
        if !drained {
            abort.abort();
        }
        drained
    }
}

/// Opens the database, listens, and serves in the background.
pub async fn start(config: ServeConfig) -> Result<RunningServer, ServeError> {
    if config.limits.min_bytes > config.limits.max_bytes {
        return Err(ServeError::Limits(config.limits));
    }
    let address = config.listen;
    let refused = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    let drain = config.drain;
    let app = Arc::new(App::open(config).await?);
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve_until(listener, app, stopped));
    Ok(RunningServer { addr, stop, served, drain })
}

async fn serve_until(listener: TcpListener, app: Arc<App>, stopped: oneshot::Receiver<()>) {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    let server = axum::serve(listener, router(&app)).with_graceful_shutdown(async {
        // A dropped server stops as well.
        let _ = stopped.await;
    });
    if let Err(error) = server.await {
        tracing::error!(%error, "serving ended");
    }
    app.database.close().await;
}

fn router(app: &Arc<App>) -> Router {
    let body_max = BODY_BYTES_MAX.max(app.config.limits.max_bytes.saturating_mul(2));
    Router::new()
        .route("/api/auth/login", post(auth::login))
        .route("/api/students/me", get(catalogue::profile))
        .route("/api/assignments", get(catalogue::assignments))
        .route("/api/assignments/{assignment_id}/activities", get(catalogue::activities))
        .route("/api/students/upload-recording", post(upload::upload))
        .route("/health", get(health::health))
        .route("/sample.webm", get(page::sample))
        .route("/", get(page::page))
        .fallback(async || detail(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || detail(StatusCode::METHOD_NOT_ALLOWED))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(app), front::front))
        .layer(DefaultBodyLimit::max(usize::try_from(body_max).unwrap_or(usize::MAX)))
        .with_state(Arc::clone(app))
}

fn detail(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    (status, axum::Json(serde_json::json!({"detail": reason}))).into_response()
}

/// Serves until SIGTERM or SIGINT, then drains. Prints `listening on URL` when ready.
pub async fn run(config: ServeConfig) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = start(config).await?;
    announce(&server)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    if !server.shutdown().await {
        tracing::warn!("requests were still unanswered at the end of --drain-s and are abandoned");
    }
    Ok(())
}

fn announce(server: &RunningServer) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {}", server.base_url())?;
    out.flush()
}
