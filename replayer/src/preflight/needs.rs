//! What a plan holds at once if the target answers as the captured one did: one pass over its clones.
//!
//! Exact, not in buckets: thousands of short connections within a second are few at once. Memory follows the clones
//! under way, not the plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::drive::{CONNECT_LEAD, LanePlan, Protocols, Uplink};
use crate::plan::Plan;
use crate::sessions::{Outline, Outlines, StepOutline};

/// Most at once, of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// From their opening before their first request to the answer to their last.
    pub(super) connections: u64,
    pub(super) in_flight: u64,
    /// Of open connections and of those that keep theirs after the close.
    pub(super) ports: u64,
}

/// From and to, microseconds.
type Span = (u64, u64);

/// Of one session, from its start.
#[derive(Default)]
struct Spans {
    connections: Vec<Span>,
    requests: Vec<Span>,
}

impl Needs {
    /// `port_held`: how long a closed connection keeps its port.
    pub(super) fn of(
        plan: &Plan,
        sessions: &Outlines,
        uplink: Uplink,
        protocols: Protocols,
        port_held: Duration,
    ) -> Self {
        // Worked out for each clone in the same place: of all sessions they would take more than their outlines.
        let mut spans = Spans::default();
        let [mut connections, mut requests, mut ports] = [(); 3].map(|()| Sweep::default());
        // Opened ahead is, for how many there are at once, the same as closed later.
        let (lead_us, held_us) = (micros(CONNECT_LEAD), micros(port_held));
        for clone in plan.clones() {
            spans.set(plan, sessions.get(clone.session), uplink, protocols);
            connections.add(clone.start_us, &spans.connections, lead_us);
            ports.add(clone.start_us, &spans.connections, lead_us.saturating_add(held_us));
            requests.add(clone.start_us, &spans.requests, 0);
        }
        Self { connections: connections.most(), in_flight: requests.most(), ports: ports.most() }
    }
}

impl Spans {
    fn set(&mut self, plan: &Plan, session: Outline<'_>, uplink: Uplink, protocols: Protocols) {
        let span = |step: &StepOutline| {
            let from_us = plan.scaled_us(step.offset_us);
            (from_us, from_us.saturating_add(taken_us(step, uplink)))
        };
        self.requests.clear();
        self.requests.extend(session.steps.iter().map(span));
        let joined = |one: Span, other: Span| (one.0.min(other.0), one.1.max(other.1));
        let of_lane = |lane: LanePlan| lane.steps.iter().map(|step| self.requests[*step]).reduce(joined);
        self.connections.clear();
        self.connections.extend(protocols.outlined_lanes(session).into_iter().filter_map(of_lane));
    }
}

/// From the request's first byte to its answer's last, with the upload on this uplink.
fn taken_us(step: &StepOutline, uplink: Uplink) -> u64 {
    let beside_upload_us = step.done_us.saturating_sub(step.upload_us);
    beside_upload_us.saturating_add(uplink.span_us(step))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Counts how many spans there are at once, given in order of what they are relative to.
#[derive(Default)]
struct Sweep {
    /// Instants to come; an end comes before a begin of the same instant.
    coming: BinaryHeap<Reverse<(u64, Edge)>>,
    now: u64,
    most: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    End,
    Begin,
}

impl Sweep {
    /// Spans from `start_us` on, each longer by `more_us`. No later call has an earlier start.
    fn add(&mut self, start_us: u64, spans: &[Span], more_us: u64) {
        self.pass(start_us);
        for (from_us, to_us) in spans {
            let begin_us = start_us.saturating_add(*from_us);
            let end_us = start_us.saturating_add(*to_us).saturating_add(more_us);
            self.coming.push(Reverse((begin_us, Edge::Begin)));
            // What takes no time is there all the same.
            self.coming.push(Reverse((end_us.max(begin_us.saturating_add(1)), Edge::End)));
        }
    }

    /// Everything before an instant.
    fn pass(&mut self, until_us: u64) {
        while let Some(&Reverse((_, edge))) = self.coming.peek().filter(|Reverse(next)| next.0 < until_us) {
            self.coming.pop();
            self.step(edge);
        }
    }

    fn step(&mut self, edge: Edge) {
        match edge {
            Edge::Begin => self.now += 1,
            Edge::End => self.now -= 1,
        }
        self.most = self.most.max(self.now);
    }

    fn most(mut self) -> u64 {
        self.pass(u64::MAX);
        self.most
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Exchange;
    use kingtide_common::stages::Instants;
    use kingtide_common::units::{Multiple, Seed};
    use proptest::prelude::*;

    use super::*;
    use crate::drive::Http;
    use crate::plan::{Mode, amplify};
    use crate::sessions::{Session, Step};

    const MS: u64 = 1_000;

    /// (connection, ms from the session's start, ms to its answer).
    fn session(start_ms: i64, steps: &[(usize, u64, u64)]) -> Session {
        let step = |&(connection, at_ms, taken_ms): &(usize, u64, u64)| {
            let instants = Instants { done_us: Some(taken_ms * MS), ..Instants::default() };
            let exchange = Exchange { instants, ..Exchange::default() };
            Step { exchange, offset_us: at_ms * MS, connection, holes: Vec::new() }
        };
        let steps = steps.iter().map(step).collect();
        Session { key: String::new(), start_ns: start_ms * 1_000_000, steps, orphan: false }
    }

    fn protocols(http: Http) -> Protocols {
        Protocols { http, may_speak_http2: true }
    }

    #[test]
    fn what_shares_a_connection_needs_one() {
        let session = session(0, &[(0, 0, 500), (1, 100, 100), (0, 700, 10)]);
        let sessions: Outlines = [session].into_iter().collect();
        let plan = amplify(&sessions, Multiple::new(1.0).unwrap(), Mode::Volley, Seed(1));
        let connections = |http| {
            let mut spans = Spans::default();
            spans.set(&plan, sessions.get(0), Uplink::Recorded, protocols(http));
            spans.connections
        };
        assert_eq!(connections(Http::Http1), [(0, 710 * MS), (100 * MS, 200 * MS)]);
        assert_eq!(connections(Http::Http2), [(0, 710 * MS)]);
    }

    fn needs(sessions: &[Session], multiple: f64, mode: Mode, port_held: Duration) -> [u64; 3] {
        let sessions: Outlines = sessions.iter().cloned().collect();
        let plan = amplify(&sessions, Multiple::new(multiple).unwrap(), mode, Seed(1));
        let needs = Needs::of(&plan, &sessions, Uplink::Recorded, protocols(Http::Http1), port_held);
        [needs.connections, needs.in_flight, needs.ports]
    }

    #[test]
    fn what_is_held_at_once_is_counted_and_nothing_else() {
        let none = Duration::ZERO;
        let minute = Duration::from_mins(1);
        // Idle between two requests: the connection stays, nothing is in flight.
        let idle = session(0, &[(0, 0, 10), (0, 5_000, 10)]);
        let beside = session(2_000, &[(0, 0, 10)]);
        let far = session(90_000, &[(0, 0, 10)]);
        let two_connections = session(0, &[(0, 0, 500), (1, 100, 100)]);
        let cases = [
            ("one", vec![idle.clone()], 1.0, none, [1, 1, 1]),
            ("beside an idle one", vec![idle.clone(), beside.clone()], 1.0, none, [2, 1, 2]),
            ("a minute later", vec![idle.clone(), beside, far.clone()], 1.0, minute, [2, 1, 2]),
            ("within the minute", vec![idle.clone(), session(60_000, &[(0, 0, 1)])], 1.0, minute, [1, 1, 2]),
            ("two of one user", vec![two_connections.clone()], 1.0, none, [2, 2, 2]),
            ("aligned copies", vec![two_connections], 3.0, none, [6, 6, 6]),
        ];
        for (name, sessions, multiple, port_held, expected) in cases {
            assert_eq!(needs(&sessions, multiple, Mode::Volley, port_held), expected, "{name}");
        }
        assert_eq!(needs(&[], 5.0, Mode::Crowd, minute), [0; 3]);
    }

    #[test]
    fn a_second_of_short_connections_is_few_at_once() {
        let sessions: Vec<Session> = (0..5).map(|at| session(at * 200, &[(0, 0, 20)])).collect();
        assert_eq!(needs(&sessions, 1.0, Mode::Crowd, Duration::ZERO), [1, 1, 1]);
    }

    #[test]
    fn a_slower_uplink_holds_uploads_longer() {
        let step = StepOutline { done_us: 100 * MS, body_bytes: 100_000, ..StepOutline::default() };
        assert_eq!(taken_us(&step, Uplink::Recorded), 100 * MS);
        assert_eq!(taken_us(&step, "800kbps".parse().unwrap()), 1_100 * MS);
    }

    proptest! {
        #[test]
        fn the_sweep_counts_as_looking_at_every_begin_does(
            mut spans in proptest::collection::vec((0..1_000_u64, 0..300_u64), 0..60),
        ) {
            spans.sort_unstable();
            let mut sweep = Sweep::default();
            for (start, length) in &spans {
                sweep.add(*start, &[(0, *length)], 0);
            }
            let holds = |at: u64| {
                let there = |(start, length): &&(u64, u64)| (*start..start + (*length).max(1)).contains(&at);
                spans.iter().filter(there).count() as u64
            };
            let most = spans.iter().map(|(start, _)| holds(*start)).max().unwrap_or(0);
            prop_assert_eq!(sweep.most(), most);
        }
    }
}
