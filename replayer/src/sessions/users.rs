//! Which exchanges belong to one user.
//!
//! Evidence, strongest first: the fingerprint in `Authorization` (or `X-Auth-Token` and its like) or in a session cookie; any other long
//! cookie together with the client's address; a response that issued such a credential, or the token that
//! a refresh sends in its body; two logins with the same identity on one connection, or from one client
//! when the later one uses ids that only the earlier one was given (a token that expired in mid-work); and
//! for what carries no credential, the users before and after it on its connection, where these are the
//! same or only one. What remains is grouped by connection.
//!
//! A silence longer than the idle gap splits a user's exchanges in two only if the second part needs no
//! credential from the first: else its token would have no login, and nothing could replay it. How long the
//! gap is: [`super::idle`].

use std::convert::Infallible;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use kingtide_common::exchange::Exchange;
use kingtide_common::fingerprint::Fingerprint;
use rustc_hash::{FxHashMap, FxHashSet};

pub(super) use super::evidence::credentials;
use super::evidence::{Evidence, Ids, Mark, Row};
use super::idle::{self, IdleGap};
use super::rules::Rules;

/// The exchanges of one user, in order of their start.
#[derive(Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) key: String,
    pub(crate) exchanges: Vec<Exchange>,
}

/// The evidence of one user's exchanges, in order of their start.
#[derive(Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) key: String,
    pub(crate) rows: Vec<Row>,
    /// It uses a credential whose login the capture does not hold.
    pub(crate) is_orphan: bool,
}

/// A capture by user.
#[derive(Debug, PartialEq)]
pub(crate) struct Groups {
    /// In the order of their first exchange.
    pub(crate) groups: Vec<Group>,
    pub(crate) idle_gap: IdleGap,
}

impl Group {
    /// First byte of its first request, nanoseconds UTC.
    pub(crate) fn start_ns(&self) -> i64 {
        self.rows.first().map_or(0, |row| row.started_ns)
    }

    /// End of its last exchange, nanoseconds UTC.
    pub(crate) fn end_ns(&self) -> i64 {
        self.rows.iter().map(|row| row.done_ns).max().unwrap_or_default()
    }

    /// From the end of all earlier answers to each request but the first; negative where it overlaps.
    pub(crate) fn silences_ns(&self) -> impl Iterator<Item = i64> {
        idle::silences_ns(&self.rows).map(|(_, silence_ns)| silence_ns)
    }
}

/// Something that a user's requests have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Credential(Fingerprint),
    /// A cookie that may be the same for many, from one client.
    Visitor(Fingerprint, u64),
    /// What a rule calls a user's key and is no fingerprint: its digest.
    Named(u64),
}

/// Splits exchanges by user; users come in the order of their first exchange.
pub(super) fn by_user(exchanges: Vec<Exchange>, rules: &Rules) -> (Vec<User>, IdleGap) {
    let ids = |row: &Row| Ids::of(&exchanges[row.origin as usize]);
    let ids_of = |rows: &[Row]| Ok::<_, Infallible>(rows.iter().map(ids).collect());
    let Ok(Groups { groups, idle_gap }) = group(Evidence::of(&exchanges, &rules.given), rules, ids_of);
    let mut exchanges: Vec<Option<Exchange>> = exchanges.into_iter().map(Some).collect();
    let user = |Group { key, rows, .. }: Group| {
        let exchanges = rows.iter().filter_map(|row| exchanges[row.origin as usize].take());
        User { key, exchanges: exchanges.collect() }
    };
    (groups.into_iter().map(user).collect(), idle_gap)
}

/// Splits a capture by user.
///
/// Where it is not decided otherwise, `ids_of` is asked once for the ids in some exchanges; it answers in the order of the
/// question.
pub(crate) fn group<E>(
    mut evidence: Evidence,
    rules: &Rules,
    ids_of: impl FnOnce(&[Row]) -> Result<Vec<Ids>, E>,
) -> Result<Groups, E> {
    evidence.sort();
    let mut links = Links::new(&evidence);
    links.by_credential();
    links.by_identity();
    let pairs = links.pairs_to_decide();
    if !pairs.is_empty() {
        links.by_need(&pairs, ids_of)?;
    }
    links.by_connection();
    let users = links.groups();
    let idle_gap = rules.idle_gap.map_or_else(|| idle::chosen(&users), IdleGap::given);
    let mut groups = parted(&evidence, users, idle_gap.gap_ns());
    groups.sort_by_key(|group| group.rows.first().map(|row| (row.started_ns, row.id)));
    Ok(Groups { groups, idle_gap })
}

/// What a rule says identifies the user, where it stands; else credentials, and without any the cookies of a visitor.
fn keys<'a>(evidence: &'a Evidence, row: &Row) -> impl Iterator<Item = Key> + use<'a> {
    let client = row.client();
    let marks = evidence.marks(row);
    let (credentials, visitors) = match marks {
        [] => (evidence.credentials(row), evidence.visitors(row)),
        _ => ([].as_slice(), [].as_slice()),
    };
    let marks = marks.iter().map(|mark| match mark {
        Mark::Credential(print) => Key::Credential(*print),
        Mark::Text(digest) => Key::Named(*digest),
    });
    let credentials = credentials.iter().map(|print| Key::Credential(*print));
    marks.chain(credentials).chain(visitors.iter().map(move |print| Key::Visitor(*print, client)))
}

fn has_key(evidence: &Evidence, row: &Row) -> bool {
    keys(evidence, row).next().is_some()
}

/// A login, and an earlier one of the same name and client.
type Pair = (usize, usize);

/// Exchanges that belong together, as a forest over their indices (union–find).
struct Links<'a> {
    evidence: &'a Evidence,
    rows: &'a [Row],
    parents: Vec<u32>,
}

impl<'a> Links<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let rows = evidence.rows();
        Self { evidence, rows, parents: (0..).take(rows.len()).collect() }
    }

    fn root(&mut self, mut index: usize) -> usize {
        while self.parents[index] as usize != index {
            self.parents[index] = self.parents[self.parents[index] as usize];
            index = self.parents[index] as usize;
        }
        index
    }

    /// The earlier root stays, so that a group's root is its first exchange.
    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.parents[one.max(other)] = self.parents[one.min(other)];
    }

    fn by_credential(&mut self) {
        let mut users: FxHashMap<Key, usize> = FxHashMap::default();
        let mut issuers: FxHashMap<Fingerprint, Vec<usize>> = FxHashMap::default();
        for (index, row) in self.rows.iter().enumerate() {
            for key in keys(self.evidence, row) {
                if let Key::Credential(print) = key {
                    for issuer in issuers.remove(&print).unwrap_or_default() {
                        self.join(issuer, index);
                    }
                }
                let first = *users.entry(key).or_insert(index);
                self.join(first, index);
            }
            for print in self.evidence.sent(row) {
                if let Some(&issuer) = issuers.get(print).and_then(|issuers| issuers.last()) {
                    self.join(issuer, index);
                }
            }
            for print in self.evidence.issued(row) {
                issuers.entry(*print).or_default().push(index);
            }
        }
    }

    /// A user who logs in again on the same connection.
    fn by_identity(&mut self) {
        let mut logins: FxHashMap<(u64, u64), usize> = FxHashMap::default();
        for (index, row) in self.rows.iter().enumerate() {
            for (_, name) in self.evidence.logins(row) {
                let first = *logins.entry((row.connection, name)).or_insert(index);
                self.join(first, index);
            }
        }
    }

    /// Logins of one name and client in different groups, the earlier of which is over before the later begins:
    /// one user or two, as [`Self::by_need`] decides.
    fn pairs_to_decide(&mut self) -> Vec<Pair> {
        let mut logins: FxHashMap<(u64, u64), usize> = FxHashMap::default();
        let mut pairs = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            for login in self.evidence.logins(row) {
                if let Some(earlier) = logins.insert(login, index) {
                    pairs.push((earlier, index));
                }
            }
        }
        if !pairs.is_empty() {
            let last = self.last_of_groups();
            pairs.retain(|(earlier, later)| last[self.root(*earlier)] < self.root(*later));
        }
        pairs
    }

    /// Under each root the last index of its group.
    fn last_of_groups(&mut self) -> Vec<usize> {
        let mut last = vec![0; self.rows.len()];
        (0..self.rows.len()).for_each(|index| last[self.root(index)] = index);
        last
    }

    /// A login that takes up the work of an earlier one of the same identity and client, which is over.
    fn by_need<E>(
        &mut self,
        pairs: &[Pair],
        ids_of: impl FnOnce(&[Row]) -> Result<Vec<Ids>, E>,
    ) -> Result<(), E> {
        let mut members = self.members_of(pairs);
        let indices: Vec<usize> = members.values().flatten().copied().collect();
        let rows: Vec<Row> = indices.iter().map(|index| self.rows[*index]).collect();
        let ids: FxHashMap<usize, Ids> = indices.into_iter().zip(ids_of(&rows)?).collect();
        for &(earlier, later) in pairs {
            let (before, after) = (self.root(earlier), self.root(later));
            let is_over = members[&before].last() < members[&after].first();
            if is_over && needs(&ids, &members[&before], &members[&after]) {
                self.join(before, after);
                let later = members.insert(after, Vec::new()).unwrap_or_default();
                members.entry(before).or_default().extend(later);
            }
        }
        Ok(())
    }

    /// The groups of the pairs, by their roots.
    fn members_of(&mut self, pairs: &[Pair]) -> FxHashMap<usize, Vec<usize>> {
        let indices = pairs.iter().flat_map(|(earlier, later)| [*earlier, *later]);
        let mut members: FxHashMap<usize, Vec<usize>> =
            indices.map(|index| (self.root(index), Vec::new())).collect();
        for index in 0..self.rows.len() {
            if let Some(members) = members.get_mut(&self.root(index)) {
                members.push(index);
            }
        }
        members
    }

    fn by_connection(&mut self) {
        let known = self.known();
        let mut order: Vec<(u64, usize)> =
            self.rows.iter().enumerate().map(|(index, row)| (row.connection, index)).collect();
        order.sort_unstable();
        for members in order.chunk_by(|one, other| one.0 == other.0) {
            let users: Vec<Option<usize>> = members
                .iter()
                .map(|(_, index)| Some(self.root(*index)).filter(|root| known[*root]))
                .collect();
            if users.iter().any(Option::is_none) {
                self.within_connection(members, &users);
            }
        }
    }

    /// Under each root whether its group holds an exchange with a key.
    fn known(&mut self) -> Vec<bool> {
        let mut known = vec![false; self.rows.len()];
        for (index, row) in self.rows.iter().enumerate() {
            if has_key(self.evidence, row) {
                known[self.root(index)] = true;
            }
        }
        known
    }

    fn within_connection(&mut self, members: &[(u64, usize)], users: &[Option<usize>]) {
        let before = last_known(users.iter());
        let after = last_known(users.iter().rev());
        let mut nobody: Option<usize> = None;
        for (at, &(_, index)) in members.iter().enumerate().filter(|(at, _)| users[*at].is_none()) {
            match (before[at], after[members.len() - 1 - at]) {
                (Some(one), Some(other)) if one != other => self.join(*nobody.get_or_insert(index), index),
                (Some(user), _) | (None, Some(user)) => self.join(user, index),
                (None, None) => self.join(*nobody.get_or_insert(index), index),
            }
        }
    }

    /// The exchanges of each group, groups in the order of their first exchange.
    fn groups(mut self) -> Vec<Vec<Row>> {
        const NONE: u32 = u32::MAX;
        let mut sizes = vec![0_u32; self.rows.len()];
        (0..self.rows.len()).for_each(|index| sizes[self.root(index)] += 1);
        let mut places = vec![NONE; self.rows.len()];
        let mut groups: Vec<Vec<Row>> = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let root = self.root(index);
            if root == index {
                places[root] = u32::try_from(groups.len()).unwrap_or(NONE);
                groups.push(Vec::with_capacity(sizes[root] as usize));
            }
            groups[places[root] as usize].push(*row);
        }
        groups
    }
}

/// For each place the last user at or before it.
fn last_known<'a>(users: impl Iterator<Item = &'a Option<usize>>) -> Vec<Option<usize>> {
    let keep = |last: &mut Option<usize>, user: &Option<usize>| {
        *last = user.or(*last);
        Some(*last)
    };
    users.scan(None, keep).collect()
}

/// Whether the requests of `after` carry ids that only the responses of `before` gave.
fn needs(ids: &FxHashMap<usize, Ids>, before: &[usize], after: &[usize]) -> bool {
    let given = |indices: &[usize]| -> FxHashSet<u64> {
        indices.iter().filter_map(|index| ids.get(index)).flat_map(|ids| &ids.given).copied().collect()
    };
    let (given_before, given_after) = (given(before), given(after));
    let mut sent = after.iter().filter_map(|index| ids.get(index)).flat_map(|ids| &ids.sent);
    sent.any(|id| given_before.contains(id) && !given_after.contains(id))
}

/// Splits users at their silences, on all cores.
fn parted(evidence: &Evidence, mut users: Vec<Vec<Row>>, gap_ns: i64) -> Vec<Group> {
    /// Fewer are not worth a thread.
    const USERS_MIN: usize = 1_000;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = users.len().div_ceil(threads).max(USERS_MIN);
    let groups_of = |users: Vec<Vec<Row>>| -> Vec<Group> {
        let parts = users.into_iter().flat_map(|user| split_idle(evidence, user, gap_ns));
        parts.map(|rows| named(evidence, rows)).collect()
    };
    thread::scope(|scope| {
        let mut others = Vec::new();
        while users.len() > share {
            let some = users.split_off(users.len() - share);
            others.push(scope.spawn(|| groups_of(some)));
        }
        let mut groups = groups_of(users);
        for other in others {
            groups.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        groups
    })
}

/// Splits a group at each silence longer than the gap, where the second part needs no credential of the first.
fn split_idle(evidence: &Evidence, group: Vec<Row>, gap_ns: i64) -> Vec<Vec<Row>> {
    let mut parts = Vec::new();
    let mut rest = group;
    while let Some(at) = idle_end(evidence, &rest, gap_ns) {
        let after = rest.split_off(at);
        parts.push(std::mem::replace(&mut rest, after));
    }
    parts.push(rest);
    parts
}

/// Index of the first exchange after a silence, where the group may be split.
fn idle_end(evidence: &Evidence, group: &[Row], gap_ns: i64) -> Option<usize> {
    idle::silences_ns(group).any(|(_, silence_ns)| silence_ns > gap_ns).then_some(())?;
    let mut last_use: FxHashMap<Fingerprint, usize> = FxHashMap::default();
    for (at, row) in group.iter().enumerate() {
        last_use.extend(evidence.credentials(row).iter().map(|print| (*print, at)));
    }
    // Until here a credential is used that was issued before.
    let (mut needed_until, mut looked_at) = (0, 0);
    for (at, _) in idle::silences_ns(group).filter(|(_, silence_ns)| *silence_ns > gap_ns) {
        let issued = group[looked_at..at].iter().flat_map(|row| evidence.issued(row));
        needed_until = issued.filter_map(|print| last_use.get(print)).copied().fold(needed_until, usize::max);
        looked_at = at;
        if needed_until < at {
            return Some(at);
        }
    }
    None
}

fn named(evidence: &Evidence, rows: Vec<Row>) -> Group {
    let key = match rows.iter().flat_map(|row| keys(evidence, row)).next() {
        Some(Key::Credential(print) | Key::Visitor(print, _)) => print.to_string(),
        Some(Key::Named(digest)) => evidence.text(digest).to_owned(),
        None => format!("connection {}", rows.first().map_or(0, |first| first.connection)),
    };
    let is_orphan = is_orphan(evidence, &rows);
    Group { key, rows, is_orphan }
}

/// Whether a request carries a credential that no complete answer before it had issued. An answer that repeats what
/// its own request carried issues nothing. Rules for bindings are not asked: they do not change what the capture holds.
fn is_orphan(evidence: &Evidence, rows: &[Row]) -> bool {
    let mut issued_ns: FxHashMap<Fingerprint, i64> = FxHashMap::default();
    for row in rows {
        let credentials = evidence.credentials(row);
        let is_issued = |print| issued_ns.get(print).is_some_and(|done_ns| *done_ns <= row.started_ns);
        if !credentials.iter().all(is_issued) {
            return true;
        }
        if !row.is_complete() {
            continue;
        }
        let is_echo =
            |print: &&Fingerprint| credentials.contains(print) || evidence.sent(row).contains(print);
        for print in evidence.issued(row).iter().filter(|print| !is_echo(print)) {
            let first = issued_ns.entry(*print).or_insert(row.done_ns);
            *first = row.done_ns.min(*first);
        }
    }
    false
}
