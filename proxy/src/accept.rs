//! Accept: the listeners and the loop that hands each connection, metered, to Pingora's HTTP machinery.
//!
//! Why not Pingora's own listening service: it shows a connection only once a request's headers are
//! complete, cannot tell the port it was given, and waits its whole grace period before it exits. The
//! wrapped stream is the only place that sees first bytes.

mod meter;
mod stream;

pub(crate) use meter::ConnectionMeter;

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pingora_core::apps::ServerApp;
use pingora_core::protocols::GetSocketDigest as _;
use pingora_core::protocols::SocketDigest;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use stream::MeteredStream;

/// How long the loop rests when the process is out of descriptors.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);

/// What all accept loops share.
#[derive(Debug)]
pub(crate) struct Acceptor<A> {
    pub(crate) app: Arc<A>,
    pub(crate) clock: Clock,
    /// Turns true when the process drains.
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Every connection being served.
    pub(crate) connections: TaskTracker,
    pub(crate) next_connection: AtomicU64,
}

impl<A: ServerApp + Send + Sync + 'static> Acceptor<A> {
    /// Accepts until the drain begins.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut shutdown = self.shutdown.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|draining| *draining) => return,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => rest_after(&error).await,
            }
        }
    }

    fn serve(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let accepted_ns = self.clock.now_ns();
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed) + 1;
        let meter = Arc::new(ConnectionMeter::new(id, accepted_ns, peer, self.clock));
        let acceptor = Arc::clone(self);
        self.connections.spawn(async move {
            let metered = MeteredStream::new(pingora_stream(stream, peer), meter);
            acceptor.app.process_new(Box::new(metered), &acceptor.shutdown).await;
        });
    }
}

fn pingora_stream(stream: TcpStream, peer: SocketAddr) -> L4Stream {
    // A peer that is gone already fails here; the first read will tell.
    let _ = stream.set_nodelay(true);
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    let _ = digest.peer_addr.set(Some(peer.into()));
    let mut stream: L4Stream = stream.into();
    stream.set_socket_digest(digest);
    stream
}

async fn rest_after(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    let out_of_descriptors = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    if out_of_descriptors.contains(&error.raw_os_error()) {
        tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
    }
}
