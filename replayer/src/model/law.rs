//! What is drawn for each user: a value between two bounds, or one of several by their shares.

use std::fmt::Display;
use std::str::FromStr;

use kingtide_common::units::{ByteSize, NumberOrText, Span};
use serde::{Deserialize, Deserializer, de};

use crate::drive::Uplink;
use crate::plan::random::Draws;

/// How far a sum of shares may be from 1.
const ROUNDING: f64 = 1e-6;

/// Each value between two, both included, as likely as any other. Written `1s..5s`, or `2s` for always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between<T> {
    pub(super) least: T,
    pub(super) most: T,
}

/// Values, each with its share of the draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares<T>(Vec<(T, f64)>);

/// Of files.
pub type Sizes = Shares<ByteSize>;

impl<T: Copy> Between<T> {
    pub(super) fn always(value: T) -> Self {
        Self { least: value, most: value }
    }
}

impl Between<Span> {
    /// Where there is any at all.
    pub(super) fn change(&mut self, to: Option<Self>) {
        if !self.most.0.is_zero() {
            *self = to.unwrap_or(*self);
        }
    }

    /// Microseconds.
    pub(super) fn draw_us(self, draws: &mut Draws) -> u64 {
        let width = self.most.0.saturating_sub(self.least.0);
        let drawn = self.least.0.saturating_add(width.mul_f64(draws.unit()));
        u64::try_from(drawn.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Between<u32> {
    pub(super) fn draw(self, draws: &mut Draws) -> u32 {
        let above = draws.index((self.most - self.least) as usize + 1);
        self.least + u32::try_from(above).expect("at most the width of the range")
    }
}

impl<T: FromStr<Err: Display> + PartialOrd + Copy> FromStr for Between<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let bound = |bound: &str| bound.trim().parse::<T>().map_err(|error| format!("`{text}`: {error}"));
        let (least, most) = (bound(least)?, bound(most)?);
        if least <= most {
            Ok(Self { least, most })
        } else {
            Err(format!("`{text}` ends before it begins; write the smaller value first"))
        }
    }
}

impl<'de, T: FromStr<Err: Display> + PartialOrd + Copy> Deserialize<'de> for Between<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = NumberOrText::deserialize(deserializer)
            .map_err(|_| de::Error::custom("expected a value, or two as in \"1s..5s\" or \"1..4\""))?;
        text.into_text().parse().map_err(de::Error::custom)
    }
}

impl<T: Copy> Shares<T> {
    fn new(choices: Vec<(T, f64)>) -> Result<Self, String> {
        if choices.iter().any(|(_, share)| share.is_nan() || *share < 0.0) {
            return Err("a share is a number from 0 to 1, as in share = 0.26".to_owned());
        }
        let sum: f64 = choices.iter().map(|(_, share)| share).sum();
        if (sum - 1.0).abs() > ROUNDING {
            let sum = (sum * 1e6).round() / 1e6;
            return Err(format!("the shares are {sum} together; change them so that they are 1"));
        }
        Ok(Self(choices))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = T> {
        self.0.iter().map(|(value, _)| *value)
    }

    pub(super) fn draw(&self, draws: &mut Draws) -> T {
        let mut drawn = draws.unit();
        let mut likely = self.0.iter().filter(|(_, share)| *share > 0.0).peekable();
        while let Some((value, share)) = likely.next() {
            // What rounding leaves over is the last one's.
            if drawn < *share || likely.peek().is_none() {
                return *value;
            }
            drawn -= share;
        }
        unreachable!("shares that are 1 together have one above 0")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SizeShare {
    bytes: ByteSize,
    share: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UplinkShare {
    rate: String,
    share: f64,
}

impl<'de> Deserialize<'de> for Shares<ByteSize> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shares = Vec::<SizeShare>::deserialize(deserializer)?;
        let choices = shares.into_iter().map(|size| (size.bytes, size.share)).collect();
        Self::new(choices).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Shares<Uplink> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shares = Vec::<UplinkShare>::deserialize(deserializer)?;
        let choice = |uplink: UplinkShare| match uplink.rate.parse() {
            Ok(Uplink::Recorded) => Err("nothing is recorded here; write a speed, or unpaced".to_owned()),
            Ok(rate) => Ok((rate, uplink.share)),
            Err(error) => Err(format!("rate: {error}")),
        };
        let choices = shares.into_iter().map(choice).collect::<Result<_, String>>();
        choices.and_then(Self::new).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kingtide_common::units::Seed;

    use super::*;

    fn draws() -> Draws {
        Draws::new(Seed(1), 1)
    }

    #[test]
    fn a_range_is_drawn_evenly_with_both_its_ends() {
        let range: Between<u32> = "1..4".parse().unwrap();
        let (mut draws, mut counts) = (draws(), BTreeMap::<u32, u32>::new());
        (0..4_000).for_each(|_| *counts.entry(range.draw(&mut draws)).or_default() += 1);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
        // Binomial(4000, 1/4): mean 1000, standard deviation 27.4; four of them.
        assert!(counts.values().all(|count| (890..=1_110).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_time_is_drawn_evenly_between_its_bounds() {
        let range: Between<Span> = "1s..5s".parse().unwrap();
        let mut draws = draws();
        let drawn: Vec<u64> = (0..4_000).map(|_| range.draw_us(&mut draws)).collect();
        assert!(drawn.iter().all(|us| (1_000_000..=5_000_000).contains(us)));
        // Uniform over 4 s: mean 3 s, standard deviation 1.155 s; of a mean of 4000 0.0183 s.
        let mean_s = drawn.iter().sum::<u64>() as f64 / 4_000.0 / 1e6;
        assert!((mean_s - 3.0).abs() < 0.075, "{mean_s}");
        assert_eq!("2s".parse::<Between<Span>>().unwrap().draw_us(&mut draws), 2_000_000);
    }

    #[test]
    fn choices_have_their_shares() {
        let shares =
            Shares::new(vec![(50, 0.26), (200, 0.53), (500, 0.16), (7, 0.0), (2_000, 0.05)]).unwrap();
        let (mut draws, mut counts) = (draws(), BTreeMap::<i32, f64>::new());
        (0..10_000).for_each(|_| *counts.entry(shares.draw(&mut draws)).or_default() += 1.0);
        // Binomial(10000, p): four standard deviations of √(p(1 − p) · 10000).
        let expected =
            [(50, 2_600.0, 176.0), (200, 5_300.0, 200.0), (500, 1_600.0, 147.0), (2_000, 500.0, 88.0)];
        for (value, mean, off_max) in expected {
            assert!((counts[&value] - mean).abs() <= off_max, "{value}: {counts:?}");
        }
        assert!(!counts.contains_key(&7));
    }

    #[test]
    fn what_is_no_law_is_refused() {
        for text in ["5s..1s", "1s..", "..", "soon", "1s...2s"] {
            assert!(text.parse::<Between<Span>>().is_err(), "{text}");
        }
        for shares in [vec![], vec![0.5], vec![0.5, 0.6], vec![1.5, -0.5], vec![f64::NAN]] {
            assert!(Shares::new(shares.iter().map(|share| ((), *share)).collect()).is_err(), "{shares:?}");
        }
    }
}
