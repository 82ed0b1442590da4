//! Listening sockets and what they speak.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::tls;
use crate::config::Config;
use crate::metrics::{Gauges, ListenerGauges};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// What a listener speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Speech {
    pub(crate) address: SocketAddr,
    pub(crate) http2: bool,
    pub(crate) proxy_protocol: bool,
    pub(crate) tls: bool,
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listening {
    /// As bound, with the port that was taken for port 0.
    pub(crate) address: SocketAddr,
    pub(crate) speech: Speech,
    pub(crate) socket: TcpListener,
    /// Replaced by a reload; `None` speaks plain.
    pub(crate) tls: Option<ArcSwap<ServerConfig>>,
    pub(crate) gauges: Arc<ListenerGauges>,
}

impl Listening {
    /// Says where it listens, for people and scripts.
    pub(crate) fn announce(&self) {
        let scheme = if self.speech.tls { "https" } else { "http" };
        // Nobody may be reading.
        let _ = writeln!(std::io::stdout(), "listening on {scheme}://{}", self.address);
    }
}

/// All listeners of a configuration with their certificates.
pub(crate) fn wanted(config: &Config) -> anyhow::Result<Vec<(Speech, Option<Arc<ServerConfig>>)>> {
    let plain = config.server.listen.iter().map(|address| {
        let speech = Speech { address: *address, http2: true, proxy_protocol: false, tls: false };
        Ok((speech, None))
    });
    let others = config.listener.iter().map(|listener| {
        let tls = !listener.certificate.is_empty();
        let speech = Speech {
            address: listener.address,
            http2: listener.http2,
            proxy_protocol: listener.proxy_protocol,
            tls,
        };
        let certificates = if tls { Some(tls::server_config(listener)?) } else { None };
        Ok((speech, certificates))
    });
    plain.chain(others).collect()
}

/// Binds, or takes over what a running process handed on.
pub(crate) fn listen(
    config: &Config,
    taken_over: &mut Vec<(SocketAddr, TcpListener)>,
    gauges: &Gauges,
) -> anyhow::Result<Vec<Arc<Listening>>> {
    let mut listening = Vec::new();
    for (speech, certificates) in wanted(config)? {
        let handed = taken_over.iter().position(|(address, _)| *address == speech.address);
        let socket = match handed {
            Some(position) => taken_over.remove(position).1,
            None => bind(speech.address)?,
        };
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        listening.push(Arc::new(Listening {
            address,
            speech,
            socket,
            tls: certificates.map(ArcSwap::new),
            gauges: gauges.listener(address),
        }));
    }
    Ok(listening)
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let bound = (|| {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            // As Nginx has it: [::]:80 beside 0.0.0.0:80.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        Ok::<_, rustix::io::Errno>(TcpListener::from(socket))
    })();
    bound.with_context(|| format!("cannot listen on {address}; is another server there?"))
}
