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
