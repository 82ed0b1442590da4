//! Which limits of the edge refused, and which would have in shadow mode: by name and by route.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

use super::Amount;
use super::tally::RouteTally;

/// The proxy's code for an exchange that was complete.
pub(super) const COMPLETE: &str = "--";

/// Exchanges that met one limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    pub refused: u64,
    /// Bytes of their request bodies, as far as they were received.
    pub refused_bytes: u64,
    /// In shadow mode.
    pub would_refuse: u64,
    pub would_refuse_bytes: u64,
}

/// What one limit did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LimitSummary {
    #[serde(flatten)]
    pub total: Judged,
    /// The same by method and path template.
    pub routes: BTreeMap<String, Judged>,
}

impl LimitSummary {
    fn add(&mut self, route: &str, judged: Judged) {
        self.total += judged;
        *self.routes.entry(route.to_owned()).or_default() += judged;
    }
}

impl AddAssign for Judged {
    fn add_assign(&mut self, other: Self) {
        self.refused += other.refused;
        self.refused_bytes += other.refused_bytes;
        self.would_refuse += other.would_refuse;
        self.would_refuse_bytes += other.would_refuse_bytes;
    }
}

impl Judged {
    pub fn refused(&self) -> Amount {
        Amount { count: self.refused, sum: self.refused_bytes }
    }

    pub fn would_refuse(&self) -> Amount {
        Amount { count: self.would_refuse, sum: self.would_refuse_bytes }
    }
}

/// By the limit's directive in Nginx; limits that no exchange met are left out.
pub(super) fn summarise(routes: &BTreeMap<String, RouteTally>) -> BTreeMap<String, LimitSummary> {
    let mut limits: BTreeMap<String, LimitSummary> = BTreeMap::new();
    for (route, tally) in routes {
        for (limit, judged) in &tally.limits {
            limits.entry(limit.clone()).or_default().add(route, *judged);
        }
    }
    limits
}
