//! How far the times of captures are moved.

const DAY_NS: i64 = 86_400_000_000_000;

/// How captures of different times are put over each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Align {
    /// The first request of each begins with the first of the first.
    Start,
    /// By whole days (UTC): the time of day stays.
    Day,
}

/// For captures whose first requests began at `first_ns`: what to add to the times of each.
pub fn shifts_ns(first_ns: &[i64], align: Option<Align>) -> Vec<i64> {
    let to = first_ns.first().copied().unwrap_or_default();
    let shift = |from: &i64| match align {
        None => 0,
        Some(Align::Start) => to.saturating_sub(*from),
        Some(Align::Day) => (to.div_euclid(DAY_NS) - from.div_euclid(DAY_NS)).saturating_mul(DAY_NS),
    };
    first_ns.iter().map(shift).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_put_over_the_first() {
        let first_ns = [DAY_NS + 5, 3 * DAY_NS + 9, 7];
        assert_eq!(shifts_ns(&first_ns, None), [0, 0, 0]);
        assert_eq!(shifts_ns(&first_ns, Some(Align::Start)), [0, -2 * DAY_NS - 4, DAY_NS - 2]);
        assert_eq!(shifts_ns(&first_ns, Some(Align::Day)), [0, -2 * DAY_NS, DAY_NS]);
        assert!(shifts_ns(&[], Some(Align::Day)).is_empty());
    }
}
