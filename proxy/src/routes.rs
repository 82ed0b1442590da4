//! Routes: which one takes a request, and what it does with it.

use std::sync::Arc;

use crate::config::{self, Config, Limits};
use crate::limits::{connections, rate};
use crate::upstream::Group;
use crate::variables::{Template, Values};
use crate::zones::Zones;

/// A route as requests meet it.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    hosts: Vec<HostPattern>,
    ports: Vec<u16>,
    pub(crate) prefix: String,
    exact: bool,
    methods: Vec<String>,
    pub(crate) action: Action,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
    /// Answers tell what the client waited for.
    pub(crate) server_timing: bool,
    pub(crate) limits: Limits,
    pub(crate) rates: Vec<rate::Rule>,
    pub(crate) connections: Vec<connections::Rule>,
}

/// What a route does.
#[derive(Debug)]
pub(crate) enum Action {
    Proxy {
        group: Arc<Group>,
        rewrite: Option<String>,
        /// Bytes kept in memory of an upload that is read whole first; `None` = streamed.
        spool_memory: Option<usize>,
    },
    Redirect {
        status: u16,
        to: Template,
    },
    Answer(config::Answer),
}

#[derive(Debug, PartialEq, Eq)]
enum HostPattern {
    Name(String),
    /// With its leading dot.
    Below(String),
}

/// Headers that are set, or removed where there is no value.
#[derive(Debug, Default)]
pub(crate) struct HeaderEdits {
    edits: Vec<(String, Option<Template>)>,
}

impl HeaderEdits {
    fn new(headers: &std::collections::BTreeMap<String, String>) -> Result<Self, String> {
        let edit = |(name, value): (&String, &String)| {
            http::HeaderName::try_from(name.as_str()).map_err(|_| format!("`{name}` is no header name"))?;
            let template = if value.is_empty() { None } else { Some(Template::parse(value)?) };
            Ok((name.clone(), template))
        };
        Ok(Self { edits: headers.iter().map(edit).collect::<Result<_, String>>()? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether the header is set or removed here.
    pub(crate) fn names(&self, name: &[u8]) -> bool {
        self.edits.iter().any(|(own, _)| own.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What is set, rendered.
    pub(crate) fn rendered(&self, values: &Values<'_>) -> Vec<(String, Vec<u8>)> {
        let render = |(name, template): &(String, Option<Template>)| {
            let mut value = Vec::new();
            template.as_ref()?.render(values, &mut value);
            Some((name.clone(), value))
        };
        self.edits.iter().filter_map(render).collect()
    }
}

impl HostPattern {
    fn new(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        host.strip_prefix('*').map_or_else(|| Self::Name(host.clone()), |below| Self::Below(below.to_owned()))
    }

    /// A name before a pattern, a long pattern before a short one.
    fn rank(&self) -> usize {
        match self {
            Self::Name(_) => usize::MAX,
            Self::Below(suffix) => suffix.len(),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Below(suffix) => {
                let split = host.len().checked_sub(suffix.len()).filter(|at| *at > 0);
                split.and_then(|at| host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

impl Route {
    fn new(
        route: &config::Route,
        config: &Config,
        groups: &[Arc<Group>],
        zones: &Zones,
    ) -> Result<Self, String> {
        let limits = config.limits.for_route(&route.limits);
        Ok(Self {
            name: route.name.as_str().into(),
            hosts: route.hosts.iter().map(|host| HostPattern::new(host)).collect(),
            ports: route.ports.clone(),
            prefix: route.prefix.clone(),
            exact: route.exact,
            methods: route.methods.clone(),
            action: action(route, groups)?,
            request_headers: HeaderEdits::new(&route.request_headers)?,
            response_headers: HeaderEdits::new(&route.response_headers)?,
            server_timing: route.server_timing,
            rates: zones.rates(&limits.limit_req),
            connections: zones.connections(&limits.limit_conn),
            limits,
        })
    }

    fn matches(&self, request: &Asked<'_>) -> bool {
        let host = self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(request.host));
        let port = self.ports.is_empty() || self.ports.contains(&request.port);
        let method = self.methods.is_empty() || self.methods.iter().any(|own| own == request.method);
        let prefix = self.prefix.as_bytes();
        let path = if self.exact { request.path == prefix } else { request.path.starts_with(prefix) };
        host && port && method && path
    }

    /// The most specific first: a named host, a port, the whole path, a long prefix, a method.
    fn rank(&self) -> impl Ord + use<> {
        let host = self.hosts.iter().map(HostPattern::rank).max().unwrap_or(0);
        (
            std::cmp::Reverse(host),
            self.ports.is_empty(),
            !self.exact,
            std::cmp::Reverse(self.prefix.len()),
            self.methods.is_empty(),
        )
    }
}

fn action(route: &config::Route, groups: &[Arc<Group>]) -> Result<Action, String> {
    if let Some(redirect) = &route.redirect {
        return Ok(Action::Redirect { status: redirect.status, to: Template::parse(&redirect.to)? });
    }
    if let Some(answer) = &route.answer {
        return Ok(Action::Answer(answer.clone()));
    }
    let group = groups.iter().find(|group| Some(&group.name) == route.upstream.as_ref());
    let memory = usize::try_from(route.client_body_buffer_size.0).unwrap_or(usize::MAX);
    Ok(Action::Proxy {
        group: Arc::clone(group.ok_or("its upstream is not there")?),
        rewrite: route.rewrite.clone(),
        spool_memory: route.request_buffering.then_some(memory),
    })
}

/// What decides over the route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'r> {
    /// Without its port.
    pub(crate) host: &'r str,
    pub(crate) port: u16,
    pub(crate) method: &'r str,
    /// Decoded and without dot segments.
    pub(crate) path: &'r [u8],
}

/// All routes, the most specific first.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<Route>,
}

impl Routes {
    pub(crate) fn new(config: &Config, groups: &[Arc<Group>], zones: &Zones) -> Result<Self, String> {
        let named = |route: &config::Route| {
            let made = Route::new(route, config, groups, zones);
            made.map_err(|why| format!("route `{}`: {why}", route.name))
        };
        let mut routes: Vec<Route> = config.route.iter().map(named).collect::<Result<_, String>>()?;
        routes.sort_by_key(Route::rank);
        Ok(Self { routes })
    }

    pub(crate) fn find(&self, request: &Asked<'_>) -> Option<&Route> {
        self.routes.iter().find(|route| route.matches(request))
    }
}

/// A host without its port.
pub(crate) fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(routes: &str) -> Routes {
        let config: Config = toml::from_str(&format!(
            "server.listen = [\"127.0.0.1:0\"]\nupstream = [{{name = \"a\", peers = [\"http://127.0.0.1:1\"]}}]\nroute = [{routes}]"
        ))
        .unwrap();
        let groups: Vec<_> =
            config.upstream.iter().map(|upstream| Arc::new(Group::new(upstream).unwrap())).collect();
        Routes::new(&config, &groups, &Zones::new(&config, None)).unwrap()
    }

    fn found<'a>(routes: &'a Routes, method: &str, url: &str) -> Option<&'a str> {
        let (host, path) = url.split_once('/').unwrap();
        let path = format!("/{path}");
        let port = if host.ends_with(":443") { 443 } else { 80 };
        let asked = Asked { host: host_name(host), port, method, path: path.as_bytes() };
        routes.find(&asked).map(|route| &*route.name)
    }

    #[test]
    fn the_most_specific_route_wins() {
        let routes = routes(
            r#"{name = "all", upstream = "a"}, {name = "api", prefix = "/api/", upstream = "a"},
               {name = "school", hosts = ["School.example"], upstream = "a"},
               {name = "below", hosts = ["*.example"], upstream = "a"},
               {name = "health", prefix = "/health", exact = true, answer = {status = 200}},
               {name = "preflight", prefix = "/api/", methods = ["OPTIONS"], answer = {status = 204}},
               {name = "secure", ports = [443], upstream = "a"}"#,
        );
        let cases = [
            ("GET", "other/x", "all"),
            ("GET", "other:8080/api/x", "api"),
            ("OPTIONS", "other/api/x", "preflight"),
            ("GET", "school.example:8080/api/x", "school"),
            ("GET", "a.b.example/", "below"),
            ("GET", "other/health", "health"),
            ("GET", "other/health/x", "all"),
            ("GET", "other:443/api/x", "secure"),
        ];
        for (method, url, expected) in cases {
            assert_eq!(found(&routes, method, url), Some(expected), "{method} {url}");
        }
    }

    #[test]
    fn what_no_route_matches_has_none() {
        let routes = routes(r#"{name = "api", prefix = "/api/", hosts = ["*.example"], upstream = "a"}"#);
        assert_eq!(found(&routes, "GET", "a.example/other"), None);
        assert_eq!(found(&routes, "GET", ".example/api/"), None, "nothing below");
    }

    #[test]
    fn hosts_are_compared_without_their_port() {
        for (host, name) in
            [("a.example:80", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a", "a")]
        {
            assert_eq!(host_name(host), name);
        }
    }
}
