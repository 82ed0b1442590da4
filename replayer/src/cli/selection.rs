//! The flags that say which exchanges of a capture are meant; the same for exports and edits.

use anyhow::bail;
use clap::Args;
use kingtide_common::capture::Capture;

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
    pub(super) fn selection(&self) -> Selection {
        Selection {
            routes: self.route.clone(),
            methods: self.method.clone(),
            statuses: self.status.clone(),
            hosts: self.host.iter().map(|host| Pattern::new(&host.to_ascii_lowercase())).collect(),
            clients: self.client.clone(),
        }
    }

    pub(super) fn period(&self) -> Period {
        Period { from: self.from, to: self.to }
    }

    pub(super) fn sessions(&self) -> &[String] {
        &self.session
    }

    /// What of a capture is meant, exchange by exchange.
    pub(super) fn wanted(&self, capture: &Capture) -> anyhow::Result<Wanted> {
        let period = self.period();
        // An offset counts from the first request, and for that all starts must have been seen.
        let first_ns =
            if period.is_always() { None } else { rows::first_ns(capture).map_err(|e| explained(&e))? };
        let range = period.range(first_ns.unwrap_or_default());
        if range.is_empty() {
            bail!("--from is not before --to: nothing lies between them");
        }
        let ids = if self.session.is_empty() { None } else { Some(self.ids(capture)?) };
        Ok(Wanted { selection: self.selection(), period_ns: range, ids })
    }

    fn ids(&self, capture: &Capture) -> anyhow::Result<Vec<u64>> {
        let members = members(capture)?;
        let mut ids = Vec::new();
        for wanted in &self.session {
            ids.extend(find(&members, wanted)?.iter().flat_map(|at| &members.sessions[*at].exchanges));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

/// Which exchanges belong to one session.
pub(super) fn members(capture: &Capture) -> anyhow::Result<Members> {
    let mut exchanges = Vec::new();
    rows::each_exchange(capture, |exchange| {
        exchanges.push(exchange);
        Ok(())
    })
    .map_err(|error| explained(&error))?;
    Ok(Members::of(exchanges))
}

/// The places of the sessions that a user means.
pub(super) fn find(members: &Members, wanted: &str) -> anyhow::Result<Vec<usize>> {
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
