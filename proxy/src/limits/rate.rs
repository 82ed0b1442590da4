//! `limit_req`: Nginx's leaky bucket, to the millisecond.
//!
//! A bucket holds how many thousandths of a request a key is ahead of its rate. As `ngx_http_limit_req_lookup`
//! computes it, in whole numbers: `excess − rate · ms / 1000 + 1000`, not below 0; a key that is not known
//! starts at 0. More than the burst is refused and changes nothing; what is over `delay` waits until the rate
//! has caught up.
//!
//! Several rules of one request are all asked before any of them counts it, as in Nginx: a request that one of
//! them refuses costs nothing in the zones of the others. Shadowed rules are asked as a second set, and only
//! about requests that the enforced ones let through: what they record is what they would have done.
//!
//! Zones are bounded: beyond `keys_max` keys the one unused for longest is forgotten and starts anew when it
//! comes back. Large zones are split into shards with a lock and an equal part of the keys each, so a key may be
//! forgotten a little before the whole zone is full. Unlike Nginx, a drained bucket is not thrown away early.
//!
//! Measured on Debian's Nginx 1.22.1: for 480 requests at random distances under four configurations (burst,
//! nodelay, delay, two zones), replayed at the instants of its log, each was passed, delayed or refused as here.

mod buckets;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use buckets::Buckets;

use super::{Key, Keys};
use crate::config::{self, Mode, Rate, RequestRate};
use crate::message::RequestHead;

/// One request, in the unit of buckets.
const REQUEST: u64 = 1000;

/// From so many keys on a zone is worth splitting.
const SHARDED_KEYS_MIN: usize = 1024;
const SHARDS: usize = 16;

/// How far a key is ahead of its rate, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Thousandths of a request.
    excess: u64,
    last_ms: u64,
}

/// What a rule does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Decision {
    #[default]
    Pass,
    /// Goes on after so many milliseconds.
    Delay(u64),
    Refuse,
}

/// `burst` and `delay` in thousandths of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    rate: Rate,
    burst: u64,
    delay: u64,
}

impl Terms {
    fn new(rate: Rate, rule: &RequestRate) -> Self {
        let delay = if rule.nodelay { u64::MAX } else { u64::from(rule.delay) * REQUEST };
        Self { rate, burst: u64::from(rule.burst) * REQUEST, delay }
    }
}

/// What becomes of a request and of its bucket. A refused request leaves the bucket as it was.
pub(crate) fn decide(state: Option<&Bucket>, now_ms: u64, terms: &Terms) -> (Decision, Bucket) {
    let next = with_request(state, now_ms, terms.rate);
    match state {
        Some(bucket) if next.excess > terms.burst => (Decision::Refuse, *bucket),
        _ => (delayed(next.excess, terms), next),
    }
}

/// The bucket with one request more.
fn with_request(state: Option<&Bucket>, now_ms: u64, rate: Rate) -> Bucket {
    let Some(bucket) = state else { return Bucket { excess: 0, last_ms: now_ms } };
    // Another thread may have counted a request with a later clock already.
    let passed_ms = now_ms.saturating_sub(bucket.last_ms);
    let drained = rate.per_1000_s.saturating_mul(passed_ms) / 1000;
    Bucket { excess: (bucket.excess + REQUEST).saturating_sub(drained), last_ms: bucket.last_ms.max(now_ms) }
}

fn delayed(excess: u64, terms: &Terms) -> Decision {
    match excess.saturating_sub(terms.delay) * 1000 / terms.rate.per_1000_s.max(1) {
        0 => Decision::Pass,
        delay_ms => Decision::Delay(delay_ms),
    }
}

/// The buckets of one `limit_req_zone`, shared by all threads and by the routes that name it.
#[derive(Debug)]
pub(crate) struct Zone {
    keys: Keys,
    rate: Rate,
    shards: Vec<Mutex<Buckets>>,
}

impl Zone {
    /// `None` for a zone without a rate: it serves `limit_conn` only.
    pub(crate) fn new(zone: &config::Zone) -> Option<Self> {
        let shards = if zone.keys_max < SHARDED_KEYS_MIN { 1 } else { SHARDS };
        let shard = || Mutex::new(Buckets::new(zone.keys_max / shards));
        Some(Self {
            keys: Keys::new(zone.key.clone()),
            rate: zone.rate?,
            shards: (0..shards).map(|_| shard()).collect(),
        })
    }

    /// Decides and counts.
    fn take(&self, key: Key, now_ms: u64, terms: &Terms) -> Decision {
        let mut shard = self.shard(key);
        let (decision, bucket) = decide(shard.get(key).as_ref(), now_ms, terms);
        if decision != Decision::Refuse {
            shard.set(key, bucket);
        }
        decision
    }

    /// Decides without counting.
    fn ask(&self, key: Key, now_ms: u64, terms: &Terms) -> Decision {
        decide(self.shard(key).get(key).as_ref(), now_ms, terms).0
    }

    /// Counts what was let through before: only its delay is open.
    fn count(&self, key: Key, now_ms: u64, terms: &Terms) -> Decision {
        let mut shard = self.shard(key);
        let bucket = with_request(shard.get(key).as_ref(), now_ms, terms.rate);
        shard.set(key, bucket);
        delayed(bucket.excess, terms)
    }

    /// A bucket is written in one step, so one left by a panic is whole.
    fn shard(&self, key: Key) -> MutexGuard<'_, Buckets> {
        let place = usize::try_from(key.0 >> 32).unwrap_or_default() % self.shards.len();
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One `limit_req` of a route.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    zone: Arc<Zone>,
    terms: Terms,
    mode: Mode,
    status: u16,
}

impl Rule {
    pub(crate) fn new(zone: Arc<Zone>, rule: &RequestRate) -> Self {
        Self { terms: Terms::new(zone.rate, rule), zone, mode: rule.mode, status: rule.status }
    }
}

/// What the rules of a route say to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// Of the enforced rules: to be done.
    pub(crate) enforced: Decision,
    /// Of the rule that refused; 0 when none did.
    pub(crate) status: u16,
    /// Of the shadowed rules: to be recorded only.
    pub(crate) shadow: Decision,
}

/// Asks all rules of a route about a request, and counts it where it passes.
pub(crate) fn admit(rules: &[Rule], head: &RequestHead, client: IpAddr, now_ms: u64) -> Verdict {
    if rules.is_empty() {
        return Verdict::default();
    }
    let (enforced, status) = admit_in(Mode::Enforce, rules, head, client, now_ms);
    if enforced == Decision::Refuse {
        return Verdict { enforced, status, shadow: Decision::Pass };
    }
    let (shadow, _) = admit_in(Mode::Shadow, rules, head, client, now_ms);
    Verdict { enforced, status, shadow }
}

/// The rules of one mode: each is asked, the last one counts at once, the others when it has passed too.
fn admit_in(mode: Mode, rules: &[Rule], head: &RequestHead, client: IpAddr, now_ms: u64) -> (Decision, u16) {
    let keyed = |rule| key_in(mode, rule, head, client).map(|key| (rule, key));
    let Some((last, last_key)) = rules.iter().rev().find_map(keyed) else { return (Decision::Pass, 0) };
    let others = || rules.iter().filter(|rule| !std::ptr::eq(*rule, last)).filter_map(keyed);
    for (rule, key) in others() {
        if rule.zone.ask(key, now_ms, &rule.terms) == Decision::Refuse {
            return (Decision::Refuse, rule.status);
        }
    }
    let decision = last.zone.take(last_key, now_ms, &last.terms);
    if decision == Decision::Refuse {
        return (decision, last.status);
    }
    let longest = others()
        .fold(decision, |longest, (rule, key)| longest.max(rule.zone.count(key, now_ms, &rule.terms)));
    (longest, 0)
}

fn key_in(mode: Mode, rule: &Rule, head: &RequestHead, client: IpAddr) -> Option<Key> {
    (rule.mode == mode).then(|| rule.zone.keys.of(head, client)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ZoneKey;

    fn rule(text: &str) -> RequestRate {
        toml::from_str(&format!("zone = \"z\"\n{text}")).unwrap()
    }

    fn zone(key: ZoneKey, rate: &str, keys_max: usize) -> Arc<Zone> {
        let rate = Some(rate.parse().unwrap());
        Arc::new(Zone::new(&config::Zone { name: "z".into(), key, rate, keys_max }).unwrap())
    }

    fn terms(rate: &str, rule_text: &str) -> Terms {
        Terms::new(rate.parse().unwrap(), &rule(rule_text))
    }

    /// What happens to requests of one key at these instants.
    fn run(terms: &Terms, instants_ms: &[u64]) -> Vec<Decision> {
        let mut state = None;
        let mut step = |&now_ms| {
            let (decision, bucket) = decide(state.as_ref(), now_ms, terms);
            state = Some(bucket);
            decision
        };
        instants_ms.iter().map(&mut step).collect()
    }

    use Decision::{Delay, Pass, Refuse};

    #[test]
    fn five_at_once_at_2_a_second_with_a_burst_of_3_wait_as_nginx_makes_them() {
        assert_eq!(
            run(&terms("2r/s", "burst = 3"), &[7; 5]),
            [Pass, Delay(500), Delay(1000), Delay(1500), Refuse]
        );
    }

    #[test]
    fn nodelay_lets_the_burst_through_and_refuses_the_rest() {
        let terms = terms("2r/s", "burst = 3\nnodelay = true");
        assert_eq!(
            run(&terms, &[0, 0, 0, 0, 0, 499, 500, 501]),
            [Pass, Pass, Pass, Pass, Refuse, Refuse, Pass, Refuse]
        );
    }

    #[test]
    fn delay_n_lets_so_many_through_at_once() {
        assert_eq!(
            run(&terms("10r/s", "burst = 4\ndelay = 2"), &[0; 6]),
            [Pass, Pass, Pass, Delay(100), Delay(200), Refuse]
        );
    }

    #[test]
    fn without_a_burst_requests_must_keep_their_distance_to_the_millisecond() {
        assert_eq!(
            run(&terms("10r/s", ""), &[0, 99, 100, 199, 200, 301]),
            [Pass, Refuse, Pass, Refuse, Pass, Pass]
        );
        // 100 a minute are 1,666 thousandths a second: whole numbers, so a millisecond more than 600.
        assert_eq!(run(&terms("100r/m", ""), &[0, 600, 601]), [Pass, Refuse, Pass]);
    }

    #[test]
    fn a_refused_request_changes_nothing() {
        let terms = terms("1r/s", "");
        let refused: Vec<u64> = (0..=1000).step_by(10).collect();
        let decisions = run(&terms, &refused);
        assert_eq!(decisions.iter().filter(|decision| **decision == Pass).count(), 2, "at 0 and at 1,000 ms");
    }

    #[test]
    fn a_clock_that_is_behind_counts_as_no_time() {
        assert_eq!(
            run(&terms("1r/s", "burst = 1\nnodelay = true"), &[5000, 4000, 6000, 5500]),
            [Pass, Pass, Pass, Refuse]
        );
    }

    fn head(room: &str) -> RequestHead {
        RequestHead::sample("GET", "/", "a", &[("X-Room", room)])
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_request_refused_by_one_rule_costs_nothing_in_the_others() {
        let (rooms, all) =
            (zone(ZoneKey::Header("x-room".into()), "1r/s", 10), zone(ZoneKey::Server, "1r/s", 10));
        let rules =
            [Rule::new(all, &rule("burst = 2\nnodelay = true")), Rule::new(rooms, &rule("status = 429"))];
        let ask = |room| admit(&rules, &head(room), CLIENT, 0);
        assert_eq!(ask("a").enforced, Pass);
        assert_eq!((ask("a").enforced, ask("a").status), (Refuse, 429));
        assert_eq!((ask("b").enforced, ask("c").enforced), (Pass, Pass), "the burst is still there");
        assert_eq!((ask("d").enforced, ask("d").status), (Refuse, 503));
    }

    #[test]
    fn the_longest_delay_of_several_rules_counts() {
        let (slow, fast) = (zone(ZoneKey::Server, "1r/s", 10), zone(ZoneKey::Server, "10r/s", 10));
        for rules in [[&slow, &fast], [&fast, &slow]] {
            let rules = rules.map(|zone| Rule::new(zone.clone(), &rule("burst = 9")));
            admit(&rules, &head(""), CLIENT, 0);
        }
        let rules = [Rule::new(fast, &rule("burst = 9")), Rule::new(slow, &rule("burst = 9"))];
        assert_eq!(admit(&rules, &head(""), CLIENT, 0).enforced, Delay(2000));
    }

    #[test]
    fn a_shadowed_rule_records_what_it_would_have_refused() {
        let shadowed = Rule::new(zone(ZoneKey::Server, "1r/s", 10), &rule("mode = \"shadow\""));
        let enforced = Rule::new(zone(ZoneKey::Server, "1r/s", 10), &rule(""));
        let both = [shadowed.clone(), enforced];
        let verdicts =
            [0, 500, 1000].map(|now_ms| admit(std::slice::from_ref(&shadowed), &head(""), CLIENT, now_ms));
        assert_eq!(
            verdicts.map(|verdict| (verdict.enforced, verdict.shadow)),
            [(Pass, Pass), (Pass, Refuse), (Pass, Pass)]
        );
        assert_eq!(admit(&both, &head(""), CLIENT, 2000).shadow, Pass);
        assert_eq!(
            admit(&both, &head(""), CLIENT, 2000),
            Verdict { enforced: Refuse, status: 503, shadow: Pass },
            "what is refused is not asked about"
        );
    }

    #[test]
    fn rules_that_are_off_and_requests_without_a_key_are_not_counted() {
        let off = [Rule::new(zone(ZoneKey::Server, "1r/s", 10), &rule("mode = \"off\""))];
        let rooms = [Rule::new(zone(ZoneKey::Header("x-room".into()), "1r/s", 10), &rule(""))];
        for _ in 0..3 {
            assert_eq!(admit(&off, &head("a"), CLIENT, 0), Verdict::default());
            assert_eq!(admit(&rooms, &head(""), CLIENT, 0), Verdict::default());
            assert_eq!(admit(&[], &head("a"), CLIENT, 0), Verdict::default());
        }
    }

    #[test]
    fn many_threads_share_one_burst() {
        let zone = zone(ZoneKey::Server, "1r/s", 5000);
        let rules = [Rule::new(zone, &rule("burst = 99\nnodelay = true"))];
        let passed = || (0..100).filter(|_| admit(&rules, &head(""), CLIENT, 0).enforced == Pass).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(passed)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 100);
    }

    /// `ngx_http_limit_req_lookup` with its signed numbers, word for word.
    fn nginx(excess: i64, last: i64, now: i64, rate: i64) -> i64 {
        let mut ms = now - last;
        if ms < -60000 {
            ms = 1;
        } else if ms < 0 {
            ms = 0;
        }
        (excess - rate * ms / 1000 + 1000).max(0)
    }

    proptest! {
        #[test]
        fn excess_is_what_nginx_computes(
            excess in 0_u32..1_000_000, last_ms in 0_u32..1_000_000, ahead_ms in -50_000_i64..1_000_000,
            per_1000_s in 16_u32..1_000_000_000,
        ) {
            let now_ms = (i64::from(last_ms) + ahead_ms).max(0);
            let bucket = Bucket { excess: excess.into(), last_ms: last_ms.into() };
            let rate = Rate { per_1000_s: per_1000_s.into() };
            let ours = with_request(Some(&bucket), now_ms.unsigned_abs(), rate).excess;
            prop_assert_eq!(i64::try_from(ours).unwrap(), nginx(excess.into(), last_ms.into(), now_ms, per_1000_s.into()));
        }

        /// Whatever comes when: never more than the burst, the first, and what the rate allows.
        #[test]
        fn no_more_passes_than_burst_and_rate_allow(
            gaps_ms in prop::collection::vec(0_u64..300, 1..200), per_s in 1_u64..50, burst in 0_u64..20,
        ) {
            let terms = terms(&format!("{per_s}r/s"), &format!("burst = {burst}\nnodelay = true"));
            let instants_ms: Vec<u64> = gaps_ms.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let passed = run(&terms, &instants_ms).into_iter().filter(|decision| *decision == Pass).count();
            let allowed = 1 + burst + per_s * instants_ms[instants_ms.len() - 1] / 1000;
            prop_assert!(passed as u64 <= allowed, "{} of {}", passed, allowed);
        }

        /// A delayed request goes on no earlier than the rate allows after the one before.
        #[test]
        fn delays_space_requests_by_the_rate(count in 1_u64..50, per_s in 1_u64..500) {
            let terms = terms(&format!("{per_s}r/s"), "burst = 100");
            let decisions = run(&terms, &vec![0; usize::try_from(count).unwrap()]);
            for (place, decision) in (0_u64..).zip(decisions) {
                let due_ms = place * 1000 / per_s;
                prop_assert_eq!(decision, if due_ms == 0 { Pass } else { Delay(due_ms) });
            }
        }
    }
}
