//! The plan's busiest seconds, as sessions of their own that wait for nothing.

use std::collections::{BTreeMap, VecDeque};

use kingtide_common::exchange::{Exchange, Header};

use super::sink::ANSWER_BYTES;
use crate::plan::{Plan, releases};
use crate::sessions::{Session, Step};
use crate::store::{Filling, Store, StoreError};

pub(super) const SECONDS: u64 = 3;
const STRETCH_US: u64 = SECONDS * 1_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) sessions: Store,
    answer_bytes_max: u64,
}

impl Stretch {
    pub(super) fn busiest(plan: &Plan, store: &Store) -> Result<Self, StoreError> {
        let sessions = store.outlines();
        let from_us = busiest_us(releases(plan, sessions).map(|release| release.intended_us));
        let mut steps: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
        let coming = releases(plan, sessions).skip_while(|release| release.intended_us < from_us);
        for release in coming.take_while(|release| release.intended_us < from_us + STRETCH_US) {
            let at_us = release.intended_us - from_us;
            steps.entry(release.clone).or_default().push((at_us, release.step));
        }
        let clones = plan.clones().enumerate();
        let within = clones.filter_map(|(number, clone)| Some((steps.get(&number)?, clone.session)));
        let (mut filling, mut answer_bytes_max) = (Filling::default(), 0);
        for (steps, of) in within {
            let part = part(&store.session(of)?, steps);
            let answers = part.steps.iter().map(|step| step.exchange.response_body_bytes);
            answer_bytes_max = answers.fold(answer_bytes_max, u64::max);
            filling.push(&part)?;
        }
        Ok(Self { sessions: filling.finish()?, answer_bytes_max })
    }

    pub(super) fn rate_per_s(&self) -> f64 {
        self.sessions.outlines().requests() as f64 / SECONDS as f64
    }

    pub(super) fn answer_bytes_max(&self) -> u64 {
        self.answer_bytes_max
    }
}

/// Where the stretch with the most of these instants begins; they are in order.
fn busiest_us(instants_us: impl Iterator<Item = u64>) -> u64 {
    let mut window = VecDeque::new();
    let (mut most, mut from_us) = (0, 0);
    for at_us in instants_us {
        window.push_back(at_us);
        while window.front().is_some_and(|first_us| first_us + STRETCH_US <= at_us) {
            window.pop_front();
        }
        if window.len() > most {
            (most, from_us) = (window.len(), window[0]);
        }
    }
    from_us
}

/// Of these steps, at (µs from the stretch's start, index).
fn part(session: &Session, steps: &[(u64, usize)]) -> Session {
    let start_us = steps.first().map_or(0, |(at_us, _)| *at_us);
    let step = |&(at_us, index): &(u64, usize)| {
        let step = &session.steps[index];
        let exchange = alone(&step.exchange);
        Step { exchange, offset_us: at_us - start_us, connection: step.connection, holes: Vec::new() }
    };
    Session {
        key: session.key.clone(),
        start_ns: i64::try_from(start_us * 1_000).unwrap_or(i64::MAX),
        steps: steps.iter().map(step).collect(),
        orphan: false,
    }
}

/// A request that needs no other, says how large its answer is to be, and is out by the end of a stretch.
fn alone(captured: &Exchange) -> Exchange {
    let mut exchange = Exchange { status: Some(200), ..captured.clone() };
    let answer = Header { name: ANSWER_BYTES.to_owned(), value: captured.response_body_bytes.to_string() };
    exchange.request_headers.push(answer);
    let span_us = exchange.pacing.last().map_or(0, |last| last.at_us);
    if span_us > STRETCH_US {
        for point in &mut exchange.pacing {
            point.at_us = point.at_us / 1_000 * STRETCH_US / (span_us / 1_000);
        }
    }
    exchange
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::PacingPoint;
    use kingtide_common::units::{Multiple, Seed};

    use super::*;
    use crate::plan::{Mode, amplify};

    #[test]
    fn the_busiest_stretch_is_found() {
        let seconds = |at_s: &[u64]| busiest_us(at_s.iter().map(|at_s| at_s * 1_000_000));
        assert_eq!([seconds(&[]), seconds(&[7]), seconds(&[1, 5, 6, 7, 20])], [0, 7_000_000, 5_000_000]);
        assert_eq!(seconds(&[1, 2, 4, 5]), 1_000_000, "of equals the first");
        assert_eq!(seconds(&[1, 4, 5]), 4_000_000, "its end is not in it");
    }

    #[test]
    fn its_requests_are_those_of_the_plan_at_their_distances() {
        let step = |offset_us| {
            let exchange = Exchange { status: Some(503), response_body_bytes: 70, ..Exchange::default() };
            Step { exchange, offset_us, connection: 1, holes: Vec::new() }
        };
        let session = |start_ns, steps| Session { key: String::new(), start_ns, steps, orphan: true };
        let store = Store::of([
            session(0, vec![step(0), step(8_000_000), step(9_500_000)]),
            session(9_000_000_000, vec![step(0), step(4_000_000)]),
        ])
        .unwrap();
        let plan = amplify(store.outlines(), Multiple::new(2.0).unwrap(), Mode::Volley, Seed(1));
        let stretch = Stretch::busiest(&plan, &store).unwrap();
        let found: Vec<(i64, Vec<u64>)> = stretch
            .sessions
            .outlines()
            .iter()
            .map(|session| (session.start_ns, session.steps.iter().map(|step| step.offset_us).collect()))
            .collect();
        let (first, second) = ((0, vec![0, 1_500_000]), (1_000_000_000, vec![0]));
        assert_eq!(found, [first.clone(), first, second.clone(), second]);
        assert!((stretch.rate_per_s() - 2.0).abs() < 1e-9 && stretch.answer_bytes_max() == 70);
        let exchange = &stretch.sessions.session(0).unwrap().steps[0].exchange;
        assert_eq!((exchange.status, exchange.request_headers[0].value.as_str()), (Some(200), "70"));
    }

    #[test]
    fn a_long_upload_is_out_within_the_stretch() {
        let point = |at_us, bytes| PacingPoint { at_us, bytes };
        let upload =
            Exchange { pacing: vec![point(30_000_000, 5), point(60_000_000, 9)], ..Exchange::default() };
        assert_eq!(alone(&upload).pacing, [point(1_500_000, 5), point(3_000_000, 9)]);
    }
}
