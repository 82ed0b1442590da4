//! Servers: their names, where they listen, and which requests Nginx gives to them.
//!
//! Nginx chooses by socket, then by name, and the default server of a socket takes what nobody names. Here a
//! default server becomes routes without hosts, and the others routes with hosts, which come first.

use std::collections::BTreeSet;

use super::conditions::{self, Condition};
use super::context::Context;
use super::listeners::{self, Listen};
use super::losses::Losses;
use super::read::Directive;

/// A `server`.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) directive: &'a Directive,
    pub(super) context: Context<'a>,
    /// Those that can be carried over.
    pub(super) names: Vec<String>,
    /// What its routes are called.
    pub(super) label: String,
    pub(super) listens: Vec<Listen<'a>>,
    pub(super) scopes: Vec<Scope<'a>>,
}

/// Requests of a server that share hosts and ports.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    /// Any when empty.
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<u16>,
    /// All ports there are: the routes need not name them.
    pub(super) all_ports: bool,
    /// An `if` on the host or the scheme that answers all of them.
    pub(super) rule: Option<&'a Directive>,
}

/// All servers of an `http` block, with the scopes in which each is asked.
pub(super) fn sites<'a>(http: &Context<'a>, losses: &Losses) -> Vec<Site<'a>> {
    let found = http.own_all("server").filter(|server| server.block.is_some());
    let mut sites: Vec<Site<'a>> = found.map(|server| site(http, server, losses)).collect();
    sites.retain(|site| {
        let is_reachable = !site.listens.is_empty();
        if !is_reachable {
            losses.add(site.directive, "it listens on nothing that can be carried over");
        }
        is_reachable
    });
    set_labels(&mut sites);
    set_scopes(&mut sites, losses);
    sites
}

fn site<'a>(http: &Context<'a>, server: &'a Directive, losses: &Losses) -> Site<'a> {
    let context = http.inside(server);
    let names = context.own_all("server_name").flat_map(|names| host_names(names, losses)).collect();
    let listens = listeners::listens(server, &context, losses);
    Site { directive: server, context, names, label: String::new(), listens, scopes: Vec::new() }
}

/// `.example.com` stands for the name and all names below; `_` and the like stand for none.
fn host_names(directive: &Directive, losses: &Losses) -> Vec<String> {
    let mut names = Vec::new();
    for name in &directive.args {
        match name.as_str() {
            "" | "_" | "__" | "-" | "--" | "!@#" => {}
            name if name.starts_with('~') => {
                losses.add(
                    directive,
                    &format!("`{name}` is a regular expression: name the hosts, or *.example.com"),
                );
            }
            name if name.contains('$') || name.ends_with(".*") => {
                losses.add(directive, &format!("`{name}`: name the hosts, or *.example.com"));
            }
            name => match name.strip_prefix('.') {
                Some(domain) => names.extend([domain.to_owned(), format!("*{name}")]),
                None => names.push(name.to_owned()),
            },
        }
    }
    names
}

fn set_labels(sites: &mut [Site<'_>]) {
    let first_name = |site: &Site<'_>| site.names.first().map_or_else(|| "default".to_owned(), Clone::clone);
    let names: Vec<String> = sites.iter().map(first_name).collect();
    for (site, name) in sites.iter_mut().zip(&names) {
        let is_alone = names.iter().filter(|other| *other == name).count() == 1;
        site.label = match site.ports().first() {
            Some(port) if !is_alone => format!("{name}:{port}"),
            _ => name.clone(),
        };
    }
}

impl<'a> Site<'a> {
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        let addresses = self.listens.iter().flat_map(|listen| &listen.addresses);
        addresses.map(std::net::SocketAddr::port).collect()
    }

    /// Ports on which it speaks clear text.
    fn plain_ports(&self) -> BTreeSet<u16> {
        let plain = self.listens.iter().filter(|listen| !listen.tls);
        plain.flat_map(|listen| &listen.addresses).map(std::net::SocketAddr::port).collect()
    }

    /// Splits what an `if` on host or scheme answers off the other scopes.
    fn split(&self, scopes: &mut Vec<Scope<'a>>, rule: &'a Directive) {
        match conditions::condition(rule) {
            Some(Condition::Host(host)) => split_host(scopes, &host, rule),
            Some(Condition::PlainHttp) => split_ports(scopes, &self.plain_ports(), rule),
            Some(Condition::Methods(_)) | None => {}
        }
    }
}

fn split_host<'a>(scopes: &mut Vec<Scope<'a>>, host: &str, rule: &'a Directive) {
    let mut answered = Vec::new();
    for scope in scopes.iter_mut().filter(|scope| scope.rule.is_none()) {
        let is_named = scope.hosts.iter().any(|name| conditions::covers(name, host));
        if is_named || scope.hosts.is_empty() {
            answered.push(Scope { hosts: vec![host.to_owned()], rule: Some(rule), ..scope.clone() });
        }
        scope.hosts.retain(|name| name != host || !is_named);
        if scope.hosts.is_empty() && is_named {
            scope.ports.clear();
        }
    }
    scopes.retain(|scope| !scope.ports.is_empty());
    scopes.extend(answered);
}

fn split_ports<'a>(scopes: &mut Vec<Scope<'a>>, plain: &BTreeSet<u16>, rule: &'a Directive) {
    let mut answered = Vec::new();
    for scope in scopes.iter_mut().filter(|scope| scope.rule.is_none()) {
        let (of_plain, others): (Vec<u16>, Vec<u16>) =
            scope.ports.iter().partition(|port| plain.contains(port));
        if !of_plain.is_empty() {
            let all_ports = scope.all_ports && others.is_empty();
            answered.push(Scope { ports: of_plain, rule: Some(rule), all_ports, ..scope.clone() });
            scope.all_ports = false;
        }
        scope.ports = others;
    }
    scopes.retain(|scope| !scope.ports.is_empty());
    scopes.extend(answered);
}

fn set_scopes(sites: &mut [Site<'_>], losses: &Losses) {
    let all: BTreeSet<u16> = sites.iter().flat_map(Site::ports).collect();
    let defaults: Vec<(u16, usize)> =
        all.iter().map(|port| (*port, default_of(*port, sites, losses))).collect();
    for index in 0..sites.len() {
        let mut scopes = scopes_of(index, sites, &defaults, &all);
        let rules: Vec<_> = conditions::asked(&sites[index].context).collect();
        for rule in rules {
            sites[index].split(&mut scopes, rule);
        }
        sites[index].scopes = scopes;
    }
}

/// The server that takes what no other names: `default_server`, else the first.
fn default_of(port: u16, sites: &[Site<'_>], losses: &Losses) -> usize {
    let on_port = |listen: &Listen<'_>| listen.addresses.iter().any(|address| address.port() == port);
    let said = |site: &Site<'_>| site.listens.iter().any(|listen| listen.is_default && on_port(listen));
    let listens = |site: &Site<'_>| site.listens.iter().any(on_port);
    let by_name = sites.iter().position(said);
    let default = by_name.or_else(|| sites.iter().position(listens)).unwrap_or_default();
    for site in sites.iter().filter(|site| site.names.is_empty() && site.ports().contains(&port)) {
        if !std::ptr::eq(site, &raw const sites[default]) {
            let why = "another server is the default of its port and it has no name to be asked by: \
                       give its routes `hosts`";
            losses.add(site.directive, why);
        }
    }
    default
}

fn scopes_of<'a>(
    index: usize,
    sites: &[Site<'a>],
    defaults: &[(u16, usize)],
    all: &BTreeSet<u16>,
) -> Vec<Scope<'a>> {
    let site = &sites[index];
    let is_default = |port: &u16| defaults.contains(&(*port, index));
    let (of_default, others): (Vec<u16>, Vec<u16>) = site.ports().iter().partition(|port| is_default(port));
    let scope = |hosts: Vec<String>, ports: Vec<u16>| {
        let all_ports = ports.len() == all.len();
        Scope { hosts, ports, all_ports, rule: None }
    };
    let shadowed = shadowed_names(index, sites);
    let mut scopes = Vec::new();
    if !of_default.is_empty() && !shadowed.is_empty() {
        scopes.push(scope(shadowed, of_default.clone()));
    }
    if !others.is_empty() {
        let of_names = by_rank(index, sites).into_iter().filter(|names| !names.is_empty());
        scopes.extend(of_names.map(|names| scope(names, others.clone())));
    }
    if !of_default.is_empty() {
        scopes.push(scope(Vec::new(), of_default));
    }
    scopes
}

/// The names of a server; its wildcards apart where they cover a name of another, for a route that names one host
/// comes before one that has only wildcards.
fn by_rank(index: usize, sites: &[Site<'_>]) -> [Vec<String>; 2] {
    let (wildcards, names): (Vec<String>, Vec<String>) =
        sites[index].names.iter().cloned().partition(|name| name.starts_with("*."));
    let covered = |name: &String| wildcards.iter().any(|wildcard| conditions::covers(wildcard, name));
    if neighbours(index, sites).flat_map(|site| &site.names).any(covered) {
        [names, wildcards]
    } else {
        [sites[index].names.clone(), Vec::new()]
    }
}

/// Other servers that share a port.
fn neighbours<'s, 'a>(index: usize, sites: &'s [Site<'a>]) -> impl Iterator<Item = &'s Site<'a>> {
    let ports = sites[index].ports();
    let others = sites.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, site)| site);
    others.filter(move |site| !site.ports().is_disjoint(&ports))
}

/// Names that a wildcard of another server would take from routes without hosts.
fn shadowed_names(index: usize, sites: &[Site<'_>]) -> Vec<String> {
    let names = neighbours(index, sites).flat_map(|site| &site.names);
    let wildcards: Vec<&String> = names.filter(|name| name.starts_with("*.")).collect();
    let is_covered = |name: &&String| wildcards.iter().any(|wildcard| conditions::covers(wildcard, name));
    sites[index].names.iter().filter(is_covered).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    /// `label: hosts@ports[!]` of each scope; `!` where an `if` answers.
    fn scopes(servers: &str) -> Vec<String> {
        let main = read::parse(&format!("http {{ {servers} }}"), &"nginx.conf".into(), 0).unwrap();
        let sites = sites(&Context::of(&main, "http"), &Losses::default());
        let shown = |label: &str, scope: &Scope<'_>| {
            let ports = if scope.all_ports { "all".to_owned() } else { format!("{:?}", scope.ports) };
            let rule = if scope.rule.is_some() { "!" } else { "" };
            format!("{label}: {}@{ports}{rule}", scope.hosts.join(","))
        };
        sites.iter().flat_map(|site| site.scopes.iter().map(|scope| shown(&site.label, scope))).collect()
    }

    #[test]
    fn the_default_server_of_a_port_takes_any_host() {
        let both = "server { listen 80; server_name a; } server { listen 443; server_name a; }";
        assert_eq!(scopes(both), ["a:80: @[80]", "a:443: @[443]"]);
        let second =
            "server { listen 80; server_name a; } server { listen 80 default_server; server_name _; }";
        assert_eq!(scopes(second), ["a: a@all", "default: @all"]);
    }

    #[test]
    fn a_default_server_keeps_its_names_from_wildcards_of_others() {
        let servers = "server { listen 80; server_name x.a; } server { listen 80; server_name *.a; }";
        assert_eq!(scopes(servers), ["x.a: x.a@all", "x.a: @all", "*.a: *.a@all"]);
        let mixed = "server { server_name d; } server { server_name .a; } server { server_name x.a; }";
        assert_eq!(scopes(mixed), ["d: @all", "a: a@all", "a: *.a@all", "x.a: x.a@all"]);
    }

    #[test]
    fn an_if_on_the_host_or_the_scheme_is_a_scope_of_its_own() {
        let certbot = "server { listen 80; server_name b; } server { listen 80; server_name a www.a;
            if ($host = www.a) { return 301 https://$host$request_uri; } return 404; }";
        assert_eq!(scopes(certbot), ["b: @all", "a: a@all", "a: www.a@all!"]);
        let scheme = "server { listen 80; listen 443 ssl; if ($scheme = http) { return 301 https://x; } }";
        assert_eq!(scopes(scheme), ["default: @[443]", "default: @[80]!"]);
    }

    #[test]
    fn names_are_those_that_can_be_compared() {
        let losses = Losses::default();
        let main = read::parse("server_name .a b.* ~^c _;", &"nginx.conf".into(), 0).unwrap();
        assert_eq!(host_names(&main[0], &losses), ["a", "*.a"]);
        assert_eq!(losses.into_list().len(), 2);
    }
}
