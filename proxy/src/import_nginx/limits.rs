//! Sizes and times: what holds for all routes goes to `[limits]`, what differs to the route.
//!
//! Nginx refuses uploads over 1m unless told otherwise and the proxy does not, so that limit is always written.
//! What counts before a route is known can only be said once.

use super::context::Context;
use super::losses::Losses;
use super::places::Place;
use super::read::Directive;
use super::sites::Site;
use super::values;

#[derive(Debug, Clone, Copy)]
enum Form {
    Size,
    Time,
    Number,
    Buffers,
}

/// Name, form and Nginx's default in TOML.
struct Known(&'static str, Form, &'static str);

const BODY: Known = Known("client_max_body_size", Form::Size, "\"1m\"");

/// Limits that a route can have, those of answers by the proxy itself first.
const OF_ROUTES: [Known; 6] = [
    BODY,
    Known("client_body_timeout", Form::Time, "\"60s\""),
    Known("send_timeout", Form::Time, "\"60s\""),
    Known("proxy_connect_timeout", Form::Time, "\"60s\""),
    Known("proxy_send_timeout", Form::Time, "\"60s\""),
    Known("proxy_read_timeout", Form::Time, "\"60s\""),
];

/// Limits that count before a route is known.
const EARLY: [Known; 5] = [
    Known("client_header_timeout", Form::Time, "\"60s\""),
    Known("keepalive_timeout", Form::Time, "\"75s\""),
    Known("keepalive_requests", Form::Number, "1000"),
    Known("client_header_buffer_size", Form::Size, "\"1k\""),
    Known("large_client_header_buffers", Form::Buffers, "\"4 8k\""),
];

/// A line of TOML with the place it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) comment: Option<String>,
}

/// `[limits]`.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) settings: Vec<Setting>,
}

pub(super) fn limits(
    http: &Context<'_>,
    sites: &[Site<'_>],
    places: &[Vec<Place<'_>>],
    losses: &Losses,
) -> Limits {
    let later = places.iter().flatten().filter(|place| !place.is_early());
    let of_places: Vec<&Context<'_>> = later.map(|place| &place.context).collect();
    let of_sites: Vec<&Context<'_>> = sites.iter().map(|site| &site.context).collect();
    let mut settings = Vec::new();
    for known in &OF_ROUTES {
        let base = http.own_last(known.0).or_else(|| most_common(known, &of_places));
        settings.push(known.setting(base, losses));
    }
    for known in &EARLY {
        let base = http.own_last(known.0).or_else(|| most_common(known, &of_sites));
        if let Some(base) = base.filter(|_| of_sites.iter().any(|site| site.last(known.0).is_none())) {
            losses.add(base, "it counts before a route is known, so it holds for all servers");
        }
        let base = known.setting(base, losses);
        for context in of_sites.iter().chain(&of_places) {
            list_if_other(known, &base, context, losses);
        }
        settings.push(base);
    }
    Limits { settings }
}

/// The directive whose value most places have; none when most have the default.
fn most_common<'a>(known: &Known, places: &[&Context<'a>]) -> Option<&'a Directive> {
    let value = |place: &Context<'_>| place.last(known.0).and_then(|directive| known.value(directive));
    let count = |place: &Context<'_>| places.iter().filter(|other| value(other) == value(place)).count();
    // The first of the most common: `max_by_key` takes the last.
    let found = places.iter().rev().max_by_key(|place| count(place))?;
    found.last(known.0)
}

fn list_if_other(known: &Known, base: &Setting, context: &Context<'_>, losses: &Losses) {
    match context.last(known.0) {
        Some(directive) if known.value(directive).as_ref() != Some(&base.value) => {
            let why =
                format!("it counts before a route is known, so it is said once, in [limits]: {}", base.value);
            losses.add(directive, &why);
        }
        _ => {}
    }
}

impl Known {
    fn setting(&self, directive: Option<&Directive>, losses: &Losses) -> Setting {
        let value = directive.and_then(|directive| {
            let value = self.value(directive);
            if value.is_none() {
                losses.add(directive, "its value is not understood");
            }
            value
        });
        let comment = directive.filter(|_| value.is_some()).map(|directive| directive.at.to_string());
        Setting { key: self.0, value: value.unwrap_or_else(|| self.2.to_owned()), comment }
    }

    /// The value in TOML, when the proxy takes it.
    fn value(&self, directive: &Directive) -> Option<String> {
        let text = directive.first();
        let value = match self.1 {
            Form::Size if text == "0" => Some("\"off\"".to_owned()),
            Form::Size => values::size_toml(text),
            Form::Time => values::time_toml(text),
            Form::Number => text.parse::<u64>().ok().map(|number| number.to_string()),
            Form::Buffers => {
                Some(values::quoted(&format!("{text} {}", directive.arg(1)).to_ascii_lowercase()))
            }
        };
        value
            .filter(|value| toml::from_str::<crate::config::Limits>(&format!("{} = {value}", self.0)).is_ok())
    }
}

impl Limits {
    /// What a place changes of `[limits]`; answers of the proxy itself know no upstream.
    pub(super) fn of_place(&self, context: &Context<'_>, is_proxied: bool, losses: &Losses) -> Vec<Setting> {
        let known = OF_ROUTES.iter().filter(|known| is_proxied || !known.0.starts_with("proxy_"));
        let own = known.map(|known| known.setting(context.last(known.0), losses));
        own.filter(|own| !self.settings.iter().any(|base| base.key == own.key && base.value == own.value))
            .collect()
    }

    /// Those that nginx.conf names, and the body size.
    pub(super) fn written(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(|setting| setting.comment.is_some() || setting.key == BODY.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::{places, read, sites};

    /// `[limits]`, then what each place changes, then how many could not be carried.
    fn shown(http: &str) -> (Vec<String>, Vec<Vec<String>>, usize) {
        let main = read::parse(&format!("http {{ {http} }}"), &"nginx.conf".into(), 0).unwrap();
        let (http, losses) = (Context::of(&main, "http"), Losses::default());
        let sites = sites::sites(&http, &losses);
        let places: Vec<_> = sites.iter().map(|site| places::places(site, &losses)).collect();
        let limits = limits(&http, &sites, &places, &losses);
        let line = |setting: &Setting| format!("{} = {}", setting.key, setting.value);
        let of_place =
            |place: &Place<'_>| limits.of_place(&place.context, true, &losses).iter().map(line).collect();
        let of_places = places.iter().flatten().filter(|place| !place.is_early()).map(of_place).collect();
        (limits.written().map(line).collect(), of_places, losses.into_list().len())
    }

    #[test]
    fn nginx_refuses_over_1m_where_it_is_told_nothing() {
        assert_eq!(shown("server {}"), (vec!["client_max_body_size = \"1m\"".to_owned()], vec![vec![]], 0));
    }

    #[test]
    fn what_differs_goes_to_the_route() {
        let (base, routes, lost) = shown(
            "client_max_body_size 5m; server { client_max_body_size 20M;
             location /a { client_max_body_size 0; proxy_read_timeout 2m; } location / {} location /b {} }",
        );
        assert_eq!(base, ["client_max_body_size = \"5m\""]);
        assert_eq!(routes[0], ["client_max_body_size = \"off\"", "proxy_read_timeout = \"120s\""]);
        assert_eq!(
            (routes[1].as_slice(), lost),
            (["client_max_body_size = \"20m\"".to_owned()].as_slice(), 0)
        );
        assert_eq!(routes[1], routes[2]);
    }

    #[test]
    fn what_most_places_share_is_said_once() {
        let (base, routes, _) = shown(
            "server { send_timeout 5s; keepalive_timeout 65 60; location / {} location /a {} }
             server { return 301 https://a; }",
        );
        let wanted =
            ["client_max_body_size = \"1m\"", "send_timeout = \"5s\"", "keepalive_timeout = \"65s\""];
        assert_eq!((base, routes), (wanted.map(str::to_owned).to_vec(), vec![vec![], vec![]]));
    }

    #[test]
    fn a_second_value_before_the_route_is_listed() {
        let servers = "server { keepalive_timeout 5; }
                       server { listen 81; keepalive_timeout 6; location / { keepalive_timeout 5; } }";
        let (base, _, lost) = shown(servers);
        assert_eq!((base[1].as_str(), lost), ("keepalive_timeout = \"5s\"", 1));
    }
}
