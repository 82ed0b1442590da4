//! Upstream: groups of peers, which of them takes a request, and the connections to them.

mod connect;
pub(crate) mod health;
mod peer;
mod pool;
mod tls;

pub(crate) use connect::{ConnectError, connect};
pub(crate) use peer::{Peer, Serving};
pub(crate) use pool::Pool;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::{self, PeerUrl};
use crate::stream::{Input, Output, Stream};

/// Peers that serve the same.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// At least one.
    pub(crate) peers: Vec<Arc<Peer>>,
    next: AtomicUsize,
    /// Idle connections to each peer that a thread keeps, and for how long.
    pub(crate) keepalive: usize,
    pub(crate) keepalive_timeout: Duration,
    pub(crate) health: Option<config::Health>,
}

/// A group that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("upstream `{upstream}`: {peer} cannot be resolved: {cause}")]
    Unresolved { upstream: String, peer: PeerUrl, cause: io::Error },
    #[error("upstream `{upstream}`: {why}")]
    Tls { upstream: String, why: String },
}

impl Group {
    /// Resolves all peers, once.
    pub(crate) fn new(config: &config::Upstream) -> Result<Self, GroupError> {
        let tls = tls::Client::of(config)
            .map_err(|why| GroupError::Tls { upstream: config.name.clone(), why: why.to_string() })?;
        let peer = |url: &PeerUrl| -> Result<Arc<Peer>, GroupError> {
            let unresolved =
                |cause| GroupError::Unresolved { upstream: config.name.clone(), peer: url.clone(), cause };
            let address = first_address(url).map_err(unresolved)?;
            let tls = tls.for_peer(url, config.tls.as_ref());
            let tls = tls.map_err(|why| GroupError::Tls { upstream: config.name.clone(), why })?;
            Ok(Arc::new(Peer::new(url.to_string(), address, tls, config)))
        };
        Ok(Self {
            name: config.name.clone(),
            peers: config.peers.iter().map(peer).collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            keepalive: config.keepalive,
            keepalive_timeout: config.keepalive_timeout.0,
            health: config.health.clone(),
        })
    }

    /// What was known of the same peers before a reload.
    pub(crate) fn carry_on(&self, before: &Self) {
        for peer in &self.peers {
            if let Some(known) = before.peers.iter().find(|known| known.pool_key == peer.pool_key) {
                peer.carry_on(known, self.health.is_some());
            }
        }
    }

    /// The next peer in turn that is up; when none is, the next one all the same.
    pub(crate) fn pick(&self, now_ns: u64, tried: &[SocketAddr]) -> Option<&Arc<Peer>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = |step: usize| &self.peers[first.wrapping_add(step) % self.peers.len()];
        let open = || (0..self.peers.len()).map(turn).filter(|peer| !tried.contains(&peer.address));
        open().find(|peer| peer.is_up(now_ns)).or_else(|| open().next())
    }
}

fn first_address(peer: &PeerUrl) -> io::Result<SocketAddr> {
    let mut addresses = peer.host_and_port().to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::other("the name has no address"))
}

/// A connection to a peer during one exchange.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    pub(crate) stream: Stream,
    pub(crate) input: Input,
    pub(crate) output: Output,
}

impl UpstreamConnection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, input: Input::default(), output: Output::default() }
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.output.poll_write(&mut self.stream, cx)
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.poll_fill(&mut self.stream, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(more: &str) -> Group {
        let text = format!("name = \"a\"\npeers = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]\n{more}");
        Group::new(&toml::from_str(&text).unwrap()).unwrap()
    }

    fn port(group: &Group, now_ns: u64, tried: &[SocketAddr]) -> Option<u16> {
        group.pick(now_ns, tried).map(|peer| peer.address.port())
    }

    #[test]
    fn peers_take_turns() {
        let group = group("");
        let ports: Vec<_> = (0..3).map(|_| port(&group, 1, &[]).unwrap()).collect();
        assert_eq!(ports, [1, 2, 1]);
    }

    #[test]
    fn a_peer_that_was_tried_is_not_tried_again() {
        let group = group("");
        let tried = [group.peers[0].address];
        assert_eq!((port(&group, 1, &tried), port(&group, 1, &tried)), (Some(2), Some(2)));
        let all: Vec<_> = group.peers.iter().map(|peer| peer.address).collect();
        assert_eq!(port(&group, 1, &all), None);
    }

    #[test]
    fn a_peer_that_failed_is_left_out_for_a_while() {
        let group = group("fail_timeout = \"1s\"");
        group.peers[0].note_failure(5);
        assert_eq!((port(&group, 6, &[]), port(&group, 7, &[])), (Some(2), Some(2)));
        let later_ns = 1_100_000_000;
        let ports = [port(&group, later_ns, &[]), port(&group, later_ns, &[])];
        assert!(ports.contains(&Some(1)) && ports.contains(&Some(2)));
    }

    #[test]
    fn what_is_known_of_a_peer_is_carried_on() {
        let (before, health) = (group(""), "health = {}");
        before.peers[0].note_failure(5);
        before.peers[1].set_healthy(false);
        let after = group(health);
        after.carry_on(&before);
        let up: Vec<bool> = after.peers.iter().map(|peer| peer.is_up(6)).collect();
        assert_eq!(up, [false, false]);
        let unchecked = group("");
        unchecked.carry_on(&before);
        assert!(unchecked.peers[1].is_up(6), "nobody would find out that it is well again");
    }

    #[test]
    fn when_all_peers_are_down_one_is_tried_all_the_same() {
        let group = group("");
        group.peers.iter().for_each(|peer| peer.note_failure(5));
        assert!(port(&group, 6, &[]).is_some());
    }
}
