//! Which route a request belongs to in the report: its method and its path with the ids taken out.

use std::collections::HashMap;

use kingtide_common::exchange::Exchange;

use crate::sessions::Session;

/// More different routes than this are counted as one: each has its own histograms.
const ROUTES_MAX: usize = 64;
const OTHER: &str = "(other routes)";

/// The routes of a capture, numbered by first use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    labels: Vec<String>,
    /// Route of each step of each session.
    of_step: Vec<Vec<usize>>,
}

impl Routes {
    pub fn of(sessions: &[Session]) -> Self {
        let mut routes = Self::default();
        let mut known = HashMap::new();
        for session in sessions {
            let numbers = session.steps.iter().map(|step| routes.number(&mut known, &step.exchange));
            let numbers = numbers.collect();
            routes.of_step.push(numbers);
        }
        routes
    }

    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    pub fn route(&self, session: usize, step: usize) -> usize {
        self.of_step[session][step]
    }

    fn number(&mut self, known: &mut HashMap<String, usize>, exchange: &Exchange) -> usize {
        let label = label(exchange);
        if let Some(number) = known.get(&label) {
            return *number;
        }
        let number = self.labels.len().min(ROUTES_MAX - 1);
        if number == self.labels.len() {
            self.labels.push(if number == ROUTES_MAX - 1 { OTHER.to_owned() } else { label.clone() });
        }
        known.insert(label, number);
        number
    }
}

/// `POST /api/students/{id}/recordings`: method and path, with `{id}` where a segment is an id.
pub fn label(exchange: &Exchange) -> String {
    let segments: Vec<&str> =
        exchange.path().split('/').map(|segment| if is_id(segment) { "{id}" } else { segment }).collect();
    format!("{} {}", exchange.method, segments.join("/"))
}

/// Numbers, UUIDs and other long hexadecimal words, fingerprints.
fn is_id(segment: &str) -> bool {
    const HEX_ID_BYTES_MIN: usize = 16;
    let is_number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_number || (segment.len() >= HEX_ID_BYTES_MIN && is_hex) || segment.contains("{fp:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Step;

    fn exchange(method: &str, target: &str) -> Exchange {
        Exchange { method: method.to_owned(), target: target.to_owned(), ..Exchange::default() }
    }

    fn session(targets: impl Iterator<Item = String>) -> Session {
        let step =
            |target: String| Step { exchange: exchange("GET", &target), offset_us: 0, connection: 0, holes: vec![] };
        Session { key: String::new(), start_ns: 0, steps: targets.map(step).collect(), orphan: false }
    }

    #[test]
    fn ids_are_taken_out_of_paths() {
        let labels = [
            ("/api/activities/17?page=2", "GET /api/activities/{id}"),
            ("/u/6f9619ff-8b86-d011-b42d-00cf4fc964ff/x", "GET /u/{id}/x"),
            ("/t/{fp:0123456789abcdef.40}", "GET /t/{id}"),
            ("/", "GET /"),
            ("/api/v1/feed", "GET /api/v1/feed"),
        ];
        for (target, expected) in labels {
            assert_eq!(label(&exchange("GET", target)), expected);
        }
    }

    #[test]
    fn routes_are_numbered_by_first_use_and_bounded() {
        let routes = Routes::of(&[session(["/a", "/b", "/a"].map(String::from).into_iter())]);
        assert_eq!(routes.of_step, [[0, 1, 0]]);
        let many = Routes::of(&[session((0..100).map(|number| format!("/page-{number}")))]);
        assert_eq!((many.labels.len(), many.labels[ROUTES_MAX - 1].as_str()), (ROUTES_MAX, OTHER));
        assert_eq!(many.route(0, 99), ROUTES_MAX - 1);
    }
}
