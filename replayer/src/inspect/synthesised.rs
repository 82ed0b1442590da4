//! What an import made up, because its source did not hold it.

use std::collections::BTreeMap;

use kingtide_common::exchange::Exchange;
use serde::Serialize;

use crate::report::format::{count as number, counted};

/// Exchanges of which something was made up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    let mut counts = Synthesised { exchanges: 0, of: 0, by_name: BTreeMap::new() };
    for exchange in exchanges {
        counts.of += 1;
        counts.exchanges += u64::from(!exchange.synthesised.is_empty());
        for name in &exchange.synthesised {
            *counts.by_name.entry(name.clone()).or_default() += 1;
        }
    }
    (counts.exchanges > 0).then_some(counts)
}

impl Synthesised {
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
