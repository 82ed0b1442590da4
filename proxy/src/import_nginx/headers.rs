//! `proxy_set_header`, `add_header` and `proxy_hide_header`.
//!
//! Nginx inherits each list only where a level has none of its own, and so it is here. What the proxy tells
//! backends by itself is not repeated. A header set by `add_header` is set on every answer, as with `always`.

use std::collections::BTreeMap;

use super::context::Context;
use super::losses::Losses;
use super::read::Directive;
use super::values;

/// Set by the proxy itself, with the values that people give them.
const OWN: &[(&str, &[&str])] = &[
    ("host", &["$http_host"]),
    ("x-real-ip", &["$remote_addr"]),
    ("x-forwarded-for", &["$proxy_add_x_forwarded_for"]),
    ("x-forwarded-proto", &["$scheme"]),
    ("x-forwarded-host", &["$http_host"]),
    ("x-request-id", &["$request_id"]),
    ("traceparent", &["$http_traceparent"]),
    ("upgrade", &["$http_upgrade", ""]),
    (
        "connection",
        &["upgrade", "Upgrade", "$connection_upgrade", "$http_connection", "close", "keep-alive", ""],
    ),
];

/// Set towards the upstream. Where nothing says `Host`, Nginx sends the name in `proxy_pass`.
///
/// `usual_ports`: clients do not name the port, so that `$host` is what they send.
pub(super) fn of_requests(
    context: &Context<'_>,
    proxy_host: &str,
    usual_ports: bool,
    losses: &Losses,
) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    if !say_host(context) {
        headers.insert("Host".to_owned(), proxy_host.to_owned());
    }
    for directive in context.all("proxy_set_header") {
        let (name, value) = (directive.first(), directive.arg(1).replace("$proxy_host", proxy_host));
        let sent = if usual_ports && value == "$host" { "$http_host" } else { &value };
        if !is_own(name, sent) {
            insert(&mut headers, directive, &value, losses);
        }
    }
    headers
}

pub(super) fn say_host(context: &Context<'_>) -> bool {
    context.all("proxy_set_header").iter().any(|directive| directive.first().eq_ignore_ascii_case("host"))
}

fn is_own(name: &str, value: &str) -> bool {
    OWN.iter().any(|(own, values)| own.eq_ignore_ascii_case(name) && values.contains(&value))
}

/// Set towards the client; an empty value removes what the upstream sent.
pub(super) fn of_responses(
    context: &Context<'_>,
    is_proxied: bool,
    losses: &Losses,
) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    if is_proxied {
        let hidden = context.all("proxy_hide_header");
        let names = hidden.iter().map(|directive| directive.first());
        let names = names.filter(|name| http::HeaderName::try_from(*name).is_ok());
        headers.extend(names.map(|name| (name.to_owned(), String::new())));
    }
    for directive in context.all("add_header") {
        let value = directive.arg(1);
        let is_type = directive.first().eq_ignore_ascii_case("content-type") && !is_proxied;
        if !value.is_empty() && !is_type {
            insert(&mut headers, directive, value, losses);
        }
    }
    headers
}

/// What an answer of the proxy itself says it is.
pub(super) fn content_type(context: &Context<'_>) -> String {
    let added = context
        .all("add_header")
        .into_iter()
        .find(|added| added.first().eq_ignore_ascii_case("content-type"));
    let added = added.map(|added| added.arg(1)).filter(|value| !value.contains('$'));
    let by_default = context.last("default_type").map(Directive::first);
    added.or(by_default).unwrap_or("text/plain").to_owned()
}

fn insert(headers: &mut BTreeMap<String, String>, directive: &Directive, value: &str, losses: &Losses) {
    let name = directive.first();
    if let Err(error) = http::HeaderName::try_from(name) {
        losses.add(directive, &error.to_string());
        return;
    }
    let known = headers.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
    if known.as_ref().is_some_and(|known| !headers[known].is_empty()) {
        losses.add(directive, "a header has one value: join them, or let the backend send them");
        return;
    }
    match values::with_variables(value) {
        Ok(value) => {
            if let Some(known) = known {
                headers.remove(&known);
            }
            headers.insert(name.to_owned(), value);
        }
        Err(why) => losses.add(directive, &why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::read;

    fn headers(location: &str) -> (BTreeMap<String, String>, BTreeMap<String, String>, usize) {
        let main = read::parse(&format!("http {{ {location} }}"), &"nginx.conf".into(), 0).unwrap();
        let (context, losses) = (Context::of(&main, "http"), Losses::default());
        let (requests, responses) =
            (of_requests(&context, "backend", true, &losses), of_responses(&context, true, &losses));
        (requests, responses, losses.into_list().len())
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_the_proxy_says_by_itself_is_not_repeated() {
        let (requests, _, lost) = headers(
            "proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Connection \"\";
             proxy_set_header X-Forwarded-Port $server_port; proxy_set_header Accept-Encoding \"\";
             proxy_set_header X-Country $geoip_country;",
        );
        assert_eq!(
            (requests, lost),
            (map(&[("X-Forwarded-Port", "$server_port"), ("Accept-Encoding", "")]), 1)
        );
    }

    #[test]
    fn without_a_host_nginx_sends_the_name_of_the_upstream() {
        assert_eq!(headers("").0, map(&[("Host", "backend")]));
        assert_eq!(headers("proxy_set_header host $proxy_host:1;").0, map(&[("host", "backend:1")]));
    }

    #[test]
    fn the_port_that_host_leaves_out_matters_where_clients_name_it() {
        let main = read::parse("http { proxy_set_header Host $host; }", &"nginx.conf".into(), 0).unwrap();
        let context = Context::of(&main, "http");
        assert_eq!(of_requests(&context, "b", false, &Losses::default()), map(&[("Host", "$host")]));
        assert!(of_requests(&context, "b", true, &Losses::default()).is_empty());
    }

    #[test]
    fn headers_of_answers_are_set_or_removed() {
        let (_, responses, lost) = headers(
            "proxy_hide_header X-Powered-By; proxy_hide_header X-Frame-Options;
             add_header X-Frame-Options DENY always; add_header X-Empty \"\"; add_header Link a; add_header link b;",
        );
        let wanted = map(&[("X-Powered-By", ""), ("X-Frame-Options", "DENY"), ("Link", "a")]);
        assert_eq!((responses, lost), (wanted, 1));
    }
}
