//! `[server]` and `[[listener]]`: what is listened on, and what is the same for all requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use kingtide_common::units::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use super::Network;

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// Plain HTTP/1.1 and HTTP/2 with prior knowledge; what else can listen is a `[[listener]]`.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) listen: Vec<SocketAddr>,
    /// 0 = one per core.
    #[serde(default)]
    #[garde(range(max = 1024))]
    pub(crate) threads: usize,
    /// Connections of clients at once; 0 = as many as descriptors allow.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) worker_connections: usize,
    #[serde(default = "Server::drain_timeout")]
    #[garde(skip)]
    pub(crate) drain_timeout: Span,
    /// A timeout of the client is answered 408; Nginx closes without a word.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) answer_timeouts: bool,
    #[serde(default = "Server::lingering_time")]
    #[garde(skip)]
    pub(crate) lingering_time: Span,
    #[serde(default = "Server::lingering_timeout")]
    #[garde(skip)]
    pub(crate) lingering_timeout: Span,
    /// Where spooled uploads go.
    #[serde(default = "std::env::temp_dir")]
    #[garde(skip)]
    pub(crate) spool_directory: PathBuf,
    /// Bytes that all spooled uploads may hold on disk.
    #[serde(default = "Server::spool_size")]
    #[garde(skip)]
    pub(crate) spool_size: ByteSize,
    /// Clients whose `X-Forwarded-For`, `X-Request-Id` and `traceparent` are believed: addresses or networks.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) trusted_proxies: Vec<Network>,
    /// A Unix socket over which a new process takes the listeners over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub(crate) upgrade_socket: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    #[garde(skip)]
    pub(crate) address: SocketAddr,
    /// HTTP/2: by ALPN over TLS, by prior knowledge without.
    #[serde(default = "yes")]
    #[garde(skip)]
    pub(crate) http2: bool,
    /// Each connection begins with a PROXY protocol header (version 1 or 2).
    #[serde(default)]
    #[garde(skip)]
    pub(crate) proxy_protocol: bool,
    /// TLS when there is one; the first serves clients whose name no other matches.
    #[serde(default)]
    #[garde(dive)]
    pub(crate) certificate: Vec<Certificate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    /// PEM: the certificate and its chain.
    #[garde(skip)]
    pub(crate) chain: PathBuf,
    /// PEM.
    #[garde(skip)]
    pub(crate) key: PathBuf,
    /// Names of the hosts it is for, `*.example.com` too; any when empty.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) hosts: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Server {
    fn drain_timeout() -> Span {
        Span(Duration::from_secs(30))
    }

    fn lingering_time() -> Span {
        Span(Duration::from_secs(30))
    }

    fn lingering_timeout() -> Span {
        Span(Duration::from_secs(5))
    }

    fn spool_size() -> ByteSize {
        ByteSize(4 << 30)
    }
}
