//! `limit_conn`: how many requests of a key are in progress at once.
//!
//! Counts are exact and shared by all threads. A request is counted by a permit that counts it out when it is
//! dropped, however the request ends, so a count cannot stay behind. As in Nginx a request enters the zones of all
//! rules or of none, and one that a rule refuses is not counted. Shadowed rules form a second set: what would have
//! been refused is not counted in their zones, although the request goes on.
//!
//! A zone holds only keys with requests in progress. When it is full, a request of another key is refused, as
//! Nginx does: to forget a key would be to lose its count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Key, Keys};
use crate::config::{self, Connections, Mode};
use crate::message::RequestHead;

/// From so many keys on a zone is worth splitting; each shard holds an equal part of the keys.
const SHARDED_KEYS_MIN: usize = 1024;
const SHARDS: usize = 16;

/// Requests in progress by key; never 0.
type Counts = HashMap<Key, u32>;

/// The counts of one `limit_conn_zone`, shared by all threads and by the routes that name it.
#[derive(Debug)]
pub(crate) struct Zone {
    keys: Keys,
    shards: Vec<Mutex<Counts>>,
    shard_keys_max: usize,
}

/// As many requests as allowed are in progress, or the zone is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Zone {
    pub(crate) fn new(zone: &config::Zone) -> Self {
        let shards = if zone.keys_max < SHARDED_KEYS_MIN { 1 } else { SHARDS };
        Self {
            keys: Keys::new(zone.key.clone()),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shard_keys_max: (zone.keys_max / shards).max(1),
        }
    }

    /// Counts a request in until the guard is dropped.
    pub(crate) fn try_enter(self: &Arc<Self>, key: Key, connections_max: u32) -> Result<Guard, Full> {
        let mut counts = self.shard(key);
        let is_full = counts.len() >= self.shard_keys_max;
        match counts.get_mut(&key) {
            Some(count) if *count >= connections_max => return Err(Full),
            Some(count) => *count += 1,
            None if connections_max == 0 || is_full => return Err(Full),
            None => drop(counts.insert(key, 1)),
        }
        drop(counts);
        Ok(Guard { zone: self.clone(), key })
    }

    fn leave(&self, key: Key) {
        let mut counts = self.shard(key);
        match counts.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&key)),
        }
    }

    /// A count is written in one step, so one left by a panic is whole.
    fn shard(&self, key: Key) -> MutexGuard<'_, Counts> {
        let place = usize::try_from(key.0 >> 32).unwrap_or_default() % self.shards.len();
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in progress in one zone.
#[derive(Debug)]
pub(crate) struct Guard {
    zone: Arc<Zone>,
    key: Key,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.zone.leave(self.key);
    }
}

/// One `limit_conn` of a route.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    zone: Arc<Zone>,
    connections_max: u32,
    mode: Mode,
    status: u16,
}

impl Rule {
    pub(crate) fn new(zone: Arc<Zone>, rule: &Connections) -> Self {
        Self { zone, connections_max: rule.connections, mode: rule.mode, status: rule.status }
    }

    /// `None` when the request has no key in this zone.
    fn enter(&self, head: &RequestHead, client: IpAddr) -> Option<Result<Guard, Full>> {
        Some(self.zone.try_enter(self.zone.keys.of(head, client)?, self.connections_max))
    }
}

/// A request's place in the zones of its route; to be kept until its last byte.
#[derive(Debug, Default)]
pub(crate) struct Permit {
    /// Held, never read.
    _guards: (Vec<Guard>, Vec<Guard>),
    /// A shadowed rule would have refused the request.
    pub(crate) shadow_refused: bool,
}

/// Asks all rules of a route about a request. `Err` is the status to refuse it with.
pub(crate) fn admit(rules: &[Rule], head: &RequestHead, client: IpAddr) -> Result<Permit, u16> {
    let enforced = enter_all(Mode::Enforce, rules, head, client)?;
    let shadowed = enter_all(Mode::Shadow, rules, head, client);
    Ok(Permit { shadow_refused: shadowed.is_err(), _guards: (enforced, shadowed.unwrap_or_default()) })
}

/// Enters the zones of all rules of one mode; after a refusal the guards that were taken are dropped.
fn enter_all(mode: Mode, rules: &[Rule], head: &RequestHead, client: IpAddr) -> Result<Vec<Guard>, u16> {
    let of_mode = rules.iter().filter(|rule| rule.mode == mode);
    let entered = of_mode.filter_map(|rule| Some(rule.enter(head, client)?.map_err(|Full| rule.status)));
    entered.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ZoneKey;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn zone(key: ZoneKey, keys_max: usize) -> Arc<Zone> {
        Arc::new(Zone::new(&config::Zone { name: "z".into(), key, rate: None, keys_max }))
    }

    fn rule(zone: &Arc<Zone>, connections: u32, mode: Mode) -> Rule {
        Rule { zone: zone.clone(), connections_max: connections, mode, status: 503 }
    }

    fn in_progress(zone: &Zone) -> u32 {
        zone.shards.iter().map(|shard| shard.lock().unwrap().values().sum::<u32>()).sum()
    }

    fn head(room: &str) -> RequestHead {
        RequestHead::sample("GET", "/", "a", &[("X-Room", room)])
    }

    #[test]
    fn as_many_as_allowed_are_in_progress_at_once() {
        let zone = zone(ZoneKey::Header("x-room".into()), 10);
        let rules = [rule(&zone, 2, Mode::Enforce)];
        let first = admit(&rules, &head("a"), CLIENT).unwrap();
        let _second = admit(&rules, &head("a"), CLIENT).unwrap();
        assert_eq!(admit(&rules, &head("a"), CLIENT).unwrap_err(), 503);
        let _other_key = admit(&rules, &head("b"), CLIENT).unwrap();
        drop(first);
        let _third = admit(&rules, &head("a"), CLIENT).unwrap();
        assert_eq!(in_progress(&zone), 3);
    }

    #[test]
    fn a_refused_request_is_counted_nowhere() {
        let (roomy, tight) = (zone(ZoneKey::Server, 10), zone(ZoneKey::Server, 10));
        let rules = [rule(&roomy, 9, Mode::Enforce), rule(&tight, 1, Mode::Enforce)];
        let _first = admit(&rules, &head(""), CLIENT).unwrap();
        assert!(admit(&rules, &head(""), CLIENT).is_err());
        assert_eq!((in_progress(&roomy), in_progress(&tight)), (1, 1));
    }

    #[test]
    fn a_shadowed_rule_counts_as_if_it_were_enforced() {
        let zone = zone(ZoneKey::Server, 10);
        let rules = [rule(&zone, 1, Mode::Shadow), rule(&zone, 0, Mode::Off)];
        let first = admit(&rules, &head(""), CLIENT).unwrap();
        let second = admit(&rules, &head(""), CLIENT).unwrap();
        assert_eq!((first.shadow_refused, second.shadow_refused, in_progress(&zone)), (false, true, 1));
        drop(first);
        assert!(!admit(&rules, &head(""), CLIENT).unwrap().shadow_refused, "the second was not counted");
    }

    #[test]
    fn requests_without_a_key_are_not_counted() {
        let zone = zone(ZoneKey::Header("x-room".into()), 10);
        let rules = [rule(&zone, 1, Mode::Enforce)];
        let permits = [(); 3].map(|()| admit(&rules, &head(""), CLIENT).unwrap());
        assert_eq!((permits.len(), in_progress(&zone)), (3, 0));
    }

    #[test]
    fn a_full_zone_refuses_new_keys_only() {
        let zone = zone(ZoneKey::Server, 2);
        let _guards = [1, 2, 2].map(|key| zone.try_enter(Key(key), 9).unwrap());
        assert_eq!(zone.try_enter(Key(3), 9).unwrap_err(), Full);
        assert!(zone.try_enter(Key(1), 9).is_ok());
    }

    #[test]
    fn a_panic_leaves_no_count_behind() {
        let zone = zone(ZoneKey::Server, 10);
        let held = zone.clone();
        let panicked = std::thread::spawn(move || {
            let _guard = held.try_enter(Key(1), 1).unwrap();
            panic!("a request failed (this message is expected)");
        });
        assert!(panicked.join().is_err());
        assert_eq!(in_progress(&zone), 0);
    }

    #[test]
    fn many_threads_never_pass_the_limit_together() {
        let zone = zone(ZoneKey::Server, 5000);
        let worker = || {
            for _ in 0..2000 {
                let guard = zone.try_enter(Key(7), 3);
                assert!(in_progress(&zone) <= 3);
                drop(guard);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(worker))));
        assert_eq!(in_progress(&zone), 0);
    }

    proptest! {
        /// `true` enters and `false` drops the oldest guard, by key.
        #[test]
        fn counts_are_exact(steps in prop::collection::vec((0_u64..4, any::<bool>()), 0..200), most in 0_u32..4) {
            let zone = zone(ZoneKey::Server, 100);
            let mut held: [Vec<Guard>; 4] = Default::default();
            for (key, enters) in steps {
                let guards = &mut held[usize::try_from(key).unwrap()];
                if !enters {
                    drop((!guards.is_empty()).then(|| guards.remove(0)));
                    continue;
                }
                let entered = zone.try_enter(Key(key), most);
                prop_assert_eq!(entered.is_ok(), guards.len() < most as usize);
                guards.extend(entered);
            }
            prop_assert_eq!(in_progress(&zone) as usize, held.iter().map(Vec::len).sum::<usize>());
        }
    }
}
