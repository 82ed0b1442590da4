//! Who asks: what tells one user's requests from another's while they run, cheaply.
//!
//! A user is known by a credential: what `Authorization` carries after its scheme, a header like it, or a
//! session cookie. A request without one goes with its connection; where connections are shared, because they
//! come from a trusted proxy, with its client's address and browser. What a response issues (session cookies,
//! tokens in the JSON of a login) belongs to who asked for it: so a login stays with its session.
//!
//! The names are those by which `kingtide` groups sessions (replayer/src/sessions/names.rs).

use std::hash::{BuildHasher as _, RandomState};

use blake3::Hasher;
use kingtide_common::exchange::Exchange;
use kingtide_common::fingerprint::{Fingerprint, leading_u64};
use kingtide_common::json;
use memchr::memmem;

use crate::message::{Fields, RequestHead};
use crate::passage::Passage;

/// Bytes of a credential that go into its key, from its end: of a JWT that is the signature.
const HASHED_BYTES: usize = 64;
/// Bytes from which a value is too long to be a preference.
const CREDENTIAL_BYTES_MIN: usize = 8;
/// Bytes of a login's answer at most; a list of things is no login.
const ISSUING_BYTES_MAX: usize = 4 << 10;

/// The keys by which a request's user is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    credential: Option<u64>,
    /// Where a request without a credential belongs; `None` where others share the place of one that has its
    /// own.
    place: Option<u64>,
}

impl User {
    /// Known by this credential alone.
    pub(super) fn by_credential(key: u64) -> Self {
        Self { credential: Some(key), place: None }
    }

    /// Of the credential and of the place.
    pub(super) fn keys(&self) -> [Option<u64>; 2] {
        [self.credential, self.place]
    }

    /// What is answered will tell.
    pub(super) fn is_unknown(&self) -> bool {
        self.credential.is_none() && self.place.is_none()
    }
}

/// A credential that an answer gives its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) key: u64,
    /// As the capture will hold it.
    pub(super) print: Fingerprint,
}

/// Makes keys, under a secret of the process.
#[derive(Debug)]
pub(super) struct Users {
    secret: RandomState,
    /// Keyed as the capture's fingerprints are.
    hasher: Hasher,
}

impl Users {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self { secret: RandomState::new(), hasher }
    }

    /// What stands in the capture for a credential.
    pub(super) fn print(&self, credential: &[u8]) -> Fingerprint {
        let hash = self.hasher.clone().update(credential).finalize();
        Fingerprint { hash: leading_u64(&hash), bytes: credential.len() }
    }

    fn issued(&self, credential: &[u8]) -> Issued {
        Issued { key: self.key(credential), print: self.print(credential) }
    }

    pub(super) fn of(&self, passage: &Passage) -> User {
        let request = &passage.request;
        let credential = credential(request.fields.iter()).map(|value| self.key(value));
        let alone = !passage.trusted || (credential.is_none() && !may_issue(request));
        User { credential, place: alone.then(|| self.place(passage)) }
    }

    /// Where a request belongs that nothing else tells about.
    pub(super) fn by_place(&self, passage: &Passage) -> User {
        User { credential: None, place: Some(self.place(passage)) }
    }

    fn place(&self, passage: &Passage) -> u64 {
        if passage.trusted {
            let browser = passage.request.fields.get("user-agent").unwrap_or_default();
            self.secret.hash_one((passage.client, browser))
        } else {
            self.secret.hash_one(passage.connection.id)
        }
    }

    /// What the head of an answer gives its client to show from now on: session cookies.
    pub(super) fn issued_by_head(&self, answer: &Fields) -> Vec<Issued> {
        let cookies = answer.all("set-cookie");
        let pairs = cookies.map(|value| value.split(|byte| *byte == b';').next());
        pairs.filter_map(session_cookie).map(|value| self.issued(value)).collect()
    }

    /// What the JSON of an answer gives: tokens. Nothing before it is whole.
    pub(super) fn issued_by_text(&self, answer: &[u8]) -> Vec<Issued> {
        let Some(text) = login_answer(answer) else { return Vec::new() };
        tokens(text).map(|token| self.issued(token.as_bytes())).collect()
    }

    fn key(&self, credential: &[u8]) -> u64 {
        let tail = credential.len().saturating_sub(HASHED_BYTES);
        self.secret.hash_one((credential.len(), &credential[tail..]))
    }
}

/// Whether the answer to this request may be a token in JSON: a POST without a credential, or one to where
/// tokens are had.
pub(super) fn may_issue(request: &RequestHead) -> bool {
    request.method() == "POST"
        && (credential(request.fields.iter()).is_none() || is_login_path(request.path()))
}

/// The value by which a request shows whose it is.
pub(super) fn credential<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<&'a [u8]> {
    let mut cookie = None;
    for (name, value) in headers {
        match name.len() {
            13 if name.eq_ignore_ascii_case(b"authorization") => return Some(after_scheme(value)),
            12..=15 if name[0] | 0x20 == b'x' && is_token_header(name) => return Some(value.trim_ascii()),
            6 if cookie.is_none() && name.eq_ignore_ascii_case(b"cookie") => {
                cookie = session_cookie(value.split(|byte| *byte == b';'));
            }
            _ => {}
        }
    }
    cookie
}

/// As the capture holds it: a fingerprint.
pub(super) fn credential_of(exchange: &Exchange) -> Option<Fingerprint> {
    let headers = exchange.request_headers.iter();
    let shown = credential(headers.map(|header| (header.name.as_bytes(), header.value.as_bytes())))?;
    Fingerprint::parse(std::str::from_utf8(shown).ok()?)
}

fn after_scheme(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    let space = value.iter().position(|byte| *byte == b' ');
    space.map_or(value, |space| value[space..].trim_ascii())
}

fn is_token_header(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] =
        [b"x-access-token", b"x-auth-token", b"x-session-id", b"x-session-token", b"x-user-token"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The value of the first cookie that names a session.
fn session_cookie<'a>(pairs: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    pairs.into_iter().find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        (value.len() >= CREDENTIAL_BYTES_MIN && is_session_cookie(name)).then_some(value)
    })
}

/// One pass, for it is asked of every cookie. Tokens against forged requests change within a session.
fn is_session_cookie(name: &[u8]) -> bool {
    let begins = |rest: &[u8], word: &[u8]| {
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    let names_session = |rest: &[u8]| match rest[0].to_ascii_lowercase() {
        b's' => begins(rest, b"sess") || begins(rest, b"sid"),
        b't' => begins(rest, b"token"),
        b'a' => begins(rest, b"auth"),
        b'j' => begins(rest, b"jwt"),
        b'l' => begins(rest, b"login"),
        b'r' => begins(rest, b"remember"),
        _ => false,
    };
    let rests = || (0..name.len()).map(|at| &name[at..]);
    rests().any(names_session) && !rests().any(|rest| begins(rest, b"csrf") || begins(rest, b"xsrf"))
}

fn is_login_path(path: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] =
        [b"login", b"logon", b"signin", b"signup", b"register", b"token", b"session", b"auth", b"refresh"];
    let segment = path.rsplit(|byte| *byte == b'/').find(|segment| !segment.is_empty()).unwrap_or_default();
    let segment = segment.to_ascii_lowercase();
    WORDS.iter().any(|word| memmem::find(&segment, word).is_some())
}

/// The text of an answer that may hold a token. Compressed ones are not opened here: logins are small.
fn login_answer(answer: &[u8]) -> Option<&str> {
    let hint = || [&b"oken"[..], b"ession", b"icket"].iter().any(|hint| memmem::find(answer, hint).is_some());
    (answer.len() <= ISSUING_BYTES_MAX && hint()).then(|| std::str::from_utf8(answer).ok())?
}

/// Values of fields that are named like tokens.
fn tokens(text: &str) -> impl Iterator<Item = String> {
    const WORDS: [&str; 6] = ["token", "session", "refresh", "ticket", "assertion", "authcode"];
    let is_token = |pointer: &str| {
        let key = pointer.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        WORDS.iter().any(|word| key.replace(['_', '-'], "").contains(word))
    };
    let scalars = json::scalars(text).unwrap_or_default().into_iter();
    let named = scalars.filter(move |scalar| is_token(&scalar.pointer));
    let values = named.map(|scalar| json::decoded(&text[scalar.range]));
    values.filter(|value| value.len() >= CREDENTIAL_BYTES_MIN && !value.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn shown<'a>(headers: &[(&'a str, &'a str)]) -> Option<&'a str> {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        credential(headers).map(|value| std::str::from_utf8(value).unwrap())
    }

    #[test]
    fn a_credential_is_found_where_clients_put_it() {
        assert_eq!(shown(&[("Host", "a"), ("authorization", "Bearer  abc.def ")]), Some("abc.def"));
        assert_eq!(shown(&[("Authorization", "abc.def")]), Some("abc.def"));
        assert_eq!(shown(&[("X-Auth-Token", "k-123456")]), Some("k-123456"));
        assert_eq!(
            shown(&[("Cookie", "theme=darkdarkdark; PHPSESSID=\"0123456789\"; x=1")]),
            Some("0123456789")
        );
        assert_eq!(shown(&[("Cookie", "csrftoken=0123456789; sid=short")]), None, "neither names a session");
        assert_eq!(
            shown(&[("Cookie", "sid=0123456789"), ("Authorization", "Bearer t")]),
            Some("t"),
            "a header before a cookie"
        );
        assert_eq!(shown(&[("Host", "a"), ("Accept", "*/*")]), None);
    }

    fn asking_with(users: &Users, headers: &[(&str, &str)]) -> User {
        users.of(&Passage { request: sample::request("GET", "/", headers), ..sample::upload() })
    }

    #[test]
    fn what_a_login_issues_is_what_its_user_shows_afterwards() {
        let users = Users::new(Hasher::new());
        let answer = br#"{"user":{"id":1},"access_token":"abc.def.ghi","refreshToken":"r-12345678"}"#;
        let tokens = users.issued_by_text(answer);
        assert_eq!(tokens.len(), 2);
        let fields = [("Set-Cookie", "theme=0123456789"), ("set-cookie", "sid=0123456789; Path=/; HttpOnly")];
        let cookies = users.issued_by_head(&sample::fields(&fields));
        assert_eq!(cookies.len(), 1);
        let bearer = asking_with(&users, &[("Authorization", "Bearer abc.def.ghi")]);
        let cookie = asking_with(&users, &[("Cookie", "theme=dark; sid=0123456789")]);
        assert_eq!((bearer.credential, cookie.credential), (Some(tokens[0].key), Some(cookies[0].key)));
        let other = asking_with(&users, &[("Authorization", "Bearer abc.def.ghj")]);
        assert_ne!(bearer.credential, other.credential);
    }

    #[test]
    fn other_answers_issue_nothing() {
        let users = Users::new(Hasher::new());
        let issued = |answer: &str| users.issued_by_text(answer.as_bytes()).len();
        assert_eq!(issued(r#"{"token_count":7,"note":"0123456789"}"#), 0);
        assert_eq!(issued(r#"{"token":"0123456789""#), 0, "not whole yet");
        assert_eq!(issued(r#"{"token":"0123456789"}"#), 1);
        assert_eq!(issued(&format!(r#"{{"token":"{}"}}"#, "x".repeat(5_000))), 0, "too large for a login");
        let may = |method: &str, path: &str, headers: &[(&str, &str)]| {
            may_issue(&sample::request(method, path, headers))
        };
        let bearer = [("Authorization", "Bearer abc.def.ghi")];
        assert!(may("POST", "/api/v1/enter", &[]) && may("POST", "/api/auth/refresh?x=1", &bearer));
        assert!(!may("POST", "/api/uploads", &bearer) && !may("GET", "/api/tokens", &[]));
    }

    #[test]
    fn who_shows_nothing_goes_with_the_connection_or_behind_a_proxy_with_address_and_browser() {
        let users = Users::new(Hasher::new());
        let (one, other) = (asking_with(&users, &[]), asking_with(&users, &[("User-Agent", "x")]));
        assert_eq!(one, other);
        assert!(one.place.is_some() && one.credential.is_none());
        let behind = |method: &str, headers: &[(&str, &str)]| {
            let request = sample::request(method, "/", headers);
            users.of(&Passage { request, trusted: true, ..sample::upload() })
        };
        assert_eq!(behind("GET", &[("User-Agent", "x")]), behind("GET", &[("User-Agent", "x")]));
        assert_ne!(behind("GET", &[("User-Agent", "x")]), behind("GET", &[("User-Agent", "y")]));
        let bearer = behind("GET", &[("Authorization", "Bearer abc.def.ghi")]);
        assert!(bearer.place.is_none() && bearer.credential.is_some(), "the place is shared with others");
        assert!(behind("POST", &[]).is_unknown(), "a login goes with what it is answered");
    }
}
