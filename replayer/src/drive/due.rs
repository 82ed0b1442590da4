//! When a request and the connect before it are due.
//!
//! Whatever the generator begins after its due instant is the generator's lateness (lag), and never the
//! target's: so both instants come from the plan and from the answers they wait for, never from a wake-up.

use std::time::{Duration, Instant};

/// How long before its instant a request's connection is opened.
pub(crate) const CONNECT_LEAD: Duration = Duration::from_millis(100);

/// When a request is due, and since when it could have gone out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) intended: Instant,
    /// The latest of what it depends on.
    pub(super) freed: Option<Instant>,
}

impl Due {
    /// When it may go out, its connection aside.
    pub(super) fn earliest(&self) -> Instant {
        self.freed.map_or(self.intended, |freed| freed.max(self.intended))
    }

    /// The same, having waited for its turn until then.
    pub(super) fn waiting_for(self, turn: Option<Instant>) -> Self {
        Self { freed: self.freed.max(turn), ..self }
    }

    /// What it waits for others beyond its intended instant.
    pub(super) fn dependency(&self) -> Duration {
        self.earliest().saturating_duration_since(self.intended)
    }
}

/// When a request's connect is due: ahead of the request, but not before the generator could have known
/// of it (`known`: the end of the request before it on the lane, or of the answer that it follows).
pub(super) fn connect_due(intended: Instant, known: Option<Instant>) -> Instant {
    let ahead = intended.checked_sub(CONNECT_LEAD).unwrap_or(intended);
    known.map_or(ahead, |known| known.max(ahead))
}

/// When a connection would have been open had its connect begun when it was due. What the connect took is
/// the target's; what it began late is not, and must not make the request seem to be ready later.
pub(super) fn open_on_time(due: Instant, began: Instant, opened: Instant) -> Instant {
    let late = began.saturating_duration_since(due);
    opened.checked_sub(late).unwrap_or(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_connect_is_due_ahead_of_its_request_once_that_is_known() {
        let zero = Instant::now();
        let at = |ms: u32| zero + MS * ms;
        let cases = [
            ("the first request of a lane", None, 400),
            ("the one before it ended long ago", Some(at(50)), 400),
            ("the one before it ended just now", Some(at(450)), 450),
            ("the one before it ended late", Some(at(700)), 700),
        ];
        for (case, known, expected) in cases {
            assert_eq!(connect_due(at(500), known), at(expected), "{case}");
        }
    }

    #[test]
    fn a_connect_that_began_late_does_not_move_when_it_could_have_been_open() {
        let zero = Instant::now();
        let at = |ms: u32| zero + MS * ms;
        let cases = [
            ("in time, quick", (400, 400, 401), 401),
            ("in time, slow to open", (400, 400, 900), 900),
            ("5 s late, quick", (400, 5_400, 5_401), 401),
            ("30 ms late, slow to open", (400, 430, 580), 550),
            ("before it was due", (400, 390, 395), 395),
        ];
        for (case, (due, began, opened), expected) in cases {
            assert_eq!(open_on_time(at(due), at(began), at(opened)), at(expected), "{case}");
        }
    }

    #[test]
    fn what_it_depends_on_delays_a_request_only_beyond_its_instant() {
        let intended = Instant::now() + MS;
        let due = |freed| Due { intended, freed };
        let early = due(Some(intended.checked_sub(MS).unwrap()));
        let late = due(Some(intended + MS));
        for (due, dependency) in [(due(None), Duration::ZERO), (early, Duration::ZERO), (late, MS)] {
            assert_eq!((due.earliest(), due.dependency()), (intended + dependency, dependency));
        }
    }
}
