//! How a trial failed, by what most of its bad requests were.

use super::FailureMode;
use crate::capacity::trial::Failures;

/// The kind of most failures that do not follow from another: a login that is refused takes all that comes after it along.
pub(super) fn of_failures(failures: &Failures) -> FailureMode {
    let kinds = [
        (failures.shed, FailureMode::Shed),
        (failures.error, FailureMode::Error),
        (failures.timeout, FailureMode::Timeout),
        (failures.connect, FailureMode::Connect),
        (failures.unfinished, FailureMode::Timeout),
    ];
    // The first of equals: `max_by_key` would take the last.
    let there = kinds.into_iter().filter(|(count, _)| *count > 0);
    there.rev().max_by_key(|(count, _)| *count).map_or(FailureMode::Error, |(_, mode)| mode)
}

/// A mode in a sentence.
pub(super) fn words(mode: FailureMode) -> &'static str {
    match mode {
        FailureMode::Latency => "answers come too late",
        FailureMode::Drift => "the backlog grows",
        FailureMode::Shed => "requests are refused for load (429, 503)",
        FailureMode::Error => "requests end in errors",
        FailureMode::Timeout => "requests get no answer in time",
        FailureMode::Connect => "connections fail",
        FailureMode::Plateau => "fewer answers a second than asked for",
        FailureMode::Retrograde => "more load gives fewer answers",
        FailureMode::Hang => "nothing is answered any more",
        FailureMode::Recovery => "what passed before an overload does not pass after it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_refusal_is_the_refusals() {
        let failures = Failures { shed: 3, error: 1, follows: 15, ..Failures::default() };
        assert_eq!(of_failures(&failures), FailureMode::Shed);
        assert_eq!(of_failures(&Failures { follows: 5, ..Failures::default() }), FailureMode::Error);
        assert_eq!(failures.sum(), 19);
    }
}
