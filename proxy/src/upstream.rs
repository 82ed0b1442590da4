//! Upstream: which route a request takes and which peer serves it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::upstreams::peer::HttpPeer;

use crate::config::{self, Config, PeerUrl, Timeouts};

/// A route with its peers.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    host: Option<String>,
    prefix: String,
    peers: Arc<Peers>,
}

#[derive(Debug)]
struct Peers {
    /// At least one.
    addresses: Vec<SocketAddr>,
    next: AtomicUsize,
}

/// All routes, the most specific first.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    timeouts: Timeouts,
}

/// A peer whose name has no address.
#[derive(Debug, thiserror::Error)]
#[error("upstream `{upstream}`: {peer} cannot be resolved: {cause}")]
pub(crate) struct ResolveError {
    upstream: String,
    peer: PeerUrl,
    cause: std::io::Error,
}

impl Routes {
    /// Resolves all peers, once.
    pub(crate) fn new(config: &Config) -> Result<Self, ResolveError> {
        let groups: Vec<(&str, Arc<Peers>)> = config
            .upstream
            .iter()
            .map(|upstream| Ok((upstream.name.as_str(), resolve(upstream)?)))
            .collect::<Result<_, _>>()?;
        let peers_of = |route: &config::Route| {
            let group = groups.iter().find(|(name, _)| *name == route.upstream);
            Arc::clone(&group.expect("the configuration's names were checked").1)
        };
        let mut routes: Vec<Route> =
            config.route.iter().map(|route| Route::new(route, peers_of(route))).collect();
        routes.sort_by_key(|route| (route.host.is_none(), std::cmp::Reverse(route.prefix.len())));
        Ok(Self { routes, timeouts: config.timeouts.clone() })
    }

    /// The route for a request; `host` may carry a port.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Route> {
        let host = host_name(host);
        self.routes.iter().find(|route| route.matches(host, path))
    }

    /// Peers of the largest group.
    pub(crate) fn peers_max(&self) -> usize {
        self.routes.iter().map(|route| route.peers.addresses.len()).max().unwrap_or(1)
    }

    /// The next peer of a route.
    pub(crate) fn peer(&self, route: &Route) -> HttpPeer {
        let mut peer = HttpPeer::new(route.peers.take_turn(), false, String::new());
        let timeouts = &self.timeouts;
        peer.options.connection_timeout = Some(timeouts.proxy_connect.0);
        peer.options.total_connection_timeout = Some(timeouts.proxy_connect.0);
        peer.options.write_timeout = Some(timeouts.proxy_send.0);
        peer.options.read_timeout = Some(read_backstop(timeouts));
        peer
    }
}

/// Pingora's read timeout runs while the client still uploads; a slow client must not be blamed on the
/// upstream, so its own allowance is added.
fn read_backstop(timeouts: &Timeouts) -> Duration {
    timeouts.client_body.0.saturating_add(timeouts.proxy_read.0)
}

impl Route {
    fn new(route: &config::Route, peers: Arc<Peers>) -> Self {
        let host = route.host.as_ref().map(|host| host.to_ascii_lowercase());
        Self { name: route.name.as_str().into(), host, prefix: route.prefix.clone(), peers }
    }

    fn matches(&self, host: &str, path: &str) -> bool {
        let host_matches = self.host.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(host));
        host_matches && path.starts_with(&self.prefix)
    }
}

impl Peers {
    fn take_turn(&self) -> SocketAddr {
        self.addresses[self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len()]
    }
}

fn resolve(upstream: &config::Upstream) -> Result<Arc<Peers>, ResolveError> {
    let address = |peer: &PeerUrl| {
        let failed = |cause| ResolveError { upstream: upstream.name.clone(), peer: peer.clone(), cause };
        first_address(peer).map_err(failed)
    };
    let addresses = upstream.peers.iter().map(address).collect::<Result<_, _>>()?;
    Ok(Arc::new(Peers { addresses, next: AtomicUsize::new(0) }))
}

fn first_address(peer: &PeerUrl) -> std::io::Result<SocketAddr> {
    let mut addresses = peer.host_and_port().to_socket_addrs()?;
    addresses.next().ok_or_else(|| std::io::Error::other("the name has no address"))
}

fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Routes to one group of two peers.
    fn routes(routes: &str) -> Routes {
        let server = "server.listen = [\"127.0.0.1:0\"]";
        let upstream =
            "upstream = [{name = \"a\", peers = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]}]";
        Routes::new(&toml::from_str(&format!("{server}\n{upstream}\nroute = [{routes}]")).unwrap()).unwrap()
    }

    fn found<'a>(routes: &'a Routes, host: &str, path: &str) -> Option<&'a str> {
        routes.find(host, path).map(|route| &*route.name)
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = routes(
            "{name = \"all\", prefix = \"/\", upstream = \"a\"},\n{name = \"api\", prefix = \"/api/\", upstream = \"a\"},\n{name = \"school\", host = \"School.example\", prefix = \"/\", upstream = \"a\"}",
        );
        assert_eq!(found(&routes, "other.example", "/x"), Some("all"));
        assert_eq!(found(&routes, "other.example:8080", "/api/x"), Some("api"));
        assert_eq!(found(&routes, "school.example:8080", "/api/x"), Some("school"));
    }

    #[test]
    fn what_no_route_matches_has_none() {
        let routes = routes("{name = \"api\", prefix = \"/api/\", upstream = \"a\"}");
        assert_eq!(found(&routes, "x", "/other"), None);
    }

    #[test]
    fn peers_take_turns() {
        let routes = routes("{name = \"all\", upstream = \"a\"}");
        let route = routes.find("x", "/").unwrap();
        let ports: Vec<String> = (0..3).map(|_| routes.peer(route)._address.to_string()).collect();
        assert_eq!(ports, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"]);
    }

    #[test]
    fn hosts_are_compared_without_their_port() {
        for (host, name) in
            [("a.example:80", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a", "a")]
        {
            assert_eq!(host_name(host), name);
        }
    }
}
