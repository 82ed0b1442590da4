//! What of an exchange tells whose it is, in a few dozen bytes.
//!
//! Grouping looks at nothing else, so that a capture that does not fit into memory can be grouped. Evidence is
//! taken from an exchange here, and from the columns of a capture without building exchanges in [`columns`];
//! both follow the same rules (`names`) and give the same evidence, which a test holds them to.

use std::hash::{BuildHasher as _, Hash};

use kingtide_common::exchange::{Body, Ending, Exchange, Header};
use kingtide_common::fingerprint::Fingerprint;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::names;
use super::rules::Given;
use super::supply::supplies;
use super::tokens::{Kind, Spot, Token, tokens};

pub(crate) mod columns;
pub(crate) mod ids;

/// Bytes from which a value is too long to be a preference such as `dark`.
const VISITOR_BYTES_MIN: usize = 16;
const SESSION_COOKIE_BYTES_MIN: usize = 8;

/// The evidence of many exchanges.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Evidence {
    rows: Vec<Row>,
    /// Of all rows, one after the other.
    prints: Vec<Fingerprint>,
    logins: Vec<u64>,
    marks: Vec<Mark>,
    /// The texts of marks by their digests.
    texts: FxHashMap<u64, String>,
}

/// The evidence of one exchange; its lists stand in [`Evidence`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Its place in the order in which evidence was pushed.
    pub(crate) origin: u32,
    pub(crate) id: u64,
    pub(crate) connection: u64,
    /// First byte of the request, nanoseconds UTC.
    pub(crate) started_ns: i64,
    pub(crate) done_ns: i64,
    client: u64,
    /// Where its prints begin: those of credentials, visitors, sent and issued ones, of this many each.
    prints_from: u32,
    counts: [u32; 4],
    logins_from: u32,
    marks_from: u32,
    logins: u16,
    marks: u16,
    /// The answer was complete.
    is_complete: bool,
}

/// A value by which a user's rule tells users apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    Credential(Fingerprint),
    /// The digest of a text that is no fingerprint.
    Text(u64),
}

/// What one exchange shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shown {
    pub(super) id: u64,
    pub(super) connection: u64,
    pub(super) started_ns: i64,
    pub(super) done_ns: i64,
    /// A digest of the client's address.
    pub(super) client: u64,
    pub(super) is_complete: bool,
    /// By which the request shows who it is from.
    pub(super) credentials: Vec<Fingerprint>,
    /// Cookies that may be the same for many, from one client; looked at where there is no credential.
    pub(super) visitors: Vec<Fingerprint>,
    /// Credentials that the request sends otherwise than in its headers: a refresh token, a code.
    pub(super) sent: Vec<Fingerprint>,
    /// What the response may have issued.
    pub(super) issued: Vec<Fingerprint>,
    /// Digests of the names that it logs in.
    pub(super) logins: Vec<u64>,
    /// What a rule calls a user's key, fingerprints or not; where there is one, nothing else counts.
    pub(super) marks: Vec<String>,
}

impl Shown {
    pub(super) fn by(exchange: &Exchange, given: &Given) -> Self {
        let (sent, logins) = sent(exchange);
        let credentials = credentials(exchange, given);
        let visitors = if credentials.is_empty() { visitors(exchange) } else { Vec::new() };
        Self {
            id: exchange.id,
            connection: exchange.connection,
            started_ns: exchange.started_ns,
            done_ns: exchange.done_ns(),
            client: digest(&exchange.client),
            is_complete: exchange.ending == Ending::Complete,
            credentials,
            visitors,
            sent,
            issued: issued(exchange),
            logins,
            marks: if given.has_keys() { marks(exchange, given) } else { Vec::new() },
        }
    }
}

impl Evidence {
    pub(super) fn of<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>, given: &Given) -> Self {
        let mut evidence = Self::default();
        exchanges.into_iter().for_each(|exchange| evidence.push(&Shown::by(exchange, given)));
        evidence
    }

    pub(super) fn push(&mut self, shown: &Shown) {
        let lists = [&shown.credentials, &shown.visitors, &shown.sent, &shown.issued];
        self.rows.push(Row {
            origin: narrow(self.rows.len()),
            id: shown.id,
            connection: shown.connection,
            started_ns: shown.started_ns,
            done_ns: shown.done_ns,
            client: shown.client,
            prints_from: narrow(self.prints.len()),
            counts: lists.map(|list| narrow(list.len())),
            logins_from: narrow(self.logins.len()),
            marks_from: narrow(self.marks.len()),
            logins: u16::try_from(shown.logins.len()).unwrap_or(u16::MAX),
            marks: u16::try_from(shown.marks.len()).unwrap_or(u16::MAX),
            is_complete: shown.is_complete,
        });
        for list in lists {
            self.prints.extend(list);
        }
        self.logins.extend(shown.logins.iter().take(usize::from(u16::MAX)));
        for mark in shown.marks.iter().take(usize::from(u16::MAX)) {
            self.mark(mark);
        }
    }

    fn mark(&mut self, text: &str) {
        let mark = Fingerprint::parse(text).map_or_else(|| Mark::Text(digest(text)), Mark::Credential);
        if let Mark::Text(digest) = mark {
            self.texts.entry(digest).or_insert_with(|| text.to_owned());
        }
        self.marks.push(mark);
    }

    /// For about so many exchanges: lists that need not grow are not copied.
    pub(crate) fn expecting(rows: u64) -> Self {
        const ROWS_MAX: u64 = 1 << 22;
        let rows = usize::try_from(rows.min(ROWS_MAX)).unwrap_or_default();
        Self { rows: Vec::with_capacity(rows), prints: Vec::with_capacity(rows), ..Self::default() }
    }

    /// Adds the evidence of exchanges that come after.
    pub(crate) fn append(&mut self, other: Self) {
        let [rows, prints, logins, marks] =
            [self.rows.len(), self.prints.len(), self.logins.len(), self.marks.len()];
        let moved = |from: u32, by: usize| narrow(from as usize + by);
        self.rows.extend(other.rows.into_iter().map(|row| Row {
            origin: moved(row.origin, rows),
            prints_from: moved(row.prints_from, prints),
            logins_from: moved(row.logins_from, logins),
            marks_from: moved(row.marks_from, marks),
            ..row
        }));
        self.prints.extend(other.prints);
        self.logins.extend(other.logins);
        self.marks.extend(other.marks);
        self.texts.extend(other.texts);
    }

    /// By start.
    pub(super) fn sort(&mut self) {
        self.rows.sort_unstable_by_key(|row| (row.started_ns, row.id, row.origin));
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn credentials(&self, row: &Row) -> &[Fingerprint] {
        self.list(row, 0)
    }

    pub(super) fn visitors(&self, row: &Row) -> &[Fingerprint] {
        self.list(row, 1)
    }

    pub(super) fn sent(&self, row: &Row) -> &[Fingerprint] {
        self.list(row, 2)
    }

    pub(super) fn issued(&self, row: &Row) -> &[Fingerprint] {
        self.list(row, 3)
    }

    /// Digests of the names that a row logs in, each with its client.
    pub(super) fn logins(&self, row: &Row) -> impl Iterator<Item = (u64, u64)> {
        let (from, client) = (row.logins_from as usize, row.client);
        self.logins[from..from + usize::from(row.logins)].iter().map(move |login| (client, *login))
    }

    /// By which a rule tells the user.
    pub(super) fn marks(&self, row: &Row) -> &[Mark] {
        let from = row.marks_from as usize;
        &self.marks[from..from + usize::from(row.marks)]
    }

    /// The text that [`Mark::Text`] stands for.
    pub(super) fn text(&self, digest: u64) -> &str {
        self.texts.get(&digest).map_or("", String::as_str)
    }

    fn list(&self, row: &Row, which: usize) -> &[Fingerprint] {
        let before: u32 = row.counts[..which].iter().sum();
        let from = row.prints_from as usize + before as usize;
        &self.prints[from..from + row.counts[which] as usize]
    }
}

impl Row {
    /// A digest of the client's address.
    pub(super) fn client(&self) -> u64 {
        self.client
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// Positions are kept in 32 bits, to be small: 2³² rows would take 400 GB of memory, as many fingerprints 70 GB.
fn narrow(position: usize) -> u32 {
    u32::try_from(position).expect("fewer than 2^32 exchanges, and fewer texts of one, fit into memory")
}

/// Ids that an exchange was given and sent, as digests: what a later login may take up.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ids {
    pub(super) given: Vec<u64>,
    pub(super) sent: Vec<u64>,
}

impl Ids {
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let is_id = |token: &Token| {
            let is_traced = matches!(Kind::of(&token.value), Some(Kind::Fingerprint | Kind::Uuid));
            is_traced && names::identity_column(&token.name).is_none()
        };
        let sent = tokens(exchange).into_iter().filter(is_id).map(|token| digest(&token.value));
        let given = supplies(exchange).into_iter().map(|supply| digest(&supply.value));
        Self { given: given.collect(), sent: sent.collect() }
    }
}

/// 64 bits that stand for a text: two texts of a capture have the same by chance once in 2³².
pub(super) fn digest(text: impl Hash) -> u64 {
    FxBuildHasher.hash_one(text)
}

/// The fingerprints by which a request shows who it is from.
pub(super) fn credentials(exchange: &Exchange, given: &Given) -> Vec<Fingerprint> {
    let is_credential = |header: &&Header| is_credential_header(&header.name, given);
    let headers = exchange.request_headers.iter().filter(is_credential);
    let prints = headers.flat_map(|header| Fingerprint::find_all(&header.value)).map(|(_, print)| print);
    let cookies = cookies(exchange).filter(|(name, print)| is_session_cookie(name, print, given));
    prints.chain(cookies.map(|(_, print)| print)).collect()
}

fn is_credential_header(name: &str, given: &Given) -> bool {
    names::is_credential_header(name) || given.is_credential(Spot::Header, name)
}

fn is_session_cookie(name: &str, print: &Fingerprint, given: &Given) -> bool {
    (print.bytes >= SESSION_COOKIE_BYTES_MIN && names::is_session_cookie(name))
        || given.is_credential(Spot::Cookie, name)
}

/// What a rule says identifies the user.
fn marks(exchange: &Exchange, given: &Given) -> Vec<String> {
    let is_key = |token: &Token| given.is_key(token.spot, &token.name);
    tokens(exchange).into_iter().filter(is_key).map(|token| token.value).collect()
}

fn is_visitor_cookie(print: &Fingerprint) -> bool {
    print.bytes >= VISITOR_BYTES_MIN
}

fn visitors(exchange: &Exchange) -> Vec<Fingerprint> {
    cookies(exchange).map(|(_, print)| print).filter(is_visitor_cookie).collect()
}

/// Names and fingerprints of the cookies a request carries.
fn cookies(exchange: &Exchange) -> impl Iterator<Item = (&str, Fingerprint)> {
    let is_cookie = |header: &&Header| header.name.eq_ignore_ascii_case("cookie");
    exchange.request_headers.iter().filter(is_cookie).flat_map(|header| cookies_of(&header.value))
}

fn cookies_of(value: &str) -> impl Iterator<Item = (&str, Fingerprint)> {
    let named = value.split(';').filter_map(|pair| pair.trim().split_once('='));
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

/// Tokens in bodies and queries, and digests of the names that are logged in.
fn sent(exchange: &Exchange) -> (Vec<Fingerprint>, Vec<u64>) {
    if !has_fields(exchange) && !exchange.target.contains('?') {
        return (Vec::new(), Vec::new());
    }
    let tokens = tokens(exchange);
    let is_sent = |token: &&Token| {
        (token.spot.is_field() || token.spot == Spot::Query) && names::is_credential_field(&token.name)
    };
    let sent = tokens.iter().filter(is_sent).filter_map(|token| Fingerprint::parse(&token.value));
    (sent.collect(), login_names(&tokens).map(digest).collect())
}

fn has_fields(exchange: &Exchange) -> bool {
    matches!(exchange.request_body, Body::Json(_) | Body::Form(_) | Body::Multipart(_))
}

/// E-mail or user name in a request that also carries a password.
fn login_names(tokens: &[Token]) -> impl Iterator<Item = &str> {
    let fields = tokens.iter().filter(|token| token.spot.is_field());
    let columns: Vec<_> = fields
        .filter_map(|token| Some((names::identity_column(&token.name)?, token.value.as_str())))
        .collect();
    let has_password = columns.iter().any(|(column, _)| *column == names::PASSWORD);
    let logins = columns.into_iter().filter(move |(column, _)| has_password && *column != names::PASSWORD);
    logins.map(|(_, value)| value)
}
