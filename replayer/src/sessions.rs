//! Sessions: the exchanges of one user in order, and the values that must be fresh for a new user.
//!
//! Made when a capture is read, never when it is written, so that better rules apply to old captures.
//! [`group`] is the whole of it: `users` decides which exchanges belong to one user, `bind` finds
//! where each value of a request comes from. [`extract`] and [`fill`] are what a replay does with the
//! result; the captured side uses the same `extract`, so that both agree on what a place means.

mod bind;
pub(crate) mod evidence;
mod extract;
mod fill;
pub mod idle;
mod map;
mod names;
pub mod route;
mod supply;
mod tokens;
pub(crate) mod users;

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use kingtide_common::exchange::Exchange;

pub use extract::extract;
pub use fill::fill;
pub use map::{BindingMap, BoundValue, map};
pub use names::is_drives;

/// What a user may set about grouping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Silence after which the next exchange begins a new session, if it can stand alone; `None` takes what
    /// fits the capture ([`idle`]).
    pub idle_gap: Option<Duration>,
}

/// A capture as its users' sessions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    /// In order of their start.
    pub sessions: Vec<Session>,
    /// Every hole that nothing fills, in the order of the sessions.
    pub unresolved: Vec<Unresolved>,
}

/// A value of a request that nothing supplies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// [`Exchange::id`] of the request.
    pub exchange: u64,
    /// Index of the session and of the step within it.
    pub session: usize,
    pub step: usize,
    /// Where it stands, as in `header Authorization` or `json activity_id`.
    pub place: String,
}

/// The exchanges of one user, in order of their start.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// What holds it together: a token's or cookie's fingerprint, or the connection.
    pub key: String,
    /// First byte of its first request, nanoseconds UTC.
    pub start_ns: i64,
    pub steps: Vec<Step>,
    /// It uses a credential whose login the capture does not hold.
    pub orphan: bool,
}

/// One exchange of a session, with what must be filled in before it can be sent for a new user.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub exchange: Exchange,
    /// From the session's start to the first byte of this request, microseconds.
    pub offset_us: u64,
    /// Which of the session's connections carries it, numbered by first use from 0.
    pub connection: usize,
    /// Holes in the order of [`Place`] and position; they never overlap.
    pub holes: Vec<Hole>,
}

/// A stretch of a request's text that is replaced for each clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    pub place: Place,
    /// Byte range in that place's text.
    pub range: Range<usize>,
    pub escape: Escape,
    pub source: Source,
}

/// The texts of a request that can have holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Path and query.
    Target,
    /// Value of the request header with this index.
    Header(usize),
    /// Text of a JSON or form body.
    Body,
    /// Value of the field part with this index of a multipart body.
    Part(usize),
}

/// How a value is written into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    Raw,
    /// Inside a JSON string.
    JsonString,
    /// A whole JSON scalar (numbers, booleans): written without quotes.
    JsonScalar,
    /// Percent-encoded, for paths, queries and forms.
    Percent,
}

/// Where the value of a hole comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A value in the response to an earlier step of the same session.
    Response { step: usize, from: ResponsePlace },
    /// A column of the identities file.
    Identity { column: String },
    /// Made new for each clone.
    Fresh(Fresh),
    /// A fingerprint whose value nothing supplies: sent as captured filler and counted.
    Unresolved,
}

/// Where in a response a value stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResponsePlace {
    /// A scalar at a JSON pointer (RFC 6901).
    Json { pointer: String },
    /// A header's value, without an authentication scheme (`Bearer `) if it has one.
    Header { name: String },
    /// A segment of the path of a header that holds a URL, counted from its end: 0 is the last.
    HeaderSegment { name: String, from_end: usize },
    /// A query parameter of a header that holds a URL.
    HeaderQuery { name: String, key: String },
    /// A cookie set by the response.
    Cookie { name: String },
}

/// Values that no response supplied and that must not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fresh {
    /// A version 4 UUID. Holes of one clone with the same slot get the same one; slots count from 0 in
    /// each session.
    Uuid { slot: usize },
}

/// Groups exchanges into sessions and finds the source of every value that must differ for a new user.
///
/// Takes the exchanges in any order. Every one of them is in exactly one session of the result.
pub fn group(exchanges: Vec<Exchange>, rules: &Rules) -> Sessions {
    let users = users::by_user(exchanges, rules);
    let shared = bind::shared_uuids(&users);
    let mut sessions: Vec<Session> = users.into_iter().map(|user| session(user, &shared)).collect();
    sessions.sort_by_key(|session| (session.start_ns, session.steps[0].exchange.id));
    let unresolved = unresolved(&sessions);
    Sessions { sessions, unresolved }
}

fn session(user: users::User, shared: &bind::SharedUuids) -> Session {
    let bound = bind::bind(&user.exchanges, shared);
    let start_ns = user.exchanges.first().map_or(0, |first| first.started_ns);
    let mut connections = HashMap::new();
    let steps = user.exchanges.into_iter().zip(bound.holes).map(|(exchange, holes)| {
        let next = connections.len();
        let connection = *connections.entry(exchange.connection).or_insert(next);
        let offset_us = exchange.started_ns.abs_diff(start_ns) / 1000;
        Step { exchange, offset_us, connection, holes }
    });
    Session { key: user.key, start_ns, steps: steps.collect(), orphan: bound.orphan }
}

fn unresolved(sessions: &[Session]) -> Vec<Unresolved> {
    let mut list = Vec::new();
    for (session, Session { steps, .. }) in sessions.iter().enumerate() {
        for (step, Step { exchange, holes, .. }) in steps.iter().enumerate() {
            let open = holes.iter().filter(|hole| hole.source == Source::Unresolved);
            list.extend(open.map(|hole| Unresolved {
                exchange: exchange.id,
                session,
                step,
                place: tokens::describe(exchange, hole),
            }));
        }
    }
    list
}

impl Step {
    /// The earlier steps whose answers this one needs before it can be sent.
    pub fn waits_for(&self) -> impl Iterator<Item = usize> {
        self.holes.iter().filter_map(|hole| match &hole.source {
            Source::Response { step, .. } => Some(*step),
            _ => None,
        })
    }
}

#[cfg(test)]
pub(crate) mod scene;
#[cfg(test)]
mod tests;
