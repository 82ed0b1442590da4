//! `upstream` and `proxy_pass` → `[[upstream]]`.
//!
//! A group speaks HTTP or HTTPS according to the `proxy_pass` that names it; an address in `proxy_pass` is a
//! group of its own.

use crate::config::PeerUrl;

use super::context::Context;
use super::losses::Losses;
use super::read::Directive;
use super::values;

const LOOKED_UP_ONCE: &str = "names of peers are looked up at start and at reload, not for each request";

#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) name: String,
    /// `http` or `https`; empty until a route names the group.
    scheme: &'static str,
    /// `host:port`
    peers: Vec<String>,
    /// In TOML, where nginx.conf says something.
    pub(super) keepalive: Option<String>,
    pub(super) keepalive_timeout: Option<String>,
    pub(super) max_fails: Option<String>,
    pub(super) fail_timeout: Option<String>,
    pub(super) tls: Tls,
    pub(super) comment: String,
}

/// How a group of `https` peers is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) authorities: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug)]
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
}

/// Where a `proxy_pass` leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) group: String,
    /// The URI part.
    pub(super) uri: Option<String>,
    /// Nginx's `$proxy_host`.
    pub(super) host: String,
}

/// The `upstream` blocks.
pub(super) fn groups(http: &Context<'_>, losses: &Losses) -> Groups {
    Groups { list: http.own_all("upstream").map(|block| group(block, losses)).collect() }
}

fn group(block: &Directive, losses: &Losses) -> Group {
    let own = |name: &str| block.directives().iter().find(|directive| directive.name == name);
    let servers = block.directives().iter().filter(|directive| directive.name == "server");
    let servers: Vec<&Directive> = servers.filter(|server| is_peer(server, losses)).collect();
    let (max_fails, fail_timeout) = failures(&servers, losses);
    for bound in ["keepalive_requests", "keepalive_time"].iter().filter_map(|name| own(name)) {
        losses.add(
            bound,
            "connections to peers are kept until `keepalive_timeout`, however often they were used",
        );
    }
    Group {
        name: block.first().to_owned(),
        scheme: "",
        peers: servers.iter().map(|server| with_port(server.first())).collect(),
        keepalive: own("keepalive").map(|found| found.first().to_owned()).filter(|text| is_number(text)),
        keepalive_timeout: own("keepalive_timeout").and_then(|found| values::time_toml(found.first())),
        max_fails,
        fail_timeout,
        tls: Tls::default(),
        comment: block.at.to_string(),
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok()
}

/// Whether a server becomes a peer; what its parameters say beyond that is listed.
fn is_peer(server: &Directive, losses: &Losses) -> bool {
    if let Some(why) = left_out(server) {
        losses.add(server, why);
        return false;
    }
    for parameter in &server.args[1..] {
        let name = parameter.split_once('=').map_or(parameter.as_str(), |(name, _)| name);
        match name {
            "max_fails" | "fail_timeout" => {}
            "weight" if server.option("weight") == Some("1") => {}
            "weight" => losses.add(server, "peers have no weights: each gets the same share"),
            "resolve" => losses.add(server, LOOKED_UP_ONCE),
            _ => {
                losses.add(server, &format!("`{parameter}` has no counterpart: the peer is used without it"));
            }
        }
    }
    true
}

fn left_out(server: &Directive) -> Option<&'static str> {
    let address = server.first();
    if address.starts_with("unix:") {
        return Some("Unix sockets are not connected to: let the backend listen on an address of loopback");
    }
    if server.has("backup") {
        return Some("no peer is kept in reserve: left out; add it to `peers` to share the load");
    }
    if server.has("down") {
        return Some("left out, as it is down");
    }
    let is_url = PeerUrl::try_from(format!("http://{address}")).is_ok();
    (!is_url).then_some("write the peer as http://host:port")
}

/// In an `upstream` the port is 80 when it is not said, for HTTPS too.
fn with_port(address: &str) -> String {
    let after_host = address.rfind(']').map_or(address, |end| &address[end..]);
    if after_host.contains(':') { address.to_owned() } else { format!("{address}:80") }
}

/// One `max_fails` and `fail_timeout` for the group: those of its first server.
fn failures(servers: &[&Directive], losses: &Losses) -> (Option<String>, Option<String>) {
    let both = |server: &Directive| {
        let own = |name: &str| server.option(name).map(str::to_owned);
        (
            own("max_fails").filter(|text| is_number(text)),
            own("fail_timeout").and_then(|text| values::time_toml(&text)),
        )
    };
    let first = servers.first().map(|server| both(server)).unwrap_or_default();
    for server in servers.iter().filter(|server| both(server) != first) {
        losses.add(
            server,
            "max_fails and fail_timeout hold for all peers of a group: those of the first are used",
        );
    }
    first
}

impl Groups {
    /// The target of a `proxy_pass`, or why it cannot be carried over.
    pub(super) fn target(
        &mut self,
        pass: &Directive,
        context: &Context<'_>,
        losses: &Losses,
    ) -> Result<Target, String> {
        let text = resolved(pass.first(), context, losses);
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            _ => return Err("write http://host:port or https://host:port".to_owned()),
        };
        if rest.starts_with("unix:") {
            return Err(
                "Unix sockets are not connected to: let the backend listen on an address of loopback"
                    .to_owned(),
            );
        }
        let rest = rest.strip_suffix("$request_uri").unwrap_or(rest);
        let (authority, uri) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if rest.contains('$') {
            return Err(
                "a target that a variable names cannot be known before the request: name a group".to_owned()
            );
        }
        if uri.contains('?') {
            return Err("a query cannot be added to requests: let the backend do without".to_owned());
        }
        let tls = if scheme == "https" { tls(context, authority, pass, losses) } else { Tls::default() };
        let group = self.take(scheme, authority, &tls, pass)?;
        let uri = Some(uri.to_owned()).filter(|uri| !uri.is_empty());
        Ok(Target { group, uri, host: proxy_host(scheme, authority) })
    }

    /// The group of a name or an address for one scheme; a second scheme is a second group.
    fn take(
        &mut self,
        scheme: &'static str,
        authority: &str,
        tls: &Tls,
        pass: &Directive,
    ) -> Result<String, String> {
        let same = |group: &&mut Group| group.scheme == scheme && group.tls == *tls;
        let of_name =
            |group: &&Group| group.name == authority || group.name.starts_with(&format!("{authority} "));
        let (count, template) =
            (self.list.iter().filter(of_name).count(), self.list.iter().find(of_name).cloned());
        if template.as_ref().is_some_and(|group| group.peers.is_empty()) {
            return Err("its upstream has no peer that can be carried over".to_owned());
        }
        if let Some(group) = self.list.iter_mut().filter(|group| of_name(&&**group)).find(same) {
            return Ok(group.name.clone());
        }
        if let Some(unused) =
            self.list.iter_mut().find(|group| group.name == authority && group.scheme.is_empty())
        {
            (unused.scheme, unused.tls) = (scheme, tls.clone());
            return Ok(unused.name.clone());
        }
        let group = template.map_or_else(|| inline(scheme, authority, pass), Ok)?;
        let name =
            if count == 0 { authority.to_owned() } else { format!("{authority} {scheme} {}", count + 1) };
        self.list.push(Group { name: name.clone(), scheme, tls: tls.clone(), ..group });
        Ok(name)
    }
}

fn inline(scheme: &str, authority: &str, pass: &Directive) -> Result<Group, String> {
    PeerUrl::try_from(format!("{scheme}://{authority}"))?;
    Ok(Group {
        peers: vec![authority.to_owned()],
        comment: format!("{} {pass}", pass.at),
        ..Group::default()
    })
}

impl Group {
    /// Groups that no route names are written as plain HTTP; those without peers are left out.
    pub(super) fn peers(&self) -> Vec<String> {
        let scheme = if self.scheme.is_empty() { "http" } else { self.scheme };
        self.peers.iter().map(|peer| format!("{scheme}://{peer}")).collect()
    }
}

/// Puts the values of `set $name value;` in, which people write to have names looked up late.
fn resolved(text: &str, context: &Context<'_>, losses: &Losses) -> String {
    let mut text = text.to_owned();
    let sets: Vec<&Directive> = context.everywhere("set").collect();
    for set in sets.into_iter().rev().filter(|set| !set.arg(1).contains('$') && set.first().starts_with('$'))
    {
        let is_there = text.split_once(set.first()).is_some_and(|(_, rest)| {
            !rest.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_')
        });
        if is_there {
            losses.add(set, LOOKED_UP_ONCE);
            text = text.replacen(set.first(), set.arg(1), 1);
        }
    }
    text
}

fn proxy_host(scheme: &str, authority: &str) -> String {
    let default = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(default).unwrap_or(authority).to_owned()
}

fn tls(context: &Context<'_>, authority: &str, pass: &Directive, losses: &Losses) -> Tls {
    let is_checked = context.is_on("proxy_ssl_verify");
    if !is_checked {
        let why = "nginx does not check the certificate (proxy_ssl_verify is off), the proxy always does: \
                   name the authority in `upstream.tls.authorities` when it is a private one";
        losses.add(pass, why);
    }
    let named = context.last("proxy_ssl_name");
    if let Some(variable) =
        named.filter(|named| named.first().contains('$') && named.first() != "$proxy_host")
    {
        losses.add(variable, "the name to check is fixed: write it as `upstream.tls.name`");
    }
    let literal = named.map(|named| named.first().to_owned()).filter(|name| !name.contains('$'));
    let is_address = authority.contains(':') || authority.parse::<std::net::IpAddr>().is_ok();
    let of_group = Some(authority.to_owned()).filter(|_| is_checked && !is_address);
    let authorities = context.last("proxy_ssl_trusted_certificate").map(|found| found.first().to_owned());
    Tls { authorities, name: literal.or(of_group) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    /// Targets of the `proxy_pass`es in order, the groups, and how many things could not be carried over.
    #[allow(clippy::type_complexity, reason = "said in the line above")]
    fn targets(http: &str) -> (Vec<Result<Target, String>>, Vec<(String, Vec<String>)>, usize) {
        let main = read::parse(&format!("http {{ {http} }}"), &"nginx.conf".into(), 0).unwrap();
        let (http, losses) = (Context::of(&main, "http"), Losses::default());
        let mut groups = groups(&http, &losses);
        let targets = http.own_all("proxy_pass").map(|pass| groups.target(pass, &http, &losses)).collect();
        let groups = groups.list.iter().map(|group| (group.name.clone(), group.peers())).collect();
        (targets, groups, losses.into_list().len())
    }

    fn target(group: &str, uri: Option<&str>, host: &str) -> Target {
        Target { group: group.to_owned(), uri: uri.map(str::to_owned), host: host.to_owned() }
    }

    #[test]
    fn blocks_and_addresses_are_groups() {
        let (found, groups, lost) = targets(
            "upstream b { server 10.0.0.1:8000; server [::1] down; server c backup; server d weight=2; }
             proxy_pass http://b/x/; proxy_pass http://127.0.0.1:80; proxy_pass http://b$request_uri;",
        );
        let found: Vec<Target> = found.into_iter().map(Result::unwrap).collect();
        let wanted = [
            target("b", Some("/x/"), "b"),
            target("127.0.0.1:80", None, "127.0.0.1"),
            target("b", None, "b"),
        ];
        assert_eq!(found, wanted);
        let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        assert_eq!(groups[0], ("b".to_owned(), urls(&["http://10.0.0.1:8000", "http://d:80"])));
        assert_eq!(groups[1], ("127.0.0.1:80".to_owned(), urls(&["http://127.0.0.1:80"])));
        assert_eq!(lost, 3);
    }

    #[test]
    fn a_second_scheme_is_a_second_group() {
        let (found, groups, _) = targets(
            "upstream b { server a:443; } proxy_pass http://b; proxy_pass https://b; proxy_pass https://b;",
        );
        let names: Vec<String> = found.into_iter().map(|target| target.unwrap().group).collect();
        assert_eq!(names, ["b", "b https 2", "b https 2"]);
        assert_eq!(groups[1].1, ["https://a:443"]);
    }

    #[test]
    fn targets_that_only_the_request_knows_are_refused() {
        let (found, _, _) = targets(
            "set $b api:8000; upstream e { server unix:/x; }
             proxy_pass http://$b; proxy_pass http://$c; proxy_pass http://unix:/x; proxy_pass http://e;
             proxy_pass http://b/?x=1; proxy_pass $d;",
        );
        assert_eq!(found[0].as_ref().unwrap().group, "api:8000");
        assert!(found[1..].iter().all(Result::is_err));
    }

    #[test]
    fn failures_are_those_of_the_group() {
        let text = "upstream b { server a max_fails=3 fail_timeout=5s; server c max_fails=3 fail_timeout=5s; server d; }";
        let main = read::parse(text, &"nginx.conf".into(), 0).unwrap();
        let losses = Losses::default();
        let group = group(&main[0], &losses);
        assert_eq!((group.max_fails.as_deref(), group.fail_timeout.as_deref()), (Some("3"), Some("\"5s\"")));
        assert_eq!(losses.into_list().len(), 1);
    }
}
