//! What was tried more than once, and why: requests that met a closed connection, retries, renewed tokens.
//!
//! None of it hides anything: a request counts once in `planned`, `sent`, `done` and `statuses`, there with its
//! first answer, whatever came after; what came after is here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ErrorClass;
use crate::report::format::{counted, share};

/// More of the requests than this on closed connections are worth a word.
const REPEATED_SHARE_MAX: f64 = 0.01;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    /// Answers of all tries, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes handed to the socket by tries that were not their request's last.
    pub sent_again_bytes: u64,
    pub repeats: Repeats,
    pub retries: Retries,
    pub renewals: Renewals,
    /// Captured retries of requests that succeeded this time: planned, and not sent.
    pub retry_not_needed: u64,
}

/// Requests that went out again on a new connection: they met a kept one just as the target closed it, or the target
/// had not taken them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repeats {
    /// Before a byte of them had gone out.
    pub unsent: u64,
    /// After: only methods that are idempotent.
    pub sent_twice: u64,
    /// HTTP/2: the target said that it had not looked at them (`REFUSED_STREAM`, or `GOAWAY` below their number).
    pub refused: u64,
}

/// A kind of [`Repeats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    Unsent,
    SentTwice,
    Refused,
}

/// What `--retry` did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retries {
    /// Further tries.
    pub tried: u64,
    /// Their causes: statuses and error classes.
    pub causes: BTreeMap<String, u64>,
    /// Requests of which a further try ended the failures.
    pub succeeded: u64,
    /// Requests that failed so to the last try.
    pub exhausted: u64,
}

/// Logins that were repeated because an answer was 401.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Renewals {
    /// Logins sent.
    pub logins: u64,
    /// Requests that a new token helped.
    pub succeeded: u64,
    /// Requests whose 401 stands.
    pub failed: u64,
}

impl Repeats {
    pub fn add(&mut self, repeat: Repeat) {
        match repeat {
            Repeat::Unsent => self.unsent += 1,
            Repeat::SentTwice => self.sent_twice += 1,
            Repeat::Refused => self.refused += 1,
        }
    }
}

impl Retries {
    /// A further try, because the one before ended so.
    pub fn tried(&mut self, cause: Result<u16, ErrorClass>) {
        let name = cause.map_or_else(|class| class.name().to_owned(), |status| status.to_string());
        self.tried += 1;
        *self.causes.entry(name).or_default() += 1;
    }

    /// A request that was tried more than once.
    pub fn ended(&mut self, has_failed: bool) {
        *(if has_failed { &mut self.exhausted } else { &mut self.succeeded }) += 1;
    }
}

impl Renewals {
    /// A request whose token was to be renewed.
    pub fn ended(&mut self, has_failed: bool) {
        *(if has_failed { &mut self.failed } else { &mut self.succeeded }) += 1;
    }
}

impl Attempts {
    pub fn answered(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    /// Adds everything of another, exactly.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.statuses, &other.statuses);
        self.sent_again_bytes += other.sent_again_bytes;
        self.repeats.unsent += other.repeats.unsent;
        self.repeats.sent_twice += other.repeats.sent_twice;
        self.repeats.refused += other.repeats.refused;
        self.retries.tried += other.retries.tried;
        add(&mut self.retries.causes, &other.retries.causes);
        self.retries.succeeded += other.retries.succeeded;
        self.retries.exhausted += other.retries.exhausted;
        self.renewals.logins += other.renewals.logins;
        self.renewals.succeeded += other.renewals.succeeded;
        self.renewals.failed += other.renewals.failed;
        self.retry_not_needed += other.retry_not_needed;
    }

    /// What a reader must know of `sent` requests, as sentences.
    pub fn cautions(&self, sent: u64) -> Vec<String> {
        let Repeats { unsent, sent_twice, refused } = self.repeats;
        let repeated = (unsent + sent_twice) as f64 / sent.max(1) as f64;
        let closed = (repeated > REPEATED_SHARE_MAX).then(|| {
            format!(
                "{} ({}) met a kept connection as the target closed it and went out again, {sent_twice} of them \
                 in full or in part for the second time: does the target close idle connections early?",
                counted(unsent + sent_twice, "request"),
                share(repeated),
            )
        });
        let turned_away = (refused > 0).then(|| {
            format!(
                "{} refused unseen on a shared HTTP/2 connection and sent again on a new one: does the target refuse \
                 streams under load?",
                counted(refused, "request"),
            )
        });
        let retried = (self.retries.tried > 0).then(|| {
            format!(
                "{} after failures (--retry): {} succeeded at last, {} did not; statuses count the first answers",
                counted(self.retries.tried, "further attempt"),
                counted(self.retries.succeeded, "request"),
                self.retries.exhausted,
            )
        });
        let renewed = (self.renewals.logins > 0).then(|| {
            format!(
                "{} to renew a token after 401 (--renew): {} went on with it, {} did not",
                counted(self.renewals.logins, "login"),
                counted(self.renewals.succeeded, "request"),
                self.renewals.failed,
            )
        });
        let spared = (self.retry_not_needed > 0).then(|| {
            format!(
                "{} not sent: captured retries, after failures that did not come again",
                counted(self.retry_not_needed, "request"),
            )
        });
        [closed, turned_away, retried, renewed, spared].into_iter().flatten().collect()
    }
}

fn add<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, more) in from {
        *into.entry(key.clone()).or_default() += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_connections_are_worth_a_word_above_one_percent() {
        let attempts =
            Attempts { repeats: Repeats { unsent: 1, sent_twice: 1, refused: 0 }, ..Attempts::default() };
        assert!(attempts.cautions(200).is_empty());
        let said = attempts.cautions(199);
        assert!(said[0].starts_with("2 requests (1.0"), "{said:?}");
    }

    #[test]
    fn merged_counts_are_sums() {
        let mut one = Attempts {
            statuses: BTreeMap::from([(200, 2), (503, 1)]),
            sent_again_bytes: 7,
            repeats: Repeats { unsent: 1, sent_twice: 2, refused: 9 },
            retries: Retries {
                tried: 3,
                causes: BTreeMap::from([("503".to_owned(), 3)]),
                succeeded: 1,
                exhausted: 2,
            },
            renewals: Renewals { logins: 4, succeeded: 5, failed: 6 },
            retry_not_needed: 8,
        };
        let other = one.clone();
        one.merge(&other);
        let numbers = |attempts: &Attempts| -> Vec<u64> {
            let text = serde_json::to_string(attempts).unwrap();
            // Keys are words or statuses in quotes; counts stand after a colon.
            text.split(':').filter_map(|part| part.split([',', '}']).next()?.parse().ok()).collect()
        };
        let doubled: Vec<u64> = numbers(&other).into_iter().map(|count| count * 2).collect();
        assert_eq!((numbers(&one), doubled.len()), (doubled, 14));
    }
}
