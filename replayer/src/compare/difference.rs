//! Where B − A lies.

use super::estimate::{Estimate, mean, of_mean};
use super::figure::Scale;
use crate::statistics::Interval;

/// Fewer spells of load and rest do not tell how much they vary.
const SPELLS_MIN: f64 = 20.0;
/// The same where both had the same ones.
const SPELLS_MIN_PAIRED: f64 = 5.0;

/// In the figure's scale.
#[derive(Debug, Clone)]
pub(super) enum Difference {
    /// Of two sides; `correlation` is what is common to both.
    Sides { correlation: f64 },
    /// Of runs that belong together two by two.
    Pairs(Vec<f64>),
    /// Why there is none.
    Unknown(String),
}

impl Difference {
    /// Of two sides that were seen by second, if they were seen for long enough.
    pub(super) fn by_second(a: &Estimate, b: &Estimate, is_same_plan: bool) -> Self {
        let (Some(ours), Some(theirs)) = (a.ratio(), b.ratio()) else {
            return Self::Sides { correlation: 0.0 };
        };
        let least = if is_same_plan { SPELLS_MIN_PAIRED } else { SPELLS_MIN };
        let (rarer, name) = if ours.spells() < theirs.spells() { (ours, "A") } else { (theirs, "B") };
        if rarer.spells() < least {
            return Self::Unknown(format!(
                "{name} holds {:.0} spells of {:.0} s in which it fares alike, and {least:.0} are needed to tell",
                rarer.spells(),
                rarer.spell_s()
            ));
        }
        Self::Sides { correlation: if is_same_plan { ours.correlation(theirs) } else { 0.0 } }
    }

    /// With this confidence; `None` where nothing can be said.
    pub(super) fn at(&self, a: &Estimate, b: &Estimate, scale: Scale, confidence: f64) -> Option<Interval> {
        match self {
            Self::Sides { correlation } => of_sides(a, b, scale, *correlation, confidence),
            Self::Pairs(differences) => of_mean(differences, confidence),
            Self::Unknown(_) => None,
        }
    }

    pub(super) fn why(&self) -> Option<String> {
        match self {
            Self::Unknown(why) => Some(why.clone()),
            Self::Sides { .. } | Self::Pairs(_) => None,
        }
    }

    pub(super) fn value(&self, a: &Estimate, b: &Estimate, scale: Scale) -> Option<f64> {
        let value = match self {
            Self::Pairs(differences) => mean(differences),
            _ => scale.of(b.value()) - scale.of(a.value()),
        };
        value.is_finite().then_some(value)
    }
}

/// MOVER (Zou and Donner, Statistics in Medicine 27, 2008): how far each side's limit is from its estimate adds up by
/// squares; with the correlation of Zou (Psychological Methods 12, 2007). A limit that is infinite leaves the difference's so.
fn of_sides(a: &Estimate, b: &Estimate, scale: Scale, correlation: f64, confidence: f64) -> Option<Interval> {
    let arms = |estimate: &Estimate| {
        let Interval { low, high } = estimate.at(confidence)?;
        let value = scale.of(estimate.value());
        Some(((value - scale.of(low)).max(0.0), (scale.of(high) - value).max(0.0)))
    };
    let ((a_below, a_above), (b_below, b_above)) = (arms(a)?, arms(b)?);
    let far = |one: f64, other: f64| {
        // Nothing in common takes nothing away, from what is infinite too.
        let common = if correlation > 0.0 { 2.0 * correlation * one * other } else { 0.0 };
        (one.powi(2) + other.powi(2) - common).max(0.0).sqrt()
    };
    let value = scale.of(b.value()) - scale.of(a.value());
    value
        .is_finite()
        .then(|| Interval { low: value - far(b_below, a_above), high: value + far(b_above, a_below) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Ratio;
    use crate::statistics::ratio::Count;

    fn share(bad: u32, of: u32) -> Estimate {
        // One request a second, those that are bad in no spell.
        let count = |at: u32| Count { asked: 1.0, counted: f64::from(u8::from(at * 37 % of < bad)) };
        Estimate::Share(Ratio::of(&(0..of).map(count).collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn of_two_shares_it_is_newcombes() {
        // Newcombe (1998), table II, contrast (a), method 10: 56/70 − 48/80 is 0.0524 to 0.3339 by z = 1.96; ours is by t.
        let (a, b) = (share(48, 80), share(56, 70));
        let Interval { low, high } = of_sides(&a, &b, Scale::Points, 0.0, 0.95).unwrap();
        assert!((low - 0.0524).abs() < 0.006 && (high - 0.3339).abs() < 0.006, "{low} to {high}");
    }

    #[test]
    fn what_is_common_to_both_is_no_difference() {
        let (a, b) = (share(10, 100), share(12, 100));
        let width = |correlation| {
            let Interval { low, high } = of_sides(&a, &b, Scale::Points, correlation, 0.95).unwrap();
            high - low
        };
        assert!(width(0.9) < 0.5 * width(0.0), "{} {}", width(0.9), width(0.0));
    }

    #[test]
    fn a_side_of_few_spells_cannot_tell() {
        let spell = |at: u32| Count { asked: 10.0, counted: f64::from(at / 30) };
        let ratio = Ratio::of(&(0..60).map(spell).collect::<Vec<_>>()).unwrap();
        let (a, b) = (share(5, 60), Estimate::Share(ratio));
        let Difference::Unknown(why) = Difference::by_second(&a, &b, false) else { panic!("it can") };
        assert!(why.starts_with("B holds"), "{why}");
    }
}
