//! How long a user must be silent for the next request to begin a new session.
//!
//! Silences within users fall into two heaps when drawn over the logarithm of their length: pauses within a visit
//! (seconds to minutes) and absences between visits (hours). The cut belongs into the valley between them, and
//! where it lies differs from site to site (Halfaker et al., "User Session Identification Based on Strong
//! Regularities in Inter-activity Time", WWW 2015). Method:
//!
//! 1. Silences of a second and more, in bins of a quarter octave, smoothed over an octave. A silence is from the end of
//!    all earlier answers to the next request, so requests that overlap have none.
//! 2. Of the bins from 5 minutes to 12 hours with 30 silences on either side, the deepest valley: the one that is least
//!    against the lower of the highest peaks on either side (the mode method of Prewitt and Mendelsohn, 1966). Of a run
//!    of equals the middle is the gap.
//! 3. It must hold at most a third of the lower peak. An even spread and a single heap have no such valley but by chance.
//!
//! Where one of these fails the gap is 30 minutes, the custom of web analytics, and the reason is kept.

use std::fmt;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::evidence::Row;

pub const DEFAULT: Duration = Duration::from_mins(30);
const CHOSEN_MIN: Duration = Duration::from_mins(5);
const CHOSEN_MAX: Duration = Duration::from_hours(12);

/// In each of the two heaps.
const SILENCES_MIN: u64 = 30;
/// The valley against the lower peak.
const DEPTH_MAX: f64 = 1.0 / 3.0;

const BINS_PER_OCTAVE: usize = 4;
/// From a second to 2²⁴ s, half a year; longer silences count in the last.
const BINS: usize = 24 * BINS_PER_OCTAVE;

/// The silence that begins a new session, and why this one. As JSON: `gap_s`, `basis` and `why`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IdleGap {
    pub gap: Duration,
    pub basis: Basis,
}

/// Why a gap was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Basis {
    /// The user said so.
    Given,
    /// The valley of the capture's silences: so many on either side.
    Valley { shorter: u64, longer: u64 },
    /// The default, for there are too few silences on one side to tell two heaps.
    TooFew { shorter: u64, longer: u64 },
    /// The default, for the silences are one heap.
    OneHeap { silences: u64 },
}

/// Of a capture without an exchange.
impl Default for IdleGap {
    fn default() -> Self {
        Self::default_for(Basis::TooFew { shorter: 0, longer: 0 })
    }
}

impl Serialize for IdleGap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("IdleGap", 3)?;
        fields.serialize_field("gap_s", &self.gap.as_secs_f64())?;
        fields.serialize_field("basis", self.basis.name())?;
        fields.serialize_field("why", &self.basis.to_string())?;
        fields.end()
    }
}

impl IdleGap {
    pub fn given(gap: Duration) -> Self {
        Self { gap, basis: Basis::Given }
    }

    fn default_for(basis: Basis) -> Self {
        Self { gap: DEFAULT, basis }
    }

    pub(super) fn gap_ns(&self) -> i64 {
        i64::try_from(self.gap.as_nanos()).unwrap_or(i64::MAX)
    }
}

impl Basis {
    /// A word for scripts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Valley { .. } => "valley",
            Self::TooFew { .. } | Self::OneHeap { .. } => "default",
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as given"),
            Self::Valley { shorter, longer } => {
                write!(f, "the valley between {shorter} pauses and {longer} absences")
            }
            Self::TooFew { shorter, longer } => {
                write!(f, "default: {shorter} shorter and {longer} longer silences are too few")
            }
            Self::OneHeap { silences } => write!(f, "default: the {silences} silences are one heap"),
        }
    }
}

/// The silences before the exchanges of a user but the first, nanoseconds, with the index of the exchange; negative where
/// an earlier exchange was not yet over.
pub(super) fn silences_ns(rows: &[Row]) -> impl Iterator<Item = (usize, i64)> {
    let mut done_ns = rows.first().map_or(0, |first| first.done_ns);
    rows.iter().enumerate().skip(1).map(move |(at, row)| {
        let silence_ns = row.started_ns.saturating_sub(done_ns);
        done_ns = done_ns.max(row.done_ns);
        (at, silence_ns)
    })
}

/// The gap that fits the silences within users.
pub(super) fn chosen(users: &[Vec<Row>]) -> IdleGap {
    let mut silences = Silences { bins: [0; BINS] };
    for (_, silence_ns) in users.iter().flat_map(|rows| silences_ns(rows)) {
        silences.count(silence_ns);
    }
    silences.gap()
}

/// Counts by the logarithm of their length.
struct Silences {
    bins: [u64; BINS],
}

impl Silences {
    fn count(&mut self, silence_ns: i64) {
        let silence_s = silence_ns as f64 / 1e9;
        if silence_s >= 1.0 {
            self.bins[bin_of(silence_s)] += 1;
        }
    }

    fn gap(&self) -> IdleGap {
        let plausible = bin_of(CHOSEN_MIN.as_secs_f64())..bin_of(CHOSEN_MAX.as_secs_f64());
        let is_between = |bin: &usize| self.below(*bin).min(self.above(*bin)) >= SILENCES_MIN;
        let candidates: Vec<usize> = plausible.filter(is_between).collect();
        let smooth = self.smooth();
        let Some(least) = candidates.iter().map(|bin| depth(&smooth, *bin)).min_by(f64::total_cmp) else {
            let default = bin_of(DEFAULT.as_secs_f64());
            let (shorter, longer) = (self.below(default), self.above(default - 1));
            return IdleGap::default_for(Basis::TooFew { shorter, longer });
        };
        if least > DEPTH_MAX {
            return IdleGap::default_for(Basis::OneHeap { silences: self.below(BINS) });
        }
        let deepest: Vec<usize> =
            candidates.into_iter().filter(|bin| depth(&smooth, *bin) <= least).collect();
        let runs = deepest.chunk_by(|one, next| one + 1 == *next);
        let run = runs.max_by_key(|run| run.len()).unwrap_or_default();
        let middle = (run.first().copied().unwrap_or(0) + run.last().copied().unwrap_or(0) + 1) as f64 / 2.0;
        let gap = Duration::from_secs_f64((middle / BINS_PER_OCTAVE as f64).exp2().round());
        let cut = bin_of(gap.as_secs_f64());
        IdleGap { gap, basis: Basis::Valley { shorter: self.below(cut), longer: self.above(cut - 1) } }
    }

    fn below(&self, bin: usize) -> u64 {
        self.bins[..bin].iter().sum()
    }

    fn above(&self, bin: usize) -> u64 {
        self.bins[bin + 1..].iter().sum()
    }

    /// Each bin with its neighbours within half an octave.
    fn smooth(&self) -> [u64; BINS] {
        const AROUND: usize = BINS_PER_OCTAVE / 2;
        std::array::from_fn(|bin| {
            self.bins[bin.saturating_sub(AROUND)..(bin + AROUND + 1).min(BINS)].iter().sum()
        })
    }
}

/// A bin against the lower of the peaks on either side: 0 is a valley without a silence, 1 and more is none.
fn depth(smooth: &[u64; BINS], bin: usize) -> f64 {
    let peak = |bins: &[u64]| bins.iter().max().copied().unwrap_or_default();
    let lower = peak(&smooth[..bin]).min(peak(&smooth[bin + 1..]));
    smooth[bin] as f64 / lower.max(1) as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a few hundred")]
fn bin_of(silence_s: f64) -> usize {
    ((silence_s.log2() * BINS_PER_OCTAVE as f64) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` silences spread evenly over the logarithm from one length to another.
    fn heap(from_s: f64, to_s: f64, count: u32) -> Vec<f64> {
        let step = (to_s / from_s).powf(1.0 / f64::from(count));
        (0..count).map(|n| from_s * step.powf(f64::from(n))).collect()
    }

    fn gap(silences_s: impl IntoIterator<Item = f64>) -> IdleGap {
        let mut silences = Silences { bins: [0; BINS] };
        for silence_s in silences_s {
            #[allow(clippy::cast_possible_truncation)] // whole nanoseconds are near enough
            silences.count((silence_s * 1e9) as i64);
        }
        silences.gap()
    }

    #[test]
    fn the_gap_lies_in_the_valley_between_pauses_and_absences() {
        let visits = heap(2.0, 180.0, 500).into_iter().chain(heap(7_200.0, 80_000.0, 100));
        let chosen = gap(visits);
        assert!(matches!(chosen.basis, Basis::Valley { shorter: 500, longer: 100 }), "{chosen:?}");
        // √(180 · 7200) = 1138 s
        assert!((1_000..1_300).contains(&chosen.gap.as_secs()), "{chosen:?}");
    }

    #[test]
    fn a_few_silences_in_the_valley_do_not_fill_it() {
        let visits = heap(2.0, 180.0, 500).into_iter().chain(heap(7_200.0, 80_000.0, 100));
        let chosen = gap(visits.chain(heap(200.0, 7_000.0, 9)));
        assert!(matches!(chosen.basis, Basis::Valley { .. }), "{chosen:?}");
        assert!((200..7_000).contains(&chosen.gap.as_secs()), "{chosen:?}");
    }

    #[test]
    fn one_heap_is_not_cut_in_half() {
        let chosen = gap(heap(2.0, 20_000.0, 1000));
        assert!(matches!(chosen.basis, Basis::OneHeap { silences: 1000 }), "{chosen:?}");
        assert_eq!(chosen.gap, DEFAULT);
    }

    #[test]
    fn too_few_silences_say_nothing() {
        let chosen = gap(heap(2.0, 180.0, 500).into_iter().chain(heap(7_200.0, 80_000.0, 29)));
        assert_eq!(chosen.basis, Basis::TooFew { shorter: 500, longer: 29 });
        assert_eq!(gap([]), IdleGap { gap: DEFAULT, basis: Basis::TooFew { shorter: 0, longer: 0 } });
    }

    #[test]
    fn a_valley_within_seconds_parts_no_visits() {
        let chosen = gap(heap(1.0, 2.0, 500).into_iter().chain(heap(60.0, 120.0, 500)));
        assert_eq!(chosen, IdleGap { gap: DEFAULT, basis: Basis::TooFew { shorter: 1000, longer: 0 } });
    }

    #[test]
    fn requests_within_a_second_do_not_count() {
        let clicks = std::iter::repeat_n(0.4, 100_000);
        let visits = heap(2.0, 180.0, 500).into_iter().chain(heap(7_200.0, 80_000.0, 100));
        assert_eq!(gap(visits.clone().chain(clicks)), gap(visits));
    }
}
