//! The ledger while it is being kept, and the gaps that shed requests leave.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kingtide_common::exchange::{CutUser, Gap};
use kingtide_common::ledger::Ledger;

/// Why a request was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    Queue,
    Budget,
    Disk,
}

impl Shed {
    const ALL: [Self; 3] = [Self::Queue, Self::Budget, Self::Disk];

    fn reason(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Budget => "budget",
            Self::Disk => "disk",
        }
    }
}

/// Counters that requests and the writer share.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    recorded: AtomicU64,
    sampled_out: AtomicU64,
    filtered: AtomicU64,
    shed: [AtomicU64; Shed::ALL.len()],
    too_late: AtomicU64,
    /// One open gap per reason; locked only when something is shed, and by the writer once a flush.
    gaps: Mutex<[Option<Gap>; Shed::ALL.len()]>,
    failing: AtomicBool,
    /// Why the disk refuses.
    failure: Mutex<Option<String>>,
}

impl Counts {
    /// The number of the request, from 1.
    pub(super) fn accept(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Why the disk refuses, or that it does not; whether it did before.
    pub(super) fn set_failure(&self, failure: Option<String>) -> bool {
        let failing = failure.is_some();
        *self.failure.lock().expect("no code panics while it holds the failure") = failure;
        self.failing.swap(failing, Ordering::Relaxed)
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().expect("no code panics while it holds the failure").clone()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn filter(&self) {
        self.filtered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sample_out(&self) {
        self.sampled_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn too_late(&self) {
        self.too_late.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn recorded(&self, rows: u64) {
        self.recorded.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn shed(&self, why: Shed, started_ns: i64, bytes: u64) {
        self.shed[why as usize].fetch_add(1, Ordering::Relaxed);
        let gap = Gap { from_ns: started_ns, to_ns: started_ns, count: 1, bytes, ..gap_of(why) };
        self.reopen(&gap);
    }

    /// A user's session is cut at a request that began at `started_ns`.
    pub(super) fn cut(&self, why: Shed, started_ns: i64, users: Vec<CutUser>) {
        self.reopen(&Gap { from_ns: started_ns, to_ns: started_ns, cut: users, ..gap_of(why) });
    }

    /// Adds a gap to the open one of its reason: a new loss, or one that could not be written.
    pub(super) fn reopen(&self, gap: &Gap) {
        let mut gaps = self.gaps.lock().expect("no code panics while it holds the gaps");
        let Some(slot) = Shed::ALL.iter().position(|shed| shed.reason() == gap.reason) else { return };
        gaps[slot] = Some(gaps[slot].take().map_or_else(|| gap.clone(), |open| joined(open, gap)));
    }

    /// Takes the open gaps, for the capture.
    pub(super) fn take_gaps(&self) -> Vec<Gap> {
        let mut gaps = self.gaps.lock().expect("no code panics while it holds the gaps");
        gaps.iter_mut().filter_map(Option::take).collect()
    }

    /// The ledger when nothing more can be written: what is in flight still is too late.
    pub(super) fn close(&self) -> Ledger {
        self.too_late.fetch_add(self.ledger().in_flight(), Ordering::Relaxed);
        self.ledger()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [shed_queue, shed_budget, shed_disk] = [0, 1, 2].map(|which| load(&self.shed[which]));
        Ledger {
            accepted: load(&self.accepted),
            recorded: load(&self.recorded),
            sampled_out: load(&self.sampled_out),
            filtered: load(&self.filtered),
            shed_queue,
            shed_disk,
            shed_budget,
            too_late: load(&self.too_late),
        }
    }
}

fn gap_of(why: Shed) -> Gap {
    Gap { reason: why.reason().to_owned(), ..Gap::default() }
}

fn joined(mut open: Gap, more: &Gap) -> Gap {
    open.cut.extend_from_slice(&more.cut);
    Gap {
        from_ns: open.from_ns.min(more.from_ns),
        to_ns: open.to_ns.max(more.to_ns),
        count: open.count + more.count,
        bytes: open.bytes + more.bytes,
        ..open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_and_gaps_join() {
        let counts = Counts::default();
        for _ in 0..4 {
            counts.accept();
        }
        counts.recorded(1);
        counts.shed(Shed::Queue, 30, 5);
        counts.shed(Shed::Queue, 10, 7);
        counts.shed(Shed::Disk, 20, 1);
        let ledger = counts.ledger();
        assert_eq!((ledger.shed_queue, ledger.shed_disk, ledger.in_flight()), (2, 1, 0));
        let gaps = counts.take_gaps();
        assert_eq!(gaps[0], Gap { from_ns: 10, to_ns: 30, count: 2, bytes: 12, ..gap_of(Shed::Queue) });
        assert_eq!(gaps.len(), 2);
        assert!(counts.take_gaps().is_empty());
        counts.cut(Shed::Queue, 40, vec![CutUser::Connection(1)]);
        counts.shed(Shed::Queue, 50, 0);
        let cut = &counts.take_gaps()[0];
        assert_eq!((cut.count, cut.cut.as_slice()), (1, &[CutUser::Connection(1)][..]));
        counts.reopen(&gaps[0]);
        assert_eq!(counts.take_gaps(), gaps[..1], "an unwritten gap is kept");
        assert_eq!(counts.ledger().shed_queue, 3, "and not counted again");
    }
}
