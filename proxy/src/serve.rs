//! Serving: listeners, workers, signals, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use kingtide_common::capture::{CaptureWriter, Rotation, WriterOptions};
use kingtide_common::config::ConfigError;
use kingtide_common::fingerprint::Fingerprinter;
use pingora_core::apps::ServerApp as _;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::accept::Acceptor;
use crate::clock::Clock;
use crate::config::Config;
use crate::edge::Edge;
use crate::redact::{Redactor, Rules};
use crate::tap::{self, TapOptions, TapWriter};
use crate::upstream::Routes;

const PROGRAM: &str = concat!("kingtide-proxy ", env!("CARGO_PKG_VERSION"));
/// How long the writer may take for what still waits when the traffic is over.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// Attempts at an upstream for one request, the first one included; more where a group has more peers.
const UPSTREAM_ATTEMPTS: usize = 2;

/// Tries what a start would need, and changes nothing.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    rules(config)?;
    Routes::new(config)?;
    Ok(())
}

/// Runs until a signal ends it, then drains and closes the capture.
pub(crate) fn run(config: &Config, config_text: &str) -> anyhow::Result<()> {
    let clock = Clock::start();
    // Whatever can be wrong comes before the capture begins.
    let routes = Routes::new(config)?;
    let (tap, writer) = if config.capture.enabled {
        let (tap, writer) = start_tap(config, config_text, clock)?;
        (Some(tap), Some(writer))
    } else {
        (None, None)
    };
    let edge = Edge { routes, timeouts: config.timeouts.clone(), clock, tap };
    let served = runtime(config.server.threads)?.block_on(serve(config, edge));
    if let Some(writer) = writer {
        close(writer)?;
    }
    served
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().thread_name("proxy").build()
}

fn start_tap(config: &Config, config_text: &str, clock: Clock) -> anyhow::Result<(Arc<tap::Tap>, TapWriter)> {
    let capture = &config.capture;
    let rules = rules(config)?;
    let key = Fingerprinter::with_random_key().context("no random key for the fingerprints")?;
    let options = WriterOptions {
        program: PROGRAM.to_owned(),
        config_digest: blake3::hash(config_text.as_bytes()).to_hex().to_string(),
        privacy: format!("{:?}", capture.privacy).to_lowercase(),
        started_ns: clock.utc_ns(clock.now_ns()),
        rotation: Rotation { bytes: capture.segment_size.0, age: capture.segment_age.0 },
    };
    let writer = CaptureWriter::create(&capture.directory, options)?;
    Ok(tap::start(tap_options(config), Redactor::new(rules, capture.privacy, key), writer, clock)?)
}

fn rules(config: &Config) -> Result<Rules, ConfigError> {
    config.capture.redaction.as_deref().map_or_else(|| Ok(Rules::built_in()), Rules::load)
}

fn tap_options(config: &Config) -> TapOptions {
    let capture = &config.capture;
    TapOptions {
        queue_slots: capture.queue_slots,
        memory_bytes: capture.memory.0,
        body_bytes_max: usize::try_from(capture.body_limit.0).unwrap_or(usize::MAX),
        hash_bytes_max: capture.file_hash.bytes_max(),
        exclude: capture.exclude.clone(),
    }
}

async fn serve(config: &Config, edge: Edge) -> anyhow::Result<()> {
    let (drain, shutdown) = watch::channel(false);
    let connections = TaskTracker::new();
    let acceptor = Arc::new(Acceptor {
        clock: edge.clock,
        app: Arc::new(pingora_proxy(edge)),
        shutdown,
        connections: connections.clone(),
        next_connection: AtomicU64::new(0),
    });
    // Before anybody is told that we listen: a signal from then on drains.
    let mut signals = Signals::install()?;
    for listener in listen(&config.server.listen).await? {
        tokio::spawn(Arc::clone(&acceptor).run(listener));
    }
    tracing::info!("{}: draining", signals.next().await);
    drain.send_replace(true);
    // Wakes the connections that idle between two requests.
    acceptor.app.cleanup().await;
    connections.close();
    drained(&connections, config.server.drain_timeout.0).await;
    Ok(())
}

fn pingora_proxy(edge: Edge) -> HttpProxy<Edge> {
    let attempts = UPSTREAM_ATTEMPTS.max(edge.routes.peers_max());
    let conf = ServerConf { max_retries: attempts, ..ServerConf::default() };
    http_proxy(&Arc::new(conf), edge)
}

async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("cannot listen on {address}; is another server there?"))?;
        println!("listening on http://{}", listener.local_addr()?);
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn drained(connections: &TaskTracker, deadline: Duration) {
    if tokio::time::timeout(deadline, connections.wait()).await.is_err() {
        tracing::warn!(still_open = connections.len(), "the drain's deadline passed; connections are cut");
    }
}

fn close(writer: TapWriter) -> anyhow::Result<()> {
    let ledger = writer.close(CLOSE_DEADLINE).context("the capture's writer did not finish in time")??;
    tracing::info!(
        accepted = ledger.accepted,
        recorded = ledger.recorded,
        lost = ledger.lost(),
        filtered = ledger.filtered,
        "capture closed"
    );
    Ok(())
}
