//! HAR's phases of a request as instants of an exchange. They are the client's: `wait` contains the network.
//!
//! ```text
//! startedDateTime ─ blocked ─ dns ─ connect (ssl within) ─► started ─ send ─► wait ─► receive ─► done
//! ```

use kingtide_common::stages::Instants;

use super::super::times::ms_us;
use super::node::Node;

/// When an entry's bytes were on the wire, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Timings {
    /// From `startedDateTime` to the first byte of the request.
    pub(super) before_us: u64,
    pub(super) tls_us: Option<u64>,
    /// The connection was made for this request.
    pub(super) connects: bool,
    pub(super) send_us: u64,
    wait_us: u64,
    receive_us: u64,
    /// There are no phases; `wait` is all of the entry's time.
    pub(super) is_total_only: bool,
}

impl Timings {
    pub(super) fn of(entry: Node<'_>) -> Self {
        let phase = |name: &str| entry.get("timings").get(name).number().and_then(ms_us);
        let [blocked, dns, connect, ssl] = ["blocked", "dns", "connect", "ssl"].map(phase);
        let [send, wait, receive] = ["send", "wait", "receive"].map(phase);
        let total = entry.get("time").number().and_then(ms_us);
        let is_total_only = send.is_none() && wait.is_none() && receive.is_none();
        Self {
            before_us: [blocked, dns, connect].into_iter().flatten().sum(),
            tls_us: ssl.filter(|us| *us > 0),
            connects: connect.is_some_and(|us| us > 0),
            send_us: send.unwrap_or_default(),
            wait_us: wait.or(total.filter(|_| is_total_only)).unwrap_or_default(),
            receive_us: receive.unwrap_or_default(),
            is_total_only,
        }
    }

    pub(super) fn instants(&self, has_body: bool) -> Instants {
        let sent_us = self.send_us;
        let head_us = sent_us.saturating_add(self.wait_us);
        let done_us = head_us.saturating_add(self.receive_us);
        Instants {
            head_done_us: Some(if has_body { 0 } else { sent_us }),
            body_first_us: has_body.then_some(0),
            body_done_us: Some(sent_us),
            upstream_send_last_us: Some(sent_us),
            response_head_us: Some(head_us),
            response_last_us: Some(done_us),
            done_us: Some(done_us),
            ..Instants::default()
        }
    }
}
