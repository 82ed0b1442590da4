//! What is known of a client's connection, shared by the requests on it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Unique within the process, from 1.
    pub(crate) id: u64,
    /// Nanoseconds of the process's clock.
    pub(crate) accepted_ns: u64,
    /// How long it waited to be accepted, as the kernel tells it; `None` where it does not.
    pub(crate) accept_queue_ms: Option<u32>,
    /// The client: the peer of the socket, or what a PROXY protocol header said.
    pub(crate) client: SocketAddr,
    /// Where it came in.
    pub(crate) local: SocketAddr,
    /// `None` for a plain connection.
    pub(crate) tls: Option<Tls>,
    requests: AtomicU64,
}

/// A TLS session.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// From the first byte to the end of the handshake.
    pub(crate) handshake_ns: u64,
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    /// The host that the client asked for.
    pub(crate) server_name: Option<String>,
}

impl Connection {
    pub(crate) fn new(
        id: u64,
        accepted_ns: u64,
        accept_queue_ms: Option<u32>,
        (client, local): (SocketAddr, SocketAddr),
        tls: Option<Tls>,
    ) -> Self {
        Self { id, accepted_ns, accept_queue_ms, client, local, tls, requests: AtomicU64::new(0) }
    }

    /// Counts a request; how many there were with it.
    pub(crate) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
