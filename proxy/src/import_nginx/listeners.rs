//! `listen` and certificates → `server.listen` and `[[listener]]`.
//!
//! As in Nginx, `ssl` and `http2` on one `listen` hold for its socket, whichever server says so, and `listen 80`
//! is IPv4 only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::context::Context;
use super::losses::Losses;
use super::read::Directive;
use super::sites::Site;

/// A `listen`, or the one that a server has when it says nothing.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the flags of the directive")]
pub(super) struct Listen<'a> {
    pub(super) directive: &'a Directive,
    /// Two for `[::]:80 ipv6only=off`.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) tls: bool,
    pub(super) http2: bool,
    pub(super) proxy_protocol: bool,
    pub(super) is_default: bool,
}

/// A socket to listen on.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) http2: bool,
    pub(super) proxy_protocol: bool,
    pub(super) tls: bool,
    pub(super) certificates: Vec<Certificate>,
    pub(super) comment: String,
}

#[derive(Debug, PartialEq)]
pub(super) struct Certificate {
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) hosts: Vec<String>,
    pub(super) comment: String,
}

pub(super) fn listens<'a>(server: &'a Directive, context: &Context<'a>, losses: &Losses) -> Vec<Listen<'a>> {
    let said: Vec<&Directive> = context.own_all("listen").collect();
    if said.is_empty() {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
        return vec![listen(server, context, vec![address])];
    }
    let found = said.into_iter().filter_map(|directive| {
        let addresses = addresses(directive);
        if addresses.is_empty() || directive.has("quic") {
            losses.add(directive, why_not(directive));
            return None;
        }
        Some(listen(directive, context, addresses))
    });
    found.collect()
}

fn listen<'a>(directive: &'a Directive, context: &Context<'a>, addresses: Vec<SocketAddr>) -> Listen<'a> {
    let flag = |name: &str| directive.name == "listen" && directive.has(name);
    Listen {
        directive,
        addresses,
        tls: flag("ssl") || context.is_on("ssl"),
        http2: flag("http2") || context.is_on("http2"),
        proxy_protocol: flag("proxy_protocol"),
        is_default: flag("default_server") || flag("default"),
    }
}

fn why_not(directive: &Directive) -> &'static str {
    match directive.first() {
        _ if directive.has("quic") => "HTTP/3 is not spoken: clients fall back to HTTP/2",
        address if address.starts_with("unix:") => {
            "Unix sockets are not listened on: use an address of loopback"
        }
        _ => "write an IP address and a port",
    }
}

fn addresses(directive: &Directive) -> Vec<SocketAddr> {
    let Some(address) = address(directive.first()) else { return Vec::new() };
    let any_v6 = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    if any_v6 && directive.option("ipv6only") == Some("off") {
        return vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), address];
    }
    vec![address]
}

fn address(text: &str) -> Option<SocketAddr> {
    let text = text.replacen("localhost", "127.0.0.1", 1).replacen('*', "0.0.0.0", 1);
    if let Ok(port) = text.parse::<u16>() {
        return Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    let without_port =
        || text.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| SocketAddr::from((ip, 80)));
    text.parse().ok().or_else(without_port)
}

/// The sockets of all servers, in the order of the file. None needs TLS without having a certificate.
pub(super) fn listeners(sites: &[Site<'_>], losses: &Losses) -> Vec<Listener> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in sites.iter().flat_map(|site| &site.listens).flat_map(|listen| &listen.addresses) {
        if !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    addresses.into_iter().filter_map(|address| listener(address, sites, losses)).collect()
}

fn listener(address: SocketAddr, sites: &[Site<'_>], losses: &Losses) -> Option<Listener> {
    let mut here: Vec<(&Site<'_>, &Listen<'_>)> = Vec::new();
    for site in sites {
        let found = site.listens.iter().filter(|listen| listen.addresses.contains(&address));
        here.extend(found.map(|listen| (site, listen)));
    }
    here.sort_by_key(|(_, listen)| !listen.is_default);
    let any = |is: fn(&Listen<'_>) -> bool| here.iter().any(|(_, listen)| is(listen));
    let tls = any(|listen| listen.tls);
    let mut certificates = Vec::new();
    for (site, _) in here.iter().filter(|_| tls) {
        let found = certificate(site, losses);
        certificates.extend(found.filter(|found| !certificates.contains(found)));
    }
    if tls && certificates.is_empty() {
        let why = "it has no certificate that can be carried over: add a [[listener]] with a certificate";
        for (_, listen) in &here {
            losses.add(listen.directive, why);
        }
        return None;
    }
    Some(Listener {
        address,
        http2: any(|listen| listen.http2),
        proxy_protocol: any(|listen| listen.proxy_protocol),
        tls,
        certificates,
        comment: here.first().map(|(_, listen)| comment(listen.directive)).unwrap_or_default(),
    })
}

fn comment(directive: &Directive) -> String {
    if directive.name == "listen" {
        format!("{} {directive}", directive.at)
    } else {
        format!("{} server without listen", directive.at)
    }
}

/// The first certificate of a server.
fn certificate(site: &Site<'_>, losses: &Losses) -> Option<Certificate> {
    let chains = site.context.all("ssl_certificate");
    let keys = site.context.all("ssl_certificate_key");
    for second in chains.iter().skip(1).chain(keys.iter().skip(1)) {
        losses.add(second, "one certificate for each name: the first is used");
    }
    let (chain, key) = (*chains.first()?, *keys.first()?);
    for path in [chain, key] {
        if path.first().contains('$')
            || path.first().starts_with("data:")
            || path.first().starts_with("engine:")
        {
            losses.add(path, "name a PEM file");
            return None;
        }
    }
    Some(Certificate {
        chain: chain.first().to_owned(),
        key: key.first().to_owned(),
        hosts: site.names.clone(),
        comment: chain.at.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::{read, sites};

    fn shown(servers: &str) -> (Vec<String>, usize) {
        let main = read::parse(&format!("http {{ {servers} }}"), &"nginx.conf".into(), 0).unwrap();
        let losses = Losses::default();
        let sites = sites::sites(&Context::of(&main, "http"), &losses);
        let listeners = listeners(&sites, &losses);
        let shown = listeners.iter().map(|listener| {
            let hosts: Vec<String> =
                listener.certificates.iter().map(|found| found.hosts.join(",")).collect();
            format!("{} tls={} http2={} {hosts:?}", listener.address, listener.tls, listener.http2)
        });
        (shown.collect(), losses.into_list().len())
    }

    #[test]
    fn addresses_are_read_as_nginx_reads_them() {
        let read = |text| address(text).map(|address| address.to_string());
        for (text, wanted) in [
            ("80", "0.0.0.0:80"),
            ("*:81", "0.0.0.0:81"),
            ("[::]:80", "[::]:80"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("[::1]", "[::1]:80"),
            ("localhost:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(read(text).as_deref(), Some(wanted), "{text}");
        }
        assert!(read("unix:/x").is_none() && read("80-90").is_none() && read("example.com:80").is_none());
    }

    #[test]
    fn sockets_are_shared_by_servers() {
        let cert = "ssl_certificate a.pem; ssl_certificate_key a.key;";
        let servers = format!(
            "{cert} server {{ listen 443 ssl; listen [::]:80 ipv6only=off; server_name a; }}
             server {{ listen 443 ssl http2 default_server; server_name b; }}"
        );
        let wanted = [
            "0.0.0.0:443 tls=true http2=true [\"b\", \"a\"]",
            "0.0.0.0:80 tls=false http2=false []",
            "[::]:80 tls=false http2=false []",
        ];
        assert_eq!(shown(&servers), (wanted.map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn tls_without_a_certificate_is_no_plain_listener() {
        assert_eq!(shown("server { listen 443 ssl; }"), (Vec::new(), 1));
        assert_eq!(shown("server { listen unix:/x; listen 81 quic; }").0, Vec::<String>::new());
    }
}
