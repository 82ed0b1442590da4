//! What several searches say together: how much the capacity varies from one to the next, and where it lies.
//!
//! Capacities vary by factors, so they are compared in logarithms: the mean is geometric, its interval Student's
//! ([`crate::statistics::spread`]). One search's interval covers the luck within it; this one also how the target was from
//! one search to the next. Only estimates count: a bound is no sample of the capacity.

use serde::Serialize;

use super::answer::Answer;
use super::finding::{Bound, Capacity};
use crate::report::format::number;
use crate::statistics::Spread;

/// As `kingtide capacity --seeds K --json` says it. JSON schema: replayer/schemas/capacity_seeds.json.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Several {
    /// `None` with fewer than two estimates.
    pub capacity: Option<Together>,
    /// Of the searches in order: the first seed of each.
    pub seeds: Vec<u64>,
    /// In sentences.
    pub reasons: Vec<String>,
    pub searches: Vec<Answer>,
}

/// Multiples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Together {
    /// Geometric mean of the estimates.
    pub multiple: f64,
    /// 95 % interval of it.
    pub low: f64,
    pub high: f64,
    pub lowest: f64,
    pub highest: f64,
    /// How many estimates.
    pub estimates: usize,
}

impl Several {
    pub fn of(seeds: Vec<u64>, searches: Vec<Answer>) -> Self {
        let estimates = estimates(&searches);
        let capacity = together(&estimates);
        let lost = searches.len() - estimates.len();
        let lost = (lost > 0)
            .then(|| format!("{lost} of {} searches gave no estimate and do not count", searches.len()));
        let outside = capacity.map_or(0, |together| outside(&together, &estimates));
        // One of twenty may by chance.
        let apart = (outside > 1 || (outside == 1 && estimates.len() < 5)).then(|| {
            format!(
                "the intervals of {outside} searches lie beside the mean of all: the target was not the same from one search \
                 to the next"
            )
        });
        let modes = modes(&searches);
        let differs =
            (modes.len() > 1).then(|| format!("it gave way in different ways: {}", modes.join(", ")));
        Self { capacity, seeds, reasons: lost.into_iter().chain(apart).chain(differs).collect(), searches }
    }

    pub fn sentence(&self) -> String {
        match &self.capacity {
            None => "no capacity of all searches together: fewer than two gave an estimate".to_owned(),
            Some(together) => format!(
                "{} searches: capacity {:.2}× 95 % [{:.2}, {:.2}], from {:.2}× to {:.2}×",
                number(Some(together.estimates as f64)),
                together.multiple,
                together.low,
                together.high,
                together.lowest,
                together.highest
            ),
        }
    }
}

fn estimates(searches: &[Answer]) -> Vec<Capacity> {
    let of = |answer: &Answer| answer.finding.capacity.filter(|capacity| capacity.bound == Bound::Estimate);
    searches.iter().filter_map(of).collect()
}

fn together(estimates: &[Capacity]) -> Option<Together> {
    let logarithms = estimates.iter().map(|capacity| capacity.multiple.ln()).collect();
    let spread = Spread::of(logarithms, &(f64::NEG_INFINITY..=f64::INFINITY))?;
    let interval = spread.interval?;
    Some(Together {
        multiple: spread.mean.exp(),
        low: interval.low.exp(),
        high: interval.high.exp(),
        lowest: spread.lowest.exp(),
        highest: spread.highest.exp(),
        estimates: estimates.len(),
    })
}

fn outside(together: &Together, estimates: &[Capacity]) -> usize {
    let is_outside = |capacity: &&Capacity| !(capacity.low..=capacity.high).contains(&together.multiple);
    estimates.iter().filter(is_outside).count()
}

fn modes(searches: &[Answer]) -> Vec<String> {
    let mut modes: Vec<_> = searches.iter().filter_map(|answer| answer.finding.failure_mode).collect();
    modes.sort_unstable();
    modes.dedup();
    modes.into_iter().map(|mode| mode.name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(multiple: f64, low: f64, high: f64) -> Capacity {
        let bound = Bound::Estimate;
        Capacity {
            multiple,
            low,
            high,
            bound,
            requests_per_s: 1.0,
            bytes_per_s: None,
            users: None,
            trial_s: 60,
        }
    }

    #[test]
    fn the_mean_of_factors_with_its_interval_by_hand() {
        let found = together(&[estimate(2.0, 1.9, 2.1), estimate(8.0, 7.0, 9.0)]).unwrap();
        assert!((found.multiple - 4.0).abs() < 1e-9, "{found:?}");
        // s = ln 4 / √2, t(1) = 12.706, √2: a half width of 12.706 · ln 4 / 2.
        let half = 12.706 * 4_f64.ln() / 2.0;
        assert!((found.high.ln() - (4_f64.ln() + half)).abs() < 1e-2, "{found:?}");
        assert_eq!((found.lowest.round(), found.highest.round(), found.estimates), (2.0, 8.0, 2));
    }

    #[test]
    fn one_estimate_says_nothing_of_the_next() {
        assert_eq!(together(&[estimate(2.0, 1.9, 2.1)]), None);
        assert_eq!(together(&[]), None);
    }

    #[test]
    fn an_interval_beside_the_mean_is_seen() {
        let estimates = [estimate(2.0, 1.9, 2.1), estimate(2.1, 1.9, 2.3), estimate(2.5, 2.4, 2.6)];
        let found = together(&estimates).unwrap();
        assert_eq!(outside(&found, &estimates), 2, "{found:?}");
    }
}
