//! The number and its interval, from all full-length trials.

mod overrun;
mod plateau;
mod probit;

use super::finding::TrialRecord;
use plateau::Plateau;
use probit::Outcome;

pub(super) use overrun::{has_room, retrograde};

/// What is answered in less time may be what stood ready: free slots, empty queues.
const PROOF_S: f64 = 20.0;
/// By how much the posterior's half widths are widened. Calibrated against queues of known capacity (see
/// `bench/capacity_truth.md`).
const INFLATION: f64 = 1.6;

/// A capacity in multiples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) multiple: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// `None` before full-length trials stand on both sides.
pub(super) fn estimate<'a>(
    full: impl Iterator<Item = &'a TrialRecord> + Clone,
    spare_per_s: f64,
    width: f64,
) -> Option<Estimate> {
    let outcomes: Vec<Outcome> = full.clone().map(outcome).collect();
    let by_verdicts = probit::posterior(&outcomes)?;
    let widened = |edge: f64| by_verdicts.median * (edge / by_verdicts.median).powf(INFLATION);
    let border = Estimate {
        multiple: by_verdicts.median,
        low: widened(by_verdicts.low),
        high: widened(by_verdicts.high),
    };
    let plateau = plateau::plateau(full, border.multiple, spare_per_s);
    let estimate = plateau.map_or(border, |plateau| border.at_most(plateau));
    Some(estimate.at_least_as_wide(width))
}

/// Where half of the trials fail: where one more says most.
pub(super) fn border<'a>(full: impl Iterator<Item = &'a TrialRecord>) -> Option<f64> {
    probit::posterior(&full.map(outcome).collect::<Vec<_>>()).map(|posterior| posterior.median)
}

fn outcome(record: &TrialRecord) -> Outcome {
    Outcome { ln_multiple: record.judged.multiple.ln(), is_high: record.judged.is_high() }
}

impl Estimate {
    /// Bounds that were not tried closer than `width` leave as much open, however well the trials agree.
    fn at_least_as_wide(self, width: f64) -> Self {
        let half = (1.0 + width).sqrt();
        Self { low: self.low.min(self.multiple / half), high: self.high.max(self.multiple * half), ..self }
    }

    /// No more than the target answers a second is its capacity, whatever trials too short to show it passed.
    fn at_most(self, plateau: Plateau) -> Self {
        if plateau.multiple >= self.multiple {
            return self;
        }
        Self {
            multiple: plateau.multiple,
            low: plateau.low.min(self.low),
            high: plateau.high.min(self.high).max(plateau.multiple),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::slo::Slo;
    use crate::capacity::trial::{Count, Observation, Purpose, Tick, Trial};
    use crate::capacity::verdict::judge;

    /// A trial of 200 s at 1,000 requests a second for 1×, of which `answered` times as many end; `grows` a second.
    fn record(multiple: f64, answered: f64, grows: u64) -> TrialRecord {
        let count = |times: f64| format!("{:.0}", times * 1e3).parse().unwrap();
        let (planned, done): (u64, u64) = (count(multiple), count(answered));
        let tick = |at: u64| {
            let criteria = vec![Count { asked: planned, bad: 0 }];
            Tick { planned, criteria, sent: planned, done, in_flight: 100 + at * grows, ..Tick::default() }
        };
        let seconds = (0..200).map(tick).collect();
        let (invalid, aborted) = (Vec::new(), None);
        let observed =
            Observation { unit_per_s: 1e3, sending_s: 200, ramp_s: 20, rest_s: 0, seconds, invalid, aborted };
        let trial = Trial { multiple, length_s: 200, ramp_s: 20, seed: 1, purpose: Purpose::Refine };
        let judged = judge(&"p95<10s".parse::<Slo>().unwrap(), &observed);
        TrialRecord { trial, sending_s: 200, recovered_after_s: None, judged }
    }

    fn of(records: &[TrialRecord], spare_per_s: f64) -> Estimate {
        estimate(records.iter(), spare_per_s, 0.04).unwrap()
    }

    #[test]
    fn trials_too_short_to_fail_do_not_raise_the_capacity_above_what_is_answered() {
        // At 1.03× nothing is late yet, but only 1.0 is answered, as at 1.05×.
        let records =
            [record(0.95, 0.95, 0), record(1.03, 1.0, 0), record(1.05, 1.0, 50), record(1.07, 1.0, 70)];
        let found = of(&records, 0.0);
        assert!((found.multiple - 1.0).abs() < 1e-6, "{found:?}");
        assert!(found.low < 0.985 && found.high > 1.015, "no narrower than the goal: {found:?}");
    }

    #[test]
    fn the_border_counts_where_more_is_answered_above_it() {
        // Late from 1.0× on, though 1.1 is answered.
        let records =
            [record(0.95, 0.95, 0), record(0.99, 0.99, 0), record(1.01, 1.01, 30), record(1.2, 1.1, 100)];
        let found = of(&records, 0.0);
        assert!((found.multiple - 1.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn without_a_failing_trial_there_is_no_estimate() {
        assert_eq!(estimate([record(1.0, 1.0, 0)].iter(), 0.0, 0.04), None);
    }
}
