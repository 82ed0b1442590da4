//! Which exchanges belong to one user.
//!
//! Evidence, strongest first: the fingerprint in `Authorization` (or `X-Auth-Token` and its like) or in a session cookie; any other long
//! cookie together with the client's address; a response that issued such a credential, or the token that
//! a refresh sends in its body; two logins with the same identity on one connection, or from one client
//! when the later one uses ids that only the earlier one was given (a token that expired in mid-work); and
//! for what carries no credential, the users before and after it on its connection, where these are the
//! same or only one. What remains is grouped by connection.
//!
//! A silence longer than the idle gap splits a user's exchanges in two only if the second part needs no
//! credential from the first: else its token would have no login, and nothing could replay it.

use std::collections::{HashMap, HashSet};

use kingtide_common::exchange::{Body, Exchange, Header};
use kingtide_common::fingerprint::Fingerprint;

use super::names;
use super::rules::{Given, Rules};
use super::supply::supplies;
use super::tokens::{Kind, Spot, Token, tokens};

/// The exchanges of one user, in order of their start.
#[derive(Debug, PartialEq)]
pub(super) struct User {
    pub(super) key: String,
    pub(super) exchanges: Vec<Exchange>,
}

/// Something that a user's requests have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Credential(Fingerprint),
    /// A cookie that may be the same for many, from one client.
    Visitor(Fingerprint, String),
    /// What a rule calls a user's key and is no fingerprint.
    Named(String),
}

/// Bytes from which a value is too long to be a preference such as `dark`.
const VISITOR_BYTES_MIN: usize = 16;
const SESSION_COOKIE_BYTES_MIN: usize = 8;

/// Splits a capture by user; users come in the order of their first exchange.
pub(super) fn by_user(mut exchanges: Vec<Exchange>, rules: &Rules) -> Vec<User> {
    exchanges.sort_by_key(|exchange| (exchange.started_ns, exchange.id));
    let mut links = Links::new(exchanges.len());
    links.by_credential(&exchanges, &rules.given);
    links.by_identity(&exchanges);
    links.by_need(&exchanges);
    let known = links.known(&exchanges, &rules.given);
    links.by_connection(&exchanges, &known);
    let gap_ns = i64::try_from(rules.idle_gap.as_nanos()).unwrap_or(i64::MAX);
    let groups = links.groups(exchanges);
    groups
        .into_iter()
        .flat_map(|group| split_idle(group, gap_ns, &rules.given))
        .map(|group| user(group, &rules.given))
        .collect()
}

/// The fingerprints by which a request shows who it is from.
pub(super) fn credentials(exchange: &Exchange, given: &Given) -> Vec<Fingerprint> {
    let is_session = |name: &str, print: Fingerprint| {
        (names::is_session_cookie(name) && print.bytes >= SESSION_COOKIE_BYTES_MIN)
            || given.is_credential(Spot::Cookie, name)
    };
    let cookies = cookies(exchange).filter(|(name, print)| is_session(name, *print));
    let is_credential =
        |name: &str| names::is_credential_header(name) || given.is_credential(Spot::Header, name);
    let headers = exchange.request_headers.iter().filter(|header| is_credential(&header.name));
    let prints = headers.flat_map(|header| Fingerprint::find_all(&header.value)).map(|(_, print)| print);
    prints.chain(cookies.map(|(_, print)| print)).collect()
}

fn keys(exchange: &Exchange, given: &Given) -> Vec<Key> {
    let named = if given.has_keys() { named_keys(exchange, given) } else { Vec::new() };
    if !named.is_empty() {
        return named;
    }
    let credentials = credentials(exchange, given);
    if !credentials.is_empty() {
        return credentials.into_iter().map(Key::Credential).collect();
    }
    let long = cookies(exchange).filter(|(_, print)| print.bytes >= VISITOR_BYTES_MIN);
    long.map(|(_, print)| Key::Visitor(print, exchange.client.clone())).collect()
}

/// What a rule says identifies the user; where it stands, nothing else counts.
fn named_keys(exchange: &Exchange, given: &Given) -> Vec<Key> {
    let is_key = |token: &Token| given.is_key(token.spot, &token.name);
    let key = |token: Token| match Fingerprint::parse(&token.value) {
        Some(print) => Key::Credential(print),
        None => Key::Named(token.value),
    };
    tokens(exchange).into_iter().filter(is_key).map(key).collect()
}

/// Names and fingerprints of the cookies a request carries.
fn cookies(exchange: &Exchange) -> impl Iterator<Item = (&str, Fingerprint)> {
    let is_cookie = |header: &&Header| header.name.eq_ignore_ascii_case("cookie");
    let pairs = exchange.request_headers.iter().filter(is_cookie).flat_map(|header| header.value.split(';'));
    let named = pairs.filter_map(|pair| pair.trim().split_once('='));
    named.filter_map(|(name, value)| Some((name, Fingerprint::parse(value)?)))
}

/// Every fingerprint in a response: what it may have issued.
fn issued(exchange: &Exchange) -> Vec<Fingerprint> {
    let body = match &exchange.response_body {
        Body::Json(text) | Body::Form(text) | Body::Html(text) => text.as_str(),
        _ => "",
    };
    let texts = exchange.response_headers.iter().map(|header| header.value.as_str()).chain([body]);
    texts.flat_map(Fingerprint::find_all).map(|(_, print)| print).collect()
}

/// Credentials that a request sends otherwise than in its headers: a refresh token, a code.
fn sent_tokens(exchange: &Exchange) -> impl Iterator<Item = Fingerprint> {
    let is_sent = |token: &Token| {
        (token.spot.is_field() || token.spot == Spot::Query) && names::is_credential_field(&token.name)
    };
    let looked_at = has_fields(exchange) || exchange.target.contains('?');
    let tokens = if looked_at { tokens(exchange) } else { Vec::new() };
    tokens.into_iter().filter(is_sent).filter_map(|token| Fingerprint::parse(&token.value))
}

fn has_fields(exchange: &Exchange) -> bool {
    matches!(exchange.request_body, Body::Json(_) | Body::Form(_) | Body::Multipart(_))
}

/// Exchanges that belong together, as a forest over their indices (union–find).
struct Links {
    parents: Vec<usize>,
}

impl Links {
    fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut index: usize) -> usize {
        while self.parents[index] != index {
            self.parents[index] = self.parents[self.parents[index]];
            index = self.parents[index];
        }
        index
    }

    /// The earlier root stays, so that a group's root is its first exchange.
    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = one.min(other);
    }

    fn by_credential(&mut self, exchanges: &[Exchange], given: &Given) {
        let mut users: HashMap<Key, usize> = HashMap::new();
        let mut issuers: HashMap<Fingerprint, Vec<usize>> = HashMap::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            for key in keys(exchange, given) {
                if let Key::Credential(print) = key {
                    for issuer in issuers.remove(&print).unwrap_or_default() {
                        self.join(issuer, index);
                    }
                }
                let first = *users.entry(key).or_insert(index);
                self.join(first, index);
            }
            for print in sent_tokens(exchange) {
                if let Some(&issuer) = issuers.get(&print).and_then(|issuers| issuers.last()) {
                    self.join(issuer, index);
                }
            }
            for print in issued(exchange) {
                issuers.entry(print).or_default().push(index);
            }
        }
    }

    /// A user who logs in again on the same connection.
    fn by_identity(&mut self, exchanges: &[Exchange]) {
        let mut logins: HashMap<(u64, String), usize> = HashMap::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            for value in login_names(exchange) {
                let first = *logins.entry((exchange.connection, value)).or_insert(index);
                self.join(first, index);
            }
        }
    }

    /// A login that takes up the work of an earlier one of the same identity and client, which is over.
    fn by_need(&mut self, exchanges: &[Exchange]) {
        let mut logins: HashMap<(&str, String), usize> = HashMap::new();
        let mut members = self.members();
        for (index, exchange) in exchanges.iter().enumerate() {
            for value in login_names(exchange) {
                let earlier = logins.insert((&exchange.client, value), index).unwrap_or(index);
                let (before, after) = (self.root(earlier), self.root(index));
                let is_over = members[before].last() < members[after].first();
                if is_over && needs(exchanges, &members[before], &members[after]) {
                    self.join(before, after);
                    let later = std::mem::take(&mut members[after]);
                    members[before].extend(later);
                }
            }
        }
    }

    /// Under each root the indices of its group, in order.
    fn members(&mut self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.parents.len()];
        (0..self.parents.len()).for_each(|index| members[self.root(index)].push(index));
        members
    }

    /// Which groups hold an exchange with a key.
    fn known(&mut self, exchanges: &[Exchange], given: &Given) -> HashSet<usize> {
        let keyed: Vec<usize> =
            (0..exchanges.len()).filter(|&at| !keys(&exchanges[at], given).is_empty()).collect();
        keyed.into_iter().map(|index| self.root(index)).collect()
    }

    fn by_connection(&mut self, exchanges: &[Exchange], known: &HashSet<usize>) {
        let mut connections: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, exchange) in exchanges.iter().enumerate() {
            connections.entry(exchange.connection).or_default().push(index);
        }
        for members in connections.into_values() {
            self.within_connection(&members, known);
        }
    }

    fn within_connection(&mut self, members: &[usize], known: &HashSet<usize>) {
        let users: Vec<Option<usize>> =
            members.iter().map(|&index| Some(self.root(index)).filter(|root| known.contains(root))).collect();
        let before = last_known(users.iter());
        let after = last_known(users.iter().rev());
        let mut nobody: Option<usize> = None;
        for (at, &index) in members.iter().enumerate().filter(|(at, _)| users[*at].is_none()) {
            match (before[at], after[members.len() - 1 - at]) {
                (Some(one), Some(other)) if one != other => self.join(*nobody.get_or_insert(index), index),
                (Some(user), _) | (None, Some(user)) => self.join(user, index),
                (None, None) => self.join(*nobody.get_or_insert(index), index),
            }
        }
    }

    /// The exchanges of each group, groups in the order of their first exchange.
    fn groups(mut self, exchanges: Vec<Exchange>) -> Vec<Vec<Exchange>> {
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut groups: Vec<Vec<Exchange>> = Vec::new();
        for (index, exchange) in exchanges.into_iter().enumerate() {
            let place = *places.entry(self.root(index)).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(exchange);
        }
        groups
    }
}

/// For each place the last user at or before it.
fn last_known<'a>(users: impl Iterator<Item = &'a Option<usize>>) -> Vec<Option<usize>> {
    let keep = |last: &mut Option<usize>, user: &Option<usize>| {
        *last = user.or(*last);
        Some(*last)
    };
    users.scan(None, keep).collect()
}

/// Whether the requests of `after` carry ids that only the responses of `before` gave.
fn needs(exchanges: &[Exchange], before: &[usize], after: &[usize]) -> bool {
    let given = |indices: &[usize]| -> HashSet<String> {
        let supplies = indices.iter().flat_map(|&index| supplies(&exchanges[index]));
        supplies.map(|supply| supply.value).collect()
    };
    let (given_before, given_after) = (given(before), given(after));
    let is_id = |token: &Token| {
        let is_traced = matches!(Kind::of(&token.value), Some(Kind::Fingerprint | Kind::Uuid));
        is_traced && names::identity_column(&token.name).is_none()
    };
    let mut ids = after.iter().flat_map(|&index| tokens(&exchanges[index])).filter(is_id);
    ids.any(|token| given_before.contains(&token.value) && !given_after.contains(&token.value))
}

/// E-mail or user name in a request that also carries a password.
fn login_names(exchange: &Exchange) -> Vec<String> {
    if !has_fields(exchange) {
        return Vec::new();
    }
    let fields = tokens(exchange).into_iter().filter(|token| token.spot.is_field());
    let columns = fields.filter_map(|token| Some((names::identity_column(&token.name)?, token.value)));
    let (passwords, logins): (Vec<_>, Vec<_>) = columns.partition(|(column, _)| *column == names::PASSWORD);
    if passwords.is_empty() { Vec::new() } else { logins.into_iter().map(|(_, value)| value).collect() }
}

fn split_idle(group: Vec<Exchange>, gap_ns: i64, given: &Given) -> Vec<Vec<Exchange>> {
    let mut parts = Vec::new();
    let mut rest = group;
    while let Some(at) = idle_end(&rest, gap_ns, given) {
        let after = rest.split_off(at);
        parts.push(std::mem::replace(&mut rest, after));
    }
    parts.push(rest);
    parts
}

/// Index of the first exchange after a silence, where the group may be split.
fn idle_end(group: &[Exchange], gap_ns: i64, given: &Given) -> Option<usize> {
    let mut done_ns = i64::MAX;
    for (at, exchange) in group.iter().enumerate() {
        let is_idle = exchange.started_ns.saturating_sub(done_ns) > gap_ns;
        if at > 0 && is_idle && stands_alone(&group[..at], &group[at..], given) {
            return Some(at);
        }
        done_ns = if at == 0 { exchange.done_ns() } else { done_ns.max(exchange.done_ns()) };
    }
    None
}

fn stands_alone(before: &[Exchange], after: &[Exchange], given: &Given) -> bool {
    let issued: HashSet<Fingerprint> = before.iter().flat_map(issued).collect();
    !after.iter().flat_map(|exchange| credentials(exchange, given)).any(|print| issued.contains(&print))
}

fn user(exchanges: Vec<Exchange>, given: &Given) -> User {
    let mut keys = exchanges.iter().flat_map(|exchange| keys(exchange, given));
    let key = match keys.next() {
        Some(Key::Credential(print) | Key::Visitor(print, _)) => print.to_string(),
        Some(Key::Named(value)) => value,
        None => format!("connection {}", exchanges.first().map_or(0, |first| first.connection)),
    };
    drop(keys);
    User { key, exchanges }
}
