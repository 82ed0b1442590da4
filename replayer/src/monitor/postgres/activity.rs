//! What `pg_stat_activity` says about a database: counts by state, and what takes long or waits.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::masked;
use crate::monitor::look::{Incident, Look};
use crate::monitor::timeline::EventKind;
use crate::report::format::seconds;

/// Each client of the server but the one that asks. The text of an idle one's query says what was, not what is. Of
/// what may not be seen the type may not either: who has a user is a client.
pub(super) const SQL: &str = "\
SELECT pid, coalesce(application_name, '') AS application, state, wait_event_type AS waits_for,
  coalesce(datname = current_database(), false) AS is_here,
  extract(epoch FROM clock_timestamp() - query_start)::float8 AS query_s,
  extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,
  extract(epoch FROM state_change)::float8 AS since,
  coalesce(query = '<insufficient privilege>', false) AS is_hidden,
  CASE WHEN state <> 'idle' THEN left(query, 4000) END AS query,
  CASE WHEN wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(pid), ' ') END AS blockers
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND (backend_type = 'client backend'
  OR (backend_type IS NULL AND query = '<insufficient privilege>' AND usesysid IS NOT NULL))
LIMIT 20000";

/// Pids of blockers that a text names.
const BLOCKERS_TOLD: usize = 3;

/// A client's server process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Backend {
    pid: i32,
    application: String,
    /// `None` where it may not be seen.
    state: Option<String>,
    waits_for: Option<String>,
    /// In the monitor's database.
    is_here: bool,
    /// Since its last query began.
    query_s: Option<f64>,
    /// Since it is in its state.
    state_s: Option<f64>,
    /// When it came into its state, seconds of the epoch.
    since: Option<f64>,
    is_hidden: bool,
    query: Option<String>,
    blockers: Vec<i32>,
}

impl Backend {
    pub(super) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let blockers: Option<String> = row.try_get("blockers")?;
        let pids = |text: String| text.split(' ').filter_map(|pid| pid.parse().ok()).collect();
        Ok(Self {
            pid: row.try_get("pid")?,
            application: row.try_get("application")?,
            state: row.try_get("state")?,
            waits_for: row.try_get("waits_for")?,
            is_here: row.try_get("is_here")?,
            query_s: row.try_get("query_s")?,
            state_s: row.try_get("state_s")?,
            since: row.try_get("since")?,
            is_hidden: row.try_get("is_hidden")?,
            query: row.try_get("query")?,
            blockers: blockers.map(pids).unwrap_or_default(),
        })
    }

    fn is_active(&self) -> bool {
        self.state.as_deref() == Some("active")
    }

    fn is_idle_in_transaction(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
    }

    fn is_lock_wait(&self) -> bool {
        self.is_active() && self.waits_for.as_deref() == Some("Lock")
    }

    /// How long its query has run, if it still does.
    fn running_s(&self) -> Option<f64> {
        self.query_s.filter(|_| self.is_active()).map(|query_s| query_s.max(0.0))
    }

    /// `pid 4711 (classroom)`
    fn name(&self) -> String {
        if self.application.is_empty() {
            format!("pid {}", self.pid)
        } else {
            format!("pid {} ({})", self.pid, self.application)
        }
    }

    fn text(&self) -> String {
        self.query.as_deref().map(masked).unwrap_or_default()
    }

    /// `pid 4711 (classroom), idle in transaction for 8.0 s after: UPDATE …`
    fn doing(&self) -> String {
        if self.is_idle_in_transaction() {
            let for_s = seconds(self.state_s);
            format!("{}, idle in transaction for {for_s} after: {}", self.name(), self.text())
        } else {
            format!("{}, running for {}: {}", self.name(), seconds(self.running_s()), self.text())
        }
    }

    fn incident(&self, kind: EventKind, text: String) -> Incident {
        // A backend that comes into a state anew is in another one.
        let key = format!("{kind:?} {} {}", self.pid, self.since.unwrap_or_default());
        Incident { kind, key, text }
    }
}

/// What to say of the backends; `waits` are the wait events that were seen so far.
pub(super) fn look(backends: &[Backend], slow_s: f64, waits: &mut BTreeSet<String>) -> Look {
    let here: Vec<&Backend> = backends.iter().filter(|backend| backend.is_here).collect();
    let mut look = Look::default();
    look.value("total", here.len() as f64);
    // With the one that asks: it takes a connection too.
    look.value("server_total", (backends.len() + 1) as f64);
    states(&here, slow_s, &mut look);
    waits_of(&here, waits, &mut look);
    look.incidents = incidents(&here, backends, slow_s);
    look
}

fn states(here: &[&Backend], slow_s: f64, look: &mut Look) {
    let hidden = here.iter().filter(|backend| backend.is_hidden).count();
    let is_off = |backend: &&&Backend| backend.state.as_deref() == Some("disabled");
    let unseen = here.iter().filter(|backend| backend.state.is_none() || is_off(backend)).count();
    if hidden > 0 {
        look.note(
            "the states of connections of other users may not be seen: GRANT pg_read_all_stats TO the monitor's user",
        );
    }
    if here.iter().any(|backend| is_off(&backend)) {
        look.note("the states of connections are not kept: SET track_activities = on");
    }
    let count = |is: fn(&Backend) -> bool| here.iter().filter(|backend| is(backend)).count() as f64;
    let running = || here.iter().filter_map(|backend| backend.running_s());
    let values = [
        ("active", count(Backend::is_active)),
        ("idle", count(|backend| backend.state.as_deref() == Some("idle"))),
        ("idle_in_transaction", count(Backend::is_idle_in_transaction)),
        ("longest_query_s", running().fold(0.0, f64::max)),
        ("slow_queries", running().filter(|running_s| *running_s > slow_s).count() as f64),
        ("lock_waits", count(Backend::is_lock_wait)),
    ];
    for (name, value) in values {
        // A part is not the whole.
        look.value(name, (unseen == 0).then_some(value));
    }
}

/// What the active ones wait for: `waits_lock`, `waits_io`, and `waits_none` for who computes.
fn waits_of(here: &[&Backend], seen: &mut BTreeSet<String>, look: &mut Look) {
    let mut counts: BTreeMap<String, u32> = seen.iter().map(|name| (name.clone(), 0)).collect();
    for backend in here.iter().filter(|backend| backend.is_active()) {
        let event = backend.waits_for.as_deref().unwrap_or("none").to_ascii_lowercase();
        *counts.entry(format!("waits_{event}")).or_default() += 1;
    }
    for (name, count) in counts {
        look.value(name.as_str(), f64::from(count));
        seen.insert(name);
    }
}

fn incidents(here: &[&Backend], all: &[Backend], slow_s: f64) -> Vec<Incident> {
    let of = |backend: &&Backend| {
        let is_long = |time_s: Option<f64>| time_s.is_some_and(|time_s| time_s > slow_s);
        if backend.is_lock_wait() {
            let text = format!("{}; {}", backend.doing(), blocked_by(backend, all));
            Some(backend.incident(EventKind::LockWait, text))
        } else if is_long(backend.running_s()) {
            Some(backend.incident(EventKind::SlowQuery, backend.doing()))
        } else if backend.is_idle_in_transaction() && is_long(backend.state_s) {
            Some(backend.incident(EventKind::IdleInTransaction, backend.doing()))
        } else {
            None
        }
    };
    here.iter().filter_map(of).collect()
}

/// `blocked by pid 12 (app), idle in transaction for 8.0 s after: UPDATE …`
fn blocked_by(waiting: &Backend, all: &[Backend]) -> String {
    let blocker = |pid: &i32| match all.iter().find(|backend| backend.pid == *pid) {
        Some(backend) => backend.doing(),
        None if *pid == 0 => "a prepared transaction".to_owned(),
        None => format!("pid {pid}"),
    };
    let mut told: Vec<String> = waiting.blockers.iter().take(BLOCKERS_TOLD).map(blocker).collect();
    if waiting.blockers.len() > BLOCKERS_TOLD {
        told.push(format!("{} more", waiting.blockers.len() - BLOCKERS_TOLD));
    }
    if told.is_empty() {
        "its blocker has just gone".to_owned()
    } else {
        format!("blocked by {}", told.join("; and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(pid: i32, state: &str, state_s: f64) -> Backend {
        Backend {
            pid,
            application: "app".to_owned(),
            state: Some(state.to_owned()),
            is_here: true,
            query_s: Some(state_s),
            state_s: Some(state_s),
            since: Some(1.0),
            query: Some(format!("UPDATE t SET a = {pid}")),
            ..Backend::default()
        }
    }

    fn waiting(pid: i32, blockers: &[i32]) -> Backend {
        let waits_for = Some("Lock".to_owned());
        Backend { waits_for, blockers: blockers.to_vec(), ..backend(pid, "active", 2.0) }
    }

    fn value(look: &Look, name: &str) -> Option<f64> {
        look.values.iter().find(|(metric, _)| metric == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    #[test]
    fn connections_are_counted_by_state() {
        let elsewhere = Backend { is_here: false, ..backend(9, "active", 99.0) };
        let backends = [
            backend(1, "active", 0.2),
            backend(2, "active", 7.5),
            backend(3, "idle", 99.0),
            backend(4, "idle in transaction", 0.1),
            backend(5, "idle in transaction (aborted)", 0.1),
            waiting(6, &[4]),
            elsewhere,
        ];
        let look = look(&backends, 1.0, &mut BTreeSet::new());
        let names = [
            "active",
            "idle",
            "idle_in_transaction",
            "total",
            "server_total",
            "longest_query_s",
            "slow_queries",
            "lock_waits",
            "waits_lock",
            "waits_none",
        ];
        let values = names.map(|name| value(&look, name));
        assert_eq!(values, [3.0, 1.0, 2.0, 6.0, 8.0, 7.5, 2.0, 1.0, 1.0, 2.0].map(Some));
    }

    #[test]
    fn nobody_is_a_value_too() {
        let mut waits = BTreeSet::from(["waits_io".to_owned()]);
        let look = look(&[], 1.0, &mut waits);
        assert!(
            look.values
                .iter()
                .filter(|(name, _)| name != "server_total")
                .all(|(_, value)| *value == Some(0.0))
        );
        assert_eq!(value(&look, "waits_io"), Some(0.0), "it was seen before");
    }

    #[test]
    fn who_may_not_see_all_states_tells_none() {
        let hidden = Backend { state: None, is_hidden: true, ..backend(2, "", 0.0) };
        let look = look(&[backend(1, "active", 0.1), hidden], 1.0, &mut BTreeSet::new());
        assert_eq!((value(&look, "active"), value(&look, "total")), (None, Some(2.0)));
        assert!(look.notes[0].contains("GRANT pg_read_all_stats"));
    }

    #[test]
    fn what_takes_long_is_told_with_its_blocker_and_without_its_values() {
        let backends = [
            backend(1, "active", 2.5),
            backend(2, "idle in transaction", 8.0),
            backend(3, "idle in transaction", 0.5),
            waiting(4, &[2]),
            waiting(5, &[0, 77, 1, 2, 3]),
            backend(6, "idle", 60.0),
        ];
        let told: Vec<(EventKind, String)> = look(&backends, 1.0, &mut BTreeSet::new())
            .incidents
            .into_iter()
            .map(|incident| (incident.kind, incident.text))
            .collect();
        let idle = "pid 2 (app), idle in transaction for 8.0 s after: UPDATE t SET a = ?";
        let slow = "pid 1 (app), running for 2.5 s: UPDATE t SET a = ?";
        let waits = |pid: i32| format!("pid {pid} (app), running for 2.0 s: UPDATE t SET a = ?");
        assert_eq!(
            told,
            [
                (EventKind::SlowQuery, slow.to_owned()),
                (EventKind::IdleInTransaction, idle.to_owned()),
                (EventKind::LockWait, format!("{}; blocked by {idle}", waits(4))),
                (
                    EventKind::LockWait,
                    format!(
                        "{}; blocked by a prepared transaction; and pid 77; and {slow}; and 2 more",
                        waits(5)
                    )
                ),
            ]
        );
    }
}
