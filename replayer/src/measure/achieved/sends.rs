//! What is kept of the samples for it.

use kingtide_common::latency::LatencyRecorder;

use crate::measure::{ClientStage, Sample};
use crate::plan::dispersion::WindowCounts;

/// Of one worker, or of a whole run after merging.
#[derive(Debug, Clone, Default)]
pub struct Sends {
    /// Where the plan has its requests, whatever became of them.
    pub planned: WindowCounts,
    /// Where they could have gone out: moved by late answers and slow connections, not by this generator.
    pub ready: WindowCounts,
    /// Where they went out.
    pub sent: WindowCounts,
    /// Time that the planned bodies take by their pacing, all together.
    pub uploads_planned_ns: u64,
    /// Time that bodies were on their way.
    pub uploads_ns: u64,
    /// Time that connections were in use: from their first request to the end of their last answer, pauses included.
    pub connections_ns: u64,
    /// From a clone's first request to the end of its last answer.
    pub sessions: LatencyRecorder,
    /// From the answer that a person had seen last to their next request; 0 where the request did not wait for it.
    pub think: LatencyRecorder,
}

/// From the first byte sent to the end of the last answer, of a connection or a clone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stretch(Option<(u64, u64)>);

impl Sends {
    /// A request that the plan has then, with a body that takes so long.
    pub fn scheduled(&mut self, at_ns: u64, upload_ns: u64) {
        self.planned.add(at_ns / 1_000);
        self.uploads_planned_ns += upload_ns;
    }

    pub fn ended(&mut self, sample: &Sample) {
        let Some(sent_ns) = sample.sent_ns else { return };
        self.ready.add(sample.ready_ns.min(sent_ns) / 1_000);
        self.sent.add(sent_ns / 1_000);
        if sample.upload.body_bytes > 0 {
            // Of one that did not go out whole, the time of its last attempt.
            let began_ns = sample.resent_ns.unwrap_or(sent_ns);
            let broken_ns = sample.ended_ns.saturating_sub(began_ns);
            self.uploads_ns += sample.stage_ns(ClientStage::Send).unwrap_or(broken_ns);
        }
    }

    /// A clone is done with its connections.
    pub fn visited(&mut self, connections: impl IntoIterator<Item = Stretch>) {
        let mut whole = Stretch::default();
        for connection in connections {
            self.connections_ns += connection.ns().unwrap_or_default();
            whole.join(connection);
        }
        whole.ns().into_iter().for_each(|ns| self.sessions.record_ns(ns));
    }

    pub fn merge(&mut self, other: &Self) {
        self.planned.merge(&other.planned);
        self.ready.merge(&other.ready);
        self.sent.merge(&other.sent);
        self.uploads_planned_ns += other.uploads_planned_ns;
        self.uploads_ns += other.uploads_ns;
        self.connections_ns += other.connections_ns;
        self.sessions.merge(&other.sessions);
        self.think.merge(&other.think);
    }
}

impl Stretch {
    /// Nothing of a request that was not sent.
    pub fn of(sample: &Sample) -> Self {
        Self(sample.sent_ns.map(|sent_ns| (sent_ns, sample.ended_ns)))
    }

    /// From the first of both to the last.
    pub fn join(&mut self, other: Self) {
        self.0 = match (self.0, other.0) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (one, other) => one.or(other),
        };
    }

    pub fn ns(self) -> Option<u64> {
        self.0.map(|(from, to)| to.saturating_sub(from))
    }
}
