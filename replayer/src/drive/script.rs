//! What the clones of a session share: which steps follow each other on a connection, which wait for
//! which, and what must be kept of each answer. Worked out once per session, not per clone.

mod repeats;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cookies::Habits;
use super::http::{LanePlan, Protocols};
use super::request::is_title_case;
use crate::measure::http::Version;
use crate::sessions::credentials::Credentials;
use crate::sessions::{ResponsePlace, Session, Source, Step};

/// See the module. Indices are those of [`Session::steps`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Script {
    /// What goes over each connection.
    pub(super) lanes: Vec<LanePlan>,
    /// For each step, the earlier ones whose answers it needs, or whose failure it follows.
    pub(super) waits: Vec<Vec<usize>>,
    /// For each step, what later ones need of its answer.
    pub(super) demands: Vec<Vec<ResponsePlace>>,
    /// For each step, the last one that had ended before it began: a person thinks after that answer.
    pub(super) anchors: Vec<Option<usize>>,
    /// For each step, the one that it is a captured retry of.
    pub(super) repeats: Vec<Option<usize>>,
    /// For each step, the login that gave it its token.
    pub(super) logins: Vec<Option<usize>>,
    /// For each step, the places of its answer that hold a credential.
    pub(super) credentials: Credentials,
    /// What the client does with cookies.
    pub(super) habits: Habits,
    pub(super) is_title_case: bool,
}

impl Script {
    pub(super) fn of(session: &Session, credentials: Credentials, protocols: Protocols) -> Self {
        let steps = session.steps.len();
        let mut script = Self {
            lanes: protocols.lanes(session),
            repeats: repeats::repeats(session),
            logins: session.steps.iter().map(|step| login_of(session, step)).collect(),
            demands: vec![Vec::new(); steps],
            anchors: anchors((0..steps).map(|step| (session.steps[step].offset_us, end_us(session, step)))),
            credentials,
            habits: Habits::of(session),
            is_title_case: session.steps.iter().any(|step| is_title_case(&step.exchange)),
            ..Self::default()
        };
        script.add_waits(session);
        script.add_demands(session);
        script
    }

    fn add_waits(&mut self, session: &Session) {
        let steps = session.steps.iter().zip(&self.repeats);
        self.waits =
            steps.map(|(step, repeated)| unique(step.waits_for().chain(*repeated).collect())).collect();
    }

    fn add_demands(&mut self, session: &Session) {
        for hole in session.steps.iter().flat_map(|step| &step.holes) {
            let Source::Response { step, from } = &hole.source else { continue };
            self.demand(*step, from);
        }
        // What a retry supplied, the request that it repeats supplies when it succeeds. Later ones first: a
        // retry may have been retried.
        for step in (0..self.repeats.len()).rev() {
            let Some(repeated) = self.repeats[step] else { continue };
            self.demands[step].clone().iter().for_each(|from| self.demand(repeated, from));
        }
    }

    fn demand(&mut self, step: usize, from: &ResponsePlace) {
        let demands = &mut self.demands[step];
        if !demands.contains(from) {
            demands.push(from.clone());
        }
    }

    /// Whether a cookie of this name is a credential.
    pub(super) fn is_credential(&self, cookie: &str) -> bool {
        let is_it = |from: &ResponsePlace| matches!(from, ResponsePlace::Cookie { name } if name == cookie);
        self.credentials.iter().flatten().any(is_it)
    }

    /// Whether any of its connections is to speak HTTP/2.
    pub(super) fn wants_http2(&self) -> bool {
        self.lanes.iter().any(|lane| lane.plays == Version::Http2)
    }

    /// Whether a value of the step's answer stands in its JSON.
    pub(super) fn needs_json(&self, step: usize) -> bool {
        self.demands[step].iter().any(ResponsePlace::is_in_body)
    }
}

/// A page that handed a token on is no login: to ask for it again with the old token renews nothing.
fn login_of(session: &Session, step: &Step) -> Option<usize> {
    let supplier = step.credential_from()?;
    let is_page = matches!(session.steps[supplier].exchange.method.as_str(), "GET" | "HEAD");
    (!is_page).then_some(supplier)
}

fn unique(mut steps: Vec<usize>) -> Vec<usize> {
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// For each step, the last one that had ended before it began, of when each began and ended. Steps begin in order, so
/// what had ended before one of them had ended before all later ones.
pub(crate) fn anchors(times_us: impl Iterator<Item = (u64, u64)>) -> Vec<Option<usize>> {
    let mut under_way = BinaryHeap::new();
    let mut last_ended = None;
    let anchor = |(step, (began_us, ended_us)): (usize, (u64, u64))| {
        while let Some(Reverse((_, ended))) =
            under_way.peek().filter(|Reverse((ended_us, _))| *ended_us <= began_us)
        {
            last_ended = Some(*ended);
            under_way.pop();
        }
        under_way.push(Reverse((ended_us, step)));
        last_ended
    };
    times_us.enumerate().map(anchor).collect()
}

/// When a step's answer was complete, microseconds from the session's start.
fn end_us(session: &Session, step: usize) -> u64 {
    let step = &session.steps[step];
    step.offset_us.saturating_add(step.exchange.instants.done_us.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::Exchange;
    use kingtide_common::stages::Instants;

    use super::*;
    use crate::drive::http::Http;
    use crate::sessions::{Choice, Escape, Hole, Place};

    fn step(connection: usize, offset_us: u64, done_us: u64, needs: &[usize]) -> Step {
        let instants = Instants { done_us: Some(done_us), ..Instants::default() };
        let source = |step: &usize| Source::Response {
            step: *step,
            from: ResponsePlace::Json { pointer: "/token".to_owned() },
        };
        let hole = |needed| Hole {
            place: Place::Target,
            range: 0..0,
            escape: Escape::Raw,
            source: source(needed),
            choice: Choice::default(),
        };
        let holes = needs.iter().map(hole).collect();
        Step { exchange: Exchange { instants, ..Exchange::default() }, offset_us, connection, holes }
    }

    #[test]
    fn connections_waits_and_demands_are_worked_out_once() {
        let steps = vec![
            step(0, 0, 100, &[]),
            step(0, 200, 500, &[0, 0]),
            step(1, 300, 50, &[0]),
            step(0, 800, 10, &[1, 0]),
        ];
        let session = Session { key: String::new(), start_ns: 0, steps, orphan: false };
        let protocols = Protocols { http: Http::Recorded, may_speak_http2: true };
        let script = Script::of(&session, vec![Vec::new(); 4], protocols);
        let lanes: Vec<&[usize]> = script.lanes.iter().map(|lane| lane.steps.as_slice()).collect();
        assert_eq!(lanes, [&[0, 1, 3][..], &[2]]);
        assert_eq!(script.waits, [vec![], vec![0], vec![0], vec![0, 1]]);
        assert_eq!(script.demands.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 0, 0]);
        assert_eq!(script.anchors, [None, Some(0), Some(0), Some(1)]);
        assert!(script.needs_json(0) && !script.needs_json(2));
    }
}
