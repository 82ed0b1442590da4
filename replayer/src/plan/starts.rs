//! When the captured sessions started, and when the clones of the modes that do not shift them start.

use kingtide_common::units::Seed;

use super::blocks::{Batch, Blocks, InOrder};
use super::random::Draws;
use super::{Plan, PlannedClone, scaled};
use crate::sessions::Outlines;

const PURPOSE_STEADY: u64 = 2;
const PURPOSE_VOLLEY: u64 = 3;

/// Starts of the captured sessions, microseconds from the first of them.
#[derive(Debug, PartialEq)]
pub(super) struct Starts {
    /// By session.
    us: Vec<u64>,
    /// Sessions in order of start.
    order: Vec<usize>,
    /// The last start.
    pub(super) span_us: u64,
}

impl Starts {
    pub(super) fn of(sessions: &Outlines) -> Self {
        let first_ns = sessions.iter().map(|session| session.start_ns).min().unwrap_or_default();
        let us: Vec<u64> =
            sessions.iter().map(|session| session.start_ns.abs_diff(first_ns) / 1000).collect();
        let mut order: Vec<usize> = (0..us.len()).collect();
        order.sort_by_key(|session| us[*session]);
        let span_us = us.iter().copied().max().unwrap_or_default();
        Self { us, order, span_us }
    }

    pub(super) fn len(&self) -> usize {
        self.us.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.us.is_empty()
    }

    pub(super) fn by_session(&self) -> impl Iterator<Item = u64> {
        self.us.iter().copied()
    }

    pub(super) fn of_session(&self, session: usize) -> u64 {
        self.us[session]
    }

    /// The session at a place in the order of starts.
    pub(super) fn at(&self, place: u64) -> usize {
        self.order[usize::try_from(place).expect("a place is below the number of sessions")]
    }

    /// Every session once, time divided by `speed`.
    pub(super) fn each_once(&self, speed: f64) -> impl Iterator<Item = PlannedClone> {
        self.order
            .iter()
            .map(move |&session| PlannedClone { start_us: scaled(self.us[session], speed), session })
    }
}

/// Starts spread uniformly over the capture's span: a Poisson process of the mean rate × N, given its count.
pub(super) fn steady(plan: &Plan) -> impl Iterator<Item = PlannedClone> {
    let starts = &plan.starts;
    let places = starts.span_us.saturating_add(1);
    let blocks = Blocks::new(plan.users(), plan.seed, PURPOSE_STEADY);
    InOrder::new(blocks.numbers().map(move |block| {
        let mut draws = blocks.sequence(block);
        let clone = |_| {
            let start_us = blocks.place(block, places, &mut draws);
            PlannedClone { start_us, session: draws.index(starts.len()) }
        };
        let clones = (0..blocks.draws(block)).map(clone).collect();
        Batch { clones, later_us: blocks.first_place(block + 1, places) }
    }))
}

/// Every session ⌊N⌋ times at its own instant, and a random choice of them once more for the fraction.
pub(super) fn volley(plan: &Plan) -> impl Iterator<Item = PlannedClone> {
    let starts = &plan.starts;
    let mut left = starts.len();
    let whole = plan.users() / left;
    let mut extra = plan.users() % left;
    let mut draws = Draws::new(plan.seed, PURPOSE_VOLLEY);
    starts.each_once(1.0).flat_map(move |clone| {
        let is_chosen = draws.index(left) < extra;
        left -= 1;
        extra -= usize::from(is_chosen);
        std::iter::repeat_n(clone, whole + usize::from(is_chosen))
    })
}

/// Another seed for the same plan.
pub(super) fn other_seed(seed: Seed, other: u64) -> Seed {
    Seed(seed.0.wrapping_add(other.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}
