//! Which connection each imported exchange is on, numbered as the proxy numbers them.
//!
//! A replay sends what is on one connection in order, so two exchanges that overlapped must not share one.
//! Where the source names no connection, a client takes the first of its own that is free (as browsers and
//! pools do) and opens another when none is.

use std::collections::HashMap;

use super::foreign::Connection;

/// A connection unused for as long is taken for closed: Nginx's `keepalive_timeout`.
const IDLE_NS: i64 = 75_000_000_000;

/// The connections seen so far.
#[derive(Debug, Default)]
pub(super) struct Connections {
    named: HashMap<String, Open>,
    of_clients: HashMap<String, Vec<Open>>,
    count: u64,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    id: u64,
    opened_ns: i64,
    busy_until_ns: i64,
    /// Its first exchange was seen as such.
    has_begun: bool,
}

/// Where an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) connection: u64,
    pub(super) connection_age_us: u64,
    pub(super) is_first: bool,
}

/// When an exchange used its connection, ns UTC.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units end the names")]
pub(super) struct Use {
    /// When the connection was up, if this exchange is its first.
    pub(super) opened_ns: i64,
    pub(super) started_ns: i64,
    pub(super) done_ns: i64,
}

impl Connections {
    pub(super) fn place(&mut self, connection: &Connection, used: Use) -> Placed {
        match connection {
            Connection::Named { name, begins } => self.named(name, *begins, used),
            Connection::OfClient(client) => self.of_client(client, used),
            Connection::Own => self.open(used, true).placed(used, true),
        }
    }

    /// A name that begins anew is another connection: Nginx counts from 1 again after a restart.
    fn named(&mut self, name: &str, begins: bool, used: Use) -> Placed {
        let known = self.named.get(name).copied().filter(|open| !(begins && open.has_begun));
        let mut open = known.unwrap_or_else(|| self.open(used, begins));
        open.has_begun |= begins;
        self.named.insert(name.to_owned(), open);
        open.placed(used, known.is_none())
    }

    fn of_client(&mut self, client: &str, used: Use) -> Placed {
        let mut connections = self.of_clients.remove(client).unwrap_or_default();
        connections.retain(|open| open.busy_until_ns.saturating_add(IDLE_NS) > used.started_ns);
        let free = connections.iter_mut().find(|open| open.busy_until_ns <= used.started_ns);
        let placed = if let Some(open) = free {
            open.busy_until_ns = used.done_ns;
            open.placed(used, false)
        } else {
            let open = self.open(used, true);
            connections.push(open);
            open.placed(used, true)
        };
        self.of_clients.insert(client.to_owned(), connections);
        placed
    }

    fn open(&mut self, used: Use, has_begun: bool) -> Open {
        self.count += 1;
        Open { id: self.count, opened_ns: used.opened_ns, busy_until_ns: used.done_ns, has_begun }
    }
}

impl Open {
    fn placed(&self, used: Use, is_first: bool) -> Placed {
        let age_ns = used.started_ns.saturating_sub(self.opened_ns);
        let connection_age_us = u64::try_from(age_ns).unwrap_or_default() / 1000;
        Placed { connection: self.id, connection_age_us, is_first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(from_ms: i64, to_ms: i64) -> Use {
        let ns = |ms: i64| ms * 1_000_000;
        Use { opened_ns: ns(from_ms), started_ns: ns(from_ms), done_ns: ns(to_ms) }
    }

    #[test]
    fn what_overlaps_is_on_connections_of_its_own() {
        let mut connections = Connections::default();
        let anna = Connection::OfClient("anna".into());
        let times = [(0, 100), (50, 80), (90, 95), (100, 120), (100_000, 100_001)];
        let ids = times.map(|(from, to)| connections.place(&anna, used(from, to)).connection);
        assert_eq!(ids, [1, 2, 2, 1, 3], "the last comes after both were closed");
        assert_eq!(connections.place(&Connection::OfClient("ben".into()), used(0, 1)).connection, 4);
    }

    #[test]
    fn a_named_connection_ages_until_its_name_begins_anew() {
        let mut connections = Connections::default();
        let named = |begins| Connection::Named { name: "7".into(), begins };
        let first = connections.place(&named(true), used(0, 10));
        let second = connections.place(&named(false), used(20, 30));
        assert_eq!((first.is_first, second.is_first), (true, false));
        assert_eq!((second.connection, second.connection_age_us), (first.connection, 20_000));
        assert_ne!(connections.place(&named(true), used(40, 50)).connection, first.connection);
    }

    #[test]
    fn the_first_line_of_a_connection_may_come_late() {
        let mut connections = Connections::default();
        let named = |begins| Connection::Named { name: "7".into(), begins };
        let second = connections.place(&named(false), used(5, 6));
        assert_eq!(connections.place(&named(true), used(0, 10)).connection, second.connection);
    }
}
