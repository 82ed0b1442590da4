//! What the wrapped stream learns of a connection, shared with the requests on it.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::clock::Clock;

/// Not seen yet.
const NONE: u64 = 0;
/// Bytes of the previous request may still come: the next first byte cannot be told from them.
const UNKNOWN: u64 = u64::MAX;

/// First and last bytes of a connection, nanoseconds of the process's clock.
///
/// Written by the stream, read by the requests; HTTP/1.1 has one request at a time, so relaxed order is
/// enough: both run on the same task.
#[derive(Debug)]
pub(crate) struct ConnectionMeter {
    pub(crate) id: u64,
    pub(crate) accepted_ns: u64,
    pub(crate) peer: SocketAddr,
    clock: Clock,
    request_first_read_ns: AtomicU64,
    response_first_write_ns: AtomicU64,
    last_write_ns: AtomicU64,
    /// Which reason left the rest of the session out; 0 = none.
    shed: AtomicU8,
}

impl ConnectionMeter {
    pub(super) fn new(id: u64, accepted_ns: u64, peer: SocketAddr, clock: Clock) -> Self {
        Self {
            id,
            accepted_ns,
            peer,
            clock,
            request_first_read_ns: AtomicU64::new(NONE),
            response_first_write_ns: AtomicU64::new(NONE),
            last_write_ns: AtomicU64::new(NONE),
            shed: AtomicU8::new(0),
        }
    }

    pub(super) fn note_read(&self) {
        if self.request_first_read_ns.load(Ordering::Relaxed) == NONE {
            self.request_first_read_ns.store(self.clock.now_ns(), Ordering::Relaxed);
        }
    }

    pub(super) fn note_write(&self) {
        let now_ns = self.clock.now_ns();
        self.last_write_ns.store(now_ns, Ordering::Relaxed);
        if self.response_first_write_ns.load(Ordering::Relaxed) == NONE {
            self.response_first_write_ns.store(now_ns, Ordering::Relaxed);
        }
    }

    /// First byte of the current request; `None` when it cannot be told.
    pub(crate) fn request_first_read_ns(&self) -> Option<u64> {
        Some(self.request_first_read_ns.load(Ordering::Relaxed)).filter(|ns| !matches!(*ns, NONE | UNKNOWN))
    }

    /// The next write is the first of the response (what was written before was `100 Continue`).
    pub(crate) fn begin_response(&self) {
        self.response_first_write_ns.store(NONE, Ordering::Relaxed);
    }

    /// First and last byte of the response handed to the kernel; `None` when none was.
    pub(crate) fn response_written_ns(&self) -> Option<(u64, u64)> {
        let first_ns = self.response_first_write_ns.load(Ordering::Relaxed);
        (first_ns != NONE).then(|| (first_ns, self.last_write_ns.load(Ordering::Relaxed)))
    }

    /// A request is over; `drained` when its body was read to the end.
    pub(crate) fn begin_idle(&self, drained: bool) {
        self.request_first_read_ns.store(if drained { NONE } else { UNKNOWN }, Ordering::Relaxed);
        self.response_first_write_ns.store(NONE, Ordering::Relaxed);
    }

    /// Marks the connection so that the rest of its session is left out of the capture too, for the same
    /// reason.
    pub(crate) fn shed(&self, reason: NonZeroU8) {
        self.shed.store(reason.get(), Ordering::Relaxed);
    }

    pub(crate) fn shed_reason(&self) -> Option<NonZeroU8> {
        NonZeroU8::new(self.shed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> ConnectionMeter {
        ConnectionMeter::new(1, 1, ([127, 0, 0, 1], 9).into(), Clock::start())
    }

    #[test]
    fn the_first_byte_is_that_of_the_current_request() {
        let meter = meter();
        assert_eq!(meter.request_first_read_ns(), None);
        meter.note_read();
        let first_ns = meter.request_first_read_ns().unwrap();
        meter.note_read();
        assert_eq!(meter.request_first_read_ns(), Some(first_ns), "later reads are not the first");
        meter.begin_idle(true);
        assert_eq!(meter.request_first_read_ns(), None);
        meter.note_read();
        assert!(meter.request_first_read_ns().unwrap() > first_ns);
    }

    #[test]
    fn bytes_of_an_unread_body_are_no_first_byte() {
        let meter = meter();
        meter.note_read();
        meter.begin_idle(false);
        meter.note_read();
        assert_eq!(meter.request_first_read_ns(), None);
    }

    #[test]
    fn writes_are_counted_from_the_response_on() {
        let meter = meter();
        meter.note_write();
        meter.begin_response();
        assert_eq!(meter.response_written_ns(), None);
        meter.note_write();
        meter.note_write();
        let (first_ns, last_ns) = meter.response_written_ns().unwrap();
        assert!(first_ns <= last_ns);
    }
}
