//! Which version of HTTP a captured connection is replayed in, and so which requests share a connection, and how.
//!
//! One rule for all that ask: the drive itself, the preflight that counts connections, and the comparison with the
//! capture. On HTTP/1.1 a lane's requests follow each other, so what overlapped on an HTTP/2 connection has lanes of its
//! own there ([`crate::sessions`]); on HTTP/2 all of a captured connection is one lane, side by side.

use std::fmt;

use clap::ValueEnum;

use crate::measure::http::{ByVersion, Version};
use crate::plan::Plan;
use crate::sessions::{Outline, Outlines, Session, Step, StepOutline};

/// The user's word on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Http {
    /// As captured where the target's TLS offers it. A target without TLS is spoken to in HTTP/1.1.
    #[default]
    Recorded,
    /// Everything in HTTP/1.1.
    #[value(name = "1.1")]
    Http1,
    /// Everything in HTTP/2, without TLS by prior knowledge (h2c).
    #[value(name = "2")]
    Http2,
}

/// The rule for one target.
#[derive(Debug, Clone, Copy)]
pub struct Protocols {
    pub(crate) http: Http,
    /// It has TLS, and has not chosen HTTP/1.1 when both were offered.
    pub(crate) may_speak_http2: bool,
}

/// What goes over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LanePlan {
    /// In order of their instants.
    pub(crate) steps: Vec<usize>,
    pub(crate) recorded: Version,
    pub(crate) plays: Version,
}

impl Protocols {
    /// The version that is asked for where `recorded` was spoken.
    pub(crate) fn plays(self, recorded: Version) -> Version {
        match (self.http, recorded) {
            (Http::Http2, _) => Version::Http2,
            (Http::Recorded, Version::Http2) if self.may_speak_http2 => Version::Http2,
            (Http::Recorded | Http::Http1, _) => Version::Http1,
        }
    }

    /// The lanes of a session, in order of their first use.
    pub(crate) fn lanes(self, session: &Session) -> Vec<LanePlan> {
        lanes(session.steps.iter().map(Carried::of), |recorded| self.plays(recorded))
    }

    /// The same of its outline.
    pub(crate) fn outlined_lanes(self, session: Outline<'_>) -> Vec<LanePlan> {
        lanes(session.steps.iter().map(Carried::outlined), |recorded| self.plays(recorded))
    }
}

/// What carried a step.
#[derive(Debug, Clone, Copy)]
struct Carried {
    /// Which of the connections that HTTP/1.1 needs.
    lane: usize,
    /// Which of the captured ones.
    connection: u64,
    recorded: Version,
}

impl Carried {
    fn of(step: &Step) -> Self {
        let Step { connection, exchange, .. } = step;
        Self { lane: *connection, connection: exchange.connection, recorded: Version::of(exchange) }
    }

    fn outlined(step: &StepOutline) -> Self {
        Self { lane: step.connection as usize, connection: step.captured.into(), recorded: step.version }
    }
}

/// Connections that the sessions have in the capture.
pub(crate) fn captured_connections(sessions: &Outlines) -> ByVersion {
    let mut all = ByVersion::default();
    for session in sessions.iter() {
        all.merge(of_session(session));
    }
    all
}

/// The same of the planned users.
pub(super) fn planned_connections(plan: &Plan, sessions: &Outlines) -> ByVersion {
    let of_sessions: Vec<ByVersion> = sessions.iter().map(of_session).collect();
    let mut all = ByVersion::default();
    plan.clones().for_each(|clone| all.merge(of_sessions[clone.session]));
    all
}

fn of_session(session: Outline<'_>) -> ByVersion {
    let mut counts = ByVersion::default();
    for lane in lanes(session.steps.iter().map(Carried::outlined), |recorded| recorded) {
        counts.add(lane.recorded);
    }
    counts
}

fn lanes(steps: impl Iterator<Item = Carried>, plays: impl Fn(Version) -> Version) -> Vec<LanePlan> {
    let mut lanes: Vec<(u64, LanePlan)> = Vec::new();
    for carried in in_order(steps) {
        // A login that a repair put before the others is of another session: the last step is the connection's own.
        let Some(Carried { connection, recorded, .. }) = carried.last().map(|(_, last)| *last) else {
            continue;
        };
        let steps = carried.into_iter().map(|(step, _)| step).collect();
        let lane = LanePlan { steps, recorded, plays: plays(recorded) };
        let is_same = |(id, other): &&mut (u64, LanePlan)| {
            *id == connection && [other.plays, lane.plays] == [Version::Http2; 2]
        };
        match lanes.iter_mut().find(is_same) {
            Some((_, shared)) => shared.steps.extend(lane.steps),
            None => lanes.push((connection, lane)),
        }
    }
    let sorted = lanes.into_iter().map(|(_, mut lane)| {
        lane.steps.sort_unstable();
        lane
    });
    sorted.collect()
}

/// The steps by the connections that HTTP/1.1 needs.
fn in_order(steps: impl Iterator<Item = Carried>) -> Vec<Vec<(usize, Carried)>> {
    let mut lanes: Vec<Vec<(usize, Carried)>> = Vec::new();
    for (index, carried) in steps.enumerate() {
        if lanes.len() <= carried.lane {
            lanes.resize(carried.lane + 1, Vec::new());
        }
        lanes[carried.lane].push((index, carried));
    }
    lanes
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recorded => "recorded",
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        })
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Exchange;

    use super::*;
    use Version::{Http1, Http2};

    /// (lane on HTTP/1.1, captured connection, version) of each step.
    fn session(steps: &[(usize, u64, u8)]) -> Session {
        let step = |&(connection, id, http_version): &(usize, u64, u8)| Step {
            exchange: Exchange { connection: id, http_version, ..Exchange::default() },
            offset_us: 0,
            connection,
            holes: Vec::new(),
        };
        Session { key: String::new(), start_ns: 0, steps: steps.iter().map(step).collect(), orphan: false }
    }

    fn lanes_of(http: Http, may_speak_http2: bool) -> Vec<(Vec<usize>, Version, Version)> {
        // Connection 7 is HTTP/2 and had two streams at once; a repaired login stands before them. 8 is HTTP/1.1.
        let session = session(&[(0, 99, 11), (0, 7, 20), (2, 7, 20), (1, 8, 11), (0, 7, 20)]);
        let protocols = Protocols { http, may_speak_http2 };
        let lanes = protocols.lanes(&session);
        let outlines: Outlines = [session].into_iter().collect();
        assert_eq!(protocols.outlined_lanes(outlines.get(0)), lanes);
        lanes.into_iter().map(|lane| (lane.steps, lane.recorded, lane.plays)).collect()
    }

    #[test]
    fn what_shared_an_http_2_connection_shares_it_again_where_the_target_speaks_it() {
        let shared = [(vec![0, 1, 2, 4], Http2, Http2), (vec![3], Http1, Http1)];
        assert_eq!(lanes_of(Http::Recorded, true), shared);
        let parted = [(vec![0, 1, 4], Http2, Http1), (vec![3], Http1, Http1), (vec![2], Http2, Http1)];
        assert_eq!(lanes_of(Http::Recorded, false), parted);
        assert_eq!(lanes_of(Http::Http1, true), parted);
        let all = [(vec![0, 1, 2, 4], Http2, Http2), (vec![3], Http1, Http2)];
        assert_eq!(lanes_of(Http::Http2, false), all);
    }
}
