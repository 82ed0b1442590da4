//! `proxy.toml`: every key with its unit and default is documented in configs/proxy.toml.

mod limits;
mod network;
mod upkeep;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use garde::Validate;
use kingtide_common::config::{self, ConfigError};
use kingtide_common::units::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use kingtide_common::redact::Privacy;
pub(crate) use limits::{Connections, Limit, Limits, Mode, Rate, RequestRate, RouteLimits, Zone, ZoneKey};
pub(crate) use network::Network;
pub(crate) use upkeep::{Share, SyncWhen};

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[garde(dive)]
    pub(crate) server: Server,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) limits: Limits,
    #[serde(default)]
    #[garde(dive)]
    pub(crate) listener: Vec<Listener>,
    #[serde(default)]
    #[garde(dive)]
    pub(crate) upstream: Vec<Upstream>,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) zone: Vec<Zone>,
    #[garde(length(min = 1), dive)]
    pub(crate) route: Vec<Route>,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) access_log: AccessLog,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) admin: Admin,
    #[serde(default)]
    #[garde(dive)]
    pub(crate) capture: Capture,
}

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

/// Which requests go where. Exactly one of `upstream`, `redirect` and `answer`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    #[garde(length(min = 1))]
    pub(crate) name: String,
    /// Any host when empty; `*.example.com` matches every name below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(skip)]
    pub(crate) hosts: Vec<String>,
    /// Any listener when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(skip)]
    pub(crate) ports: Vec<u16>,
    #[serde(default = "Route::prefix")]
    #[garde(prefix("/"))]
    pub(crate) prefix: String,
    /// The path must be the prefix itself: `location = /path`.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) exact: bool,
    /// Any method when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(skip)]
    pub(crate) methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub(crate) upstream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub(crate) redirect: Option<Redirect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub(crate) answer: Option<Answer>,
    /// Takes the place of the prefix towards the upstream: `proxy_pass http://backend/rewrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub(crate) rewrite: Option<String>,
    /// The upload is read whole before the upstream is opened: `proxy_request_buffering on`.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) request_buffering: bool,
    /// Bytes of a spooled upload kept in memory.
    #[serde(default = "Route::client_body_buffer_size")]
    #[garde(skip)]
    pub(crate) client_body_buffer_size: ByteSize,
    /// Set towards the upstream; an empty value removes the header. Variables: see configs/proxy.toml.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[garde(skip)]
    pub(crate) request_headers: BTreeMap<String, String>,
    /// Set towards the client; an empty value removes the header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[garde(skip)]
    pub(crate) response_headers: BTreeMap<String, String>,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) limits: RouteLimits,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    #[garde(range(min = 300, max = 399))]
    pub(crate) status: u16,
    /// Variables as in headers: `https://$host$request_uri`.
    #[garde(length(min = 1))]
    pub(crate) to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// 444 closes the connection without an answer.
    #[garde(range(min = 200, max = 599))]
    pub(crate) status: u16,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) body: String,
    #[serde(default = "Answer::content_type")]
    #[garde(skip)]
    pub(crate) content_type: String,
}

/// One line per exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccessLog {
    /// None when missing; reopened on SIGUSR1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathBuf>,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// One JSON object a line, with all stages.
    #[default]
    Json,
    /// Nginx's `combined`, with `$request_time` and `$upstream_*_time` appended.
    Nginx,
    /// HAProxy's `option httplog`.
    Haproxy,
}

/// Metrics, status, live page, control of the capture.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// None when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// Name of the environment variable that holds the token; required where `listen` is not loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_env: Option<String>,
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
    /// The share of users that is recorded.
    #[garde(skip)]
    pub(crate) sample: Share,
    /// 0 = no bound.
    #[garde(skip)]
    pub(crate) exchanges_per_s_max: u32,
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
    /// 0 = all.
    #[garde(skip)]
    pub(crate) retain_size: ByteSize,
    /// 0 = for ever.
    #[garde(skip)]
    pub(crate) retain_age: Span,
    #[garde(skip)]
    pub(crate) sync: SyncWhen,
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

/// How much of an uploaded file goes into its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileHash {
    /// Its size and first 4 KiB: enough to tell recordings apart.
    #[default]
    Head,
    /// All of it, at about 0.4 ms of CPU per MB.
    Full,
}

impl FileHash {
    pub(crate) fn bytes_max(self) -> u64 {
        match self {
            Self::Head => 4 << 10,
            Self::Full => u64::MAX,
        }
    }
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

impl Route {
    fn prefix() -> String {
        "/".to_owned()
    }

    fn client_body_buffer_size() -> ByteSize {
        ByteSize(16 << 10)
    }
}

impl Answer {
    fn content_type() -> String {
        "text/plain".to_owned()
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
            sample: Share::ALL,
            exchanges_per_s_max: 0,
            queue_slots: 16_384,
            memory: ByteSize(64 << 20),
            body_limit: ByteSize(64 << 10),
            file_hash: FileHash::Head,
            segment_size: ByteSize(256 << 20),
            segment_age: Span(Duration::from_mins(5)),
            retain_size: ByteSize(0),
            retain_age: Span(Duration::ZERO),
            sync: SyncWhen::Seal,
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
        if self.server.listen.is_empty() && self.listener.is_empty() {
            return Err(("server.listen", "name an address, or add a [[listener]]".to_owned()));
        }
        unique("upstream.name", self.upstream.iter().map(|upstream| &upstream.name))?;
        unique("zone.name", self.zone.iter().map(|zone| &zone.name))?;
        unique("route.name", self.route.iter().map(|route| &route.name))?;
        self.check_zones("limits", &self.limits.limit_req, &self.limits.limit_conn)?;
        self.route.iter().try_for_each(|route| self.check_route(route))
    }

    fn check_route(&self, route: &Route) -> Result<(), (&'static str, String)> {
        let name = &route.name;
        let actions = [route.upstream.is_some(), route.redirect.is_some(), route.answer.is_some()];
        if actions.into_iter().filter(|is_there| *is_there).count() != 1 {
            let why = format!("route `{name}` needs exactly one of `upstream`, `redirect` and `answer`");
            return Err(("route.name", why));
        }
        if let Some(upstream) = &route.upstream
            && !self.upstream.iter().any(|known| known.name == *upstream)
        {
            let why = format!("route `{name}` names upstream `{upstream}`, which is not there");
            return Err(("route.upstream", why));
        }
        let (rates, connections) = (&route.limits.limit_req, &route.limits.limit_conn);
        self.check_zones(
            &format!("route `{name}`"),
            rates.as_deref().unwrap_or_default(),
            connections.as_deref().unwrap_or_default(),
        )
    }

    fn check_zones(
        &self,
        who: &str,
        rates: &[RequestRate],
        connections: &[Connections],
    ) -> Result<(), (&'static str, String)> {
        let zone = |name: &str| {
            let zone = self.zone.iter().find(|zone| zone.name == name);
            zone.ok_or_else(|| ("zone", format!("{who} names zone `{name}`, which is not there")))
        };
        for rate in rates {
            if zone(&rate.zone)?.rate.is_none() {
                return Err(("limit_req", format!("zone `{}` has no `rate`", rate.zone)));
            }
        }
        connections.iter().try_for_each(|limit| zone(&limit.zone).map(drop))
    }
}

fn unique<'a>(
    key: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), (&'static str, String)> {
    let mut known = HashSet::new();
    let mut twice = names.filter(|name| !known.insert(name.as_str()));
    twice.next().map_or(Ok(()), |name| Err((key, format!("`{name}` is there twice"))))
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
        assert_eq!(config.limits, Limits::default());
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
        assert!(wrong("sample = \"100%\"", "sample = \"200%\"").contains("write \"10%\" or 0.1"));
        assert!(wrong("sync = \"seal\"", "sync = \"always\"").contains("sync"));
        assert!(wrong("queue_slots = 16384", "queue_slots = 0").contains("queue_slots"));
        assert!(wrong("queue_slots", "que_slots").contains("unknown field"));
    }
}
