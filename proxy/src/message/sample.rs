//! Heads for tests.

use super::{Fields, Line, Part, RequestFacts, RequestHead};

impl RequestHead {
    /// A head with these fields; the rest as `HTTP/1.1` without a body.
    pub(crate) fn sample(method: &str, target: &str, host: &str, fields: &[(&str, &str)]) -> Self {
        let mut text = Vec::new();
        let mut add = |part: &str| {
            let start = text.len();
            text.extend_from_slice(part.as_bytes());
            Part::new(start, text.len())
        };
        let (method, target, host) = (add(method), add(target), add(host));
        let lines = fields.iter().map(|(name, value)| Line { name: add(name), value: add(value) }).collect();
        Self {
            fields: Fields::new(text, lines),
            facts: RequestFacts { method, target, host, ..Default::default() },
        }
    }
}
