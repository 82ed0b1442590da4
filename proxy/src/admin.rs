//! The admin listener: metrics, status, live page and control of the capture.
//!
//! A small HTTP/1.1 server on a thread of its own, so that whoever asks never takes a worker's time. Each
//! connection carries one request and has ten seconds for it; sixteen are served at once, more wait in the
//! kernel's queue.

mod access;
mod answer;
mod control;
mod status;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use access::{Access, AccessError};
use answer::Answers;
pub(crate) use control::{
    BodyLimit, CaptureCommand, CaptureFacts, CaptureState, ConfigFacts, Control, Facts, LogFacts, PeerFacts,
    QueueFacts,
};

use crate::clock::Clock;
use crate::config::Admin;
use crate::metrics::Metrics;

const CONNECTIONS_MAX: usize = 16;
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// After a failed accept (out of descriptors), instead of turning in circles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("admin.listen: cannot listen on {listen}; is another server there?")]
    Bind { listen: SocketAddr, source: io::Error },
    #[error("the admin listener's thread did not start")]
    Start(#[source] io::Error),
}

/// What is served.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

/// The running listener; ends when it is closed or dropped.
#[derive(Debug)]
pub(crate) struct AdminServer {
    pub(crate) address: SocketAddr,
    /// As configured.
    listen: SocketAddr,
    socket: TcpListener,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Whether `[admin]` could be served, without listening.
pub(crate) fn check(admin: &Admin) -> Result<(), AdminError> {
    admin.listen.map_or(Ok(()), |listen| Ok(access(admin, listen).map(drop)?))
}

fn access(admin: &Admin, listen: SocketAddr) -> Result<Access, AccessError> {
    Access::new(admin, listen, |name| std::env::var(name).ok())
}

impl AdminServer {
    /// Listens, or goes on where a former process did, and serves; `None` when no address is configured.
    pub(crate) fn start(
        admin: &Admin,
        sources: Sources,
        taken_over: &mut Vec<(SocketAddr, TcpListener)>,
    ) -> Result<Option<Self>, AdminError> {
        let Some(listen) = admin.listen else { return Ok(None) };
        check(admin)?;
        let listener = match taken_over.iter().position(|(address, _)| *address == listen) {
            Some(position) => taken_over.remove(position).1,
            None => TcpListener::bind(listen).map_err(|source| AdminError::Bind { listen, source })?,
        };
        Self::start_on((listen, listener), admin, sources).map(Some)
    }

    /// For a new process: the address as configured, and the socket.
    pub(crate) fn socket(&self) -> io::Result<(SocketAddr, TcpListener)> {
        Ok((self.listen, self.socket.try_clone()?))
    }

    /// Serves on a socket that listens already.
    fn start_on(
        (listen, listener): (SocketAddr, TcpListener),
        admin: &Admin,
        sources: Sources,
    ) -> Result<Self, AdminError> {
        let address = listener.local_addr().map_err(AdminError::Start)?;
        let socket = listener.try_clone().map_err(AdminError::Start)?;
        let answers = Arc::new(Answers::new(access(admin, address)?, sources));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(AdminError::Start)?;
        listener.set_nonblocking(true).map_err(AdminError::Start)?;
        let served = move || {
            runtime.block_on(serve(listener, answers, stopped));
            // A command that hangs must not hold the process up.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(served);
        Ok(Self { address, listen, socket, stop, thread: thread.map_err(AdminError::Start)? })
    }

    /// Ends the listener and its connections.
    pub(crate) fn close(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the admin listener panicked");
        }
    }
}

async fn serve(listener: TcpListener, answers: Arc<Answers>, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("no admin listener: {error}"),
    };
    tokio::select! {
        () = accept(&listener, &answers) => {}
        _ = stopped => {}
    }
}

async fn accept(listener: &tokio::net::TcpListener, answers: &Arc<Answers>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(answers), slot))),
            Err(error) => {
                tracing::warn!("admin listener: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request; what its client does wrong is its client's affair.
async fn connection(stream: TcpStream, answers: Arc<Answers>, slot: OwnedSemaphorePermit) {
    let service = service_fn(|request| {
        let answers = Arc::clone(&answers);
        async move {
            Ok::<_, Infallible>(
                answers.answer(request.method(), request.uri().path(), request.headers()).await,
            )
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let _ = tokio::time::timeout(REQUEST_DEADLINE, served).await;
    drop(slot);
}

#[cfg(test)]
mod tests;
