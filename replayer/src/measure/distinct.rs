//! Whether the clones were different users: identities, tokens and upload bodies that went out or came in,
//! and how many of them two users had in common.
//!
//! Counted of what was released and received, not of the plan: what a target, or a cache before it, hands to
//! two users alike is seen here. Kept are 64-bit hashes (SipHash), so that a set costs bytes and holds no
//! secret, up to [`KEPT_MAX`] of each kind; what comes beyond is counted and not compared. Two of a million
//! values share a hash with a probability of 3 · 10⁻⁸.

use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::gates::Gates;
use super::run::Gate;

/// Values of one kind that a worker compares with each other; 25 MiB when all are there.
pub const KEPT_MAX: usize = 1 << 19;

/// A value, as far as comparing needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Print(u64);

impl Print {
    pub fn of(value: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Values of one kind, each with the one who had it, or none where several had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    owners: FxHashMap<Print, Option<u64>>,
    /// Values that were not compared.
    beyond: u64,
}

/// See the module. Users are numbered as in the plan, uploads by [`upload_number`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distinct {
    /// Clones that released a request.
    pub users: u64,
    /// Clones that released one with their identity.
    pub identities_used: u64,
    pub identities: Owned,
    pub tokens: Owned,
    pub tokens_used: Owned,
    pub bodies_sent: u64,
    pub bodies: Owned,
}

/// The same in a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctReport {
    /// Clones that sent a request.
    pub users: u64,
    /// Different accounts that were sent, and clones that sent one.
    pub identities: u64,
    pub identities_used: u64,
    /// Different tokens and session cookies that answers held, and those that requests sent again.
    pub tokens: u64,
    pub tokens_used: u64,
    /// Different upload bodies, and uploads.
    pub bodies: u64,
    pub bodies_sent: u64,
    /// Values beyond those that were compared.
    pub not_compared: u64,
}

/// Which upload of the run it is: repeated, it is the same.
pub fn upload_number(clone: usize, step: usize) -> u64 {
    const STEP_BITS: u32 = 24;
    ((clone as u64) << STEP_BITS) | (step as u64 & ((1 << STEP_BITS) - 1))
}

impl Owned {
    pub fn add(&mut self, print: Print, owner: u64) {
        let is_full = self.owners.len() >= KEPT_MAX;
        match self.owners.entry(print) {
            Entry::Occupied(mut held) if *held.get() != Some(owner) => drop(held.insert(None)),
            Entry::Occupied(_) => {}
            Entry::Vacant(_) if is_full => self.beyond += 1,
            Entry::Vacant(free) => drop(free.insert(Some(owner))),
        }
    }

    /// Unites two sets, exactly: the bound is each worker's.
    fn merge(&mut self, other: &Self) {
        for (print, owner) in &other.owners {
            let held = self.owners.entry(*print).or_insert(*owner);
            *held = held.filter(|held| Some(*held) == *owner);
        }
        self.beyond += other.beyond;
    }

    fn distinct(&self) -> u64 {
        self.owners.len() as u64
    }

    /// Values that several had.
    fn shared(&self) -> u64 {
        self.owners.values().filter(|owner| owner.is_none()).count() as u64
    }
}

impl Distinct {
    pub(super) fn merge(&mut self, other: &Self) {
        self.users += other.users;
        self.identities_used += other.identities_used;
        self.bodies_sent += other.bodies_sent;
        self.identities.merge(&other.identities);
        self.tokens.merge(&other.tokens);
        self.tokens_used.merge(&other.tokens_used);
        self.bodies.merge(&other.bodies);
    }

    pub fn report(&self) -> DistinctReport {
        let sets = [&self.identities, &self.tokens, &self.tokens_used, &self.bodies];
        DistinctReport {
            users: self.users,
            identities: self.identities.distinct(),
            identities_used: self.identities_used,
            tokens: self.tokens.distinct(),
            tokens_used: self.tokens_used.distinct(),
            bodies: self.bodies.distinct(),
            bodies_sent: self.bodies_sent,
            not_compared: sets.iter().map(|set| set.beyond).sum(),
        }
    }

    /// That the clones were users of their own.
    pub fn gates(&self) -> Gates {
        let none = |set: &Owned, meaning: &str| {
            let gate = Gate::at_most(set.shared() as f64, 0.0, meaning);
            let is_told = !gate.pass || set.beyond == 0;
            let reason = (!is_told).then(|| "there were more values than are compared".to_owned());
            Gate { decided: is_told, reason, ..gate }
        };
        let gates = [
            ("shared_identities", none(&self.identities, "accounts that several users logged in with")),
            ("shared_tokens", none(&self.tokens, "tokens that several users were given")),
            ("shared_bodies", none(&self.bodies, "upload bodies that were sent as several uploads")),
        ];
        gates.into_iter().map(|(name, gate)| (name.to_owned(), gate)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of the gates that do not pass.
    fn shared(distinct: &Distinct) -> Vec<String> {
        distinct.gates().into_iter().filter(|(_, gate)| !gate.pass).map(|(name, _)| name).collect()
    }

    #[test]
    fn what_two_users_have_in_common_is_counted_once() {
        let mut distinct = Distinct::default();
        for user in 0..4 {
            distinct.tokens.add(Print::of("one for all"), user);
            distinct.tokens.add(Print::of(("own", user)), user);
            distinct.tokens.add(Print::of(("own", user)), user);
        }
        assert_eq!((distinct.report().tokens, distinct.tokens.shared()), (5, 1));
        assert_eq!(shared(&distinct), ["shared_tokens"]);
    }

    #[test]
    fn an_upload_that_is_repeated_is_the_same() {
        let mut distinct = Distinct::default();
        distinct.bodies.add(Print::of("body"), upload_number(3, 7));
        distinct.bodies.add(Print::of("body"), upload_number(3, 7));
        assert!(shared(&distinct).is_empty());
        distinct.bodies.add(Print::of("body"), upload_number(3, 8));
        assert_eq!(shared(&distinct), ["shared_bodies"]);
    }

    #[test]
    fn beyond_the_bound_values_are_counted_and_not_kept() {
        let mut owned = Owned::default();
        (0..KEPT_MAX as u64 + 5).for_each(|user| owned.add(Print(user), user));
        owned.add(Print(0), 1);
        assert_eq!((owned.distinct(), owned.beyond, owned.shared()), (KEPT_MAX as u64, 5, 1));
    }

    proptest! {
        #[test]
        fn workers_merge_to_what_one_would_have_counted(
            seen in prop::collection::vec((0..3_usize, 0..20_u64, 0..6_u64), 0..80),
        ) {
            let mut whole = Distinct::default();
            let mut workers = vec![Distinct::default(); 3];
            for (worker, value, user) in seen {
                whole.tokens.add(Print::of(value), user);
                workers[worker].tokens.add(Print::of(value), user);
            }
            let mut merged = Distinct::default();
            for worker in &workers {
                merged.merge(worker);
            }
            prop_assert_eq!(merged, whole);
        }
    }
}
