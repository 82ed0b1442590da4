//! What an exchange waits for, since when, and which timeout that meets.
//!
//! Nginx's timeouts run between two operations, never in total, and each only while its own side is waited
//! for: `client_body_timeout` not while the upstream does not take bytes, `proxy_read_timeout` not before
//! the request was sent. Pure: time comes from the caller.

use kingtide_common::units::Span;
use tokio::time::Instant;

use crate::config::{Limit, Limits, Mode};
use crate::limits::{LimitName, LimitSet};

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The next bytes of the client's upload.
    ClientBody,
    /// The upstream to take bytes.
    UpstreamSend,
    /// The upstream to answer, or to go on with it.
    UpstreamRead,
    /// The client to take bytes.
    ClientSend,
}

const WAITS: [Wait; 4] = [Wait::ClientBody, Wait::UpstreamSend, Wait::UpstreamRead, Wait::ClientSend];

impl Wait {
    pub(crate) fn limit(self) -> LimitName {
        match self {
            Self::ClientBody => LimitName::ClientBodyTimeout,
            Self::UpstreamSend => LimitName::ProxySendTimeout,
            Self::UpstreamRead => LimitName::ProxyReadTimeout,
            Self::ClientSend => LimitName::SendTimeout,
        }
    }

    fn timeout(self, limits: &Limits) -> Limit<Span> {
        match self {
            Self::ClientBody => limits.client_body_timeout,
            Self::UpstreamSend => limits.proxy_send_timeout,
            Self::UpstreamRead => limits.proxy_read_timeout,
            Self::ClientSend => limits.send_timeout,
        }
    }
}

/// The waits of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    since: [Option<Instant>; 4],
    blocked: [bool; 4],
}

impl Waits {
    /// A pass over the exchange begins: nothing is waited for until it says so again.
    pub(crate) fn begin_pass(&mut self) {
        self.blocked = [false; 4];
    }

    pub(crate) fn blocked(&mut self, wait: Wait) {
        self.blocked[wait as usize] = true;
    }

    /// Bytes went by: the next wait begins anew.
    pub(crate) fn progress(&mut self, wait: Wait) {
        self.since[wait as usize] = None;
    }

    /// The pass is over: starts the clocks of what is waited for, stops the others.
    pub(crate) fn end_pass(&mut self, now: Instant) {
        for (since, blocked) in self.since.iter_mut().zip(self.blocked) {
            *since = blocked.then(|| since.unwrap_or(now));
        }
    }

    /// The wait that has lasted too long and ends the exchange; what only would have is put into
    /// `would_refuse`.
    pub(crate) fn expired(&self, limits: &Limits, now: Instant, would_refuse: &mut LimitSet) -> Option<Wait> {
        let over = WAITS.into_iter().filter(|wait| self.deadline(*wait, limits).is_some_and(|at| at <= now));
        let mut enforced = None;
        for wait in over {
            match wait.timeout(limits).mode {
                Mode::Enforce => enforced = enforced.or(Some(wait)),
                Mode::Shadow => drop(would_refuse.insert(wait.limit())),
                Mode::Off => {}
            }
        }
        enforced
    }

    /// When to look again.
    pub(crate) fn next_deadline(&self, limits: &Limits, would_refuse: LimitSet) -> Option<Instant> {
        let open = |wait: &Wait| {
            let shadowed = wait.timeout(limits).mode == Mode::Shadow && would_refuse.contains(wait.limit());
            !shadowed
        };
        WAITS.into_iter().filter(open).filter_map(|wait| self.deadline(wait, limits)).min()
    }

    fn deadline(&self, wait: Wait, limits: &Limits) -> Option<Instant> {
        let timeout = wait.timeout(limits);
        let since = self.since[wait as usize].filter(|_| timeout.mode != Mode::Off)?;
        since.checked_add(timeout.value.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(mode: Mode) -> Limits {
        let second = Limit { value: Span(Duration::from_secs(1)), mode };
        Limits { client_body_timeout: second, proxy_read_timeout: second, ..Limits::default() }
    }

    fn pass(waits: &mut Waits, wait: Wait, now: Instant) {
        waits.begin_pass();
        waits.blocked(wait);
        waits.end_pass(now);
    }

    #[test]
    fn a_wait_counts_from_its_beginning_until_bytes_go_by() {
        let (mut waits, limits, mut noted) = (Waits::default(), limits(Mode::Enforce), LimitSet::default());
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        pass(&mut waits, Wait::ClientBody, begun);
        pass(&mut waits, Wait::ClientBody, after(600));
        assert_eq!(waits.expired(&limits, after(999), &mut noted), None);
        assert_eq!(waits.expired(&limits, after(1000), &mut noted), Some(Wait::ClientBody));
        waits.progress(Wait::ClientBody);
        pass(&mut waits, Wait::ClientBody, after(900));
        assert_eq!(waits.expired(&limits, after(1800), &mut noted), None);
        assert_eq!(waits.next_deadline(&limits, noted), Some(after(1900)));
    }

    #[test]
    fn what_is_no_longer_waited_for_runs_no_clock() {
        let (mut waits, limits, mut noted) = (Waits::default(), limits(Mode::Enforce), LimitSet::default());
        let begun = Instant::now();
        pass(&mut waits, Wait::ClientBody, begun);
        pass(&mut waits, Wait::UpstreamSend, begun + Duration::from_millis(500));
        assert_eq!(waits.expired(&limits, begun + Duration::from_secs(2), &mut noted), None);
        pass(&mut waits, Wait::ClientBody, begun + Duration::from_secs(3));
        assert_eq!(waits.expired(&limits, begun + Duration::from_millis(3900), &mut noted), None);
    }

    #[test]
    fn shadow_notes_and_goes_on() {
        let (mut waits, limits, mut noted) = (Waits::default(), limits(Mode::Shadow), LimitSet::default());
        let begun = Instant::now();
        pass(&mut waits, Wait::UpstreamRead, begun);
        assert_eq!(waits.expired(&limits, begun + Duration::from_secs(2), &mut noted), None);
        assert!(noted.contains(LimitName::ProxyReadTimeout));
        assert_eq!(waits.next_deadline(&limits, noted), None, "noted once is enough");
    }

    #[test]
    fn off_never_expires() {
        let (mut waits, limits, mut noted) = (Waits::default(), limits(Mode::Off), LimitSet::default());
        let begun = Instant::now();
        pass(&mut waits, Wait::UpstreamRead, begun);
        assert_eq!(waits.expired(&limits, begun + Duration::from_hours(9), &mut noted), None);
        assert_eq!(waits.next_deadline(&limits, noted), None);
        assert!(noted.is_empty());
    }
}
