//! Who may ask the admin listener.
//!
//! Reachable from other machines only with a token, and then each request that shows or changes anything must
//! carry it. Without one, on loopback, the browser is the danger: a page from elsewhere may send requests to
//! this machine (so what changes something must come from our own page) and may give its own host name this
//! machine's address (so only names of loopback are answered).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method, StatusCode, header};

use crate::config::Admin;

/// An `[admin]` that would leave the listener open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    #[error(
        "admin.listen: {0} can be reached from other machines: set admin.token_env to the name of an \
         environment variable that holds a token, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    #[error(
        "admin.token_env: the environment variable `{0}` is not set or empty: put a token there, for instance \
         of `openssl rand -hex 32`"
    )]
    NoToken(String),
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The token is missing or wrong.
    Unauthorized,
    /// The request names a host that is not this machine.
    ForeignHost,
    /// A page from elsewhere wants to change something.
    CrossSite,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignHost | Self::CrossSite => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unauthorized => "send `Authorization: Bearer TOKEN` with the token of admin.token_env",
            Self::ForeignHost => "without a token only 127.0.0.1, [::1] and localhost are answered",
            Self::CrossSite => "only the page of this listener may do that",
        }
    }
}

/// The rule of one listener.
#[derive(Debug)]
pub(crate) enum Access {
    /// Its hash: comparing hashes takes the same time whatever the guess (and blake3 compares in constant time).
    Token(blake3::Hash),
    Loopback,
}

impl Access {
    /// `variable` looks an environment variable up.
    pub(crate) fn new(
        admin: &Admin,
        listen: SocketAddr,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, AccessError> {
        match &admin.token_env {
            Some(name) => {
                let token = variable(name).filter(|token| !token.trim().is_empty());
                let token = token.ok_or_else(|| AccessError::NoToken(name.clone()))?;
                Ok(Self::Token(blake3::hash(token.trim().as_bytes())))
            }
            None if listen.ip().to_canonical().is_loopback() => Ok(Self::Loopback),
            None => Err(AccessError::Open(listen)),
        }
    }

    /// Whether a request that shows or changes something may.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        match self {
            Self::Token(token) if carries(headers, token) => Ok(()),
            Self::Token(_) => Err(Refusal::Unauthorized),
            Self::Loopback if !names_loopback(headers) => Err(Refusal::ForeignHost),
            Self::Loopback if !method.is_safe() && is_cross_site(headers) => Err(Refusal::CrossSite),
            Self::Loopback => Ok(()),
        }
    }
}

fn carries(headers: &HeaderMap, token: &blake3::Hash) -> bool {
    let sent = text(headers, header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    sent.is_some_and(|(scheme, sent)| {
        scheme.eq_ignore_ascii_case("bearer") && blake3::hash(sent.trim().as_bytes()) == *token
    })
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(authority) = text(headers, header::HOST.as_str()) else { return false };
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Browsers say where a request comes from; what is no browser says nothing.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let own = text(headers, header::HOST.as_str()).map(|host| format!("http://{host}"));
    let other_origin =
        headers.contains_key(header::ORIGIN) && text(headers, header::ORIGIN.as_str()) != own.as_deref();
    let other_site = headers.contains_key("sec-fetch-site")
        && !matches!(text(headers, "sec-fetch-site"), Some("same-origin" | "none"));
    other_origin || other_site
}

/// A header's only value.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str, token_env: Option<&str>) -> Result<Access, AccessError> {
        let admin = Admin { listen: None, token_env: token_env.map(str::to_owned) };
        let variable = |name: &str| match name {
            "TOKEN" => Some("s3cret\n".to_owned()),
            "EMPTY" => Some(" ".to_owned()),
            _ => None,
        };
        Access::new(&admin, listen.parse().unwrap(), variable)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_open_listener_is_refused_with_the_remedy() {
        let open = access("0.0.0.0:9901", None).unwrap_err().to_string();
        assert!(open.contains("0.0.0.0:9901") && open.contains("set admin.token_env"), "{open}");
        for variable in ["EMPTY", "MISSING"] {
            let error = access("127.0.0.1:9901", Some(variable)).unwrap_err();
            assert_eq!(error, AccessError::NoToken(variable.to_owned()));
        }
        for listen in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            assert!(access(listen, None).is_ok(), "{listen}");
        }
    }

    #[test]
    fn with_a_token_nothing_else_opens() {
        let access = access("0.0.0.0:9901", Some("TOKEN")).unwrap();
        let check = |pairs: &[_]| access.check(&Method::GET, &headers(pairs));
        assert_eq!(check(&[("authorization", "Bearer s3cret")]), Ok(()));
        assert_eq!(check(&[("authorization", "bearer  s3cret ")]), Ok(()));
        for wrong in ["Bearer s3cre", "Bearer s3cret2", "Bearer ", "Basic s3cret", "s3cret"] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, wrong.parse().unwrap())]);
            assert_eq!(access.check(&Method::GET, &headers), Err(Refusal::Unauthorized), "{wrong}");
        }
        assert_eq!(check(&[]), Err(Refusal::Unauthorized));
        let twice = [("authorization", "Bearer s3cret"), ("authorization", "Bearer x")];
        assert_eq!(check(&twice), Err(Refusal::Unauthorized));
    }

    #[test]
    fn on_loopback_only_its_names_are_answered() {
        let access = access("127.0.0.1:9901", None).unwrap();
        for host in ["127.0.0.1:9901", "localhost:9901", "LOCALHOST", "[::1]:9901", "kingtide.localhost"] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(access.check(&Method::GET, &headers), Ok(()), "{host}");
        }
        for host in ["evil.example:9901", "localhost.evil.example", "192.0.2.1", "", "a b"] {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(access.check(&Method::GET, &headers), Err(Refusal::ForeignHost), "{host}");
        }
        assert_eq!(access.check(&Method::GET, &HeaderMap::new()), Err(Refusal::ForeignHost));
    }

    #[test]
    fn a_page_from_elsewhere_changes_nothing() {
        let access = access("127.0.0.1:9901", None).unwrap();
        let host = ("host", "localhost:9901");
        let post = |more: &[(&'static str, &'static str)]| {
            access.check(&Method::POST, &headers(&[&[host], more].concat()))
        };
        assert_eq!(post(&[]), Ok(()), "curl");
        assert_eq!(post(&[("origin", "http://localhost:9901"), ("sec-fetch-site", "same-origin")]), Ok(()));
        for cross in [
            ("origin", "https://evil.example"),
            ("origin", "http://localhost:8080"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(post(&[cross]), Err(Refusal::CrossSite), "{cross:?}");
        }
    }
}
