//! What tells one client of a zone from another, as a number.
//!
//! Only a hash of the key is kept, made with a secret of the zone that is new in each process: a zone costs the
//! same whatever clients send, holds no credential, and nobody can choose two keys that fall together. That two
//! of 100,000 keys do by chance is less likely than one in a thousand million.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::config::ZoneKey;
use crate::message::RequestHead;

/// The hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) u64);

/// How a zone finds the key of a request.
#[derive(Debug)]
pub(crate) struct Keys {
    from: ZoneKey,
    secret: RandomState,
}

impl Keys {
    pub(crate) fn new(from: ZoneKey) -> Self {
        Self { from, secret: RandomState::new() }
    }

    /// `None` when the key is empty: as in Nginx, such a request is not counted.
    pub(crate) fn of(&self, head: &RequestHead, client: IpAddr) -> Option<Key> {
        match &self.from {
            // An IPv4 client is the same client on an IPv6 socket.
            ZoneKey::Address => Some(Key(self.secret.hash_one(client.to_canonical()))),
            ZoneKey::Header(name) => self.hash(head.fields.get(name)?),
            ZoneKey::Token => self.hash(credential(head.fields.get("authorization")?)),
            ZoneKey::Server => Some(Key(0)),
        }
    }

    fn hash(&self, key: &[u8]) -> Option<Key> {
        (!key.is_empty()).then(|| Key(self.secret.hash_one(key)))
    }
}

/// What follows the scheme, so that `Bearer x` and `bearer x` are one client; all of it where there is no scheme.
fn credential(authorization: &[u8]) -> &[u8] {
    let value = authorization.trim_ascii();
    let scheme_ends = value.iter().position(|byte| *byte == b' ');
    scheme_ends.map_or(value, |at| value[at..].trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(from: ZoneKey, one: (&[(&str, &str)], &str), other: (&[(&str, &str)], &str)) -> bool {
        let keys = Keys::new(from);
        let key = |(fields, client): (&[(&str, &str)], &str)| {
            let head = RequestHead::sample("GET", "/", "a", fields);
            keys.of(&head, client.parse().unwrap()).unwrap()
        };
        key(one) == key(other)
    }

    #[test]
    fn the_key_is_what_the_zone_says() {
        let (a, b): (&[_], &[_]) = (&[("X-Room", "a")], &[("X-Room", "b")]);
        assert!(same(ZoneKey::Address, (a, "10.0.0.1"), (b, "::ffff:10.0.0.1")));
        assert!(!same(ZoneKey::Address, (a, "10.0.0.1"), (a, "10.0.0.2")));
        assert!(same(ZoneKey::Header("x-room".into()), (a, "10.0.0.1"), (a, "10.0.0.2")));
        assert!(!same(ZoneKey::Header("x-room".into()), (a, "10.0.0.1"), (b, "10.0.0.1")));
        assert!(same(ZoneKey::Server, (a, "10.0.0.1"), (b, "10.0.0.2")));
    }

    #[test]
    fn a_token_is_the_credential_without_its_scheme() {
        let token = |one: &str, other: &str| {
            let (one, other) = ([("Authorization", one)], [("authorization", other)]);
            same(ZoneKey::Token, (&one, "::1"), (&other, "10.0.0.1"))
        };
        assert!(token("Bearer abc", "bearer  abc") && token("abc", "abc"));
        assert!(!token("Bearer abc", "Bearer abd"));
    }

    #[test]
    fn an_empty_key_is_not_counted() {
        let key = |from, fields: &[(&str, &str)]| {
            let head = RequestHead::sample("GET", "/", "a", fields);
            Keys::new(from).of(&head, IpAddr::from([10, 0, 0, 1]))
        };
        assert_eq!(key(ZoneKey::Header("x-room".into()), &[]), None);
        assert_eq!(key(ZoneKey::Header("x-room".into()), &[("X-Room", "")]), None);
        assert_eq!(key(ZoneKey::Token, &[("Authorization", "")]), None);
        assert_eq!(key(ZoneKey::Token, &[("Cookie", "a=b")]), None);
    }
}
