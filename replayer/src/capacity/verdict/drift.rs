//! Whether the target keeps up: what is in flight must not grow.
//!
//! At a load of (1 + ε)·C the wait after D seconds is ε·D, so that an SLO of p95 < L shows the overload only when
//! ε > L/(0.95·D): a trial of 60 s cannot tell 115 % of the capacity from 90 % when L is 10 s. The backlog shows it at
//! once: it grows by ε·C every second.
//!
//! The window is cut into eight; ΔNᵢ is the change of what is in flight over one. The drift is their mean over the
//! length w of one, its lower limit LCL = b̂ − t₀.₉₅,₇ · s/(√8·w). It is a failure when LCL > 0 and the wait that Little's
//! law projects, (N + LCL·H)/X after H = 30 min, exceeds L.

use super::{Drift, Window};
use crate::capacity::trial::Observation;
use crate::statistics::student;

const WINDOWS: usize = 8;
const DEGREES: u32 = 7;
/// Two-sided, so that the lower limit alone is one of 95 %.
const CONFIDENCE: f64 = 0.90;
const HORIZON_S: f64 = 1_800.0;

/// `None` when the window is too short to be cut.
pub(super) fn drift(observed: &Observation, window: Window, completed_per_s: f64) -> Option<Drift> {
    let length_s = (window.to_s - window.from_s) / WINDOWS;
    if length_s == 0 {
        return None;
    }
    // The remainder is left out at the beginning.
    let ends = (0..=WINDOWS).rev().map(|back| window.to_s - 1 - back * length_s);
    let at_ends: Vec<f64> = ends.map(|at| observed.seconds[at].in_flight as f64).collect();
    let changes: Vec<f64> = at_ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mean = changes.iter().sum::<f64>() / WINDOWS as f64;
    let variance = changes.iter().map(|change| (change - mean).powi(2)).sum::<f64>() / (WINDOWS - 1) as f64;
    let t = student::two_sided(CONFIDENCE, DEGREES);
    let half = t * (variance / WINDOWS as f64).sqrt();
    let per_s_low = (mean - half) / length_s as f64;
    let in_flight_end = at_ends[WINDOWS];
    let backlog = in_flight_end + per_s_low.max(0.0) * HORIZON_S;
    // Where nothing is answered the wait has no end; JSON has no infinity.
    let projected_wait_s = (backlog / completed_per_s.max(1e-3)).min(1e9);
    Some(Drift { per_s: mean / length_s as f64, per_s_low, in_flight_end, projected_wait_s })
}

impl Drift {
    /// The backlog surely grows, and to a wait beyond the limit.
    pub(super) fn is_failure(&self, limit_s: f64) -> bool {
        self.per_s_low > 0.0 && self.projected_wait_s > limit_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::trial::Tick;

    fn observed(in_flight: impl Fn(usize) -> u64) -> Observation {
        let seconds = (0..100).map(|at| Tick { in_flight: in_flight(at), ..Tick::default() }).collect();
        Observation {
            unit_per_s: 10.0,
            sending_s: 100,
            ramp_s: 10,
            rest_s: 0,
            seconds,
            invalid: Vec::new(),
            aborted: None,
        }
    }

    fn of(in_flight: impl Fn(usize) -> u64) -> Drift {
        drift(&observed(in_flight), Window { from_s: 20, to_s: 100 }, 10.0).unwrap()
    }

    #[test]
    fn a_backlog_that_grows_evenly_is_a_drift_of_its_slope() {
        let drift = of(|at| 5 + at as u64 / 2);
        assert!((drift.per_s - 0.5).abs() < 0.02, "{drift:?}");
        assert!(drift.is_failure(10.0));
        // (54 + 0.48 × 1800)/10 s.
        assert!((80.0..100.0).contains(&drift.projected_wait_s), "{drift:?}");
        assert!(!drift.is_failure(120.0), "half an hour of it is allowed");
    }

    #[test]
    fn what_goes_up_and_down_is_none() {
        for drift in [of(|_| 7), of(|at| 20 + (at as u64 * 7) % 13), of(|at| 200 - at as u64)] {
            assert!(!drift.is_failure(1.0), "{drift:?}");
        }
    }

    #[test]
    fn a_window_of_a_few_seconds_has_no_drift() {
        assert_eq!(drift(&observed(|_| 0), Window { from_s: 93, to_s: 100 }, 1.0), None);
    }
}
