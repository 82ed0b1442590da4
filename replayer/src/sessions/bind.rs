//! Bindings: where each value of a request comes from.
//!
//! A value binds to a response that was complete before the request began and that *originated* it: a
//! response that only repeats what its own request carried (an upload answering with the `activity_id` it
//! was given) is an echo, and binding to it would chain requests that do not depend on each other. Among
//! the originators the latest wins, and within it the place whose name fits best ([`names::fit`]).
//!
//! Chance equality grows with short values, so the less a value looks like an id, the better the names
//! must fit: fingerprints and UUIDs bind always, integers from 1,000,000 and texts with a digit likewise;
//! smaller integers need two ids, texts without a digit the same thing. Passwords never bind to a response.
//!
//! What no response originated: login fields come from the identities file; a UUID that a client may have
//! invented (in a body field) is made fresh, unless two users sent the same one and no response gave it, which
//! makes it a constant of the application; so is whatever stands in an idempotency header; fingerprints and other UUIDs are unresolved.

use std::collections::{HashMap, HashSet};

use kingtide_common::exchange::Exchange;
use kingtide_common::fingerprint::Fingerprint;

use super::names::{self, Fit};
use super::supply::{Supply, supplies};
use super::tokens::{Kind, Spot, Token, tokens};
use super::users::{self, User};
use super::{Fresh, Hole, Source};

/// The holes of one session.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// For each exchange, in order of place and position.
    pub(super) holes: Vec<Vec<Hole>>,
    /// A credential that grouped the session is unresolved.
    pub(super) orphan: bool,
}

/// UUIDs that the requests of several users carry and no response gave: constants of the application.
#[derive(Debug, Default)]
pub(super) struct SharedUuids(HashSet<String>);

/// Collects the UUIDs that more than one user sent and nobody was given.
pub(super) fn shared_uuids(users: &[User]) -> SharedUuids {
    let mut first_user: HashMap<String, usize> = HashMap::new();
    let mut shared = HashSet::new();
    for (user, User { exchanges, .. }) in users.iter().enumerate() {
        let values = exchanges.iter().flat_map(tokens).map(|token| token.value);
        for value in values.filter(|value| Kind::of(value) == Some(Kind::Uuid)) {
            if *first_user.entry(value.clone()).or_insert(user) != user {
                shared.insert(value);
            }
        }
    }
    if !shared.is_empty() {
        let given = users.iter().flat_map(|user| &user.exchanges).flat_map(supplies);
        for supply in given {
            shared.remove(&supply.value);
        }
    }
    SharedUuids(shared)
}

/// Finds the holes of a session's exchanges, which are in order of their start.
pub(super) fn bind(exchanges: &[Exchange], shared: &SharedUuids) -> Bound {
    let credentials = exchanges.iter().flat_map(users::credentials).collect();
    let mut binder = Binder { credentials, ..Binder::new(shared) };
    let mut bound = Bound::default();
    for (step, exchange) in exchanges.iter().enumerate() {
        let tokens = tokens(exchange);
        let supplies = supplies(exchange);
        let holes = binder.holes(exchange, &tokens, &supplies);
        bound.orphan |= lacks_credential(exchange, &tokens, &holes);
        binder.remember(step, exchange, &tokens, supplies);
        bound.holes.push(holes);
    }
    bound
}

fn lacks_credential(exchange: &Exchange, tokens: &[Token], holes: &[Hole]) -> bool {
    let credentials = users::credentials(exchange);
    let open = holes.iter().filter(|hole| hole.source == Source::Unresolved);
    let mut values = open.filter_map(|hole| {
        let token = tokens.iter().find(|token| token.place == hole.place && token.range == hole.range)?;
        Fingerprint::parse(&token.value)
    });
    values.any(|print| credentials.contains(&print))
}

/// A supply with the step that offers it and when.
struct Offer {
    step: usize,
    done_ns: i64,
    supply: Supply,
}

/// What is known of a session up to the exchange at hand.
struct Binder<'a> {
    shared: &'a SharedUuids,
    /// Every credential that the session uses at any time.
    credentials: HashSet<Fingerprint>,
    offers: HashMap<String, Vec<Offer>>,
    /// Values of login fields, with their column.
    identities: HashMap<String, &'static str>,
    /// Values made fresh, with their slot.
    fresh: HashMap<String, usize>,
    /// Values that requests or responses have carried.
    seen: HashSet<String>,
}

impl<'a> Binder<'a> {
    fn new(shared: &'a SharedUuids) -> Self {
        Self {
            shared,
            credentials: HashSet::new(),
            offers: HashMap::new(),
            identities: HashMap::new(),
            fresh: HashMap::new(),
            seen: HashSet::new(),
        }
    }

    fn holes(&mut self, exchange: &Exchange, tokens: &[Token], supplies: &[Supply]) -> Vec<Hole> {
        let is_login = self.is_login(exchange, tokens, supplies);
        let holes = tokens.iter().filter_map(|token| {
            let source = self.source(token, exchange.started_ns, is_login)?;
            Some(Hole { place: token.place, range: token.range.clone(), escape: token.escape, source })
        });
        holes.collect()
    }

    /// It has a password; or it names a user and is made at a login's path or answered by a credential.
    fn is_login(&self, exchange: &Exchange, tokens: &[Token], supplies: &[Supply]) -> bool {
        let columns: Vec<_> = tokens.iter().filter_map(identity_column).collect();
        let issues_credential = || {
            let mut prints = supplies.iter().filter_map(|supply| Fingerprint::parse(&supply.value));
            prints.any(|print| self.credentials.contains(&print))
        };
        columns.contains(&names::PASSWORD)
            || (!columns.is_empty() && (names::is_login_path(exchange.path()) || issues_credential()))
    }

    fn source(&mut self, token: &Token, started_ns: i64, is_login: bool) -> Option<Source> {
        if let Some(column) = identity_column(token).filter(|_| is_login) {
            self.identities.entry(token.value.clone()).or_insert(column);
            return Some(identity(column));
        }
        let kind = Kind::of(&token.value)?;
        let known = self.identities.get(&token.value).copied();
        if known == Some(names::PASSWORD) {
            return Some(identity(names::PASSWORD));
        }
        let response = self.response(token, kind, started_ns);
        response.or_else(|| known.map(identity)).or_else(|| self.without_source(token, kind))
    }

    fn response(&self, token: &Token, kind: Kind, started_ns: i64) -> Option<Source> {
        let wanted = fit_wanted(kind, &token.value);
        let latest_first = self.offers.get(&token.value)?.iter().rev();
        let ready = latest_first.filter(|offer| offer.done_ns <= started_ns);
        let mut fitting = ready
            .map(|offer| (fit(token, &offer.supply), offer))
            .filter(|(fit, _)| *fit >= wanted)
            .peekable();
        let step = fitting.peek()?.1.step;
        let of_step = fitting.take_while(|(_, offer)| offer.step == step);
        // Of equal maxima the last counts: in this direction the first place of the response.
        let (_, best) = of_step.max_by_key(|(fit, _)| *fit)?;
        Some(Source::Response { step, from: best.supply.from.clone() })
    }

    fn without_source(&mut self, token: &Token, kind: Kind) -> Option<Source> {
        match kind {
            _ if is_invented_header(token) => Some(self.fresh(token)),
            Kind::Fingerprint => Some(Source::Unresolved),
            Kind::Uuid => self.uuid(token),
            Kind::Integer | Kind::Text => None,
        }
    }

    fn uuid(&mut self, token: &Token) -> Option<Source> {
        if self.fresh.contains_key(&token.value) {
            return Some(self.fresh(token));
        }
        if self.shared.0.contains(&token.value) {
            return None;
        }
        let is_invented = token.spot.is_field() && !self.seen.contains(&token.value);
        Some(if is_invented { self.fresh(token) } else { Source::Unresolved })
    }

    fn fresh(&mut self, token: &Token) -> Source {
        let next = self.fresh.len();
        let slot = *self.fresh.entry(token.value.clone()).or_insert(next);
        Source::Fresh(Fresh::Uuid { slot })
    }

    /// Adds what an exchange offers to later ones.
    fn remember(&mut self, step: usize, exchange: &Exchange, tokens: &[Token], supplies: Vec<Supply>) {
        let carried: HashSet<&str> = tokens.iter().map(|token| token.value.as_str()).collect();
        let done_ns = exchange.done_ns();
        for supply in supplies {
            self.seen.insert(supply.value.clone());
            if !carried.contains(supply.value.as_str()) {
                let offers = self.offers.entry(supply.value.clone()).or_default();
                offers.push(Offer { step, done_ns, supply });
            }
        }
        let traced = tokens.iter().filter(|token| Kind::of(&token.value).is_some());
        self.seen.extend(traced.map(|token| token.value.clone()));
    }
}

fn identity(column: &str) -> Source {
    Source::Identity { column: column.to_owned() }
}

fn identity_column(token: &Token) -> Option<&'static str> {
    token.spot.is_field().then(|| names::identity_column(&token.name)).flatten()
}

/// An idempotency key and its like, new for every request that is not a retry.
fn is_invented_header(token: &Token) -> bool {
    token.spot == Spot::Header && names::is_invented(&token.name)
}

fn fit(token: &Token, supply: &Supply) -> Fit {
    names::fit(&token.name, token.spot == Spot::Path, &supply.key, &supply.container)
}

/// How well names must fit for an equal value to be more than chance.
fn fit_wanted(kind: Kind, value: &str) -> Fit {
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    match kind {
        Kind::Integer if value.len() < 7 => Fit::BothIds,
        Kind::Text if !has_digit => Fit::SameThing,
        _ => Fit::None,
    }
}
