//! Sessions: the exchanges of one user in order, and the values that must be fresh for a new user.
//!
//! Made when a capture is read, never when it is written, so that better rules apply to old captures.
//! [`group`] is the whole of it: `users` decides which exchanges belong to one user, `bind` finds
//! where each value of a request comes from. [`extract`] and [`fill`] are what a replay does with the
//! result; the captured side uses the same `extract`, so that both agree on what a place means.

mod alike;
mod bind;
pub(crate) mod credentials;
pub(crate) mod evidence;
mod extract;
mod fill;
pub mod idle;
mod map;
mod names;
mod outline;
mod place;
mod repair;
pub mod route;
mod rules;
mod supply;
mod timestamp;
mod tokens;
pub(crate) mod users;
mod within;

use std::collections::HashMap;
use std::ops::Range;

use kingtide_common::exchange::Exchange;

pub use alike::alike;
use bind::SharedUuids;
pub(crate) use bind::{UuidSenders, Uuids};
pub use extract::extract;
pub use fill::fill;
pub use idle::IdleGap;
pub(crate) use map::Mapping;
pub use map::{BindingMap, BoundValue, By, map};
pub use names::is_drives;
pub(crate) use names::{PASSWORD, cookie_at, normal};
pub use outline::{Outline, Outlines, StepOutline};
pub(crate) use place::response_place;
pub use repair::Repairs;
pub(crate) use repair::{Donors, Doubts, Repairing};
pub use rules::{Given, Rules};
pub use timestamp::{TimeFormat, Zone};
pub(crate) use users::User;
pub use within::TextPart;

/// A capture as its users' sessions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sessions {
    /// In order of their start.
    pub sessions: Vec<Session>,
    /// Every hole that nothing fills, in the order of the sessions.
    pub unresolved: Vec<Unresolved>,
    /// For each binding rule, how many values it decided.
    pub rule_uses: Vec<u64>,
    pub repairs: Repairs,
    /// The silence that parted them.
    pub idle_gap: IdleGap,
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
    pub choice: Choice,
}

/// How the source of a hole was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Index of the rule that says so; `None` where it was found.
    pub rule: Option<usize>,
    /// Other places that held the same value when the request began, the latest first; not all where there are many.
    pub also: Vec<Candidate>,
    /// The value could as well come from one of these, by its name.
    pub is_ambiguous: bool,
    /// Its session is an orphan to which a rule gave a login.
    pub is_repair: bool,
}

/// A place that could supply a value and was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub step: usize,
    pub from: ResponsePlace,
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
    /// What a rule says.
    Text(String),
    /// Filler of the captured length, as a rule says.
    Filler,
    /// A fingerprint whose value nothing supplies: sent as captured filler and counted.
    Unresolved,
}

/// Where in a response a value stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResponsePlace {
    /// A scalar at a JSON pointer (RFC 6901); of an HTML page, in its description.
    Json { pointer: String },
    /// A header's value, without an authentication scheme (`Bearer `) if it has one.
    Header { name: String },
    /// A cookie set by the response.
    Cookie { name: String },
    /// A part of the text at another place.
    Within { of: Box<ResponsePlace>, part: TextPart },
}

/// Values that no response supplied and that must not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fresh {
    /// A version 4 UUID. Holes of one clone with the same slot get the same one; slots count from 0 in
    /// each session.
    Uuid { slot: usize },
    /// A text of the captured one's length and make ([`alike`]): of an idempotency key that is no UUID. Slots as
    /// above.
    Alike { slot: usize },
    /// The time as the clone's clock shows it, `ahead_us` later than when the first request that carries it was sent.
    /// Slots as above, so that a value stays the same wherever the user repeats it.
    Time { slot: usize, format: TimeFormat, ahead_us: i64 },
}

impl Fresh {
    fn slot(self) -> usize {
        match self {
            Self::Uuid { slot } | Self::Alike { slot } | Self::Time { slot, .. } => slot,
        }
    }

    /// The same `by` slots further.
    fn shifted(self, by: usize) -> Self {
        let moved = self.slot() + by;
        match self {
            Self::Uuid { .. } => Self::Uuid { slot: moved },
            Self::Alike { .. } => Self::Alike { slot: moved },
            Self::Time { format, ahead_us, .. } => Self::Time { slot: moved, format, ahead_us },
        }
    }
}

impl ResponsePlace {
    fn part(&self, part: TextPart) -> Self {
        Self::Within { of: Box::new(self.clone()), part }
    }

    /// Whether the value stands in the body, which must then be kept and readable.
    pub fn is_in_body(&self) -> bool {
        match self {
            Self::Json { .. } => true,
            Self::Header { .. } | Self::Cookie { .. } => false,
            Self::Within { of, .. } => of.is_in_body(),
        }
    }
}

/// Groups exchanges into sessions and finds the source of every value that must differ for a new user.
///
/// Takes the exchanges in any order. Every one of them is in exactly one session of the result.
pub fn group(exchanges: Vec<Exchange>, rules: &Rules) -> Sessions {
    let given = &rules.given;
    let (users, idle_gap) = users::by_user(exchanges, rules);
    let mut senders = UuidSenders::default();
    for (number, user) in (0..).zip(&users) {
        user.exchanges.iter().for_each(|exchange| senders.add(number, &Uuids::of(exchange)));
    }
    let mut binding = Binding::new(given, senders.shared());
    let mut sessions: Vec<Session> = users.into_iter().map(|user| binding.session(user)).collect();
    let rule_uses = binding.rule_uses;
    repair::doubt_inventions(&mut sessions);
    let (mut sessions, repairs) = repair::repair(sessions, given);
    sessions.sort_by_key(|session| (session.start_ns, session.steps[0].exchange.id));
    let unresolved = unresolved(&sessions);
    Sessions { sessions, unresolved, rule_uses, repairs, idle_gap }
}

/// Makes users sessions, one after the other.
pub(crate) struct Binding<'a> {
    given: &'a Given,
    shared: SharedUuids,
    /// For each binding rule, how many values it decided.
    pub(crate) rule_uses: Vec<u64>,
}

impl<'a> Binding<'a> {
    pub(crate) fn new(given: &'a Given, shared: SharedUuids) -> Self {
        Self { given, shared, rule_uses: vec![0; given.bindings.len()] }
    }

    pub(crate) fn session(&mut self, user: User) -> Session {
        let bound = bind::bind(&user.exchanges, &self.shared, self.given);
        self.rule_uses.iter_mut().zip(&bound.rule_uses).for_each(|(all, uses)| *all += uses);
        session(user, bound)
    }
}

fn session(user: User, bound: bind::Bound) -> Session {
    let start_ns = user.exchanges.first().map_or(0, |first| first.started_ns);
    let mut lanes = Lanes::default();
    let steps = user.exchanges.into_iter().zip(bound.holes).map(|(exchange, holes)| {
        let connection = lanes.of(&exchange);
        let offset_us = exchange.started_ns.abs_diff(start_ns) / 1000;
        Step { exchange, offset_us, connection, holes }
    });
    Session { key: user.key, start_ns, steps: steps.collect(), orphan: bound.orphan }
}

/// The connections of a session, numbered by first use.
///
/// A connection of HTTP/2 carries requests side by side, which HTTP/1.1 cannot: what overlaps there gets connections of
/// its own, as a browser would open them. Where a replay speaks HTTP/2 they are one again (`drive/http.rs`).
#[derive(Default)]
struct Lanes {
    count: usize,
    /// For each captured connection its numbers, and until when each is taken, nanoseconds UTC.
    taken: HashMap<u64, Vec<(usize, i64)>>,
}

impl Lanes {
    fn of(&mut self, exchange: &Exchange) -> usize {
        const HTTP_2: u8 = 20;
        let is_serial = exchange.http_version < HTTP_2;
        let lanes = self.taken.entry(exchange.connection).or_default();
        let free = lanes.iter_mut().find(|(_, until_ns)| is_serial || *until_ns <= exchange.started_ns);
        if let Some((number, until_ns)) = free {
            *until_ns = exchange.done_ns();
            return *number;
        }
        let number = self.count;
        self.count += 1;
        lanes.push((number, exchange.done_ns()));
        number
    }
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

    /// The earlier step whose answer gave this one its credential: of the header that is one, else of a cookie
    /// that names the user's session.
    pub fn credential_from(&self) -> Option<usize> {
        let sources = |is_credential: fn(&str, &ResponsePlace) -> bool| {
            self.holes.iter().find_map(move |hole| match (hole.place, &hole.source) {
                (Place::Header(index), Source::Response { step, from }) => {
                    let header = self.exchange.request_headers.get(index)?;
                    is_credential(&header.name, from).then_some(*step)
                }
                _ => None,
            })
        };
        let is_session = |name: &str, from: &ResponsePlace| {
            let cookie = matches!(from, ResponsePlace::Cookie { name } if names::is_session_cookie(name));
            cookie && name.eq_ignore_ascii_case("cookie")
        };
        sources(|name, _| names::is_credential_header(name)).or_else(|| sources(is_session))
    }
}

#[cfg(test)]
pub(crate) mod scene;
#[cfg(test)]
mod tests;
