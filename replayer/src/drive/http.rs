//! Which version of HTTP a captured connection is replayed in, and so which requests share a connection, and how.
//!
//! One rule for all that ask: the drive itself, the preflight that counts connections, and the comparison with the
//! capture. On HTTP/1.1 a lane's requests follow each other, so what overlapped on an HTTP/2 connection has lanes of its
//! own there ([`crate::sessions`]); on HTTP/2 all of a captured connection is one lane, side by side.

use std::fmt;

use clap::ValueEnum;

use crate::measure::http::{ByVersion, Version};
use crate::plan::Plan;
use crate::sessions::Session;

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
        lanes(session, |recorded| self.plays(recorded))
    }
}

/// Connections that the sessions have in the capture.
pub(crate) fn captured_connections(sessions: &[Session]) -> ByVersion {
    let mut all = ByVersion::default();
    for session in sessions {
        all.merge(of_session(session));
    }
    all
}

/// The same of the planned users.
pub(super) fn planned_connections(plan: &Plan, sessions: &[Session]) -> ByVersion {
    let of_sessions: Vec<ByVersion> = sessions.iter().map(of_session).collect();
    let mut all = ByVersion::default();
    plan.clones().for_each(|clone| all.merge(of_sessions[clone.session]));
    all
}

fn of_session(session: &Session) -> ByVersion {
    let mut counts = ByVersion::default();
    for lane in lanes(session, |recorded| recorded) {
        counts.add(lane.recorded);
    }
    counts
}

fn lanes(session: &Session, plays: impl Fn(Version) -> Version) -> Vec<LanePlan> {
    let mut lanes: Vec<(u64, LanePlan)> = Vec::new();
    for steps in in_order(session) {
        // A login that a repair put before the others is of another session: the last step is the connection's own.
        let Some(last) = steps.last().map(|step| &session.steps[*step].exchange) else { continue };
        let recorded = Version::of(last);
        let lane = LanePlan { steps, recorded, plays: plays(recorded) };
        let is_same = |(id, other): &&mut (u64, LanePlan)| {
            *id == last.connection && [other.plays, lane.plays] == [Version::Http2; 2]
        };
        match lanes.iter_mut().find(is_same) {
            Some((_, shared)) => shared.steps.extend(lane.steps),
            None => lanes.push((last.connection, lane)),
        }
    }
    let sorted = lanes.into_iter().map(|(_, mut lane)| {
        lane.steps.sort_unstable();
        lane
    });
    sorted.collect()
}

/// The steps by the connections that HTTP/1.1 needs.
fn in_order(session: &Session) -> Vec<Vec<usize>> {
    let mut lanes: Vec<Vec<usize>> = Vec::new();
    for (index, step) in session.steps.iter().enumerate() {
        if lanes.len() <= step.connection {
            lanes.resize(step.connection + 1, Vec::new());
        }
        lanes[step.connection].push(index);
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
    use crate::sessions::Step;
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
        let lanes = Protocols { http, may_speak_http2 }.lanes(&session);
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
