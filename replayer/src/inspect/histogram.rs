//! Histograms in steps of 1, 2, 5.

use serde::{Deserialize, Serialize};

/// Values of at least `from` and less than `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bin {
    pub from: u64,
    pub to: u64,
    pub count: u64,
}

/// Bins from the smallest to the largest value; empty ones in between are kept, so that a hole in the values shows.
pub(super) fn binned(values: impl IntoIterator<Item = u64>) -> Vec<Bin> {
    let edges = edges();
    let bins = edges.len() - 1;
    let mut counts = vec![0; bins];
    for value in values {
        counts[edges.partition_point(|edge| *edge <= value).clamp(1, bins) - 1] += 1;
    }
    let used = counts.iter().position(|count| *count > 0).unwrap_or(counts.len());
    let end = counts.iter().rposition(|count| *count > 0).map_or(used, |last| last + 1);
    (used..end).map(|at| Bin { from: edges[at], to: edges[at + 1], count: counts[at] }).collect()
}

/// 0, 1, 2, 5, 10 … 5 · 10¹¹, and the end of all numbers.
fn edges() -> Vec<u64> {
    let steps = (0..12).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    std::iter::once(0).chain(steps).chain([u64::MAX]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bin() {
        let values = [0, 1, 999, 1000, 50_000, 2_097_152, 999_999_999_999, u64::MAX - 1];
        let bins = binned(values.to_vec());
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), values.len() as u64);
        assert!(bins.windows(2).all(|pair| pair[0].to == pair[1].from));
    }

    #[test]
    fn holes_are_kept_and_ends_are_not() {
        let counts: Vec<_> = binned(vec![30, 12, 300]).iter().map(|bin| (bin.from, bin.count)).collect();
        assert_eq!(counts, [(10, 1), (20, 1), (50, 0), (100, 0), (200, 1)]);
        assert_eq!(binned(Vec::new()), []);
    }
}
