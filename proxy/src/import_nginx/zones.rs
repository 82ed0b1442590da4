//! `limit_req` and `limit_conn` with their zones.

use crate::config::Rate;

use super::context::Context;
use super::losses::Losses;
use super::read::Directive;
use super::values;

/// States of 128 bytes in a megabyte, as Nginx keeps them for rates on 64-bit machines.
const RATES_PER_MB: u64 = 8_000;
/// States of 64 bytes.
const CONNECTIONS_PER_MB: u64 = 16_000;

#[derive(Debug)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) rate: Option<String>,
    pub(super) keys_max: Option<u64>,
    pub(super) comment: String,
}

pub(super) fn zones(http: &Context<'_>, losses: &Losses) -> Vec<Zone> {
    let rates = http.own_all("limit_req_zone").filter_map(|directive| {
        let zone = zone(directive, RATES_PER_MB, losses)?;
        let Some(rate) = directive.option("rate").filter(|rate| rate.parse::<Rate>().is_ok()) else {
            losses.add(directive, "write a rate as 10r/s or 30r/m");
            return None;
        };
        Some(Zone { rate: Some(rate.to_owned()), ..zone })
    });
    let connections =
        http.own_all("limit_conn_zone").filter_map(|directive| zone(directive, CONNECTIONS_PER_MB, losses));
    let mut zones: Vec<Zone> = Vec::new();
    for zone in rates.chain(connections) {
        if !zones.iter().any(|known| known.name == zone.name) {
            zones.push(zone);
        }
    }
    zones
}

fn zone(directive: &Directive, keys_per_mb: u64, losses: &Losses) -> Option<Zone> {
    let Some(key) = key(directive.first()) else {
        let why = "clients are told apart by address, token, server or header:NAME: write a [[zone]] with one of them";
        losses.add(directive, why);
        return None;
    };
    let (name, size) = directive.option("zone")?.split_once(':')?;
    let size: Option<kingtide_common::units::ByteSize> = size.to_ascii_lowercase().parse().ok();
    let keys_max = size.map(|size| (size.0.saturating_mul(keys_per_mb) >> 20).max(1));
    Some(Zone { name: name.to_owned(), key, rate: None, keys_max, comment: directive.at.to_string() })
}

fn key(text: &str) -> Option<String> {
    match text {
        "$binary_remote_addr" | "$remote_addr" | "$realip_remote_addr" => Some("address".to_owned()),
        "$http_authorization" => Some("token".to_owned()),
        "$server_name" => Some("server".to_owned()),
        "$host" => Some("header:Host".to_owned()),
        _ => values::header_of_variable(text).map(|header| format!("header:{header}")),
    }
}

/// `limit_req` of a place, in TOML; none when it has none.
pub(super) fn rates(context: &Context<'_>, zones: &[Zone], losses: &Losses) -> Option<String> {
    let shadow = context.is_on("limit_req_dry_run");
    let status = context.last("limit_req_status");
    let written = context.all("limit_req").into_iter().filter_map(|directive| {
        let zone = known(directive, directive.option("zone")?, zones, losses)?;
        let number = |name: &str| directive.option(name).filter(|text| text.parse::<u32>().is_ok());
        let mut keys = vec![format!("zone = {}", values::quoted(&zone.name))];
        keys.extend(number("burst").map(|burst| format!("burst = {burst}")));
        keys.extend(number("delay").map(|delay| format!("delay = {delay}")));
        keys.extend(directive.has("nodelay").then(|| "nodelay = true".to_owned()));
        Some(finished(keys, status, shadow))
    });
    array(&written.collect::<Vec<_>>())
}

/// `limit_conn` of a place, in TOML.
pub(super) fn connections(context: &Context<'_>, zones: &[Zone], losses: &Losses) -> Option<String> {
    let shadow = context.is_on("limit_conn_dry_run");
    let status = context.last("limit_conn_status");
    let written = context.all("limit_conn").into_iter().filter_map(|directive| {
        let zone = known(directive, directive.first(), zones, losses)?;
        let connections: u32 = directive.arg(1).parse().ok()?;
        let keys =
            vec![format!("zone = {}", values::quoted(&zone.name)), format!("connections = {connections}")];
        Some(finished(keys, status, shadow))
    });
    array(&written.collect::<Vec<_>>())
}

fn known<'a>(directive: &Directive, name: &str, zones: &'a [Zone], losses: &Losses) -> Option<&'a Zone> {
    let zone = zones.iter().find(|zone| zone.name == name);
    if zone.is_none() {
        losses.add(directive, "its zone could not be carried over");
    }
    zone
}

fn finished(mut keys: Vec<String>, status: Option<&Directive>, shadow: bool) -> String {
    let status = status.map(Directive::first).filter(|status| status.parse::<u16>().is_ok());
    keys.extend(status.map(|status| format!("status = {status}")));
    keys.extend(shadow.then(|| "mode = \"shadow\"".to_owned()));
    format!("{{ {} }}", keys.join(", "))
}

fn array(written: &[String]) -> Option<String> {
    (!written.is_empty()).then(|| format!("[{}]", written.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    #[test]
    fn rates_and_connections_name_their_zones() {
        let text = "http {
            limit_req_zone $binary_remote_addr zone=a:10m rate=10r/s; limit_req_zone $uri zone=u:1m rate=1r/s;
            limit_conn_zone $http_x_api_key zone=c:1m; limit_req_status 429; limit_conn_dry_run on;
            limit_req zone=a burst=20 nodelay; limit_req zone=u; limit_conn c 5; }";
        let main = read::parse(text, &"nginx.conf".into(), 0).unwrap();
        let (http, losses) = (Context::of(&main, "http"), Losses::default());
        let zones = zones(&http, &losses);
        let found: Vec<_> = zones.iter().map(|zone| (zone.key.as_str(), zone.keys_max)).collect();
        assert_eq!(found, [("address", Some(80_000)), ("header:X-Api-Key", Some(16_000))]);
        let rates = rates(&http, &zones, &losses).unwrap();
        assert_eq!(rates, "[{ zone = \"a\", burst = 20, nodelay = true, status = 429 }]");
        let connections = connections(&http, &zones, &losses).unwrap();
        assert_eq!(connections, "[{ zone = \"c\", connections = 5, mode = \"shadow\" }]");
        assert_eq!(losses.into_list().len(), 2, "the zone by $uri, and the limit that names it");
    }
}
