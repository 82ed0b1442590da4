//! What becomes of each exchange of a source. Pure.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use kingtide_common::exchange::{Exchange, Gap};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::export::Wanted;
use crate::selection::members::{Member, Members};

/// What becomes of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    /// Left out by a criterion.
    Filtered,
    /// Left out with its session by the sampling rate.
    SampledOut,
}

/// What becomes of a session that begins before a cut and ends after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Crossing {
    /// It is kept whole.
    #[default]
    Keep,
    /// It is left out whole.
    Drop,
    /// Its exchanges outside are left out.
    Cut,
}

/// Which sessions are kept.
#[derive(Debug, Clone)]
pub struct Picking {
    /// What one exchange of a session must be like; its ids are not looked at.
    pub wanted: Wanted,
    pub crossing: Crossing,
    /// Share of the sessions, and the start of the random sequence that picks them.
    pub sample: Option<(f64, u64)>,
}

/// What becomes of the rows of a source.
#[derive(Debug, Clone)]
pub struct Choice {
    how: How,
    /// Gaps outside are left out.
    period_ns: Range<i64>,
}

#[derive(Debug, Clone)]
enum How {
    ByExchange(Wanted),
    /// Ids of the exchanges that are not kept.
    BySession(HashMap<u64, Fate>),
}

impl Choice {
    /// Each exchange for itself.
    pub fn by_exchange(wanted: Wanted) -> Self {
        Self { period_ns: wanted.period_ns.clone(), how: How::ByExchange(wanted) }
    }

    /// Whole sessions, of those in `sessions` (places in the order of their start) or of all.
    pub fn by_session(
        exchanges: Vec<Exchange>,
        picking: &Picking,
        sessions: impl FnOnce(&Members) -> anyhow::Result<Option<HashSet<usize>>>,
    ) -> anyhow::Result<Self> {
        let seen: HashMap<u64, Seen> =
            exchanges.iter().map(|exchange| (exchange.id, Seen::of(exchange, &picking.wanted))).collect();
        let members = Members::of(exchanges);
        let named = sessions(&members)?;
        let mut fates = HashMap::new();
        let mut kept = Vec::new();
        for (place, member) in members.sessions.iter().enumerate() {
            let is_named = named.as_ref().is_none_or(|named| named.contains(&place));
            if is_named && is_kept(member, &seen, picking.crossing) {
                kept.push(member);
                if picking.crossing == Crossing::Cut {
                    let outside = member.exchanges.iter().filter(|id| !seen[*id].is_inside);
                    fates.extend(outside.map(|id| (*id, Fate::Filtered)));
                }
            } else {
                fates.extend(member.exchanges.iter().map(|id| (*id, Fate::Filtered)));
            }
        }
        if let Some((share, seed)) = picking.sample {
            for member in left_out(kept, share, seed) {
                member.exchanges.iter().for_each(|id| {
                    fates.entry(*id).or_insert(Fate::SampledOut);
                });
            }
        }
        Ok(Self { how: How::BySession(fates), period_ns: picking.wanted.period_ns.clone() })
    }

    pub(super) fn fate(&self, exchange: &Exchange) -> Fate {
        match &self.how {
            How::ByExchange(wanted) if wanted.takes(exchange) => Fate::Kept,
            How::ByExchange(_) => Fate::Filtered,
            How::BySession(fates) => fates.get(&exchange.id).copied().unwrap_or(Fate::Kept),
        }
    }

    pub(super) fn keeps_gap(&self, gap: &Gap) -> bool {
        gap.to_ns >= self.period_ns.start && gap.from_ns < self.period_ns.end
    }
}

/// What is asked of an exchange when its session is looked at.
#[derive(Debug, Clone, Copy)]
struct Seen {
    is_inside: bool,
    /// Inside the period, and as wanted.
    is_wanted: bool,
}

impl Seen {
    fn of(exchange: &Exchange, wanted: &Wanted) -> Self {
        let is_inside = wanted.period_ns.contains(&exchange.started_ns);
        Self { is_inside, is_wanted: is_inside && wanted.selection.takes(exchange) }
    }
}

fn is_kept(member: &Member, seen: &HashMap<u64, Seen>, crossing: Crossing) -> bool {
    let mut all = member.exchanges.iter().map(|id| seen[id]);
    let crosses = crossing == Crossing::Drop && all.clone().any(|seen| !seen.is_inside);
    !crosses && all.any(|seen| seen.is_wanted)
}

/// All but `share` of the sessions, the number rounded.
fn left_out(mut sessions: Vec<&Member>, share: f64, seed: u64) -> Vec<&Member> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let wanted = (share * sessions.len() as f64).round() as usize;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for place in 0..wanted.min(sessions.len()) {
        let other = random.random_range(place..sessions.len());
        sessions.swap(place, other);
    }
    sessions.split_off(wanted.min(sessions.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Selection;
    use crate::sessions::scene::{capture, get, post};

    /// Three users: exchanges 1, 4 and 5; 2; 3 and 6.
    fn exchanges() -> Vec<Exchange> {
        capture(vec![
            get("/a").bearer("one").at_s(0.0).on(1),
            get("/a").bearer("two").at_s(1.0).on(2),
            post("/b").bearer("three").refused(503).at_s(2.0).on(3),
            get("/c").bearer("one").at_s(3.0).on(1),
            get("/d").bearer("one").at_s(10.0).on(1),
            get("/d").bearer("three").at_s(11.0).on(3),
        ])
    }

    fn wanted(selection: Selection, period_s: Range<i64>) -> Wanted {
        let at = |s: i64| 1_700_000_000_000_000_000 + s * 1_000_000_000;
        Wanted { selection, period_ns: at(period_s.start)..at(period_s.end), ids: None }
    }

    fn kept(picking: &Picking) -> Vec<u64> {
        let choice = Choice::by_session(exchanges(), picking, |_| Ok(None)).unwrap();
        kept_by(&choice)
    }

    fn kept_by(choice: &Choice) -> Vec<u64> {
        let all = exchanges().into_iter().filter(|exchange| choice.fate(exchange) == Fate::Kept);
        all.map(|exchange| exchange.id).collect()
    }

    fn picking(selection: Selection, period_s: Range<i64>, crossing: Crossing) -> Picking {
        Picking { wanted: wanted(selection, period_s), crossing, sample: None }
    }

    #[test]
    fn a_session_with_one_wanted_exchange_is_kept_whole() {
        let post = Selection { methods: vec!["POST".to_owned()], ..Selection::default() };
        assert_eq!(kept(&picking(post.clone(), 0..100, Crossing::Keep)), [3, 6]);
        let choice = Choice::by_exchange(wanted(post, 0..100));
        assert_eq!(kept_by(&choice), [3]);
    }

    #[test]
    fn a_session_that_crosses_a_cut_is_kept_left_out_or_cut() {
        let crossing = |crossing| kept(&picking(Selection::default(), 1..5, crossing));
        assert_eq!(crossing(Crossing::Keep), [1, 2, 3, 4, 5, 6]);
        assert_eq!(crossing(Crossing::Drop), [2]);
        assert_eq!(crossing(Crossing::Cut), [2, 3, 4]);
        let nobody = kept(&picking(Selection::default(), 50..60, Crossing::Keep));
        assert!(nobody.is_empty(), "who was never inside does not cross");
    }

    #[test]
    fn sessions_are_chosen_by_their_place() {
        let picking = picking(Selection::default(), 0..100, Crossing::Keep);
        let choice = Choice::by_session(exchanges(), &picking, |members| {
            assert_eq!(members.sessions.len(), 3);
            Ok(Some(HashSet::from([1, 2])))
        });
        assert_eq!(kept_by(&choice.unwrap()), [2, 3, 6]);
    }

    #[test]
    fn a_sample_is_of_whole_sessions_and_the_same_for_the_same_seed() {
        let sampled = |share, seed| {
            let sample = Some((share, seed));
            let picking = Picking { sample, ..picking(Selection::default(), 0..100, Crossing::Keep) };
            Choice::by_session(exchanges(), &picking, |_| Ok(None)).unwrap()
        };
        let sizes = [0.0, 0.34, 0.67, 1.0].map(|share| {
            let kept = kept_by(&sampled(share, 7));
            [[1, 4, 5].as_slice(), &[2], &[3, 6]]
                .iter()
                .filter(|session| {
                    let inside = session.iter().filter(|id| kept.contains(id)).count();
                    assert!(inside == 0 || inside == session.len(), "{session:?} of {kept:?}");
                    inside > 0
                })
                .count()
        });
        assert_eq!(sizes, [0, 1, 2, 3]);
        assert_eq!(kept_by(&sampled(0.34, 7)), kept_by(&sampled(0.34, 7)));
        let left_out =
            exchanges().iter().filter(|one| sampled(0.34, 7).fate(one) == Fate::SampledOut).count();
        assert_eq!(left_out + kept_by(&sampled(0.34, 7)).len(), 6);
    }

    #[test]
    fn gaps_outside_of_the_period_are_left_out() {
        let choice =
            Choice::by_exchange(Wanted { selection: Selection::default(), period_ns: 10..20, ids: None });
        let gap = |from_ns, to_ns| Gap {
            from_ns,
            to_ns,
            count: 1,
            bytes: 0,
            reason: "disk".to_owned(),
            cut: Vec::new(),
        };
        let kept = [gap(0, 9), gap(0, 10), gap(19, 30), gap(20, 30)].map(|gap| choice.keeps_gap(&gap));
        assert_eq!(kept, [false, true, true, false]);
    }
}
