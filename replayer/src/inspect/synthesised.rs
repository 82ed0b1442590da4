//! What an import made up, because its source did not hold it.

use std::collections::BTreeMap;

use kingtide_common::exchange::Exchange;
use serde::Serialize;

use super::tally::entry;
use crate::report::format::{count as number, counted};

/// Exchanges of which something was made up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Synthesised {
    /// Of how many something was made up.
    pub exchanges: u64,
    /// Of how many in all.
    pub of: u64,
    /// By what was made up; the rules: captures/README.md, "Importing".
    pub by_name: BTreeMap<String, u64>,
}

/// `None` when nothing was made up.
pub fn count<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Option<Synthesised> {
    let mut counts = Synthesised::default();
    exchanges.into_iter().for_each(|exchange| counts.add_exchange(exchange));
    counts.any()
}

impl Synthesised {
    pub(crate) fn add_exchange(&mut self, exchange: &Exchange) {
        self.add(exchange.synthesised.iter().map(String::as_str));
    }

    /// Counts an exchange by the names of what was made up of it.
    pub(super) fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let mut names = names.into_iter().peekable();
        self.of += 1;
        self.exchanges += u64::from(names.peek().is_some());
        names.for_each(|name| *entry(&mut self.by_name, name) += 1);
    }

    pub(super) fn join(&mut self, other: Self) {
        self.of += other.of;
        self.exchanges += other.exchanges;
        for (name, count) in other.by_name {
            *self.by_name.entry(name).or_default() += count;
        }
    }

    /// `None` when nothing was made up.
    pub(super) fn any(self) -> Option<Self> {
        (self.exchanges > 0).then_some(self)
    }

    /// `4 of 12 exchanges were completed by assumptions: pacing (4), request_body (1)`.
    pub fn sentence(&self) -> String {
        let names: Vec<String> =
            self.by_name.iter().map(|(name, count)| format!("{name} ({})", number(*count))).collect();
        format!(
            "{} of {} were completed by assumptions: {}",
            number(self.exchanges),
            counted(self.of, "exchange"),
            names.join(", ")
        )
    }
}
