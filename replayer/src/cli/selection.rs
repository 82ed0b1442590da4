//! The flags that say which exchanges of a capture are meant; the same for exports and edits.

use std::collections::HashSet;

use anyhow::bail;
use clap::Args;
use kingtide_common::capture::Capture;
use kingtide_common::exchange::Exchange;

use super::capture::explained;
use crate::export::Wanted;
use crate::rows;
use crate::selection::members::Members;
use crate::selection::{Instant, Pattern, Period, Selection, Statuses};

/// Which exchanges are meant. Values of one kind are alternatives, kinds add up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which exchanges")]
pub(super) struct SelectionArgs {
    /// Those that began at this time (2026-11-24T08:00:00Z), or this long after the first (+10m), or later.
    #[arg(long, value_name = "TIME")]
    from: Option<Instant>,
    /// Those that began before this time; as --from.
    #[arg(long, value_name = "TIME")]
    to: Option<Instant>,
    /// Those to a route: a template as inspect prints it ('POST /api/users/{id}'), a path ('/api/*', `*` for
    /// any stretch), or the proxy's name of the route. May be given more than once.
    #[arg(long, value_name = "ROUTE")]
    route: Vec<Pattern>,
    /// Those by a method: POST,PUT.
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    method: Vec<String>,
    /// Those with a status: 404, 5xx, 400-499, none (no answer).
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<Statuses>,
    /// Those to a host, as it was sent; `*` for any stretch.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    host: Vec<String>,
    /// Those of a client: the fingerprint of its address, or its first digits.
    #[arg(long, value_name = "FINGERPRINT")]
    client: Vec<String>,
    /// Those of a session: its number, counted by start from 1, or its key. Sessions are found as for a
    /// replay, with the capture in memory.
    #[arg(long, value_name = "SESSION", value_delimiter = ',')]
    session: Vec<String>,
}

impl SelectionArgs {
    fn selection(&self) -> Selection {
        Selection {
            routes: self.route.clone(),
            methods: self.method.clone(),
            statuses: self.status.clone(),
            hosts: self.host.iter().map(|host| Pattern::new(&host.to_ascii_lowercase())).collect(),
            clients: self.client.clone(),
        }
    }

    fn period(&self) -> Period {
        Period { from: self.from, to: self.to }
    }

    pub(super) fn has_period(&self) -> bool {
        !self.period().is_always()
    }

    pub(super) fn names_sessions(&self) -> bool {
        !self.session.is_empty()
    }

    /// The places of the sessions that are named; `None` when none is.
    pub(super) fn named(&self, members: &Members) -> anyhow::Result<Option<HashSet<usize>>> {
        if self.session.is_empty() {
            return Ok(None);
        }
        let mut places = HashSet::new();
        for wanted in &self.session {
            places.extend(find(members, wanted)?);
        }
        Ok(Some(places))
    }

    /// What single exchanges must be like, whatever their session, in a capture that begins at `first_ns`.
    pub(super) fn wanted_at(&self, first_ns: i64) -> anyhow::Result<Wanted> {
        let period_ns = self.period().range(first_ns);
        if period_ns.is_empty() {
            bail!("--from is not before --to: nothing lies between them");
        }
        Ok(Wanted { selection: self.selection(), period_ns, ids: None })
    }

    /// What was asked for, for the record.
    pub(super) fn changes(&self) -> Vec<String> {
        let instants = [("--from", &self.begin_text()), ("--to", &self.end_text())];
        let mut changes: Vec<String> = instants
            .iter()
            .filter_map(|(flag, text)| text.as_ref().map(|text| format!("{flag} {text}")))
            .collect();
        let lists = [
            ("--route", self.route.iter().map(ToString::to_string).collect()),
            ("--method", self.method.clone()),
            ("--status", self.status.iter().map(ToString::to_string).collect()),
            ("--host", self.host.clone()),
            ("--client", self.client.clone()),
            ("--session", self.session.clone()),
        ];
        let said = lists.into_iter().filter(|(_, values)| !values.is_empty());
        changes.extend(said.map(|(flag, values)| format!("{flag} {}", values.join(","))));
        changes
    }

    fn begin_text(&self) -> Option<String> {
        self.from.map(|instant| instant.to_string())
    }

    fn end_text(&self) -> Option<String> {
        self.to.map(|instant| instant.to_string())
    }

    /// What of a capture is meant, exchange by exchange.
    pub(super) fn wanted(&self, capture: &Capture) -> anyhow::Result<Wanted> {
        // An offset counts from the first request, and for that all starts must have been seen.
        let first_ns = if self.has_period() { first_ns(capture)? } else { 0 };
        let ids = if self.names_sessions() { Some(self.ids(capture)?) } else { None };
        Ok(Wanted { ids, ..self.wanted_at(first_ns)? })
    }

    fn ids(&self, capture: &Capture) -> anyhow::Result<Vec<u64>> {
        let members = Members::of(exchanges(capture)?);
        let places = self.named(&members)?.unwrap_or_default();
        let mut ids: Vec<u64> =
            places.iter().flat_map(|place| &members.sessions[*place].exchanges).copied().collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// When a capture's first request began, ns UTC; 0 where there is none.
pub(super) fn first_ns(capture: &Capture) -> anyhow::Result<i64> {
    let first_ns = rows::first_ns(capture).map_err(|error| explained(&error))?;
    Ok(first_ns.unwrap_or_default())
}

/// All exchanges of a capture, in memory.
pub(super) fn exchanges(capture: &Capture) -> anyhow::Result<Vec<Exchange>> {
    let mut exchanges = Vec::new();
    let taken = rows::each_exchange(capture, |exchange| {
        exchanges.push(exchange);
        Ok(())
    });
    taken.map_err(|error| explained(&error))?;
    Ok(exchanges)
}

/// The places of the sessions that a user means.
fn find(members: &Members, wanted: &str) -> anyhow::Result<Vec<usize>> {
    let numbered = (1..).zip(&members.sessions);
    let found: Vec<usize> = numbered
        .filter(|(number, member)| member.is(*number, wanted))
        .map(|(number, _)| number - 1)
        .collect();
    if found.is_empty() {
        let count = members.sessions.len();
        bail!(
            "--session {wanted}: there is no such session; they are numbered from 1 to {count} by their start"
        );
    }
    Ok(found)
}
