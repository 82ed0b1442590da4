//! Idle connections of one thread, so that taking one costs no lock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::{Peer, UpstreamConnection};

#[derive(Debug)]
struct Idle {
    connection: UpstreamConnection,
    until: Instant,
}

/// Idle connections by peer, the one used last on top.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: HashMap<u64, Vec<Idle>>,
}

impl Pool {
    /// A connection that the peer has not closed meanwhile.
    pub(crate) fn take(&mut self, peer: &Peer) -> Option<UpstreamConnection> {
        let idle = self.idle.get_mut(&peer.pool_key)?;
        let now = Instant::now();
        while let Some(top) = idle.pop() {
            if top.until > now && is_alive(&top.connection) {
                return Some(top.connection);
            }
        }
        None
    }

    /// Keeps a connection, in place of the oldest when there are `most` already.
    pub(crate) fn put(
        &mut self,
        peer: &Peer,
        mut connection: UpstreamConnection,
        most: usize,
        keep: Duration,
    ) {
        if most == 0 {
            return;
        }
        connection.input.rest();
        let idle = self.idle.entry(peer.pool_key).or_default();
        if idle.len() >= most {
            idle.remove(0);
        }
        idle.push(Idle { connection, until: Instant::now() + keep });
    }

    /// Closes what has idled too long or was closed by its peer.
    pub(crate) fn sweep(&mut self) {
        let now = Instant::now();
        self.idle.retain(|_, idle| {
            idle.retain(|idle| idle.until > now && is_alive(&idle.connection));
            !idle.is_empty()
        });
    }
}

/// Nothing to read: neither an end nor bytes that nobody asked for.
fn is_alive(connection: &UpstreamConnection) -> bool {
    let peeked = recv(&connection.stream, &mut [0_u8; 1][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(peeked, Err(Errno::AGAIN))
}
