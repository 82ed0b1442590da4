//! Independent draws that come in order: the interval [0, 1) in blocks of equal length, and in each block the
//! draws that fell into it.
//!
//! N uniform draws need no list to be sorted. How many of them lie in the left half of an interval is a
//! binomial number, the count of ones in so many random bits; halved often enough, the interval falls into
//! blocks of about a thousand draws, and those of one block are made from a sequence of its own. The result is
//! distributed exactly as N independent draws, and any block can be made again at any time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kingtide_common::units::Seed;

use super::PlannedClone;
use super::random::Draws;

/// Blocks are halved until they hold about so many draws.
const BLOCK_DRAWS: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Blocks {
    seed: Seed,
    purpose: u64,
    halvings: u32,
    counts: Vec<usize>,
}

impl Blocks {
    pub(super) fn new(draws: usize, seed: Seed, purpose: u64) -> Self {
        let halvings = usize::BITS - (draws / BLOCK_DRAWS).leading_zeros();
        let mut bits = Draws::new(seed, purpose);
        let mut counts = vec![draws];
        for _ in 0..halvings {
            counts = counts.into_iter().flat_map(|count| halved(count, &mut bits)).collect();
        }
        Self { seed, purpose, halvings, counts }
    }

    pub(super) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.counts.len()
    }

    pub(super) fn draws(&self, block: usize) -> usize {
        self.counts[block]
    }

    /// The sequence that the draws of a block are made from.
    pub(super) fn sequence(&self, block: usize) -> Draws {
        Draws::of_block(self.seed, self.purpose, block)
    }

    /// A draw within a block, as a place among `places` that are spread over all blocks.
    pub(super) fn place(&self, block: usize, places: u64, draws: &mut Draws) -> u64 {
        // block · 2⁶⁴ + bits, times places, without the product that may need more than 128 bits.
        let within = (u128::from(draws.bits()) * u128::from(places)) >> 64;
        narrow((block as u128 * u128::from(places) + within) >> self.halvings)
    }

    /// The first place of a block.
    pub(super) fn first_place(&self, block: usize, places: u64) -> u64 {
        narrow((block as u128 * u128::from(places)) >> self.halvings)
    }
}

/// Of so many draws those in the left and in the right half.
fn halved(count: usize, bits: &mut Draws) -> [usize; 2] {
    let words: usize = (0..count / 64).map(|_| bits.bits().count_ones() as usize).sum();
    let rest = count % 64;
    let mask = (1_u64 << rest) - 1;
    let left = words + (bits.bits() & mask).count_ones() as usize;
    [left, count - left]
}

fn narrow(place: u128) -> u64 {
    u64::try_from(place).expect("a place is below their number")
}

/// Clones that were made together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) clones: Vec<PlannedClone>,
    /// No clone of a later batch starts before this.
    pub(super) later_us: u64,
}

/// Batches that overlap in time as clones in order of start.
#[derive(Debug)]
pub(super) struct InOrder<B> {
    batches: B,
    pending: BinaryHeap<Reverse<PlannedClone>>,
    later_us: u64,
}

impl<B: Iterator<Item = Batch>> InOrder<B> {
    pub(super) fn new(batches: B) -> Self {
        Self { batches, pending: BinaryHeap::new(), later_us: 0 }
    }
}

impl<B: Iterator<Item = Batch>> Iterator for InOrder<B> {
    type Item = PlannedClone;

    fn next(&mut self) -> Option<PlannedClone> {
        while self.pending.peek().is_none_or(|Reverse(first)| first.start_us >= self.later_us) {
            let Some(batch) = self.batches.next() else { break };
            self.pending.extend(batch.clones.into_iter().map(Reverse));
            self.later_us = batch.later_us;
        }
        self.pending.pop().map(|Reverse(clone)| clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_draw_is_lost_and_blocks_are_even() {
        for draws in [0, 1, 63, 64, 4095, 4096, 1_000_000] {
            let blocks = Blocks::new(draws, Seed(1), 1);
            assert_eq!(blocks.counts.iter().sum::<usize>(), draws);
        }
        let blocks = Blocks::new(1_000_000, Seed(1), 1);
        let mean = 1_000_000.0 / blocks.counts.len() as f64;
        let squares = blocks.counts.iter().map(|count| (*count as f64 - mean) * (*count as f64 - mean));
        let dispersion = squares.sum::<f64>() / mean / (blocks.counts.len() as f64 - 1.0);
        assert!((0.75..1.3).contains(&dispersion), "binomial counts are nearly Poisson: {dispersion}");
    }

    #[test]
    fn places_of_half_a_century_are_not_too_many() {
        const PLACES: u64 = 1 << 51; // microseconds of 71 years
        let blocks = Blocks::new(100_000_000, Seed(1), 1);
        let last = blocks.numbers().end - 1;
        let place = blocks.place(last, PLACES, &mut blocks.sequence(last));
        assert!((blocks.first_place(last, PLACES)..PLACES).contains(&place), "{place}");
    }

    #[test]
    fn places_reach_from_the_first_to_the_last_and_stay_in_their_block() {
        const PLACES: u64 = 10;
        let blocks = Blocks::new(100_000, Seed(1), 1);
        let mut counts = [0_u32; 10];
        for block in blocks.numbers() {
            let mut draws = blocks.sequence(block);
            for _ in 0..blocks.draws(block) {
                let place = blocks.place(block, PLACES, &mut draws);
                assert!(
                    (blocks.first_place(block, PLACES)..=blocks.first_place(block + 1, PLACES))
                        .contains(&place)
                );
                counts[usize::try_from(place).unwrap()] += 1;
            }
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn overlapping_batches_come_in_order_and_no_more_is_held_than_overlaps() {
        let batch = |starts: &[u64], later_us| Batch {
            clones: starts.iter().map(|&start_us| PlannedClone { start_us, session: 0 }).collect(),
            later_us,
        };
        let batches = [batch(&[5, 1, 3], 3), batch(&[], 4), batch(&[9, 4], 7), batch(&[8, 7], u64::MAX)];
        let mut made = 0;
        let mut ordered = InOrder::new(batches.into_iter().inspect(|_| made += 1));
        assert_eq!(ordered.next().map(|clone| clone.start_us), Some(1));
        let starts: Vec<u64> = ordered.by_ref().map(|clone| clone.start_us).collect();
        assert_eq!(starts, [3, 4, 5, 7, 8, 9]);
        drop(ordered);
        assert_eq!(made, 4);
    }
}
