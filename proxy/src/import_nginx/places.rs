//! The places of a server that requests can come to: its locations, flattened, and the rest.

use super::context::Context;
use super::losses::Losses;
use super::read::Directive;
use super::rewrites;
use super::sites::Site;

/// Requests of a server that share a path.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The place in the file, and what is there.
    pub(super) origin: String,
    pub(super) kind: Kind,
    pub(super) prefix: String,
    pub(super) exact: bool,
    pub(super) context: Context<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Location,
    /// A regular expression that says no more than a prefix or a path.
    Regex,
    /// Nginx sends `/api` to `/api/` when only `location /api/` is there.
    Slash,
    /// What no location is for.
    Rest,
}

impl Place<'_> {
    /// Answered before Nginx has chosen a location, so that no limit of one counts.
    pub(super) fn is_early(&self) -> bool {
        match self.kind {
            Kind::Location | Kind::Regex => false,
            Kind::Slash => true,
            Kind::Rest => rewrites::answers_itself(&self.context),
        }
    }
}

pub(super) fn places<'a>(site: &Site<'a>, losses: &Losses) -> Vec<Place<'a>> {
    let rest = Place {
        origin: format!("{} server", site.directive.at),
        kind: Kind::Rest,
        prefix: "/".to_owned(),
        exact: false,
        context: site.context.clone(),
    };
    if rewrites::answers_itself(&site.context) {
        site.context.own_all("location").for_each(|unreachable| losses.settle(unreachable));
        return vec![rest];
    }
    let mut places = Vec::new();
    collect(&site.context, &mut places, losses);
    list_unused(site, &places, losses);
    add_slashes(site, &mut places);
    if !places.iter().any(|place| place.prefix == "/" && !place.exact) {
        places.push(rest);
    }
    places
}

fn collect<'a>(context: &Context<'a>, places: &mut Vec<Place<'a>>, losses: &Losses) {
    let plain: Vec<String> =
        context.own_all("location").filter_map(|found| path(found).map(|(path, _, _)| path)).collect();
    for location in context.own_all("location") {
        if location.first().starts_with('@') {
            continue;
        }
        let Some((prefix, exact, kind)) = path(location) else {
            losses.add(location, why_not(location));
            continue;
        };
        let inside = plain.iter().filter(|other| other.starts_with(&prefix)).count();
        if kind == Kind::Regex && (inside > 1 || places.iter().any(|place| place.prefix.starts_with(&prefix)))
        {
            losses.add(location, "a regular expression comes before other locations: write a route by hand");
            continue;
        }
        let context = context.inside(location);
        let origin = format!("{} {location}", location.at);
        places.push(Place { origin, kind, prefix, exact, context: context.clone() });
        collect(&context, places, losses);
    }
}

/// Named locations that no `try_files` falls back to.
fn list_unused(site: &Site<'_>, places: &[Place<'_>], losses: &Losses) {
    let contexts = places.iter().map(|place| &place.context).chain([&site.context]);
    let tried: Vec<&str> = contexts
        .filter_map(|context| context.own_last("try_files")?.args.last().map(String::as_str))
        .collect();
    for location in site.context.own_all("location").filter(|location| location.first().starts_with('@')) {
        if !tried.contains(&location.first()) {
            losses.add(location, "only errors lead there, which pass as they are");
        }
    }
}

fn why_not(location: &Directive) -> &'static str {
    if location.first().starts_with('~') {
        "routes have no regular expressions: write a route for each prefix or path"
    } else {
        "a path begins with /"
    }
}

/// The path of a location, whether it must be exact, and how it was said.
fn path(location: &Directive) -> Option<(String, bool, Kind)> {
    let words: String = location.args.join(" ");
    let (exact, path) = if let Some(path) = words.strip_prefix('=') {
        (true, path)
    } else if let Some(path) = words.strip_prefix("^~") {
        (false, path)
    } else if let Some(regex) = words.strip_prefix('~') {
        return literal(regex.trim_start());
    } else {
        (false, words.as_str())
    };
    let path = path.trim_start();
    path.starts_with('/').then(|| (path.to_owned(), exact, Kind::Location))
}

/// `^/api/`, `^/api/(.*)$`, `^/api$`: regular expressions that are none.
fn literal(regex: &str) -> Option<(String, bool, Kind)> {
    let path = regex.strip_prefix('^').filter(|path| path.starts_with('/'))?;
    let open = ["(.*)$", ".*$", "(.*)", ".*"].iter().find_map(|end| path.strip_suffix(end));
    let exact = open.is_none() && path.ends_with('$');
    let path = open.unwrap_or(path).trim_end_matches('$');
    let is_plain =
        path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_'));
    is_plain.then(|| (path.to_owned(), exact, Kind::Regex))
}

fn add_slashes<'a>(site: &Site<'a>, places: &mut Vec<Place<'a>>) {
    let mut slashes = Vec::new();
    for place in places.iter().filter(|place| place.kind == Kind::Location && !place.exact) {
        let Some(bare) = place.prefix.strip_suffix('/').filter(|bare| !bare.is_empty()) else { continue };
        let is_taken = places.iter().any(|other| other.prefix == bare);
        if !is_taken && place.context.own_last("proxy_pass").is_some() {
            let origin = format!("{}: nginx sends {bare} there", place.origin);
            let context = site.context.clone();
            slashes.push(Place { origin, kind: Kind::Slash, prefix: bare.to_owned(), exact: true, context });
        }
    }
    places.extend(slashes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_nginx::{read, sites};

    fn shown(server: &str) -> (Vec<String>, usize) {
        let main =
            read::parse(&format!("http {{ server {{ {server} }} }}"), &"nginx.conf".into(), 0).unwrap();
        let losses = Losses::default();
        let sites = sites::sites(&Context::of(&main, "http"), &losses);
        let places = places(&sites[0], &losses);
        let shown = |place: &Place<'_>| {
            format!("{:?} {}{}", place.kind, if place.exact { "= " } else { "" }, place.prefix)
        };
        (places.iter().map(shown).collect(), losses.into_list().len())
    }

    #[test]
    fn locations_are_flattened_and_the_rest_is_there() {
        let server = "location /a { location /a/b {} } location = /c {} location ^~ /d {} location =/e {}";
        let wanted =
            ["Location /a", "Location /a/b", "Location = /c", "Location /d", "Location = /e", "Rest /"];
        assert_eq!(shown(server), (wanted.map(str::to_owned).to_vec(), 0));
        assert_eq!(shown("location / {}").0, ["Location /"]);
        assert_eq!(shown("return 404; location /a {}").0, ["Rest /"]);
    }

    #[test]
    fn a_path_without_its_slash_is_sent_on() {
        let proxied = "location /a/ { proxy_pass http://b; } location / {}";
        assert_eq!(shown(proxied).0, ["Location /a/", "Location /", "Slash = /a"]);
        let taken = "location /a/ { proxy_pass http://b; } location = /a {} location / {}";
        assert_eq!(shown(taken).0, ["Location /a/", "Location = /a", "Location /"]);
    }

    #[test]
    fn only_plain_regular_expressions_are_carried() {
        let (shown_places, lost) =
            shown("location ~ ^/a/ {} location ~ ^/b$ {} location ~* \\.php$ {} location ~ /c {}");
        assert_eq!((shown_places.len(), lost), (3, 2));
        assert_eq!(shown_places, ["Regex /a/", "Regex = /b", "Rest /"]);
        let (_, lost) = shown("location ~ ^/a/ {} location /a/b/ {}");
        assert_eq!(lost, 1, "in nginx the expression would come before the longer prefix");
    }
}
