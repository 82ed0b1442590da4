//! `[[upstream]]`: the peers of a group, how they are kept, checked and asked for their health.

use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use kingtide_common::units::Span;
use serde::{Deserialize, Serialize};

use super::Route;

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    #[garde(length(min = 1))]
    pub(crate) name: String,
    /// `http://host:port` or `https://host:port`
    #[garde(length(min = 1))]
    pub(crate) peers: Vec<PeerUrl>,
    /// Idle connections kept to each peer by each thread; 0 = none.
    #[serde(default = "Upstream::keepalive")]
    #[garde(skip)]
    pub(crate) keepalive: usize,
    #[serde(default = "Upstream::keepalive_timeout")]
    #[garde(skip)]
    pub(crate) keepalive_timeout: Span,
    /// Failures within `fail_timeout` after which a peer is left out for as long; 0 = never.
    #[serde(default = "Upstream::max_fails")]
    #[garde(skip)]
    pub(crate) max_fails: u32,
    #[serde(default = "Upstream::fail_timeout")]
    #[garde(skip)]
    pub(crate) fail_timeout: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub(crate) health: Option<Health>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub(crate) tls: Option<UpstreamTls>,
}

/// Each peer is asked for `path` every `interval`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    #[serde(default = "Route::prefix")]
    #[garde(prefix("/"))]
    pub(crate) path: String,
    #[serde(default = "Health::interval")]
    #[garde(skip)]
    pub(crate) interval: Span,
    #[serde(default = "Health::timeout")]
    #[garde(skip)]
    pub(crate) timeout: Span,
    /// Answers other than 2xx and 3xx in a row that take a peer out.
    #[serde(default = "Health::fall")]
    #[garde(range(min = 1))]
    pub(crate) fall: u32,
    /// Good answers in a row that bring it back.
    #[serde(default = "Health::rise")]
    #[garde(range(min = 1))]
    pub(crate) rise: u32,
}

/// How `https` peers are checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpstreamTls {
    /// PEM of the authorities to trust instead of the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authorities: Option<PathBuf>,
    /// The name to ask for and to check, instead of the peer's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// The address of a peer: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PeerUrl(url::Url);

impl PeerUrl {
    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Name or address, IPv6 without brackets, and port.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        (host, self.0.port_or_known_default().unwrap_or(80))
    }
}

impl TryFrom<String> for PeerUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = url::Url::parse(&text).ok();
        let plain = |url: &url::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && matches!(url.path(), "" | "/")
                && url.query().is_none()
        };
        let why =
            || format!("`{text}` is no peer: write http://host:port or https://host:port, without a path");
        url.filter(plain).map(Self).ok_or_else(why)
    }
}

impl From<PeerUrl> for String {
    fn from(peer: PeerUrl) -> Self {
        peer.0.into()
    }
}

impl std::fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Upstream {
    fn keepalive() -> usize {
        32
    }

    fn keepalive_timeout() -> Span {
        Span(Duration::from_mins(1))
    }

    fn max_fails() -> u32 {
        1
    }

    fn fail_timeout() -> Span {
        Span(Duration::from_secs(10))
    }
}

impl Health {
    fn interval() -> Span {
        Span(Duration::from_secs(5))
    }

    fn timeout() -> Span {
        Span(Duration::from_secs(2))
    }

    fn fall() -> u32 {
        3
    }

    fn rise() -> u32 {
        2
    }
}
