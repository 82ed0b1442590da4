//! Accept: one thread takes connections from the listeners and deals them to the workers, the least busy
//! first. Each worker makes of a connection what its listener says: PROXY protocol, TLS, HTTP/2 or HTTP/1.

pub(crate) mod listeners;
pub(crate) mod proxy_protocol;
mod serve;
pub(crate) mod tls;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::metrics::Raised;
use crate::worker::Shared;
use listeners::Listening;
pub(crate) use serve::serve;

/// How long the loop rests when the process is out of descriptors.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);

/// A connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) listening: Arc<Listening>,
    pub(crate) accepted_ns: u64,
    pub(crate) accepted: Instant,
    /// Counts it among the open ones until dropped.
    pub(crate) open: Open,
}

/// Workers as the accept loops see them.
#[derive(Debug)]
pub(crate) struct Dealer {
    pub(crate) workers: Vec<Seat>,
    pub(crate) open: Arc<AtomicUsize>,
}

/// One worker's inbox and how many connections it has.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) inbox: UnboundedSender<Arrival>,
    pub(crate) open: Arc<AtomicUsize>,
}

/// A connection that is open: counted with its worker and in all.
#[derive(Debug)]
pub(crate) struct Open {
    counts: [Arc<AtomicUsize>; 2],
    _raised: Raised,
}

impl Open {
    fn new(counts: [Arc<AtomicUsize>; 2], raised: Raised) -> Self {
        for count in &counts {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Self { counts, _raised: raised }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        for count in &self.counts {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Accepts from one listener until the task is ended.
pub(crate) async fn accept(
    listening: Arc<Listening>,
    dealer: Arc<Dealer>,
    shared: Arc<Shared>,
) -> std::io::Result<()> {
    let socket = TcpListener::from_std(listening.socket.try_clone()?)?;
    loop {
        // Leaves this thread's reactor again, for that of its worker.
        match socket.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => deal(&listening, &dealer, &shared, stream, peer),
            Err(error) => rest_after(&error).await,
        }
    }
}

fn deal(listening: &Arc<Listening>, dealer: &Dealer, shared: &Shared, stream: TcpStream, peer: SocketAddr) {
    let most = shared.site.load().worker_connections;
    if most > 0 && dealer.open.load(Ordering::Relaxed) >= most {
        // Closed at once, as Nginx does without a free connection.
        listening.gauges.refused.add(1);
        return;
    }
    listening.gauges.accepted.add(1);
    let least = dealer.workers.iter().min_by_key(|seat| seat.open.load(Ordering::Relaxed));
    let Some(seat) = least else { return };
    let arrival = Arrival {
        local: stream.local_addr().unwrap_or(listening.address),
        stream,
        peer,
        listening: Arc::clone(listening),
        accepted_ns: shared.clock.now_ns(),
        accepted: Instant::now(),
        open: Open::new([Arc::clone(&seat.open), Arc::clone(&dealer.open)], listening.gauges.open.raise()),
    };
    // A worker that is gone has drained, and so will this connection's client have to.
    let _ = seat.inbox.send(arrival);
}

async fn rest_after(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    let out_of_descriptors = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    if out_of_descriptors.contains(&error.raw_os_error()) {
        tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
    }
}
