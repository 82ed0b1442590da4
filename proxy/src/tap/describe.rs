//! Observation → exchange: the only way into a capture, and it leads through the redactor.

use kingtide_common::body::describe::Describer;
use kingtide_common::exchange::{Attempt, Exchange, Header};

use super::Observation;
use crate::clock::Clock;
use crate::message::Fields;
use crate::passage::{self, Passage};
use crate::server_timing::server_timings;

/// Turns observations into exchanges.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) describer: Describer,
    pub(super) clock: Clock,
}

impl Recorder {
    pub(super) fn exchange(&self, observation: Observation) -> Exchange {
        let Observation { id, passage, bodies, .. } = observation;
        let (connection, marks, request) = (&passage.connection, &passage.marks, &passage.request);
        let response = passage.response.as_ref();
        Exchange {
            id,
            connection: connection.id,
            started_ns: self.clock.utc_ns(marks.started_ns),
            connection_age_us: marks.started_ns.saturating_sub(connection.accepted_ns) / 1000,
            tls_us: passage.handshake_us(),
            accept_queue_ms: connection.accept_queue_ms.filter(|_| passage.number == 1),
            instants: marks.instants(),
            upstream_reused: passage.upstream_reused(),
            method: self.describer.redactor.text(request.method()).into_owned(),
            host: self.describer.redactor.text(request.host()).into_owned(),
            target: self.describer.redactor.target(&String::from_utf8_lossy(request.target())),
            route: passage.route.to_string(),
            client: self.describer.redactor.fingerprint(passage.client.to_string().as_bytes()),
            http_version: request.facts.version.number(),
            request_headers: self.headers(&request.fields),
            request_body: self.describer.body(bodies.request),
            request_body_bytes: passage.request_body_bytes,
            pacing: bodies.pacing,
            status: passage.status,
            response_headers: response.map(|response| self.headers(&response.fields)).unwrap_or_default(),
            response_body: self.describer.body(bodies.response),
            response_body_bytes: passage.response_body_bytes,
            server_timing: response
                .map(|response| server_timings(&response.fields).collect())
                .unwrap_or_default(),
            answered_by: passage.answered_by,
            ending: passage.ending,
            end: Some(passage.end_code().iter().collect()),
            refused_by: passage.refused_by.map(|limit| limit.name().to_owned()),
            would_refuse: passage.would_refuse.iter().map(|limit| limit.name().to_owned()).collect(),
            attempts: attempts(&passage),
            synthesised: Vec::new(),
        }
    }

    fn headers(&self, fields: &Fields) -> Vec<Header> {
        fields.iter().map(|(name, value)| self.describer.header(name, value)).collect()
    }
}

/// A single attempt is told by the exchange's own instants.
fn attempts(passage: &Passage) -> Vec<Attempt> {
    let several = passage.attempts.len() > 1;
    passage.attempts.iter().filter(|_| several).map(attempt).collect()
}

fn attempt(attempt: &passage::Attempt) -> Attempt {
    let since_pick_us = |at_ns: u64| at_ns.saturating_sub(attempt.picked_ns) / 1000;
    Attempt {
        peer: attempt.peer.to_string(),
        connect_us: attempt.connected_ns.map(since_pick_us),
        head_us: attempt.head_ns.map(since_pick_us),
        reused: attempt.reused,
        status: attempt.status,
    }
}
