//! Words for outcomes, as metrics and status pages use them.

use kingtide_common::exchange::AnsweredBy;

/// As the capture and the access log write it.
pub(crate) fn answered_by_name(answered_by: AnsweredBy) -> &'static str {
    match answered_by {
        AnsweredBy::Upstream => "upstream",
        AnsweredBy::EdgeLimit => "edge_limit",
        AnsweredBy::EdgeError => "edge_error",
        AnsweredBy::Nobody => "nobody",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_capture() {
        use AnsweredBy::{EdgeError, EdgeLimit, Nobody, Upstream};
        for answered_by in [Upstream, EdgeLimit, EdgeError, Nobody] {
            assert_eq!(serde_json::to_value(answered_by).unwrap(), answered_by_name(answered_by));
        }
    }
}
