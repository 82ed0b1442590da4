//! One route for each place of a server and each scope in which it is asked.
//!
//! An `if` on the method is a route of its own before that of its place.

use std::collections::{BTreeMap, HashSet};

use super::actions::{Action, Actions, Decision, Spot};
use super::conditions::{self, Condition};
use super::context::Context;
use super::headers;
use super::limits::{Limits, Setting};
use super::losses::Losses;
use super::places::{Kind, Place};
use super::read::Directive;
use super::rewrites::{self, redirect_of};
use super::sites::{Scope, Site};
use super::upstreams::Groups;
use super::zones::{self, Zone};

/// A `[[route]]`.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Of the server, before its first route.
    pub(super) heading: Option<String>,
    pub(super) comments: Vec<String>,
    pub(super) name: String,
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<u16>,
    pub(super) prefix: String,
    pub(super) exact: bool,
    pub(super) methods: Vec<String>,
    pub(super) action: Action,
    pub(super) request_headers: BTreeMap<String, String>,
    pub(super) response_headers: BTreeMap<String, String>,
    pub(super) limits: Vec<Setting>,
    /// In TOML.
    pub(super) limit_req: Option<String>,
    pub(super) limit_conn: Option<String>,
}

/// What routes are made of.
#[derive(Debug)]
pub(super) struct Routes<'a> {
    pub(super) limits: &'a Limits,
    pub(super) zones: &'a [Zone],
    pub(super) losses: &'a Losses,
    pub(super) groups: &'a mut Groups,
}

impl Routes<'_> {
    pub(super) fn write(mut self, sites: &[Site<'_>], places: &[Vec<Place<'_>>]) -> Vec<Route> {
        let mut routes = Vec::new();
        for (site, places) in sites.iter().zip(places) {
            for scope in &site.scopes {
                let first = routes.len();
                self.of_scope(site, scope, places, &mut routes);
                routes[first..]
                    .first_mut()
                    .into_iter()
                    .for_each(|route| route.heading = Some(heading(site, scope)));
            }
            self.list_conditions(site, places);
            self.list_rewrites(site, places);
        }
        make_unique(&mut routes);
        routes
    }

    fn of_scope(
        &mut self,
        site: &Site<'_>,
        scope: &Scope<'_>,
        places: &[Place<'_>],
        routes: &mut Vec<Route>,
    ) {
        if let Some(rule) = scope.rule {
            let context = site.context.inside(rule);
            let (origin, prefix) = (format!("{} {rule}", rule.at), "/".to_owned());
            let place = Place { origin, kind: Kind::Rest, prefix, exact: false, context: context.clone() };
            let before = conditions::asked(&site.context).take_while(|found| !std::ptr::eq(*found, rule));
            for (context, methods) in with_methods(before.map(|found| (&site.context, found)), context) {
                routes.extend(self.of_spot(&Spot { site, scope, place: &place, context, methods }));
            }
            return;
        }
        for place in places {
            for (context, methods) in variants(site, place) {
                routes.extend(self.of_spot(&Spot { site, scope, place, context, methods }));
            }
        }
    }

    /// One route, and a second one for what a `rewrite … break` is for.
    fn of_spot(&mut self, spot: &Spot<'_, '_>) -> Vec<Route> {
        let mut actions = Actions { losses: self.losses, groups: self.groups };
        let decision = actions.decide(spot);
        let route = self.route(spot, &decision, &spot.place.prefix, decision.action.clone());
        let Some((prefix, to)) = &decision.deeper else {
            let longer = rewrites::longer_prefix(&spot.place.prefix, &spot.place.context);
            // What a method is answered holds for the longer prefix, too.
            let longer = longer.filter(|_| !spot.methods.is_empty());
            let also = longer.map(|prefix| self.route(spot, &decision, &prefix, decision.action.clone()));
            return also.into_iter().chain([route]).collect();
        };
        let mut action = decision.action.clone();
        if let Action::Upstream { rewrite, .. } = &mut action {
            *rewrite = Some(to.clone());
        }
        let deeper = self.route(spot, &decision, prefix, action);
        if *prefix == spot.place.prefix { vec![deeper] } else { vec![deeper, route] }
    }

    fn route(&self, spot: &Spot<'_, '_>, decision: &Decision<'_>, prefix: &str, action: Action) -> Route {
        let is_proxied = matches!(action, Action::Upstream { .. });
        let context = &decision.context;
        let usual_ports = spot.scope.ports.iter().all(|port| matches!(port, 80 | 443));
        let request_headers = if is_proxied {
            headers::of_requests(context, &decision.host, usual_ports, self.losses)
        } else {
            BTreeMap::new()
        };
        let mut comments = vec![spot.place.origin.clone()];
        comments.extend(decision.comments.iter().cloned());
        if is_proxied && !headers::say_host(context) {
            comments.push("nothing says what Host to send: nginx sends the name in proxy_pass".to_owned());
        }
        let limits = if spot.place.is_early() {
            Vec::new()
        } else {
            self.limits.of_place(context, is_proxied, self.losses)
        };
        Route {
            heading: None,
            comments,
            name: name(spot, prefix),
            hosts: spot.scope.hosts.clone(),
            ports: if spot.scope.all_ports { Vec::new() } else { spot.scope.ports.clone() },
            prefix: prefix.to_owned(),
            exact: spot.place.exact,
            methods: spot.methods.clone(),
            request_headers,
            response_headers: headers::of_responses(context, is_proxied, self.losses),
            limits,
            limit_req: zones::rates(context, self.zones, self.losses).filter(|_| is_proxied),
            limit_conn: zones::connections(context, self.zones, self.losses).filter(|_| is_proxied),
            action,
        }
    }

    /// The `rewrite`s that no route says; where requests go to an upstream, [`Self::rewritten`] lists them.
    fn list_rewrites(&self, site: &Site<'_>, places: &[Place<'_>]) {
        let places = places.iter().map(|place| &place.context);
        let others = places.filter(|context| context.own_last("proxy_pass").is_none());
        for rewrite in others.chain([&site.context]).flat_map(|context| context.own_all("rewrite")) {
            if redirect_of(rewrite).is_none() {
                self.losses.add(rewrite, rewrites::WHY_NOT);
            }
        }
    }

    /// The `if`s that no route says.
    fn list_conditions(&self, site: &Site<'_>, places: &[Place<'_>]) {
        let at_site = site.context.own_all("if").filter(|found| conditions::condition(found).is_none());
        let in_place = places.iter().filter(|place| matches!(place.kind, Kind::Location | Kind::Regex));
        let in_place = in_place.flat_map(|place| place.context.own_all("if"));
        let in_place =
            in_place.filter(|found| !matches!(conditions::condition(found), Some(Condition::Methods(_))));
        at_site.chain(in_place).for_each(|found| self.losses.add(found, conditions::WHY_NOT));
    }
}

/// The place for any method, after its `if`s on the method: those of the server come first.
fn variants<'a>(site: &Site<'a>, place: &Place<'a>) -> Vec<(Context<'a>, Vec<String>)> {
    let of_site = conditions::asked(&site.context).map(|found| (&site.context, found));
    let is_own = matches!(place.kind, Kind::Location | Kind::Regex);
    let of_place = conditions::asked(&place.context).filter(|_| is_own).map(|found| (&place.context, found));
    with_methods(of_site.chain(of_place), place.context.clone())
}

/// Each `if` on methods that none before it has answered, then what is for any method.
fn with_methods<'c, 'a: 'c>(
    asked: impl Iterator<Item = (&'c Context<'a>, &'a Directive)>,
    otherwise: Context<'a>,
) -> Vec<(Context<'a>, Vec<String>)> {
    let mut variants: Vec<(Context<'a>, Vec<String>)> = Vec::new();
    for (context, found) in asked {
        let Some(Condition::Methods(mut methods)) = conditions::condition(found) else { continue };
        methods.retain(|method| !variants.iter().any(|(_, known)| known.contains(method)));
        if !methods.is_empty() {
            variants.push((context.inside(found), methods));
        }
    }
    variants.push((otherwise, Vec::new()));
    variants
}

/// What a server is asked for.
fn heading(site: &Site<'_>, scope: &Scope<'_>) -> String {
    let (at, names) = (&site.directive.at, site.names.join(" "));
    match (scope.hosts.is_empty(), names.is_empty()) {
        (true, true) => format!("{at} server: any host"),
        (true, false) => format!("{at} server {names}: as the default server of its ports, for any host"),
        (false, _) => format!("{at} server {names}"),
    }
}

fn name(spot: &Spot<'_, '_>, prefix: &str) -> String {
    let mut words = vec![match (spot.scope.rule, spot.scope.hosts.first()) {
        (Some(_), Some(host)) => host.clone(),
        _ => spot.site.label.clone(),
    }];
    let is_plain = matches!(spot.scope.rule.and_then(conditions::condition), Some(Condition::PlainHttp));
    words.extend(is_plain.then(|| "http".to_owned()));
    let has_named = spot.site.scopes.iter().any(|scope| scope.rule.is_none() && !scope.hosts.is_empty());
    words.extend((has_named && spot.scope.hosts.is_empty()).then(|| "any host".to_owned()));
    words.extend(spot.methods.iter().cloned());
    words.extend(spot.place.exact.then(|| "=".to_owned()));
    words.push(prefix.to_owned());
    words.join(" ")
}

fn make_unique(routes: &mut [Route]) {
    let mut known: HashSet<String> = HashSet::new();
    for route in routes {
        let name = route.name.clone();
        let mut count = 1;
        while !known.insert(route.name.clone()) {
            count += 1;
            route.name = format!("{name} ({count})");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::{limits, places, read, sites, upstreams};

    struct Found {
        routes: Vec<Route>,
        lost: Vec<String>,
    }

    fn routes(servers: &str) -> Found {
        let main = read::parse(&format!("http {{ {servers} }}"), &"nginx.conf".into(), 0).unwrap();
        let (http, losses) = (Context::of(&main, "http"), Losses::default());
        let sites = sites::sites(&http, &losses);
        let places: Vec<_> = sites.iter().map(|site| places::places(site, &losses)).collect();
        let (zones, limits) = (zones::zones(&http, &losses), limits::limits(&http, &sites, &places, &losses));
        let mut groups = upstreams::groups(&http, &losses);
        let routes = Routes { limits: &limits, zones: &zones, losses: &losses, groups: &mut groups };
        let routes = routes.write(&sites, &places);
        Found { routes, lost: losses.into_list().into_iter().map(|lost| lost.directive).collect() }
    }

    impl Found {
        fn action(&self, name: &str) -> &Action {
            &self.routes.iter().find(|route| route.name == name).unwrap().action
        }

        fn status(&self, name: &str) -> u16 {
            match self.action(name) {
                Action::Answer { status, .. } | Action::Redirect { status, .. } => *status,
                Action::Upstream { .. } => 0,
            }
        }

        fn rewrite(&self, name: &str) -> Option<&str> {
            match self.action(name) {
                Action::Upstream { rewrite, .. } => rewrite.as_deref(),
                _ => panic!("{name} has no upstream"),
            }
        }
    }

    fn redirect(status: u16, to: &str) -> Action {
        Action::Redirect { status, to: to.to_owned() }
    }

    #[test]
    fn answers_and_redirects_are_those_of_return_and_rewrite() {
        let found = routes(
            "server { server_name s; location /a { return 200 \"ok\\n\"; } location /b { return 444; }
             location /c { return https://x$request_uri; } location /d { return 308 /e; }
             location /f { rewrite ^(.*)$ https://$server_name$1 permanent; } location /g { return 200 $foo; }
             location /h { rewrite ^/(.*) https://x/$1? redirect; } }",
        );
        let ok =
            Action::Answer { status: 200, body: "ok\n".to_owned(), content_type: "text/plain".to_owned() };
        assert_eq!((found.action("s /a"), found.status("s /b")), (&ok, 444));
        assert_eq!(*found.action("s /c"), redirect(302, "https://x$request_uri"));
        assert_eq!(*found.action("s /d"), redirect(308, "/e"));
        assert_eq!(*found.action("s /f"), redirect(301, "https://s$request_uri"));
        assert_eq!(*found.action("s /h"), redirect(302, "https://x$request_uri"));
        assert_eq!((found.status("s /g"), found.lost), (502, vec!["return 200 $foo".to_owned()]));
    }

    #[test]
    fn a_uri_in_proxy_pass_or_a_rewrite_takes_the_place_of_the_prefix() {
        let found = routes(
            "server { server_name s; location /a/ { proxy_pass http://b/; } location / { proxy_pass http://b/; }
             location /c { rewrite ^/c/(.*)$ /$1 break; proxy_pass http://b; } }",
        );
        assert_eq!((found.rewrite("s /a/"), found.rewrite("s /")), (Some("/"), None));
        assert_eq!((found.rewrite("s /c/"), found.rewrite("s /c")), (Some("/"), None));
        assert_eq!(*found.action("s = /a"), redirect(301, "/a/$is_args$args"));
        assert!(found.lost.is_empty());
    }

    #[test]
    fn an_if_on_the_method_is_a_route_with_methods() {
        let found = routes(
            "server { server_name s; location /a { if ($request_method = OPTIONS) { add_header X 1; return 204; }
             proxy_pass http://b; } }",
        );
        let options = found.routes.iter().find(|route| route.name == "s OPTIONS /a").unwrap();
        assert_eq!(options.methods, ["OPTIONS"]);
        assert_eq!((found.status("s OPTIONS /a"), options.response_headers["X"].as_str()), (204, "1"));
        assert!(found.rewrite("s /a").is_none() && found.lost.is_empty());
    }

    #[test]
    fn what_nginx_protects_is_closed() {
        let found = routes(
            "server { server_name s; location /a { deny all; } location /b { auth_basic x; proxy_pass http://b; }
             location /c { allow 10.0.0.0/8; deny all; proxy_pass http://b; } location /d { internal; }
             location /e { auth_basic off; proxy_pass http://b; } location /f { auth_request /x; return 204; }
             location /g { limit_except GET { deny all; } proxy_pass http://b; } }",
        );
        let statuses =
            ["s /a", "s /b", "s /c", "s /d", "s /e", "s /f", "s /g"].map(|name| found.status(name));
        assert_eq!(statuses, [403, 403, 403, 404, 0, 204, 403]);
        assert_eq!(found.lost, ["auth_basic x", "deny all", "limit_except GET"]);
    }

    #[test]
    fn try_files_with_a_named_location_goes_there() {
        let found = routes(
            "server { server_name s; root /x; location / { try_files $uri @app; } location /img { }
             location @app { proxy_pass http://b; } }",
        );
        assert!(found.rewrite("s /").is_none());
        assert_eq!(found.status("s /img"), 404);
        assert_eq!(found.lost, ["try_files $uri @app"]);
    }

    #[test]
    fn what_rewrites_beyond_a_prefix_is_listed() {
        let found = routes(
            "server { server_name s; rewrite ^/a/(.*) /b/$1 last; location / { rewrite ^/c$ /d; }
             location /e { rewrite ^/e(.*)x$ /f break; proxy_pass http://b; } }",
        );
        assert_eq!(
            found.lost,
            ["rewrite ^/a/(.*) /b/$1 last", "rewrite ^/c$ /d", "rewrite ^/e(.*)x$ /f break"]
        );
    }

    #[test]
    fn an_if_of_the_server_comes_before_all_its_locations() {
        let found = routes(
            "server { server_name s; if ($request_method = TRACE) { return 405; }
             location /a/ { proxy_pass http://b; } location / { proxy_pass http://b; } }",
        );
        let statuses = ["s TRACE /a/", "s TRACE /", "s TRACE = /a", "s = /a"].map(|name| found.status(name));
        assert_eq!(statuses, [405, 405, 405, 301]);
    }

    #[test]
    fn a_method_is_answered_for_a_rewritten_prefix_too() {
        let found = routes(
            "server { server_name s; location /c { if ($request_method = PUT) { return 405; }
             rewrite ^/c/(.*)$ /$1 break; proxy_pass http://b; } }",
        );
        assert_eq!(
            (found.status("s PUT /c"), found.status("s PUT /c/"), found.rewrite("s /c/")),
            (405, 405, Some("/"))
        );
    }

    #[test]
    fn ifs_are_asked_in_the_order_of_the_file() {
        let found = routes(
            "server { server_name s; if ($request_method = PUT) { return 405; } if ($host = h) { return 308 http://s; }
             if ($request_method = POST) { return 406; } return 404; if ($request_method = GET) { return 410; } }",
        );
        let names: Vec<&str> = found.routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(names, ["s PUT /", "s POST /", "s /", "h PUT /", "h /"]);
        assert_eq!((found.status("h PUT /"), found.status("h /"), found.status("s POST /")), (405, 308, 406));
    }

    #[test]
    fn names_are_unique() {
        let found = routes("server { listen 80; server_name a; } server { listen 80; server_name a; }");
        let names: Vec<&str> = found.routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(names, ["a:80 /", "a:80 / (2)"]);
    }
}
