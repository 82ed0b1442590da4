//! `proxy.toml`: every key with its unit and default is documented in configs/proxy.toml.

mod capture;
mod limits;
mod network;
mod route;
mod server;
mod upkeep;
mod upstream;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use garde::Validate;
use kingtide_common::config::{self, ConfigError};
use serde::{Deserialize, Serialize};

pub(crate) use capture::Capture;
pub(crate) use limits::{Connections, Limit, Limits, Mode, Rate, RequestRate, RouteLimits, Zone, ZoneKey};
pub(crate) use network::Network;
pub(crate) use route::{Answer, Route};
pub(crate) use server::{Certificate, Listener, Server};
pub(crate) use upkeep::{Share, SyncWhen};
pub(crate) use upstream::{Health, PeerUrl, Upstream, UpstreamTls};

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
