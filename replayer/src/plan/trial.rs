//! The plan of a trial: a load that is held for a time, whatever the capture's length.
//!
//! Sessions start as a stationary process at the captured mean rate × N. The rate rises linearly over the ramp, so
//! that no target meets a step (its connections, its caches); from then on it is constant. The requests follow their
//! sessions: their rate is what the multiple means once sessions as long as the captured ones have begun before,
//! which [`settled_us`] tells. The plan ends with the trial: what a session would do after that is none of its.
//!
//! Which session a clone is of is dealt from shuffled decks of all captured sessions, in the order of the starts: every
//! stretch of the trial has the captured mix but for the deck it cuts. With independent draws the luck of the mix would be
//! most of the difference between two trials of the same load.

use std::sync::Arc;

use kingtide_common::units::{Multiple, Seed};

use super::blocks::Blocks;
use super::random::Draws;
use super::{Mode, Plan, PlannedClone, Starts, rounded_us};
use crate::sessions::Outlines;

const PURPOSE_TRIAL: u64 = 4;
const PURPOSE_DECK: u64 = 5;
/// Share of the requests that a session has sent when the planned rate counts as settled.
const SETTLED_SHARE: f64 = 0.98;

/// How session starts are spread over a trial: the rate at any instant, as a share of the multiple's.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The corners of a curve of straight lines, in order of their instants, microseconds; the first is at 0.
    corners: Arc<[(u64, f64)]>,
}

/// Plans a trial of `multiple` times the captured mean rate. `None` when the capture's starts span no time, and so
/// say no rate.
pub fn trial(sessions: &Outlines, multiple: Multiple, load: Load, seed: Seed) -> Option<Plan> {
    let starts = Arc::new(Starts::of(sessions));
    let load = Some(load);
    let plan = Plan { multiple, mode: Mode::Steady, seed, shift_s: 0.0, load, leaves_us: None, starts };
    (plan.starts.span_us > 0).then_some(plan)
}

/// Requests a second that 1× means: of all captured sessions, over the time in which they started.
pub fn unit_per_s(sessions: &Outlines) -> Option<f64> {
    let starts = Starts::of(sessions);
    let requests = sessions.requests();
    (starts.span_us > 0).then(|| requests as f64 * 1e6 / starts.span_us as f64)
}

/// How long after a constant rate of session starts began the rate of requests is within a fiftieth of its own:
/// the captured sessions had then sent that share of their requests. Microseconds.
pub fn settled_us(sessions: &Outlines) -> u64 {
    let steps = sessions.iter().flat_map(|session| session.steps);
    let mut offsets_us: Vec<u64> = steps.map(|step| step.offset_us).collect();
    if offsets_us.is_empty() {
        return 0;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a length
    let rank = (offsets_us.len() as f64 * SETTLED_SHARE) as usize;
    let rank = rank.min(offsets_us.len() - 1);
    *offsets_us.select_nth_unstable(rank).1
}

/// The clones of a trial, in order of start. Holds those of one block.
pub(super) fn clones<'a>(plan: &'a Plan, load: &'a Load) -> impl Iterator<Item = PlannedClone> + 'a {
    let places = load.weight_us().saturating_add(1);
    let blocks = Blocks::new(plan.users(), plan.seed, PURPOSE_TRIAL);
    let starts = blocks.numbers().flat_map(move |block| {
        let mut draws = blocks.sequence(block);
        let place = |_| load.start_us(blocks.place(block, places, &mut draws));
        let mut starts: Vec<u64> = (0..blocks.draws(block)).map(place).collect();
        starts.sort_unstable();
        starts
    });
    let mut deck = Deck { seed: plan.seed, dealt: 0, left: Vec::new() };
    let sessions = plan.starts.len();
    starts.map(move |start_us| PlannedClone { start_us, session: deck.deal(sessions) })
}

/// Shuffled decks of all sessions, dealt to the last.
struct Deck {
    seed: Seed,
    dealt: usize,
    left: Vec<usize>,
}

impl Deck {
    fn deal(&mut self, sessions: usize) -> usize {
        if self.left.is_empty() {
            self.left = shuffled(sessions, &mut Draws::of_block(self.seed, PURPOSE_DECK, self.dealt));
            self.dealt += 1;
        }
        self.left.pop().expect("a plan without sessions has no clones")
    }
}

/// Fisher and Yates.
fn shuffled(count: usize, draws: &mut Draws) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        order.swap(at, draws.index(at + 1));
    }
    order
}

impl Load {
    /// Rises evenly over the ramp (at most the length) and is then held.
    pub fn held(length_us: u64, ramp_us: u64) -> Self {
        let first = if ramp_us == 0 { 1.0 } else { 0.0 };
        let ramp_us = ramp_us.min(length_us);
        Self { corners: [(0, first), (ramp_us, 1.0), (length_us, 1.0)].into() }
    }

    /// Of any curve; at a leap two corners have one instant.
    pub fn of(corners: impl IntoIterator<Item = (u64, f64)>) -> Self {
        Self { corners: corners.into_iter().collect() }
    }

    pub(super) fn length_us(&self) -> u64 {
        self.corners.last().map_or(0, |(at_us, _)| *at_us)
    }

    /// How long the full rate would take for as many starts.
    pub(super) fn weight_us(&self) -> u64 {
        rounded_us(self.segments().map(|segment| segment.weight_us()).sum())
    }

    /// When the start at a place of the weight is due.
    pub(super) fn start_us(&self, place: u64) -> u64 {
        let mut left = place as f64;
        for segment in self.segments() {
            let weight_us = segment.weight_us();
            if left < weight_us {
                return rounded_us(segment.from_us + segment.after_us(left)).min(self.length_us());
            }
            left -= weight_us;
        }
        self.length_us()
    }

    fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.corners.windows(2).map(|pair| {
            let ((from_us, from), (to_us, to)) = (pair[0], pair[1]);
            Segment { from_us: from_us as f64, length_us: (to_us - from_us) as f64, from, to }
        })
    }
}

/// A straight line of the curve.
struct Segment {
    from_us: f64,
    length_us: f64,
    from: f64,
    to: f64,
}

impl Segment {
    fn weight_us(&self) -> f64 {
        self.length_us * f64::midpoint(self.from, self.to)
    }

    /// How long after its beginning it has had this weight: r·t + s·t²/2 of the rate r that changes by s, solved for t in the form
    /// that loses no digits where s is small.
    fn after_us(&self, weight_us: f64) -> f64 {
        let slope = (self.to - self.from) / self.length_us;
        let root = (self.from * self.from + 2.0 * slope * weight_us).max(0.0).sqrt();
        let under = self.from + root;
        if under > 0.0 { 2.0 * weight_us / under } else { 0.0 }
    }
}

impl Plan {
    /// How many sessions a trial starts.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive; a float beyond usize saturates
    pub(super) fn starts_of_load(&self) -> usize {
        let weight_us = self.load.as_ref().map_or(self.starts.span_us, Load::weight_us);
        let share = weight_us as f64 / self.starts.span_us.max(1) as f64;
        ((self.multiple.get() * self.starts.len() as f64 * share).round() as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::{Session, Step};

    /// One session a second for 100 s, each with a request now and one 10 s later.
    fn sessions() -> Outlines {
        (0..=100).map(session).collect()
    }

    fn session(second: i64) -> Session {
        let step = |offset_us| Step {
            exchange: kingtide_common::exchange::Exchange::default(),
            offset_us,
            connection: 0,
            holes: vec![],
        };
        Session {
            key: String::new(),
            start_ns: second * 1_000_000_000,
            steps: vec![step(0), step(10_000_000)],
            orphan: false,
        }
    }

    fn planned(multiple: f64, load: Load, seed: u64) -> Plan {
        trial(&sessions(), Multiple::new(multiple).unwrap(), load, Seed(seed)).unwrap()
    }

    #[test]
    fn the_rate_rises_over_the_ramp_and_is_then_the_multiple_of_the_captured() {
        let load = Load::held(60_000_000, 20_000_000);
        let plan = planned(100.0, load, 1);
        let mut starts = [0_u32; 6];
        for clone in plan.clones() {
            starts[usize::try_from(clone.start_us / 10_000_000).unwrap()] += 1;
        }
        // 101 starts a second; a quarter of it on average in the first half of the ramp, three in the second.
        for (tens, expected) in starts.into_iter().zip([252.5, 757.5, 1010.0, 1010.0, 1010.0, 1010.0]) {
            let chance = 4.0 * f64::sqrt(expected);
            assert!(
                (f64::from(tens) - expected).abs() < chance,
                "{tens} starts in ten seconds for {expected}"
            );
        }
        assert_eq!(starts.iter().sum::<u32>(), 5050);
        assert_eq!(plan.users(), 5050);
    }

    #[test]
    fn the_rate_follows_any_curve() {
        // 40 s at a quarter, a leap to the whole for 20 s, down to nothing in 40 s.
        let corners =
            [(0, 0.25), (40_000_000, 0.25), (40_000_000, 1.0), (60_000_000, 1.0), (100_000_000, 0.0)];
        let plan = planned(100.0, Load::of(corners), 1);
        let mut starts = [0_u32; 5];
        for clone in plan.clones() {
            starts[usize::try_from(clone.start_us / 20_000_000).unwrap().min(4)] += 1;
        }
        // 101 starts a second at the whole rate.
        for (twenties, expected) in starts.into_iter().zip([505.0, 505.0, 2020.0, 1515.0, 505.0]) {
            let chance = 4.0 * f64::sqrt(expected);
            assert!((f64::from(twenties) - expected).abs() < chance, "{twenties} starts for {expected}");
        }
        assert!(plan.clones().collect::<Vec<_>>().is_sorted());
    }

    #[test]
    fn every_deck_has_each_session_once() {
        let plan = planned(3.0, Load::held(100_000_000, 0), 1);
        let clones: Vec<usize> = plan.clones().map(|clone| clone.session).collect();
        for deck in clones.chunks_exact(101) {
            let mut deck = deck.to_vec();
            deck.sort_unstable();
            assert_eq!(deck, (0..101).collect::<Vec<_>>());
        }
        assert_ne!(clones[..101], clones[101..202], "shuffled anew");
    }

    #[test]
    fn clones_come_in_order_and_a_seed_gives_one_plan() {
        let load = Load::held(30_000_000, 30_000_000);
        let starts = |seed| planned(200.0, load.clone(), seed).clones().collect::<Vec<_>>();
        assert!(starts(1).is_sorted());
        assert_eq!(starts(1), starts(1));
        assert_ne!(starts(1), starts(2));
        assert!(starts(1).iter().all(|clone| clone.start_us <= load.length_us()));
    }

    #[test]
    fn the_unit_is_the_captured_mean_and_a_rate_settles_with_the_sessions() {
        assert!((unit_per_s(&sessions()).unwrap() - 2.02).abs() < 1e-9);
        assert_eq!(settled_us(&sessions()), 10_000_000);
        let one = &[session(0)].into_iter().collect();
        assert_eq!(unit_per_s(one), None);
        let load = Load::held(1, 0);
        assert!(trial(one, Multiple::new(1.0).unwrap(), load, Seed(1)).is_none());
    }
}
