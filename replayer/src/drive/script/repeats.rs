//! Which captured requests were retries: sent again because the same one had just failed.
//!
//! A retry is the same method, target and body as an earlier request of the session that had ended before with
//! 429, 5xx or no answer. A request that the user also repeats after a success, or at once, is a poll, and none
//! of its repetitions is a retry.

use std::collections::HashMap;

use kingtide_common::exchange::Exchange;

use super::end_us;
use crate::sessions::Session;

/// For each step, the earlier one that it is a retry of.
pub(super) fn repeats(session: &Session) -> Vec<Option<usize>> {
    let mut repeats = vec![None; session.steps.len()];
    for alike in alike(session) {
        let pairs = || alike.windows(2).map(|pair| (pair[0], pair[1]));
        if pairs().all(|(first, second)| is_retry(session, first, second)) {
            pairs().for_each(|(first, second)| repeats[second] = Some(first));
        }
    }
    repeats
}

/// The steps of each request, in order.
fn alike(session: &Session) -> Vec<Vec<usize>> {
    let mut by_target: HashMap<(&str, &str), Vec<Vec<usize>>> = HashMap::new();
    for (index, step) in session.steps.iter().enumerate() {
        let exchange = &step.exchange;
        let groups = by_target.entry((&exchange.method, &exchange.target)).or_default();
        let is_same = |group: &Vec<usize>| is_same_body(&session.steps[group[0]].exchange, exchange);
        match groups.iter().position(is_same) {
            Some(group) => groups[group].push(index),
            None => groups.push(vec![index]),
        }
    }
    by_target.into_values().flatten().collect()
}

fn is_same_body(one: &Exchange, other: &Exchange) -> bool {
    one.request_body_bytes == other.request_body_bytes && one.request_body == other.request_body
}

fn is_retry(session: &Session, first: usize, second: usize) -> bool {
    let has_failed = session.steps[first].exchange.status.is_none_or(|status| status == 429 || status >= 500);
    has_failed && end_us(session, first) <= session.steps[second].offset_us
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Body;
    use kingtide_common::stages::Instants;

    use super::*;
    use crate::sessions::Step;

    /// Requests one second apart, each answered within 100 ms.
    fn session(requests: &[(&str, &str, Option<u16>)]) -> Session {
        let step = |(second, (target, body, status)): (u64, &(&str, &str, Option<u16>))| Step {
            exchange: Exchange {
                method: "POST".to_owned(),
                target: (*target).to_owned(),
                request_body: Body::Json((*body).to_owned()),
                status: *status,
                instants: Instants { done_us: Some(100_000), ..Instants::default() },
                ..Exchange::default()
            },
            offset_us: second * 1_000_000,
            connection: 0,
            holes: Vec::new(),
        };
        let steps = (0..).zip(requests).map(step).collect();
        Session { key: String::new(), start_ns: 0, steps, orphan: false }
    }

    #[test]
    fn a_retry_is_the_same_request_after_its_failure() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str, Option<u16>)], &'a [Option<usize>]);
        let cases: [Case<'_>; 7] = [
            ("after a 503", &[("/a", "1", Some(503)), ("/a", "1", Some(201))], &[None, Some(0)]),
            (
                "twice, with something between",
                &[("/a", "1", Some(429)), ("/b", "1", Some(200)), ("/a", "1", None), ("/a", "1", Some(201))],
                &[None, None, Some(0), Some(2)],
            ),
            ("after no answer", &[("/a", "1", None), ("/a", "1", Some(500))], &[None, Some(0)]),
            ("another body", &[("/a", "1", Some(503)), ("/a", "2", Some(201))], &[None, None]),
            ("after a success", &[("/a", "1", Some(200)), ("/a", "1", Some(200))], &[None, None]),
            ("after a mistake of the user", &[("/a", "1", Some(422)), ("/a", "1", Some(201))], &[None, None]),
            (
                "a poll that fails at times",
                &[("/a", "1", Some(200)), ("/a", "1", Some(503)), ("/a", "1", Some(200))],
                &[None, None, None],
            ),
        ];
        for (case, requests, expected) in cases {
            assert_eq!(repeats(&session(requests)), expected, "{case}");
        }
    }

    #[test]
    fn what_began_before_the_failure_was_no_retry() {
        let mut session = session(&[("/a", "1", Some(503)), ("/a", "1", Some(201))]);
        session.steps[1].offset_us = 50_000;
        assert_eq!(repeats(&session), [None, None]);
    }
}
