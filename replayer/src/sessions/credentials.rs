//! Which values of answers are users' credentials: what a later request sends as its `Authorization` or as its
//! session cookie.
//!
//! They are watched in a run, because no two users may be given the same ([`crate::measure::distinct`]). What
//! several captured sessions were given alike is the application's own (a key of its API), and not watched.

use http::header;
use rustc_hash::{FxHashMap, FxHashSet};

use super::evidence::digest;
use super::names::{cookie_at, is_credential_header, is_session_cookie};
use super::{Hole, Place, ResponsePlace, Session, Source, Step};

/// For each step of a session, the places of its answer that hold a credential.
pub(crate) type Credentials = Vec<Vec<ResponsePlace>>;

/// Digests of the credentials that several sessions were given alike.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(FxHashSet<u64>);

/// Collects them, session by session.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    sessions: u32,
    /// Which session a credential was given to first.
    first: FxHashMap<u64, u32>,
    shared: Shared,
}

impl Holders {
    pub(crate) fn add(&mut self, session: &Session) {
        self.sessions += 1;
        for (captured, ..) in issued(session) {
            let print = digest(captured);
            if *self.first.entry(print).or_insert(self.sessions) != self.sessions {
                self.shared.0.insert(print);
            }
        }
    }

    pub(crate) fn shared(self) -> Shared {
        self.shared
    }
}

/// Those of a session, without what others were given as well.
pub(crate) fn of(session: &Session, shared: &Shared) -> Credentials {
    let mut credentials = vec![Vec::new(); session.steps.len()];
    for (_, step, from) in issued(session).filter(|(captured, ..)| !shared.0.contains(&digest(captured))) {
        if !credentials[step].contains(from) {
            credentials[step].push(from.clone());
        }
    }
    credentials
}

/// Captured credentials that an answer of their session held: the text, the step and the place.
fn issued(session: &Session) -> impl Iterator<Item = (&str, usize, &ResponsePlace)> {
    let holes = session.steps.iter().flat_map(|step| step.holes.iter().map(move |hole| (step, hole)));
    holes.filter_map(|(step, hole)| {
        let Source::Response { step: issuer, from } = &hole.source else { return None };
        Some((credential(step, hole)?, *issuer, from))
    })
}

/// The captured text of a hole that is a credential.
fn credential<'a>(step: &'a Step, hole: &Hole) -> Option<&'a str> {
    let Place::Header(index) = hole.place else { return None };
    let recorded = step.exchange.request_headers.get(index)?;
    let is_cookie = recorded.name.eq_ignore_ascii_case(header::COOKIE.as_str());
    let is_credential = is_credential_header(&recorded.name)
        || (is_cookie && is_session_cookie(cookie_at(&recorded.value, hole.range.start)));
    is_credential.then(|| &recorded.value[hole.range.clone()])
}

#[cfg(test)]
mod tests {
    use kingtide_common::exchange::{Exchange, Header};

    use super::*;
    use crate::sessions::{Choice, Escape};

    fn json(pointer: &str) -> ResponsePlace {
        ResponsePlace::Json { pointer: pointer.to_owned() }
    }

    /// A session of a login and a request with a header whose value `text` the login's answer held.
    fn session(name: &str, value: &str, text: &str) -> Session {
        let start = value.find(text).unwrap();
        let hole = Hole {
            place: Place::Header(0),
            range: start..start + text.len(),
            escape: Escape::Raw,
            source: Source::Response { step: 0, from: json("/token") },
            choice: Choice::default(),
        };
        let header = Header { name: name.to_owned(), value: value.to_owned() };
        let request = Exchange { request_headers: vec![header], ..Exchange::default() };
        let step = |exchange, holes| Step { exchange, offset_us: 0, connection: 0, holes };
        let steps = vec![step(Exchange::default(), Vec::new()), step(request, vec![hole])];
        Session { key: String::new(), start_ns: 0, steps, orphan: false }
    }

    fn watched(sessions: &[Session]) -> Vec<usize> {
        let mut holders = Holders::default();
        for session in sessions {
            holders.add(session);
        }
        let shared = holders.shared();
        let count = |session| of(session, &shared).iter().map(Vec::len).sum();
        sessions.iter().map(count).collect()
    }

    #[test]
    fn tokens_and_session_cookies_are_credentials() {
        let cases = [
            ("Authorization", "Bearer t1", "t1", 1),
            ("x-access-token", "t1", "t1", 1),
            ("Cookie", "theme=dark; sid=t1", "t1", 1),
            ("Cookie", "sid=x; theme=t1", "t1", 0),
            ("X-Page", "t1", "t1", 0),
        ];
        for (name, value, text, expected) in cases {
            assert_eq!(watched(&[session(name, value, text)]), [expected], "{name}: {value}");
        }
    }

    #[test]
    fn what_captured_users_shared_is_not_watched() {
        let sessions =
            ["Bearer t1", "Bearer t2", "Bearer t1"].map(|value| session("Authorization", value, &value[7..]));
        assert_eq!(watched(&sessions), [0, 1, 0]);
    }
}
