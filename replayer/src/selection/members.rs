//! Which exchanges belong to one session, by their ids alone.
//!
//! To find it out takes the texts of all exchanges in memory, as a replay does; what is kept of them
//! afterwards is 16 bytes an exchange.

use kingtide_common::exchange::Exchange;

use crate::sessions::{self, Rules};

/// The sessions of a capture, in order of their start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    pub sessions: Vec<Member>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What holds it together: a token's or cookie's fingerprint, or the connection.
    pub key: String,
    /// [`Exchange::id`] of each of its exchanges, in order of their start.
    pub exchanges: Vec<u64>,
}

impl Members {
    pub fn of(exchanges: Vec<Exchange>) -> Self {
        let grouped = sessions::group(exchanges, &Rules::default());
        let sessions = grouped.sessions.into_iter().map(|session| Member {
            key: session.key,
            exchanges: session.steps.iter().map(|step| step.exchange.id).collect(),
        });
        Self { sessions: sessions.collect() }
    }
}

impl Member {
    /// Whether a user means this session, the `number`th from 1, by a number, by its key or by the first
    /// digits of the key's fingerprint.
    pub fn is(&self, number: usize, wanted: &str) -> bool {
        let digits = self.key.strip_prefix("{fp:").unwrap_or_default();
        wanted.parse() == Ok(number)
            || self.key == wanted
            || (wanted.len() >= DIGITS_MIN && digits.starts_with(wanted))
    }
}

/// Fewer digits of a fingerprint might be a number.
const DIGITS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::scene::{capture, get, secret};

    #[test]
    fn exchanges_of_one_user_belong_together() {
        let scenes = vec![get("/a").bearer("one").at_s(0.0), get("/a").bearer("two").at_s(1.0).on(2)];
        let later = get("/b").bearer("one").at_s(2.0).on(3);
        let members = Members::of(capture([scenes, vec![later]].concat()));
        let ids: Vec<&[u64]> = members.sessions.iter().map(|member| member.exchanges.as_slice()).collect();
        assert_eq!(ids, [&[1, 3][..], &[2]]);
    }

    #[test]
    fn a_session_is_meant_by_number_key_or_digits() {
        let key = secret("one");
        let member = Member { key: key.clone(), exchanges: vec![1] };
        assert!(member.is(3, "3") && member.is(3, &key) && member.is(3, &key[4..12]));
        assert!(!member.is(3, "4") && !member.is(3, &key[4..9]) && !member.is(3, ""));
    }
}
