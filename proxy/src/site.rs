//! The site: all that a configuration says about requests. A reload makes a new one; requests keep the one
//! they began with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Limits, Network};
use crate::routes::Routes;
use crate::upstream::{Group, GroupError};
use crate::zones::Zones;

#[derive(Debug)]
pub(crate) struct Site {
    /// Of the server: what acts before a route is known.
    pub(crate) limits: Limits,
    pub(crate) routes: Routes,
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) zones: Zones,
    trusted: Vec<Network>,
    pub(crate) answer_timeouts: bool,
    pub(crate) lingering_time: Duration,
    pub(crate) lingering_timeout: Duration,
    /// 0 = no bound but descriptors.
    pub(crate) worker_connections: usize,
    pub(crate) drain_timeout: Duration,
    /// BLAKE3 of the configuration's text.
    pub(crate) digest: String,
}

/// A configuration that reads well and cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("{0}")]
    Route(String),
}

impl Site {
    /// Resolves upstreams and compiles routes; zones go on counting where they have not changed.
    pub(crate) fn new(config: &Config, text: &str, before: Option<&Self>) -> Result<Self, SiteError> {
        let groups = config.upstream.iter().map(|upstream| Group::new(upstream).map(Arc::new));
        let groups: Vec<Arc<Group>> = groups.collect::<Result<_, _>>()?;
        for group in &groups {
            let known = before.and_then(|site| site.groups.iter().find(|known| known.name == group.name));
            if let Some(known) = known {
                group.carry_on(known);
            }
        }
        let zones = Zones::new(config, before.map(|site| &site.zones));
        let server = &config.server;
        Ok(Self {
            limits: config.limits.clone(),
            routes: Routes::new(config, &groups, &zones).map_err(SiteError::Route)?,
            groups,
            zones,
            trusted: server.trusted_proxies.clone(),
            answer_timeouts: server.answer_timeouts,
            lingering_time: server.lingering_time.0,
            lingering_timeout: server.lingering_timeout.0,
            worker_connections: server.worker_connections,
            drain_timeout: server.drain_timeout.0,
            digest: blake3::hash(text.as_bytes()).to_hex().to_string(),
        })
    }

    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Who the client is: the peer, or what trusted proxies before us say, the last address that is not
    /// theirs (Nginx: `real_ip_recursive on`).
    pub(crate) fn client(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let Some(chain) = forwarded_for.filter(|_| self.trusts(peer)) else { return peer };
        let mut client = peer;
        for address in chain.rsplit(',').map(str::trim) {
            let Ok(address) = address.parse() else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(trusted: &str) -> Site {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\ntrusted_proxies = [{trusted}]\n[[route]]\nname = \"a\"\nanswer = {{status = 200}}"
        );
        Site::new(&toml::from_str(&text).unwrap(), &text, None).unwrap()
    }

    #[test]
    fn only_trusted_proxies_say_who_the_client_is() {
        let chain = Some("6.6.6.6, 1.2.3.4, 10.0.0.2");
        let client =
            |trusted: &str, peer: &str| site(trusted).client(peer.parse().unwrap(), chain).to_string();
        assert_eq!(client("", "10.0.0.1"), "10.0.0.1");
        assert_eq!(client("\"10.0.0.0/8\"", "10.0.0.1"), "1.2.3.4");
        assert_eq!(client("\"10.0.0.1\"", "10.0.0.1"), "10.0.0.2");
        assert_eq!(client("\"10.0.0.0/8\"", "9.9.9.9"), "9.9.9.9");
        let nonsense = site("\"10.0.0.0/8\"").client([10, 0, 0, 1].into(), Some("unknown"));
        assert_eq!(nonsense.to_string(), "10.0.0.1");
    }
}
