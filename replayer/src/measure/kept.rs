//! A fair choice of whole samples, with what the target's own stages took, for questions that no histogram answers:
//! of which stages the slowest requests are made.
//!
//! Of all requests those with the smallest marks are kept, a mark being a hash of clone and step: every request has the
//! same chance whatever it took, and the choice of a whole is that of its parts (bottom-k sampling).

use std::collections::BinaryHeap;

use kingtide_common::exchange::ServerTiming;

use super::sample::Sample;

/// A sample that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSample {
    pub sample: Sample,
    /// From the answer's `Server-Timing`; empty where it had none.
    pub server: Vec<ServerTiming>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    max: usize,
    chosen: BinaryHeap<Marked>,
}

#[derive(Debug, Clone)]
struct Marked {
    mark: u64,
    kept: KeptSample,
}

impl Kept {
    pub fn at_most(max: usize) -> Self {
        Self { max, chosen: BinaryHeap::new() }
    }

    pub fn samples(&self) -> impl Iterator<Item = &KeptSample> {
        self.chosen.iter().map(|marked| &marked.kept)
    }

    /// `server` is asked for the stages of a sample that is chosen.
    pub(super) fn add(&mut self, sample: &Sample, server: impl FnOnce() -> Vec<ServerTiming>) {
        let mark = mark_of(sample);
        if self.chooses(mark) {
            self.put(Marked { mark, kept: KeptSample { sample: *sample, server: server() } });
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        for marked in &other.chosen {
            if self.chooses(marked.mark) {
                self.put(marked.clone());
            }
        }
    }

    fn chooses(&self, mark: u64) -> bool {
        self.chosen.len() < self.max || self.chosen.peek().is_some_and(|largest| mark < largest.mark)
    }

    fn put(&mut self, marked: Marked) {
        self.chosen.push(marked);
        if self.chosen.len() > self.max {
            self.chosen.pop();
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014) over clone and step.
fn mark_of(sample: &Sample) -> u64 {
    let mut mark = (sample.clone as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(sample.step as u64);
    for (shift, factor) in [(30, 0xBF58_476D_1CE4_E5B9_u64), (27, 0x94D0_49BB_1331_11EB)] {
        mark = (mark ^ (mark >> shift)).wrapping_mul(factor);
    }
    mark ^ (mark >> 31)
}

impl PartialEq for Marked {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

impl Eq for Marked {}

impl PartialOrd for Marked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Marked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.mark.cmp(&other.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::answered;
    use super::*;

    fn kept(clones: std::ops::Range<usize>) -> Kept {
        let mut kept = Kept::at_most(100);
        for clone in clones {
            kept.add(&Sample { clone, ..answered(200, false) }, Vec::new);
        }
        kept
    }

    fn clones(kept: &Kept) -> Vec<usize> {
        let mut clones: Vec<usize> = kept.samples().map(|kept| kept.sample.clone).collect();
        clones.sort_unstable();
        clones
    }

    #[test]
    fn the_choice_is_fair_and_that_of_merged_parts_is_that_of_the_whole() {
        let whole = kept(0..10_000);
        let mut parts = kept(0..3_000);
        parts.merge(&kept(3_000..10_000));
        assert_eq!(clones(&parts), clones(&whole));
        let chosen = clones(&whole);
        assert_eq!(chosen.len(), 100);
        let early = chosen.iter().filter(|clone| **clone < 5_000).count();
        assert!((30..=70).contains(&early), "{early} of 100 are from the first half");
    }

    #[test]
    fn nothing_is_kept_unless_asked_for() {
        let mut none = Kept::default();
        none.add(&answered(200, false), || unreachable!("nobody asks"));
        assert_eq!(none.samples().count(), 0);
    }
}
