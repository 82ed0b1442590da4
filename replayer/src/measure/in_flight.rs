//! The safety stop: how many requests were in flight at most, and whether that was too many.
//!
//! An open loop against a target that answers ever slower piles up connections without end, until this machine
//! has none left and speaks of itself. So there is a cap, and a run that reaches it ends: it delays nothing.

use serde::{Deserialize, Serialize};

use super::run::Gate;
use crate::report::format::count;

/// The gate's name.
pub(super) const GATE: &str = "in_flight";

/// Requests that were released and had not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// As many may be.
    pub max: u64,
    /// As many were at once, the one refused included.
    pub most: u64,
}

impl InFlight {
    pub(crate) fn gate(self) -> Gate {
        let meaning = "requests in flight at once, at which the run stops";
        Gate::at_most(self.most as f64, self.max as f64, meaning)
    }

    pub(super) fn caution(self) -> Option<String> {
        (self.most > self.max).then(|| {
            format!(
                "safety stop: {} requests were in flight, so nothing more was released; the target answers slower \
                 than the plan asks, or the cap is too low (--in-flight-max, ulimit -n)",
                count(self.max)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::gates::Gates;
    use super::super::run::Verdict;
    use super::super::verdict::{Evidence, judge};
    use super::*;

    #[test]
    fn a_run_that_reached_its_cap_is_invalid_and_says_so() {
        for (most, verdict) in [(5, Verdict::Pass), (6, Verdict::Invalid)] {
            let in_flight = InFlight { max: 5, most };
            let gates = Gates::from([(GATE.to_owned(), in_flight.gate())]);
            let judged = judge(&Evidence::default(), &gates, &Gates::default(), 0.01);
            assert_eq!((judged.verdict, in_flight.caution().is_some()), (verdict, most > 5), "{most}");
        }
    }
}
