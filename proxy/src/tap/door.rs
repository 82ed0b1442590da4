//! Who is recorded: whole users or nothing of them.
//!
//! A user is sampled by a hash of what tells them apart (see [`super::users`]), under a secret of the process.
//! When it gets tight, nobody new is let in, so that what is begun can be finished; whoever finds no room at
//! all is left out from there on, until they have been silent for a while.

use std::sync::atomic::{AtomicU64, Ordering};

use super::counts::Shed;
use super::fates::{Fate, Fates};
use super::users::{User, Users};

/// How the user of a request stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(super) user: User,
    pub(super) fate: Fate,
    /// As [`Door::sheds`] counted before the fate was asked for.
    pub(super) sheds: u64,
}

/// Decides about users, and remembers.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) users: Users,
    fates: Fates,
    /// Keys up to here are recorded.
    sampled_up_to: u64,
    /// How often somebody was shed: while it does not change, nobody else can have become so.
    sheds: AtomicU64,
}

impl Door {
    /// `sample`: the share of users that is recorded.
    pub(super) fn new(sample: f64, users: Users) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
        let sampled_up_to = (sample * u64::MAX as f64) as u64;
        Self { users, fates: Fates::new(), sampled_up_to, sheds: AtomicU64::new(0) }
    }

    /// What is to become of a user's request. `pressed`: why nobody new is let in, if so.
    pub(super) fn admit(&self, user: &User, now_s: u16, pressed: impl FnOnce() -> Option<Shed>) -> Fate {
        let [first, second] = user.keys().map(|key| key.and_then(|key| self.fates.get(key, now_s)));
        let fate = told(first, second).unwrap_or_else(|| match pressed() {
            _ if !self.is_sampled(user) => Fate::SampledOut,
            Some(why) => Fate::Shed(why),
            None => Fate::Admitted,
        });
        for (key, known) in user.keys().into_iter().zip([first, second]) {
            if let Some(key) = key.filter(|_| known != Some(fate)) {
                self.fates.put(key, fate, now_s);
            }
        }
        fate
    }

    /// What is known of a user.
    pub(super) fn known(&self, user: &User, now_s: u16) -> Option<Fate> {
        let [first, second] = user.keys().map(|key| key.and_then(|key| self.fates.get(key, now_s)));
        told(first, second)
    }

    /// Changes whenever somebody is shed.
    pub(super) fn sheds(&self) -> u64 {
        self.sheds.load(Ordering::Acquire)
    }

    pub(super) fn remember(&self, user: &User, fate: Fate, now_s: u16) {
        for key in user.keys().into_iter().flatten() {
            if self.fates.get(key, now_s) != Some(fate) {
                self.fates.put(key, fate, now_s);
            }
        }
    }

    /// Something of the user is to go into the capture, unless it was shed since it was asked for.
    pub(super) fn note_recorded(&self, standing: &Standing, now_s: u16) -> Result<(), Shed> {
        let Standing { user, fate, sheds } = standing;
        if *fate == Fate::Recorded && *sheds == self.sheds() {
            return Ok(());
        }
        self.remember(user, Fate::Recorded, now_s);
        match self.known(user, now_s) {
            Some(Fate::Shed(why)) => Err(why),
            _ => Ok(()),
        }
    }

    /// Leaves the user out from here on; whether something of theirs had been recorded before.
    pub(super) fn shed(&self, user: &User, why: Shed, now_s: u16) -> bool {
        let mut cut = false;
        for key in user.keys().into_iter().flatten() {
            cut |= self.fates.put(key, Fate::Shed(why), now_s) == Some(Fate::Recorded);
        }
        self.sheds.fetch_add(1, Ordering::Release);
        cut
    }

    /// Users that were forgotten for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.fates.forgotten()
    }

    fn is_sampled(&self, user: &User) -> bool {
        user.keys().into_iter().flatten().next().is_none_or(|key| key <= self.sampled_up_to)
    }
}

/// The credential tells more than the place, but who was shed by either is shed.
fn told(credential: Option<Fate>, place: Option<Fate>) -> Option<Fate> {
    match (credential, place) {
        (Some(known), Some(shed @ Fate::Shed(_))) if known.is_recorded() => Some(shed),
        (known, other) => known.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passage::Passage;
    use crate::sample;

    fn sampling(sample: f64) -> Door {
        Door::new(sample, Users::new(blake3::Hasher::new()))
    }

    fn with_token(door: &Door, token: usize) -> User {
        let bearer = format!("Bearer token-{token}");
        let request = sample::request("GET", "/", &[("Authorization", &bearer)]);
        door.users.of(&Passage { request, trusted: true, ..sample::upload() })
    }

    #[test]
    fn a_tenth_of_the_users_is_sampled_and_always_the_same() {
        let door = sampling(0.1);
        let fates = |door: &Door| -> Vec<Fate> {
            (0..5_000).map(|token| door.admit(&with_token(door, token), 1, || None)).collect()
        };
        let first = fates(&door);
        let sampled = first.iter().filter(|fate| **fate == Fate::Admitted).count();
        assert!((400..600).contains(&sampled), "{sampled} of 5000");
        assert_eq!(first, fates(&door));
        let all = sampling(1.0);
        assert!(fates(&all).iter().all(|fate| *fate == Fate::Admitted));
        let none = sampling(0.0);
        assert!(fates(&none).iter().all(|fate| *fate == Fate::SampledOut));
    }

    #[test]
    fn who_is_known_stays_in_when_nobody_new_is_let_in() {
        let door = sampling(1.0);
        let (one, other) = (with_token(&door, 1), with_token(&door, 2));
        assert_eq!(door.admit(&one, 1, || None), Fate::Admitted);
        assert_eq!(door.admit(&other, 1, || Some(Shed::Queue)), Fate::Shed(Shed::Queue));
        assert_eq!(door.admit(&one, 2, || Some(Shed::Queue)), Fate::Admitted);
        assert_eq!(door.admit(&other, 2, || None), Fate::Shed(Shed::Queue), "still left out");
        assert_eq!(door.admit(&other, 2 + 61, || None), Fate::Admitted, "after a silence");
    }

    fn standing(user: &User) -> Standing {
        Standing { user: *user, fate: Fate::Recorded, sheds: 7 }
    }

    #[test]
    fn only_who_is_in_the_capture_is_cut_by_being_shed() {
        let door = sampling(1.0);
        let (one, other) = (with_token(&door, 1), with_token(&door, 2));
        door.admit(&one, 1, || None);
        door.admit(&other, 1, || None);
        door.note_recorded(&standing(&one), 1).unwrap();
        assert!(door.shed(&one, Shed::Disk, 1));
        assert!(!door.shed(&one, Shed::Disk, 1), "once");
        assert!(!door.shed(&other, Shed::Disk, 1));
        assert_eq!(door.note_recorded(&standing(&other), 1), Err(Shed::Disk), "once shed, nothing more");
    }

    #[test]
    fn a_known_user_is_not_drawn_again() {
        let door = sampling(0.0);
        let user = with_token(&door, 1);
        door.remember(&user, Fate::Recorded, 1);
        assert_eq!(door.admit(&user, 1, || None), Fate::Recorded);
        assert_eq!(door.admit(&with_token(&door, 2), 1, || None), Fate::SampledOut);
    }
}
