//! The text of `proxy.toml`, with the place each part comes from.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::actions::Action;
use super::limits::{Limits, Setting};
use super::listeners::{Certificate, Listener};
use super::routes::Route;
use super::server::Server;
use super::upstreams::{Group, Groups};
use super::values::{list, quoted};
use super::zones::Zone;

/// Used when no listener could be carried over: a configuration needs one.
const FALLBACK: &str = "listen = [\"127.0.0.1:8080\"] # no `listen` could be carried over: write your own";

pub(super) fn toml(
    source: &str,
    server: &Server,
    listeners: &[Listener],
    limits: &Limits,
    zones: &[Zone],
    groups: &Groups,
    routes: &[Route],
) -> String {
    let mut out = String::new();
    let written = write_all(&mut out, source, server, listeners, limits, zones, groups, routes);
    written.expect("writing to a String does not fail");
    out
}

#[allow(clippy::too_many_arguments, reason = "the parts of a file, each once")]
fn write_all(
    out: &mut String,
    source: &str,
    server: &Server,
    listeners: &[Listener],
    limits: &Limits,
    zones: &[Zone],
    groups: &Groups,
    routes: &[Route],
) -> fmt::Result {
    writeln!(
        out,
        "# Made from {source} by `kingtide-proxy import-nginx`; configs/proxy.toml explains each key."
    )?;
    writeln!(out, "# Headers of answers are set whatever the status is, as with nginx's `always`.")?;
    let (simple, own): (Vec<_>, Vec<_>) = listeners.iter().partition(|listener| is_simple(listener));
    write_server(out, server, &simple, listeners.is_empty())?;
    own.iter().try_for_each(|listener| write_listener(out, listener))?;
    write_limits(out, limits)?;
    zones.iter().try_for_each(|zone| write_zone(out, zone))?;
    groups.list.iter().try_for_each(|group| write_group(out, group))?;
    routes.iter().try_for_each(|route| write_route(out, route))?;
    if let Some(log) = &server.access_log {
        write!(out, "\n[access_log]\n")?;
        write_setting(out, log)?;
        writeln!(out, "format = \"nginx\"")?;
    }
    if let Some(admin) = &server.admin {
        write!(out, "\n[admin]\n")?;
        write_setting(out, admin)?;
    }
    Ok(())
}

/// Plain HTTP is said in one line.
fn is_simple(listener: &Listener) -> bool {
    !listener.tls && !listener.proxy_protocol
}

fn write_server(out: &mut String, server: &Server, simple: &[&Listener], is_deaf: bool) -> fmt::Result {
    write!(out, "\n[server]\n")?;
    if is_deaf {
        writeln!(out, "{FALLBACK}")?;
    }
    if !simple.is_empty() {
        simple.iter().try_for_each(|listener| writeln!(out, "# {}", listener.comment))?;
        writeln!(out, "listen = {}", list(simple.iter().map(|listener| listener.address.to_string())))?;
    }
    server.settings.iter().try_for_each(|setting| write_setting(out, setting))?;
    if server.trusted_proxies.is_empty() {
        return Ok(());
    }
    writeln!(out, "# set_real_ip_from")?;
    writeln!(out, "trusted_proxies = {}", list(&server.trusted_proxies))
}

fn write_setting(out: &mut String, setting: &Setting) -> fmt::Result {
    match &setting.comment {
        Some(comment) => writeln!(out, "{} = {} # {comment}", setting.key, setting.value),
        None => writeln!(out, "{} = {}", setting.key, setting.value),
    }
}

fn write_listener(out: &mut String, listener: &Listener) -> fmt::Result {
    write!(out, "\n# {}\n[[listener]]\n", listener.comment)?;
    writeln!(out, "address = {}", quoted(&listener.address.to_string()))?;
    writeln!(out, "http2 = {}", listener.http2)?;
    if listener.proxy_protocol {
        writeln!(out, "proxy_protocol = true")?;
    }
    listener.certificates.iter().try_for_each(|certificate| write_certificate(out, certificate))
}

fn write_certificate(out: &mut String, certificate: &Certificate) -> fmt::Result {
    write!(out, "\n[[listener.certificate]] # {}\n", certificate.comment)?;
    writeln!(out, "chain = {}", quoted(&certificate.chain))?;
    writeln!(out, "key = {}", quoted(&certificate.key))?;
    if certificate.hosts.is_empty() {
        return Ok(());
    }
    writeln!(out, "hosts = {}", list(&certificate.hosts))
}

fn write_limits(out: &mut String, limits: &Limits) -> fmt::Result {
    write!(out, "\n[limits]\n")?;
    limits.written().try_for_each(|setting| match &setting.comment {
        Some(_) => write_setting(out, setting),
        None => writeln!(out, "{} = {} # nginx's default", setting.key, setting.value),
    })
}

fn write_zone(out: &mut String, zone: &Zone) -> fmt::Result {
    write!(out, "\n[[zone]] # {}\n", zone.comment)?;
    writeln!(out, "name = {}\nkey = {}", quoted(&zone.name), quoted(&zone.key))?;
    zone.rate.iter().try_for_each(|rate| writeln!(out, "rate = {}", quoted(rate)))?;
    zone.keys_max.iter().try_for_each(|keys| writeln!(out, "keys_max = {keys}"))
}

fn write_group(out: &mut String, group: &Group) -> fmt::Result {
    let peers = group.peers();
    if peers.is_empty() {
        return Ok(());
    }
    write!(out, "\n# {}\n[[upstream]]\n", group.comment)?;
    writeln!(out, "name = {}\npeers = {}", quoted(&group.name), list(&peers))?;
    let settings = [
        ("keepalive", &group.keepalive),
        ("keepalive_timeout", &group.keepalive_timeout),
        ("max_fails", &group.max_fails),
        ("fail_timeout", &group.fail_timeout),
    ];
    for (key, value) in settings {
        value.iter().try_for_each(|value| writeln!(out, "{key} = {value}"))?;
    }
    let tls = [("authorities", &group.tls.authorities), ("name", &group.tls.name)];
    let tls: Vec<String> =
        tls.iter().filter_map(|(key, value)| Some(format!("{key} = {}", quoted(value.as_ref()?)))).collect();
    if tls.is_empty() { Ok(()) } else { writeln!(out, "tls = {{ {} }}", tls.join(", ")) }
}

fn write_route(out: &mut String, route: &Route) -> fmt::Result {
    writeln!(out)?;
    route.heading.iter().try_for_each(|heading| write!(out, "# ---- {heading} ----\n\n"))?;
    route.comments.iter().try_for_each(|comment| writeln!(out, "# {comment}"))?;
    writeln!(out, "[[route]]\nname = {}", quoted(&route.name))?;
    if !route.hosts.is_empty() {
        writeln!(out, "hosts = {}", list(&route.hosts))?;
    }
    if !route.ports.is_empty() {
        writeln!(out, "ports = {:?}", route.ports)?;
    }
    writeln!(out, "prefix = {}", quoted(&route.prefix))?;
    if route.exact {
        writeln!(out, "exact = true")?;
    }
    if !route.methods.is_empty() {
        writeln!(out, "methods = {}", list(&route.methods))?;
    }
    write_action(out, &route.action)?;
    write_headers(out, "request_headers", &route.request_headers)?;
    write_headers(out, "response_headers", &route.response_headers)?;
    write_route_limits(out, route)
}

fn write_action(out: &mut String, action: &Action) -> fmt::Result {
    match action {
        Action::Redirect { status, to } => {
            writeln!(out, "redirect = {{ status = {status}, to = {} }}", quoted(to))
        }
        Action::Answer { status, body, .. } if body.is_empty() => {
            writeln!(out, "answer = {{ status = {status} }}")
        }
        Action::Answer { status, body, content_type } => {
            let (body, content_type) = (quoted(body), quoted(content_type));
            writeln!(out, "answer = {{ status = {status}, body = {body}, content_type = {content_type} }}")
        }
        Action::Upstream { name, rewrite, request_buffering, buffer_size } => {
            writeln!(out, "upstream = {}", quoted(name))?;
            rewrite.iter().try_for_each(|to| writeln!(out, "rewrite = {}", quoted(to)))?;
            writeln!(out, "request_buffering = {request_buffering}")?;
            buffer_size.iter().try_for_each(|size| writeln!(out, "client_body_buffer_size = {size}"))
        }
    }
}

fn write_headers(out: &mut String, table: &str, headers: &BTreeMap<String, String>) -> fmt::Result {
    if headers.is_empty() {
        return Ok(());
    }
    write!(out, "\n[route.{table}]\n")?;
    headers.iter().try_for_each(|(name, value)| {
        let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let name = if is_bare { name.clone() } else { quoted(name) };
        writeln!(out, "{name} = {}", quoted(value))
    })
}

fn write_route_limits(out: &mut String, route: &Route) -> fmt::Result {
    if route.limits.is_empty() && route.limit_req.is_none() && route.limit_conn.is_none() {
        return Ok(());
    }
    write!(out, "\n[route.limits]\n")?;
    route.limits.iter().try_for_each(|setting| write_setting(out, setting))?;
    route.limit_req.iter().try_for_each(|limits| writeln!(out, "limit_req = {limits}"))?;
    route.limit_conn.iter().try_for_each(|limits| writeln!(out, "limit_conn = {limits}"))
}
