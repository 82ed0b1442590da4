//! The counts of one route.

use kingtide_common::exchange::AnsweredBy;
use kingtide_common::stages::Stage;

use super::distribution::Distribution;
use super::tally::Tally;
use crate::limits::LimitName;
use crate::passage::Passage;
use crate::server_timing::server_timings;

/// Inner stages of a backend counted by name, of each route.
const TIMINGS_MAX: usize = 8;

/// How often a limit was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) refused: u64,
    /// Would have been refused, had the limit been enforced.
    pub(crate) shadowed: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct RouteTotals {
    /// Microseconds, by [`Stage::ALL`].
    stages: [Option<Box<Distribution>>; Stage::ALL.len()],
    /// Microseconds.
    timings: Vec<(String, Distribution)>,
    /// Bytes of request bodies, of requests that have one.
    bodies: Option<Box<Distribution>>,
    outcomes: Tally<(u16, AnsweredBy)>,
    ends: Tally<[char; 2]>,
    limits: [Met; LimitName::ALL.len()],
    received_bytes: u64,
    sent_bytes: u64,
}

impl RouteTotals {
    pub(super) fn exchange(&mut self, passage: &Passage) {
        self.time(passage);
        if let Some(bytes) = body_bytes(passage) {
            self.bodies.get_or_insert_default().record(bytes);
        }
        self.outcomes.add((passage.logged_status(), passage.answered_by), 1);
        self.ends.add(passage.end_code(), 1);
        self.meet_limits(passage);
        self.received_bytes += passage.request.fields.bytes() + passage.request_body_bytes;
        self.sent_bytes += passage.bytes_sent;
    }

    fn time(&mut self, passage: &Passage) {
        let instants = passage.marks.instants();
        for stage in Stage::ALL {
            let us = if stage == Stage::Tls { passage.handshake_us() } else { instants.stage_us(stage) };
            if let Some(us) = us {
                self.stages[stage as usize].get_or_insert_default().record(us);
            }
        }
        let timings = passage.response.iter().flat_map(|response| server_timings(&response.fields));
        for timing in timings {
            if let Some(distribution) = self.timing_mut(&timing.name) {
                distribution.record(timing.duration_us);
            }
        }
    }

    /// `None` when there are too many names already.
    fn timing_mut(&mut self, name: &str) -> Option<&mut Distribution> {
        let known = self.timings.iter().position(|(own, _)| own == name);
        if known.is_none() && self.timings.len() < TIMINGS_MAX {
            self.timings.push((name.to_owned(), Distribution::default()));
        }
        let position = known.unwrap_or(self.timings.len().wrapping_sub(1));
        self.timings.get_mut(position).filter(|(own, _)| own == name).map(|(_, distribution)| distribution)
    }

    fn meet_limits(&mut self, passage: &Passage) {
        if let Some(limit) = passage.refused_by {
            self.limits[limit as usize].refused += 1;
        }
        for limit in passage.would_refuse.iter() {
            self.limits[limit as usize].shadowed += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (own, more) in self.stages.iter_mut().zip(&other.stages) {
            merge_distribution(own, more.as_deref());
        }
        merge_distribution(&mut self.bodies, other.bodies.as_deref());
        for (name, more) in &other.timings {
            if let Some(own) = self.timing_mut(name) {
                own.merge(more);
            }
        }
        self.outcomes.merge(&other.outcomes);
        self.ends.merge(&other.ends);
        for (own, more) in self.limits.iter_mut().zip(&other.limits) {
            own.refused += more.refused;
            own.shadowed += more.shadowed;
        }
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
    }

    /// Exchanges over.
    pub(crate) fn requests(&self) -> u64 {
        self.stage(Stage::Total).map_or(0, Distribution::count)
    }

    /// Microseconds; `None` when no exchange came to its end.
    pub(crate) fn stage(&self, stage: Stage) -> Option<&Distribution> {
        self.stages[stage as usize].as_deref()
    }

    /// Stages that some exchange went through, in order; microseconds.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (Stage, &Distribution)> {
        Stage::ALL.into_iter().filter_map(|stage| Some((stage, self.stage(stage)?)))
    }

    /// Inner stages of the backend, from `Server-Timing`; microseconds.
    pub(crate) fn timings(&self) -> impl Iterator<Item = (&str, &Distribution)> {
        self.timings.iter().map(|(name, distribution)| (name.as_str(), distribution))
    }

    /// Bytes of request bodies; `None` without any.
    pub(crate) fn bodies(&self) -> Option<&Distribution> {
        self.bodies.as_deref()
    }

    /// Requests by the status that is logged and by who answered.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = ((u16, AnsweredBy), u64)> {
        self.outcomes.iter()
    }

    /// Requests by who ended them and when ([`Passage::end_code`]).
    pub(crate) fn ends(&self) -> impl Iterator<Item = ([char; 2], u64)> {
        self.ends.iter()
    }

    /// Limits that were met.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (LimitName, Met)> {
        let limits = LimitName::ALL.into_iter().map(|limit| (limit, self.met(limit)));
        limits.filter(|(_, met)| *met != Met::default())
    }

    pub(crate) fn met(&self, limit: LimitName) -> Met {
        self.limits[limit as usize]
    }

    /// Heads and bodies of requests, without transfer coding.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Answers, as handed to the clients' connections.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}

/// As declared, else as received: a body that was refused for its size counts with that size.
fn body_bytes(passage: &Passage) -> Option<u64> {
    let declared = passage.request.facts.framing.length();
    let bytes = declared.unwrap_or(0).max(passage.request_body_bytes);
    (bytes > 0).then_some(bytes)
}

fn merge_distribution(own: &mut Option<Box<Distribution>>, more: Option<&Distribution>) {
    match (own, more) {
        (_, None) => {}
        (Some(own), Some(more)) => own.merge(more),
        (none, Some(more)) => *none = Some(Box::new(more.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Framing, ResponseHead};
    use crate::sample;

    fn of(passages: &[Passage]) -> RouteTotals {
        let mut totals = RouteTotals::default();
        for passage in passages {
            totals.exchange(passage);
        }
        totals
    }

    #[test]
    fn an_exchange_is_counted_under_all_its_aspects() {
        let totals = of(&[sample::upload(), Passage { number: 1, ..sample::upload() }]);
        let sums: Vec<_> =
            totals.stages().map(|(stage, times)| (stage.name(), times.count(), times.sum())).collect();
        assert_eq!(sums[0], ("tls", 1, 12_000), "once a connection");
        assert!(sums.contains(&("upstream_wait", 2, 5_400_000)), "{sums:?}");
        assert_eq!(totals.timings().map(|(name, _)| name).collect::<Vec<_>>(), ["auth", "store"]);
        assert_eq!(totals.outcomes().collect::<Vec<_>>(), [((201, AnsweredBy::Upstream), 2)]);
        assert_eq!(totals.ends().collect::<Vec<_>>(), [(['-', '-'], 2)]);
        assert_eq!((totals.sent_bytes(), totals.bodies().unwrap().sum()), (700, 409_600));
    }

    #[test]
    fn a_refused_upload_counts_with_its_declared_size() {
        let mut passage = sample::upload();
        passage.request.facts.framing = Framing::Length(5 << 20);
        passage.request_body_bytes = 0;
        passage.refused_by = Some(LimitName::ClientMaxBodySize);
        passage.would_refuse.insert(LimitName::LimitReq);
        let totals = of(&[passage]);
        assert_eq!(totals.bodies().unwrap().max(), 5 << 20);
        let limits: Vec<_> = totals.limits().collect();
        assert_eq!(limits[0], (LimitName::ClientMaxBodySize, Met { refused: 1, shadowed: 0 }));
        assert_eq!(limits[1], (LimitName::LimitReq, Met { refused: 0, shadowed: 1 }));
    }

    #[test]
    fn a_backend_that_invents_names_fills_no_memory() {
        let passages: Vec<_> = (0..TIMINGS_MAX + 4)
            .map(|number| {
                let timing = format!("t{number};dur=1");
                let fields = sample::fields(&[("Server-Timing", timing.as_str())]);
                Passage { response: Some(ResponseHead { fields, ..Default::default() }), ..sample::upload() }
            })
            .collect();
        let mut totals = of(&passages);
        totals.merge(&of(&passages[2..]));
        assert_eq!(totals.timings().count(), TIMINGS_MAX);
        assert_eq!(totals.timings().map(|(_, times)| times.count()).sum::<u64>(), 8 + 6);
    }
}
