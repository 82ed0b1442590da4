//! Which route a request belongs to in the report: its method and its path with the ids taken out.

use std::collections::HashMap;

use kingtide_common::exchange::Exchange;

use crate::sessions::Session;
use crate::sessions::route::template;

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
        let label = template(&exchange.method, &exchange.target);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::Step;

    fn session(targets: impl Iterator<Item = String>) -> Session {
        let exchange = |target| Exchange { method: "GET".to_owned(), target, ..Exchange::default() };
        let step = |target| Step { exchange: exchange(target), offset_us: 0, connection: 0, holes: vec![] };
        Session { key: String::new(), start_ns: 0, steps: targets.map(step).collect(), orphan: false }
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
