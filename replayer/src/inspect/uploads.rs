//! The sizes of uploaded files as a histogram in steps of 1, 2, 5.

use serde::{Deserialize, Serialize};

/// Files of at least `from_bytes` and less than `to_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeBin {
    pub from_bytes: u64,
    pub to_bytes: u64,
    pub count: u64,
}

/// Bins from the smallest to the largest of `sorted` sizes; empty ones in between are kept, so that a
/// hole in the sizes shows.
pub(super) fn histogram(sorted: &[u64]) -> Vec<SizeBin> {
    let (Some(smallest), Some(largest)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let edges = edges_bytes();
    let used = edges.windows(2).filter(|bin| bin[1] > *smallest && bin[0] <= *largest);
    used.map(|bin| bin_of(sorted, bin[0], bin[1])).collect()
}

fn bin_of(sorted: &[u64], from_bytes: u64, to_bytes: u64) -> SizeBin {
    let below = |bytes: u64| sorted.partition_point(|size| *size < bytes) as u64;
    SizeBin { from_bytes, to_bytes, count: below(to_bytes) - below(from_bytes) }
}

/// 0, 1 KB, 2 KB, 5 KB, 10 KB … 500 GB, and the end of all sizes.
fn edges_bytes() -> Vec<u64> {
    let steps = (3..12).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    std::iter::once(0).chain(steps).chain([u64::MAX]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sorted: &[u64]) -> Vec<(u64, u64)> {
        histogram(sorted).iter().map(|bin| (bin.from_bytes, bin.count)).collect()
    }

    #[test]
    fn bins_run_from_the_smallest_to_the_largest_without_holes() {
        assert_eq!(
            counts(&[10_000, 19_999, 20_000, 150_000]),
            [(10_000, 2), (20_000, 1), (50_000, 0), (100_000, 1)]
        );
        assert_eq!(counts(&[0]), [(0, 1)]);
        assert_eq!(counts(&[]), []);
    }

    #[test]
    fn every_size_is_in_one_bin() {
        let sizes = [0, 1, 999, 1000, 50_000, 2_097_152, 999_999_999_999, u64::MAX - 1];
        assert_eq!(histogram(&sizes).iter().map(|bin| bin.count).sum::<u64>(), sizes.len() as u64);
    }
}
