//! From what a run measured to what a search looks at.

use super::Played;
use super::conductor::End;
use super::source::Source;
use crate::capacity::trial::{Failures, Observation, Tick, Trial};
use crate::drive::Measured;
use crate::measure::ErrorClass;
use crate::measure::attainment::PlannedSecond;
use crate::measure::gates::{Gates, validity};
use crate::measure::series::ClockSecond;

/// What is known of a trial beside what was measured.
pub(super) struct Shown<'a> {
    pub(super) source: Source<'a>,
    pub(super) unit_per_s: f64,
    pub(super) rest_s: u64,
    pub(super) trial: &'a Trial,
    pub(super) end: End,
}

impl Shown<'_> {
    pub(super) fn played(self, mut measured: Measured, planned: u64) -> Played {
        let invalid = invalid(&mut measured, planned);
        let recorder = &measured.recorder;
        let seconds = ticks(recorder.attainment.seconds(), recorder.series.clock_seconds());
        self.finish(seconds, invalid, Some(measured))
    }

    pub(super) fn unplayed(self, reason: String) -> Played {
        self.finish(Vec::new(), vec![reason], None)
    }

    fn finish(self, seconds: Vec<Tick>, invalid: Vec<String>, measured: Option<Measured>) -> Played {
        let stopped_s = self.end.aborted.as_ref().map(|abort| abort.at_s).or(self.end.interrupted_s);
        let sending_s = stopped_s.unwrap_or(self.trial.length_s).min(self.trial.length_s);
        let settled_s = self.trial.ramp_s + self.source.settled().as_secs();
        let is_held = self.end.aborted.is_some()
            || self.end.interrupted_s.is_none_or(|at_s| at_s >= self.trial.length_s);
        Played {
            observation: Observation {
                unit_per_s: self.source.unit_of(self.unit_per_s, self.trial, &seconds, sending_s),
                sending_s,
                ramp_s: settled_s.min(sending_s / 2).max(self.trial.ramp_s),
                rest_s: self.rest_s,
                seconds,
                invalid,
                aborted: self.end.aborted,
            },
            measured,
            is_interrupted: !is_held,
        }
    }
}

/// The failed gates. What was withheld came after an abort, or after the end of a closed loop, and what was cut off had
/// no answer when a target that hangs was left alone: no gate is to see them.
fn invalid(measured: &mut Measured, planned: u64) -> Vec<String> {
    let withheld = std::mem::take(&mut measured.recorder.withheld);
    measured.recorder.failures.retain(|failure, _| failure.class != ErrorClass::CutOff);
    let mut gates: Gates = validity(&measured.recorder, planned.saturating_sub(withheld));
    gates.insert("in_flight".to_owned(), measured.in_flight.gate());
    gates.iter().filter(|(_, gate)| !gate.pass).map(|(name, gate)| gate.failure(name)).collect()
}

/// By planned and by clock second, side by side.
fn ticks(planned: &[PlannedSecond], clock: impl Iterator<Item = ClockSecond>) -> Vec<Tick> {
    let clock: Vec<ClockSecond> = clock.collect();
    let (mut due, mut ended) = (0_u64, 0_u64);
    let seconds = 0..planned.len().max(clock.len());
    let tick = |second: usize| {
        let (planned, clock) = (planned.get(second), clock.get(second).copied().unwrap_or_default());
        due += planned.map_or(0, |planned| planned.planned);
        ended += clock.ended;
        Tick {
            planned: planned.map_or(0, |planned| planned.planned),
            criteria: planned.map_or_else(Vec::new, |planned| planned.shares.clone()),
            failures: planned.map_or_else(Failures::default, |planned| planned.failures),
            sent: clock.sent,
            done: clock.good,
            in_flight: due.saturating_sub(ended),
            latency_ms_p50: clock.latency_ms_p50,
            latency_ms_p95: clock.latency_ms_p95,
        }
    };
    seconds.map(tick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::trial::Count;

    #[test]
    fn what_is_due_and_has_not_ended_is_in_flight_whatever_the_drain_lasts() {
        let planned = |planned| PlannedSecond {
            planned,
            shares: vec![Count { asked: planned, bad: 1 }],
            ..PlannedSecond::default()
        };
        let clock = |ended| ClockSecond { ended, ..ClockSecond::default() };
        let ticks = ticks(&[planned(5), planned(7)], [1, 3, 6, 2].into_iter().map(clock));
        let in_flight: Vec<u64> = ticks.iter().map(|tick| tick.in_flight).collect();
        assert_eq!(in_flight, [4, 8, 2, 0]);
        assert_eq!(ticks[1].criteria, [Count { asked: 7, bad: 1 }]);
        assert_eq!((ticks[2].planned, ticks[2].criteria.len()), (0, 0));
    }
}
