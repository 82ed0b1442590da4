//! `proxy.toml`: every key with its unit and default is documented in configs/proxy.toml.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use kingtide_common::config::{self, ConfigError};
use kingtide_common::units::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use crate::redact::Privacy;

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[garde(dive)]
    pub(crate) server: Server,
    #[garde(length(min = 1), dive)]
    pub(crate) upstream: Vec<Upstream>,
    #[garde(length(min = 1), dive)]
    pub(crate) route: Vec<Route>,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) timeouts: Timeouts,
    #[serde(default)]
    #[garde(dive)]
    pub(crate) capture: Capture,
}

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    #[garde(length(min = 1))]
    pub(crate) listen: Vec<SocketAddr>,
    /// 0 = one per core.
    #[serde(default)]
    #[garde(range(max = 1024))]
    pub(crate) threads: usize,
    #[serde(default = "Server::drain_timeout")]
    #[garde(skip)]
    pub(crate) drain_timeout: Span,
}

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    #[garde(length(min = 1))]
    pub(crate) name: String,
    /// `http://host:port`
    #[garde(length(min = 1))]
    pub(crate) peers: Vec<PeerUrl>,
}

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    #[garde(length(min = 1))]
    pub(crate) name: String,
    /// Any host when missing.
    #[garde(skip)]
    pub(crate) host: Option<String>,
    #[serde(default = "Route::prefix")]
    #[garde(prefix("/"))]
    pub(crate) prefix: String,
    #[garde(skip)]
    pub(crate) upstream: String,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    pub(crate) client_body: Span,
    pub(crate) keepalive: Span,
    pub(crate) proxy_connect: Span,
    pub(crate) proxy_send: Span,
    pub(crate) proxy_read: Span,
    pub(crate) send: Span,
}

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capture {
    #[garde(skip)]
    pub(crate) enabled: bool,
    #[garde(skip)]
    pub(crate) directory: PathBuf,
    #[garde(skip)]
    pub(crate) privacy: Privacy,
    /// The built-in rules when missing.
    #[garde(skip)]
    pub(crate) redaction: Option<PathBuf>,
    #[garde(skip)]
    pub(crate) exclude: Vec<String>,
    #[garde(range(min = 1, max = 1 << 20))]
    pub(crate) queue_slots: usize,
    #[garde(skip)]
    pub(crate) memory: ByteSize,
    #[garde(custom(at_most_16m))]
    pub(crate) body_limit: ByteSize,
    #[garde(skip)]
    pub(crate) file_hash: FileHash,
    #[garde(skip)]
    pub(crate) segment_size: ByteSize,
    #[garde(skip)]
    pub(crate) segment_age: Span,
}

/// The address of a peer: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PeerUrl(url::Url);

impl PeerUrl {
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
            url.scheme() == "http"
                && url.has_host()
                && matches!(url.path(), "" | "/")
                && url.query().is_none()
        };
        let why = || format!("`{text}` is no peer: write http://host:port, without a path");
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

/// How much of an uploaded file goes into its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileHash {
    /// Its size and first 16 KiB.
    #[default]
    Head,
    /// All of it, at about 0.4 ms of CPU per MB.
    Full,
}

impl FileHash {
    pub(crate) fn bytes_max(self) -> u64 {
        match self {
            Self::Head => 16 << 10,
            Self::Full => u64::MAX,
        }
    }
}

impl Server {
    fn drain_timeout() -> Span {
        Span(Duration::from_secs(30))
    }
}

impl Route {
    fn prefix() -> String {
        "/".to_owned()
    }
}

impl Default for Timeouts {
    /// Nginx's defaults.
    fn default() -> Self {
        let (minute, keepalive) = (Span(Duration::from_mins(1)), Span(Duration::from_secs(75)));
        Self {
            client_body: minute,
            keepalive,
            proxy_connect: minute,
            proxy_send: minute,
            proxy_read: minute,
            send: minute,
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: "capture".into(),
            privacy: Privacy::Default,
            redaction: None,
            exclude: Vec::new(),
            queue_slots: 16_384,
            memory: ByteSize(64 << 20),
            body_limit: ByteSize(64 << 10),
            file_hash: FileHash::Head,
            segment_size: ByteSize(256 << 20),
            segment_age: Span(Duration::from_mins(5)),
        }
    }
}

impl Config {
    /// Reads a file and checks its form, its values and that its names fit together.
    pub(crate) fn load(path: &Path) -> Result<(Self, String), ConfigError> {
        let (config, text): (Self, String) = config::load(path)?;
        config.check(&path.display().to_string(), &text)?;
        Ok((config, text))
    }

    fn check(&self, name: &str, text: &str) -> Result<(), ConfigError> {
        if let Err(report) = self.validate() {
            let first = report.iter().next().map(|(path, error)| (path.to_string(), error.to_string()));
            let (key, why) = first.unwrap_or_default();
            return Err(config::wrong(name, text, &key, &why));
        }
        self.check_names().map_err(|(key, why)| config::wrong(name, text, key, &why))
    }

    fn check_names(&self) -> Result<(), (&'static str, String)> {
        let mut known = HashSet::new();
        for upstream in &self.upstream {
            if !known.insert(upstream.name.as_str()) {
                return Err(("upstream.name", format!("`{}` is there twice", upstream.name)));
            }
        }
        let unknown = self.route.iter().find(|route| !known.contains(route.upstream.as_str()));
        unknown.map_or(Ok(()), |route| {
            let why =
                format!("route `{}` names upstream `{}`, which is not there", route.name, route.upstream);
            Err(("route.upstream", why))
        })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
fn at_most_16m(size: &ByteSize, _: &()) -> garde::Result {
    let fits = (1..=16 << 20).contains(&size.0);
    if fits { Ok(()) } else { Err(garde::Error::new("must be between 1 byte and 16m")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../configs/proxy.toml");

    fn read(text: &str) -> Result<Config, ConfigError> {
        let config: Config = config::parse("proxy.toml", text)?;
        config.check("proxy.toml", text)?;
        Ok(config)
    }

    #[test]
    fn the_shipped_file_is_read_and_states_the_defaults() {
        let config = read(SHIPPED).unwrap();
        assert_eq!(
            toml::to_string(&config.timeouts).unwrap(),
            toml::to_string(&Timeouts::default()).unwrap()
        );
        let defaults =
            Capture { enabled: true, exclude: config.capture.exclude.clone(), ..Capture::default() };
        assert_eq!(toml::to_string(&config.capture).unwrap(), toml::to_string(&defaults).unwrap());
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let wrong = |from: &str, to: &str| read(&SHIPPED.replace(from, to)).unwrap_err().to_string();
        assert!(wrong("upstream = \"backend\"", "upstream = \"bakend\"").contains("names upstream `bakend`"));
        assert!(wrong("http://127.0.0.1:8000", "ftp://127.0.0.1").contains("write http://host:port"));
        assert!(wrong("prefix = \"/\"", "prefix = \"api\"").contains("prefix"));
        assert!(wrong("body_limit = \"64k\"", "body_limit = \"17m\"").contains("16m"));
        assert!(wrong("queue_slots = 16384", "queue_slots = 0").contains("queue_slots"));
        assert!(wrong("queue_slots", "que_slots").contains("unknown field"));
    }
}
