//! Where a load fails half of the time: a posterior over trials that passed or failed.
//!
//! P(fail | m) = Φ((ln m − µ)/σ), with µ the logarithm of the capacity and σ how blurred the border is at the trials'
//! length. Both have a grid: µ evenly in logarithm around the trials, σ from 0.4 % to 10 %, all equally likely before the
//! first trial. A single outcome is never taken for more than 99 % likely, so that one freak trial cannot exclude a load.

/// A trial: the logarithm of its load, and whether it was too high.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub(super) ln_multiple: f64,
    pub(super) is_high: bool,
}

/// Quantiles of the posterior of µ, as multiples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Posterior {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

const SIGMAS: [f64; 10] = [0.004, 0.006, 0.008, 0.012, 0.017, 0.024, 0.034, 0.05, 0.07, 0.1];
const GRID_STEP: f64 = 0.001;
/// How far beyond the lowest and highest trial the capacity may lie.
const MARGIN: f64 = 0.1;
const SURE: f64 = 0.99;

/// `None` without a trial on both sides.
pub(super) fn posterior(outcomes: &[Outcome]) -> Option<Posterior> {
    let both =
        outcomes.iter().any(|outcome| outcome.is_high) && outcomes.iter().any(|outcome| !outcome.is_high);
    let loads = || outcomes.iter().map(|outcome| outcome.ln_multiple);
    let (first, last) = (loads().reduce(f64::min)? - MARGIN, loads().reduce(f64::max)? + MARGIN);
    let weights: Vec<(f64, f64)> = grid(first, last).map(|mu| (mu, weight(outcomes, mu))).collect();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let quantile = |share: f64| {
        let mut sum = 0.0;
        let reached = weights.iter().find(|(_, weight)| {
            sum += weight;
            sum >= share * total
        });
        reached.map(|(mu, _)| mu.exp())
    };
    both.then_some(())?;
    Some(Posterior { low: quantile(0.025)?, median: quantile(0.5)?, high: quantile(0.975)? })
}

fn grid(first: f64, last: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), |mu| Some(mu + GRID_STEP)).take_while(move |mu| *mu <= last)
}

/// Likelihood of the outcomes at one µ, all σ together.
fn weight(outcomes: &[Outcome], mu: f64) -> f64 {
    let of = |sigma: &f64| outcomes.iter().map(|outcome| likelihood(outcome, mu, *sigma)).product::<f64>();
    SIGMAS.iter().map(of).sum()
}

fn likelihood(outcome: &Outcome, mu: f64, sigma: f64) -> f64 {
    let fails = normal((outcome.ln_multiple - mu) / sigma).clamp(1.0 - SURE, SURE);
    if outcome.is_high { fails } else { 1.0 - fails }
}

/// Φ, by the logistic approximation of Bowling et al. (2009); off by less than 0.0002.
fn normal(z: f64) -> f64 {
    1.0 / (1.0 + (-0.07056 * z.powi(3) - 1.5976 * z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(passed: &[f64], failed: &[f64]) -> Vec<Outcome> {
        let of = |loads: &[f64], is_high| {
            loads.iter().map(move |m| Outcome { ln_multiple: m.ln(), is_high }).collect::<Vec<_>>()
        };
        [of(passed, false), of(failed, true)].concat()
    }

    #[test]
    fn the_median_lies_between_what_passed_and_what_failed() {
        let found = posterior(&outcomes(&[1.0, 1.4, 1.7, 1.9], &[2.0, 2.1, 2.8])).unwrap();
        assert!((1.9..2.0).contains(&found.median), "{found:?}");
        assert!(found.low > 1.7 && found.high < 2.2, "{found:?}");
    }

    #[test]
    fn more_trials_make_it_narrower_and_contradictions_wider() {
        let width = |found: Posterior| found.high / found.low;
        let few = posterior(&outcomes(&[1.9], &[2.1])).unwrap();
        let many = posterior(&outcomes(&[1.9, 1.92, 1.95, 1.97], &[2.1, 2.08, 2.05, 2.03])).unwrap();
        let torn = posterior(&outcomes(&[1.9, 1.92, 2.05, 2.08], &[2.1, 1.95, 1.97, 2.03])).unwrap();
        assert!(width(many) < width(few) && width(many) < width(torn), "{few:?} {many:?} {torn:?}");
    }

    #[test]
    fn one_side_alone_says_nothing() {
        assert_eq!(posterior(&outcomes(&[1.0, 2.0], &[])), None);
        assert_eq!(posterior(&[]), None);
    }

    #[test]
    fn phi_is_that_of_the_tables() {
        for (z, phi) in [(-1.96, 0.025), (0.0, 0.5), (1.0, 0.8413), (2.5, 0.9938)] {
            assert!((normal(z) - phi).abs() < 2e-4, "{z}: {}", normal(z));
        }
    }
}
