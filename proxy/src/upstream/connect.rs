//! Opening a connection to a peer.

use std::io;

use tokio::net::TcpStream;

use super::{Peer, UpstreamConnection};
use crate::config::{Limits, Mode};
use crate::limits::{LimitName, LimitSet};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// Refused, unreachable, or its certificate is not trusted.
    Refused,
    Timeout,
    /// Our own descriptors or ports are used up.
    Exhausted,
}

/// TCP and TLS, within `proxy_connect_timeout`.
pub(crate) async fn connect(
    peer: &Peer,
    limits: &Limits,
    would_refuse: &mut LimitSet,
) -> Result<UpstreamConnection, ConnectError> {
    let limit = limits.proxy_connect_timeout;
    let mut opening = std::pin::pin!(open(peer));
    if limit.mode == Mode::Off {
        return opening.await;
    }
    if let Ok(opened) = tokio::time::timeout(limit.value.0, opening.as_mut()).await {
        return opened;
    }
    if limit.mode == Mode::Enforce {
        return Err(ConnectError::Timeout);
    }
    would_refuse.insert(LimitName::ProxyConnectTimeout);
    opening.await
}

pub(super) async fn open(peer: &Peer) -> Result<UpstreamConnection, ConnectError> {
    let stream = TcpStream::connect(peer.address).await.map_err(|error| cause(&error))?;
    let _ = stream.set_nodelay(true);
    let Some(tls) = &peer.tls else { return Ok(UpstreamConnection::new(stream.into())) };
    let connected = tls.connector.connect(tls.name.clone(), stream).await;
    match connected {
        Ok(stream) => Ok(UpstreamConnection::new(tokio_rustls::TlsStream::from(stream).into())),
        Err(error) => {
            tracing::warn!(peer = peer.url, %error, "no TLS with this upstream");
            Err(ConnectError::Refused)
        }
    }
}

fn cause(error: &io::Error) -> ConnectError {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS];
    match error.raw_os_error() {
        Some(code) if ours.iter().any(|errno| errno.raw_os_error() == code) => ConnectError::Exhausted,
        Some(code) if code == Errno::TIMEDOUT.raw_os_error() => ConnectError::Timeout,
        _ => ConnectError::Refused,
    }
}
