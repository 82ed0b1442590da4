//! Which limits of the edge refused, and which would have in shadow mode: by name and by route.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use kingtide_common::exchange::Exchange;
use serde::Serialize;

use super::Amount;
use super::stages::Tables;

/// The proxy's code for an exchange that was complete.
const COMPLETE: &str = "--";

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
pub(super) fn summarise(tables: &Tables<'_>) -> BTreeMap<String, LimitSummary> {
    let mut limits: BTreeMap<String, LimitSummary> = BTreeMap::new();
    for (route, table) in &tables.routes {
        for exchange in &table.exchanges {
            for (limit, judged) in judgements(exchange) {
                limits.entry(limit.to_owned()).or_default().add(route, judged);
            }
        }
    }
    limits
}

/// What each limit said of one exchange.
fn judgements(exchange: &Exchange) -> impl Iterator<Item = (&str, Judged)> {
    let bytes = exchange.request_body_bytes;
    let refused = Judged { refused: 1, refused_bytes: bytes, ..Judged::default() };
    let shadowed = Judged { would_refuse: 1, would_refuse_bytes: bytes, ..Judged::default() };
    let refused = exchange.refused_by.iter().map(move |limit| (limit.as_str(), refused));
    refused.chain(exchange.would_refuse.iter().map(move |limit| (limit.as_str(), shadowed)))
}

/// Exchanges that were not complete, by the proxy's code for who ended them and where they stood.
pub(super) fn ends(exchanges: &[&Exchange]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let codes = exchanges.iter().filter_map(|exchange| exchange.end.as_deref());
    for code in codes.filter(|code| *code != COMPLETE) {
        *counts.entry(code.to_owned()).or_insert(0) += 1;
    }
    counts
}
