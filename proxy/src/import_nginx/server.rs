//! `[server]`, `[access_log]` and `[admin]`: what holds for the whole process.

use super::context::Context;
use super::limits::Setting;
use super::losses::Losses;
use super::places::{Kind, Place};
use super::read::Directive;
use super::sites::Site;
use super::values;

/// Where metrics and status are, when nginx.conf has them.
const ADMIN: &str = "127.0.0.1:8081";

#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Vec<Setting>,
    /// Addresses and networks.
    pub(super) trusted_proxies: Vec<String>,
    pub(super) access_log: Option<Setting>,
    pub(super) admin: Option<Setting>,
}

pub(super) fn server(
    main: &[Directive],
    http: &Context<'_>,
    sites: &[Site<'_>],
    places: &[Vec<Place<'_>>],
    losses: &Losses,
) -> Server {
    let locations =
        places.iter().flatten().filter(|place| matches!(place.kind, Kind::Location | Kind::Regex));
    let mut levels = vec![http];
    levels.extend(sites.iter().map(|site| &site.context));
    levels.extend(locations.map(|location| &location.context));
    let mut settings = processes(main, losses);
    for (key, default) in [("lingering_time", "30s"), ("lingering_timeout", "5s")] {
        settings.extend(lingering(key, default, &levels, losses));
    }
    Server {
        settings,
        trusted_proxies: trusted(&levels, losses),
        access_log: access_log(&levels, losses),
        admin: admin(main, losses),
    }
}

fn setting(key: &'static str, value: String, directive: &Directive) -> Setting {
    Setting { key, value, comment: Some(format!("{} {directive}", directive.at)) }
}

/// `worker_processes` and `worker_connections`, which Nginx counts by process.
fn processes(main: &[Directive], losses: &Losses) -> Vec<Setting> {
    let mut settings = Vec::new();
    let workers = main.iter().find(|directive| directive.name == "worker_processes");
    let count = workers.map_or(Some(1), |workers| workers.first().parse::<usize>().ok());
    settings.extend(workers.map(|workers| {
        let threads = count.map_or("0".to_owned(), |count| count.clamp(1, 1024).to_string());
        setting("threads", threads, workers)
    }));
    let events = Context::of(main, "events");
    if let Some(connections) = events.own_last("worker_connections") {
        let number: Option<usize> = connections.first().parse().ok();
        match number.zip(count).and_then(|(number, count)| number.checked_mul(count)) {
            Some(all) => settings.push(setting("worker_connections", all.to_string(), connections)),
            None => losses.add(
                connections,
                "it counts by process, and of these there is one per core: \
                                             write server.worker_connections for all of them",
            ),
        }
    }
    settings
}

fn lingering(key: &'static str, default: &str, levels: &[&Context<'_>], losses: &Losses) -> Option<Setting> {
    let found = levels.iter().find_map(|level| level.own_last(key))?;
    let value = values::time_toml(found.first())?;
    for other in levels.iter().filter_map(|level| level.own_last(key)) {
        if values::time_toml(other.first()).as_ref() != Some(&value) {
            losses.add(other, &format!("it is said once, in [server]: {value}"));
        }
    }
    (value != values::quoted(default)).then(|| setting(key, value, found))
}

/// `set_real_ip_from`: whose `X-Forwarded-For` is believed.
fn trusted(levels: &[&Context<'_>], losses: &Losses) -> Vec<String> {
    let mut networks = Vec::new();
    for from in levels.iter().flat_map(|level| level.own_all("set_real_ip_from")) {
        let network = from.first().to_owned();
        if crate::config::Network::try_from(network.clone()).is_err() {
            losses.add(from, "write an address or a network in server.trusted_proxies");
        } else if !networks.contains(&network) {
            networks.push(network);
        }
    }
    for header in levels.iter().flat_map(|level| level.own_all("real_ip_header")) {
        if !header.first().eq_ignore_ascii_case("X-Forwarded-For") && header.first() != "proxy_protocol" {
            losses.add(
                header,
                "addresses of clients are believed from X-Forwarded-For: let the front send that",
            );
        }
    }
    networks
}

/// One log for all: that of the first level that has one.
fn access_log(levels: &[&Context<'_>], losses: &Losses) -> Option<Setting> {
    let is_file = |log: &Directive| {
        !matches!(log.first(), "off" | "") && !log.first().contains(':') && !log.first().contains('$')
    };
    let logs: Vec<&Directive> = levels.iter().flat_map(|level| level.own_all("access_log")).collect();
    let first = logs.iter().find(|log| is_file(log)).copied();
    for log in logs {
        let is_first = first.is_some_and(|first| first.first() == log.first());
        if !is_file(log) && log.first() != "off" {
            losses.add(log, "the access log is a file");
        } else if !is_first {
            losses.add(log, "there is one access log for all routes; its lines name the route");
        } else if log.args.len() > 1 {
            let why =
                "the format is Nginx's `combined` with times appended; conditions and buffers are left out";
            losses.add(log, why);
        }
    }
    first.map(|log| Setting {
        key: "path",
        value: values::quoted(log.first()),
        comment: Some(log.at.to_string()),
    })
}

/// `stub_status`, wherever it is.
fn admin(directives: &[Directive], losses: &Losses) -> Option<Setting> {
    let mut found = None;
    for directive in directives {
        if directive.name == "stub_status" {
            let why =
                format!("metrics and /status are on the admin listener, {ADMIN}; the location answers 404");
            losses.add(directive, &why);
            found = found.or_else(|| Some(setting("listen", values::quoted(ADMIN), directive)));
        }
        found = found.or_else(|| admin(directive.directives(), losses));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::{places, read, sites};

    fn read_server(text: &str) -> (Server, Vec<String>) {
        let main = read::parse(text, &"nginx.conf".into(), 0).unwrap();
        let (http, losses) = (Context::of(&main, "http"), Losses::default());
        let sites = sites::sites(&http, &losses);
        let places: Vec<_> = sites.iter().map(|site| places::places(site, &losses)).collect();
        let server = server(&main, &http, &sites, &places, &losses);
        (server, losses.into_list().into_iter().map(|lost| lost.directive).collect())
    }

    fn lines(server: &Server) -> Vec<String> {
        server.settings.iter().map(|setting| format!("{} = {}", setting.key, setting.value)).collect()
    }

    #[test]
    fn connections_are_those_of_all_processes() {
        let (server, _) = read_server("worker_processes 4; events { worker_connections 1000; } http {}");
        assert_eq!(lines(&server), ["threads = 4", "worker_connections = 4000"]);
        let (server, lost) = read_server("worker_processes auto; events { worker_connections 768; } http {}");
        assert_eq!(
            (lines(&server), lost),
            (vec!["threads = 0".to_owned()], vec!["worker_connections 768".to_owned()])
        );
    }

    #[test]
    fn fronts_are_trusted() {
        let (server, lost) = read_server(
            "http { set_real_ip_from 10.0.0.0/8; set_real_ip_from unix:; real_ip_header X-Real-IP;
             server { set_real_ip_from 10.0.0.0/8; set_real_ip_from ::1; } }",
        );
        assert_eq!(server.trusted_proxies, ["10.0.0.0/8", "::1"]);
        assert_eq!(lost, ["set_real_ip_from unix:", "real_ip_header X-Real-IP"]);
    }

    #[test]
    fn there_is_one_access_log() {
        let text = "http { access_log /a; server { access_log /b main; location / { access_log off; } } }";
        let (server, lost) = read_server(text);
        assert_eq!(server.access_log.unwrap().value, "\"/a\"");
        assert_eq!(lost, ["access_log /b main", "access_log off"]);
    }

    #[test]
    fn the_status_page_is_on_the_admin_listener() {
        let (server, lost) = read_server("http { server { location /s { stub_status; } } }");
        assert_eq!((server.admin.unwrap().value.as_str(), lost.len()), ("\"127.0.0.1:8081\"", 1));
    }
}
