//! Which exchanges of a capture are wanted: by time, route, method, status, host, client and session.
//!
//! Pure. Several values of one kind are alternatives; kinds add up: `--method POST --status 5xx,none` is
//! every POST that got a 5xx or no answer. What becomes of the rest of a session that has such an exchange
//! is for the caller to decide; [`members`] tells which exchanges belong together.

use kingtide_common::exchange::Exchange;

use crate::sessions::route;

pub mod members;
mod pattern;
mod period;
mod status;

pub use pattern::Pattern;
pub use period::{Instant, InstantError, Period};
pub use status::{StatusError, Statuses};

/// What an exchange must be like. Without any criterion all are wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Route template (`POST /api/users/{id}`), path template, or the proxy's name of the route.
    pub routes: Vec<Pattern>,
    /// Compared without case.
    pub methods: Vec<String>,
    pub statuses: Vec<Statuses>,
    /// Compared without case.
    pub hosts: Vec<Pattern>,
    /// Fingerprints of client addresses, or their first digits.
    pub clients: Vec<String>,
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub fn takes(&self, exchange: &Exchange) -> bool {
        self.takes_route(exchange)
            && any(&self.methods, |method| method.eq_ignore_ascii_case(&exchange.method))
            && any(&self.statuses, |statuses| statuses.contains(exchange.status))
            && any(&self.hosts, |host| host.matches(&exchange.host.to_ascii_lowercase()))
            && any(&self.clients, |client| is_client(&exchange.client, client))
    }

    fn takes_route(&self, exchange: &Exchange) -> bool {
        if self.routes.is_empty() {
            return true;
        }
        let template = route::template(&exchange.method, &exchange.target);
        let path = template.split_once(' ').map_or("", |(_, path)| path);
        let names = [template.as_str(), path, &exchange.route];
        self.routes.iter().any(|route| names.iter().any(|name| route.matches(name)))
    }
}

/// Whether one of the alternatives holds, or there are none to choose from.
fn any<T>(alternatives: &[T], holds: impl Fn(&T) -> bool) -> bool {
    alternatives.is_empty() || alternatives.iter().any(holds)
}

/// `{fp:524fdbffbbfd087a.9}`, its hexadecimal digits, or the first of them.
fn is_client(fingerprint: &str, wanted: &str) -> bool {
    const PREFIX: &str = "{fp:";
    let digits = fingerprint.strip_prefix(PREFIX).unwrap_or(fingerprint);
    !wanted.is_empty() && (fingerprint == wanted || digits.starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::scene::{get, post};

    fn exchange() -> Exchange {
        let scene = post("/api/users/4711/photos?x=1").refused(503);
        Exchange { host: "App.Test:8080".to_owned(), route: "uploads".to_owned(), ..scene.0 }
    }

    fn routes(texts: &[&str]) -> Selection {
        let routes = texts.iter().map(|text| Pattern::new(text)).collect();
        Selection { routes, ..Selection::default() }
    }

    #[test]
    fn a_route_is_known_by_its_template_its_path_or_its_name() {
        for name in ["POST /api/users/{id}/photos", "/api/users/{id}/photos", "uploads", "/api/*", "*photos"]
        {
            assert!(routes(&[name]).takes(&exchange()), "{name}");
        }
        for name in ["GET /api/users/{id}/photos", "/api/users/4711/photos", "upload", "/api"] {
            assert!(!routes(&[name]).takes(&exchange()), "{name}");
        }
        assert!(routes(&["/nowhere", "uploads"]).takes(&exchange()));
    }

    #[test]
    fn kinds_add_up_and_values_of_one_kind_are_alternatives() {
        let selection = Selection {
            methods: vec!["post".to_owned(), "PUT".to_owned()],
            statuses: vec!["5xx".parse().unwrap()],
            hosts: vec![Pattern::new("app.test*")],
            ..Selection::default()
        };
        assert!(selection.takes(&exchange()));
        assert!(!selection.takes(&Exchange { status: Some(200), ..exchange() }));
        assert!(!selection.takes(&Exchange { host: "other".to_owned(), ..exchange() }));
        assert!(!selection.takes(&get("/").refused(503).0));
        assert!(Selection::default().takes(&exchange()));
    }

    #[test]
    fn a_client_is_known_by_its_fingerprint_or_its_first_digits() {
        let of = |client: &str| Selection { clients: vec![client.to_owned()], ..Selection::default() };
        let exchange = Exchange { client: "{fp:524fdbffbbfd087a.9}".to_owned(), ..exchange() };
        for client in ["{fp:524fdbffbbfd087a.9}", "524fdbffbbfd087a", "524f"] {
            assert!(of(client).takes(&exchange), "{client}");
        }
        assert!(!of("087a").takes(&exchange) && !of("").takes(&exchange));
    }
}
