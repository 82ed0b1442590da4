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
//! A longer text that has no source as a whole may hold UUIDs that have one.
//!
//! What no response originated: login fields come from the identities file; a UUID that a client may have
//! invented (in a body field) is made fresh, unless two users sent the same one and no response gave it, which
//! makes it a constant of the application; so is, at the captured length, whatever stands in an idempotency header, and a timestamp within
//! [`NOW_WITHIN_NS`] of the request; fingerprints and other UUIDs are unresolved.
//!
//! A user's rules come first ([`super::rules`]).

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use kingtide_common::exchange::{Body, Ending, Exchange};
use kingtide_common::fingerprint::Fingerprint;
use rustc_hash::{FxHashMap, FxHashSet};

use super::evidence::digest;
use super::names::{self, Fit};
use super::place::is_same_place;
use super::rules::{Given, Says, When};
use super::supply::{Supply, body_json, supplies};
use super::tokens::{Kind, Spot, Token, tokens};
use super::users;
use super::{Candidate, Choice, Fresh, Hole, Source, extract, route, timestamp};

/// The holes of one session.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// For each exchange, in order of place and position.
    pub(super) holes: Vec<Vec<Hole>>,
    /// A credential that grouped the session is unresolved.
    pub(super) orphan: bool,
    /// For each binding rule, how many values it decided.
    pub(super) rule_uses: Vec<u64>,
}

/// A timestamp this near to its request was made by the client's clock.
const NOW_WITHIN_NS: i64 = 10 * 60 * 1_000_000_000;
/// Of the responses that hold a value, as many are looked at.
const OFFERS_MAX: usize = 64;
/// With its dashes.
const UUID_BYTES: usize = 36;
/// Other places that are kept for a person to review.
const ALSO_MAX: usize = 4;

/// UUIDs that the requests of several users carry and no response gave, as digests: constants of the application.
#[derive(Debug, Default)]
pub(crate) struct SharedUuids(FxHashSet<u64>);

/// Which UUIDs an exchange sends and gives, as digests.
#[derive(Debug, Default)]
pub(crate) struct Uuids {
    sent: Vec<u64>,
    given: Vec<u64>,
}

/// Finds the shared ones, exchange by exchange.
#[derive(Debug, Default)]
pub(crate) struct UuidSenders {
    /// Which user sent one first.
    first: FxHashMap<u64, u32>,
    shared: FxHashSet<u64>,
    given: FxHashSet<u64>,
}

impl Uuids {
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let print = |value: &String| (Kind::of(value) == Some(Kind::Uuid)).then(|| digest(value));
        let sent = tokens(exchange).iter().filter_map(|token| print(&token.value)).collect();
        let given = supplies(exchange).iter().filter_map(|supply| print(&supply.value)).collect();
        Self { sent, given }
    }
}

impl UuidSenders {
    pub(crate) fn add(&mut self, user: u32, uuids: &Uuids) {
        for uuid in &uuids.sent {
            if *self.first.entry(*uuid).or_insert(user) != user {
                self.shared.insert(*uuid);
            }
        }
        self.given.extend(&uuids.given);
    }

    pub(crate) fn shared(self) -> SharedUuids {
        SharedUuids(self.shared.into_iter().filter(|uuid| !self.given.contains(uuid)).collect())
    }
}

/// Finds the holes of a session's exchanges, which are in order of their start.
pub(super) fn bind(exchanges: &[Exchange], shared: &SharedUuids, given: &Given) -> Bound {
    let credentials = exchanges.iter().flat_map(|exchange| users::credentials(exchange, given)).collect();
    let mut binder = Binder { credentials, ..Binder::new(exchanges, shared, given) };
    let mut bound = Bound::default();
    for (step, exchange) in exchanges.iter().enumerate() {
        let tokens = tokens(exchange);
        let supplies = supplies(exchange);
        let holes = binder.holes(step, &tokens, &supplies);
        bound.orphan |= lacks_credential(exchange, &holes, given);
        binder.remember(step, &tokens, supplies);
        bound.holes.push(holes);
    }
    Bound { rule_uses: binder.rule_uses.into_iter().map(Cell::into_inner).collect(), ..bound }
}

/// Whether a request has a credential that nothing supplies.
pub(super) fn lacks_credential(exchange: &Exchange, holes: &[Hole], given: &Given) -> bool {
    let open: Vec<&Hole> = holes.iter().filter(|hole| hole.source == Source::Unresolved).collect();
    if open.is_empty() {
        return false;
    }
    let credentials = users::credentials(exchange, given);
    let is_open =
        |token: &Token| open.iter().any(|hole| hole.place == token.place && hole.range == token.range);
    let values = tokens(exchange).into_iter().filter(is_open);
    values.filter_map(|token| Fingerprint::parse(&token.value)).any(|print| credentials.contains(&print))
}

/// A supply with the step that offers it and when.
struct Offer {
    step: usize,
    done_ns: i64,
    supply: Supply,
}

/// What is known of a session up to the exchange at hand.
struct Binder<'a> {
    exchanges: &'a [Exchange],
    shared: &'a SharedUuids,
    given: &'a Given,
    /// Route template of each exchange; empty when there are no rules that ask for it.
    routes: Vec<String>,
    /// Every credential that the session uses at any time.
    credentials: HashSet<Fingerprint>,
    offers: HashMap<String, Vec<Offer>>,
    /// Values of login fields, with their column.
    identities: HashMap<String, String>,
    /// Values made fresh, with their slot.
    fresh: HashMap<String, Fresh>,
    /// Values that requests or responses have carried.
    seen: HashSet<String>,
    rule_uses: Vec<Cell<u64>>,
}

/// The exchange whose values are being bound.
#[derive(Clone, Copy)]
struct Request<'a> {
    step: usize,
    started_ns: i64,
    route: &'a str,
    is_login: bool,
}

/// What became of a value.
type Chosen = (Source, Choice);

impl<'a> Binder<'a> {
    fn new(exchanges: &'a [Exchange], shared: &'a SharedUuids, given: &'a Given) -> Self {
        let template = |exchange: &Exchange| route::template(&exchange.method, &exchange.target);
        let is_asked_for = !given.bindings.is_empty();
        Self {
            exchanges,
            shared,
            given,
            routes: exchanges.iter().filter(|_| is_asked_for).map(template).collect(),
            credentials: HashSet::new(),
            offers: HashMap::new(),
            identities: HashMap::new(),
            fresh: HashMap::new(),
            seen: HashSet::new(),
            rule_uses: vec![Cell::new(0); given.bindings.len()],
        }
    }

    fn holes(&mut self, step: usize, tokens: &[Token], supplies: &[Supply]) -> Vec<Hole> {
        let exchange = &self.exchanges[step];
        let route = self.routes.get(step).cloned().unwrap_or_default();
        let is_login = self.is_login(exchange, tokens, supplies);
        let request = Request { step, started_ns: exchange.started_ns, route: &route, is_login };
        tokens.iter().flat_map(|token| self.holes_of(token, request)).collect()
    }

    fn holes_of(&mut self, token: &Token, request: Request<'_>) -> Vec<Hole> {
        let hole = |token: &Token, (source, choice)| {
            let (place, range, escape) = (token.place, token.range.clone(), token.escape);
            Hole { place, range, escape, source, choice }
        };
        match self.decided(token, request) {
            Decision::Keep => Vec::new(),
            Decision::From(chosen) => vec![hole(token, chosen)],
            Decision::Nothing => {
                let inner = token.inner().into_iter();
                inner.filter_map(|inner| Some(hole(&inner, self.inner_source(&inner, request)?))).collect()
            }
        }
    }

    /// It has a password; or it names a user and is made at a login's path or answered by a credential.
    fn is_login(&self, exchange: &Exchange, tokens: &[Token], supplies: &[Supply]) -> bool {
        let columns: Vec<_> = tokens.iter().filter_map(|token| self.identity_column(token)).collect();
        let issues_credential = || {
            let mut prints = supplies.iter().filter_map(|supply| Fingerprint::parse(&supply.value));
            prints.any(|print| self.credentials.contains(&print))
        };
        columns.contains(&names::PASSWORD)
            || (!columns.is_empty() && (names::is_login_path(exchange.path()) || issues_credential()))
    }

    /// The column of the identities file that fills a field of a login.
    fn identity_column(&self, token: &Token) -> Option<&'a str> {
        let by_rule = || self.given.identity_column(&token.name);
        let column = || by_rule().or_else(|| names::identity_column(&token.name));
        token.spot.is_field().then(column).flatten()
    }

    /// By the first rule that can be followed, else by what is found.
    fn decided(&mut self, token: &Token, request: Request<'_>) -> Decision {
        if let Some(decision) = self.by_rule(token, request, When::Always) {
            return decision;
        }
        match self.source(token, request) {
            Some((Source::Unresolved, choice)) => {
                let by_rule = self.by_rule(token, request, When::Unresolved);
                by_rule.unwrap_or(Decision::From((Source::Unresolved, choice)))
            }
            Some(chosen) => Decision::From(chosen),
            None => Decision::Nothing,
        }
    }

    fn by_rule(&mut self, token: &Token, request: Request<'_>, when: When) -> Option<Decision> {
        let given = self.given;
        let mut asked = given.about(request.route, token).filter(|(_, rule)| rule.when == when);
        let (index, decision) =
            asked.find_map(|(index, rule)| Some((index, self.follow(&rule.says, token, request)?)))?;
        self.counts(index);
        Some(match decision {
            Decision::From((source, choice)) => {
                Decision::From((source, Choice { rule: Some(index), ..choice }))
            }
            other => other,
        })
    }

    /// `None` when the session has not what the rule wants, or the rule is about something else.
    fn follow(&mut self, says: &Says, token: &Token, request: Request<'_>) -> Option<Decision> {
        let source = match says {
            Says::Response { .. } => self.wanted_response(says, token, request)?,
            Says::Identity { column } => Source::Identity { column: column.clone() },
            Says::FreshUuid => self.fresh_uuid(token),
            Says::FreshAlike => self.fresh_alike(token),
            Says::FreshTime(format) => {
                let captured = timestamp::parse(&token.value);
                let now_us = request.started_ns / 1000;
                let (format, at_us) = match (format, captured) {
                    (Some(format), Some((_, at_us))) => (*format, at_us),
                    (None, Some(captured)) => captured,
                    (Some(format), None) => (*format, now_us),
                    (None, None) => return None,
                };
                self.fresh_time(token, format, at_us - now_us)
            }
            Says::Text(text) => Source::Text(text.clone()),
            // A fingerprint cannot be sent as it was.
            Says::Keep => match Fingerprint::parse(&token.value) {
                Some(_) => Source::Filler,
                None => return Some(Decision::Keep),
            },
            Says::Never { .. } => return None,
        };
        Some(Decision::From((source, Choice::default())))
    }

    /// The latest response that a rule means and that was complete: where it holds the very value, else its first place.
    fn wanted_response(&self, says: &Says, token: &Token, request: Request<'_>) -> Option<Source> {
        let Says::Response { response, value } = says else { return None };
        let is_meant = |step: &usize| {
            let exchange = &self.exchanges[*step];
            response.matches(&self.routes[*step])
                && exchange.ending == Ending::Complete
                && exchange.done_ns() <= request.started_ns
        };
        (0..request.step).rev().filter(is_meant).find_map(|step| {
            let exchange = &self.exchanges[step];
            let body = body_json(exchange);
            // What was not looked at may hold it all the same.
            let is_unseen = matches!(exchange.response_body, Body::Opaque | Body::Unread(_));
            let headers = || exchange.response_headers.iter().map(|h| (h.name.as_str(), h.value.as_str()));
            let places = value.places(body.as_ref()).into_iter();
            let mut held: Vec<_> = places
                .filter_map(|from| match extract(&from, headers(), body.as_ref()) {
                    Some(value) => Some((value == token.value, from)),
                    None => (is_unseen && from.is_in_body()).then_some((false, from)),
                })
                .collect();
            let exact = held.iter().position(|(is_exact, _)| *is_exact);
            (!held.is_empty()).then(|| {
                let (_, from) = held.swap_remove(exact.unwrap_or(0));
                Source::Response { step, from }
            })
        })
    }

    fn source(&mut self, token: &Token, request: Request<'_>) -> Option<Chosen> {
        let plain = |source| (source, Choice::default());
        if let Some(column) = self.identity_column(token).filter(|_| request.is_login) {
            self.identities.entry(token.value.clone()).or_insert_with(|| column.to_owned());
            return Some(plain(identity(column)));
        }
        let kind = Kind::of(&token.value)?;
        let known = self.identities.get(&token.value);
        if known.is_some_and(|column| column == names::PASSWORD) {
            return Some(plain(identity(names::PASSWORD)));
        }
        let known = known.map(|column| identity(column));
        let response = self.response(token, kind, request);
        let other =
            |binder: &mut Self| known.or_else(|| binder.without_source(token, kind, request)).map(plain);
        response.or_else(|| other(self))
    }

    /// Of a UUID within a longer text: only what is known already.
    fn inner_source(&mut self, token: &Token, request: Request<'_>) -> Option<Chosen> {
        let known = self.fresh.get(&token.value).map(|known| (Source::Fresh(*known), Choice::default()));
        self.response(token, Kind::Uuid, request).or(known)
    }

    fn response(&self, token: &Token, kind: Kind, request: Request<'_>) -> Option<Chosen> {
        let wanted = fit_wanted(kind, &token.value);
        let latest_first = self.offers.get(&token.value)?.iter().rev();
        let ready = latest_first
            .filter(|offer| offer.done_ns <= request.started_ns && !self.is_forbidden(token, request, offer));
        let fitting: Vec<(Fit, &Offer)> = ready
            .take(OFFERS_MAX)
            .map(|offer| (fit(token, &offer.supply), offer))
            .filter(|(fit, _)| *fit >= wanted)
            .collect();
        let step = fitting.first()?.1.step;
        let of_step = fitting.iter().take_while(|(_, offer)| offer.step == step);
        // Of equal maxima the last counts: in this direction the first place of the response.
        let best = of_step.max_by_key(|(fit, _)| *fit)?;
        Some((Source::Response { step, from: best.1.supply.from.clone() }, self.choice(best, &fitting)))
    }

    /// The other places that a person may want to know of.
    fn choice(&self, best: &(Fit, &Offer), fitting: &[(Fit, &Offer)]) -> Choice {
        let mut choice = Choice::default();
        let mut kept: Vec<&Offer> = vec![best.1];
        for (fit, offer) in fitting {
            if kept.len() > ALSO_MAX || kept.iter().any(|other| self.is_alike(offer, other)) {
                continue;
            }
            kept.push(offer);
            choice.is_ambiguous |= *fit >= best.0;
            choice.also.push(Candidate { step: offer.step, from: offer.supply.from.clone() });
        }
        choice
    }

    /// The same place of the same route.
    fn is_alike(&self, one: &Offer, other: &Offer) -> bool {
        let template = |step: usize| {
            let exchange = &self.exchanges[step];
            route::template(&exchange.method, &exchange.target)
        };
        is_same_place(&one.supply.from, &other.supply.from)
            && (one.step == other.step || template(one.step) == template(other.step))
    }

    fn is_forbidden(&self, token: &Token, request: Request<'_>, offer: &Offer) -> bool {
        let mut forbids = self.given.about(request.route, token).filter(|(_, rule)| match &rule.says {
            Says::Never { response, value } => {
                response.as_ref().is_none_or(|response| response.matches(&self.routes[offer.step]))
                    && value.as_ref().is_none_or(|value| value.matches(&offer.supply.from))
            }
            _ => false,
        });
        forbids.next().inspect(|(index, _)| self.counts(*index)).is_some()
    }

    /// A rule decided something.
    fn counts(&self, rule: usize) {
        self.rule_uses[rule].update(|uses| uses + 1);
    }

    fn without_source(&mut self, token: &Token, kind: Kind, request: Request<'_>) -> Option<Source> {
        match kind {
            _ if is_invented_header(token) => Some(self.invented(token, kind)),
            Kind::Fingerprint => Some(Source::Unresolved),
            Kind::Uuid => self.uuid(token),
            Kind::Integer | Kind::Text => self.clock_reading(token, request),
        }
    }

    fn uuid(&mut self, token: &Token) -> Option<Source> {
        if let Some(known) = self.fresh.get(&token.value) {
            return Some(Source::Fresh(*known));
        }
        if self.shared.0.contains(&digest(&token.value)) {
            return None;
        }
        let is_invented = token.spot.is_field() && !self.seen.contains(&token.value);
        Some(if is_invented { self.fresh_uuid(token) } else { Source::Unresolved })
    }

    /// A timestamp that the client's clock has just made.
    fn clock_reading(&mut self, token: &Token, request: Request<'_>) -> Option<Source> {
        if matches!(token.spot, Spot::Path | Spot::Cookie) {
            return None;
        }
        if let Some(known) = self.fresh.get(&token.value) {
            return Some(Source::Fresh(*known));
        }
        let (format, at_us) = timestamp::parse(&token.value).filter(|(format, _)| !format.is_date())?;
        let ahead_us = at_us.checked_sub(request.started_ns / 1000)?;
        (ahead_us.checked_abs()? <= NOW_WITHIN_NS / 1000).then(|| self.fresh_time(token, format, ahead_us))
    }

    /// A hidden text of a UUID's length was one.
    fn invented(&mut self, token: &Token, kind: Kind) -> Source {
        let hidden_bytes = Fingerprint::parse(&token.value).map(|fingerprint| fingerprint.bytes);
        if kind == Kind::Uuid || hidden_bytes == Some(UUID_BYTES) {
            return self.fresh_uuid(token);
        }
        self.fresh_alike(token)
    }

    fn fresh_alike(&mut self, token: &Token) -> Source {
        self.fresh_with(token, |slot| Fresh::Alike { slot })
    }

    fn fresh_uuid(&mut self, token: &Token) -> Source {
        self.fresh_with(token, |slot| Fresh::Uuid { slot })
    }

    fn fresh_time(&mut self, token: &Token, format: timestamp::TimeFormat, ahead_us: i64) -> Source {
        self.fresh_with(token, |slot| Fresh::Time { slot, format, ahead_us })
    }

    fn fresh_with(&mut self, token: &Token, fresh: impl FnOnce(usize) -> Fresh) -> Source {
        let slot = self.fresh.len();
        let known = self.fresh.entry(token.value.clone()).or_insert_with(|| fresh(slot));
        Source::Fresh(*known)
    }

    /// Adds what an exchange offers to later ones.
    fn remember(&mut self, step: usize, tokens: &[Token], supplies: Vec<Supply>) {
        let inner = tokens.iter().flat_map(|token| token.inner.iter().map(|(_, value)| value.as_str()));
        let carried: HashSet<&str> = tokens.iter().map(|token| token.value.as_str()).chain(inner).collect();
        let done_ns = self.exchanges[step].done_ns();
        for supply in supplies {
            self.seen.insert(supply.value.clone());
            if !carried.contains(supply.value.as_str()) {
                let offers = self.offers.entry(supply.value.clone()).or_default();
                offers.push(Offer { step, done_ns, supply });
            }
        }
        let traced = carried.into_iter().filter(|value| Kind::of(value).is_some());
        self.seen.extend(traced.map(str::to_owned));
    }
}

/// What is done with a value.
enum Decision {
    From(Chosen),
    /// It stays as captured.
    Keep,
    /// Nobody knows better.
    Nothing,
}

fn identity(column: &str) -> Source {
    Source::Identity { column: column.to_owned() }
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
