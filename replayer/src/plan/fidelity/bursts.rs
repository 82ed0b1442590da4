//! The dispersion of planned requests beside that of N times the captured users.
//!
//! Chance has two sides: a short capture tells its own dispersion only within an interval ([`Target`]), and plans
//! with the same width and other seeds differ (the range of 20, about a 95 % interval). Within 15 % of the target
//! passes; intervals that do not meet fail; what lies between cannot be told.

use serde::Serialize;

use super::Comparison;
use crate::plan::Plan;
use crate::plan::dispersion::{self, DISPERSION_LIMIT, Target, WINDOWS_S, WindowCounts};
use crate::plan::starts::other_seed;
use crate::sessions::Outlines;

const SURROGATES: u64 = 20;

/// The dispersion of planned requests in one window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DispersionCheck {
    pub window_s: f64,
    /// `None` when capture or plan do not hold three such windows.
    pub captured: Option<f64>,
    pub target: Option<f64>,
    pub planned: Option<f64>,
    /// |planned / target − 1|.
    pub deviation: Option<f64>,
    /// Largest deviation that does not fail: 15 %, or what the two intervals below put down to chance.
    pub limit: f64,
    /// 95 % interval of the target.
    pub target_low: Option<f64>,
    pub target_high: Option<f64>,
    /// Range of 20 plans with other seeds; of this plan alone where that suffices or no seed plays a part.
    pub planned_low: Option<f64>,
    pub planned_high: Option<f64>,
    pub pass: bool,
    /// False when the capture is too short to tell; it then passes.
    pub decided: bool,
    /// Why there is no deviation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One for each of [`WINDOWS_S`].
pub(super) fn checks(plan: &Plan, sessions: &Outlines, counts: &WindowCounts) -> Vec<DispersionCheck> {
    let targets = dispersion::targets(sessions, plan.multiple.get());
    let mut checks: Vec<DispersionCheck> = WINDOWS_S
        .into_iter()
        .map(|window_s| {
            let target = targets.iter().find(|target| target.window_s.total_cmp(&window_s).is_eq());
            target.map_or_else(|| untold(window_s), |target| check(target, counts))
        })
        .collect();
    if plan.is_shifted() && checks.iter().any(|check| !(check.pass && check.decided)) {
        allow_for_chance(plan, sessions, &mut checks);
    }
    checks
}

/// Of a window that the capture does not hold.
fn untold(window_s: f64) -> DispersionCheck {
    DispersionCheck {
        window_s,
        captured: None,
        target: None,
        planned: None,
        deviation: None,
        limit: DISPERSION_LIMIT,
        target_low: None,
        target_high: None,
        planned_low: None,
        planned_high: None,
        pass: true,
        decided: false,
        reason: Some(format!("the capture is too short: it does not hold three windows of {window_s} s")),
    }
}

fn check(target: &Target, counts: &WindowCounts) -> DispersionCheck {
    let window_s = target.window_s;
    let planned = counts.dispersion(window_s, counts.span_us());
    let check = DispersionCheck {
        captured: Some(target.captured),
        target: Some(target.target),
        planned,
        target_low: Some(target.low),
        target_high: Some(target.high),
        planned_low: planned,
        planned_high: planned,
        reason: None,
        ..untold(window_s)
    };
    match planned {
        Some(_) => check.judged(),
        None => {
            DispersionCheck { pass: false, decided: true, reason: Some(too_short(window_s, counts)), ..check }
        }
    }
}

fn too_short(window_s: f64, counts: &WindowCounts) -> String {
    let lasts_s = counts.span_us() as f64 / 1e6;
    format!(
        "the plan lasts {lasts_s:.1} s: it does not hold three windows of {window_s} s, as the capture does"
    )
}

/// What deviations are measured in: the target, or 1 where there is none.
fn unit(target: f64) -> f64 {
    if target > 0.0 { target } else { 1.0 }
}

impl DispersionCheck {
    /// With the limit that decides. A plan as far from its target as the limit has its interval just touch
    /// that of the target: nearer than that, chance explains the distance.
    fn judged(self) -> Self {
        let all = self.target.zip(self.planned).zip(self.target_low.zip(self.target_high));
        let Some(((target, planned), (low, high))) = all else { return self };
        let deviation = (planned - target).abs() / unit(target);
        let room = if planned < target {
            self.planned_high.unwrap_or(planned) - low
        } else {
            high - self.planned_low.unwrap_or(planned)
        };
        let Comparison { limit, pass, decided, .. } =
            Comparison::judged(Some(deviation), DISPERSION_LIMIT, deviation + room / unit(target));
        Self { deviation: Some(deviation), limit, pass, decided, ..self }
    }
}

fn allow_for_chance(plan: &Plan, sessions: &Outlines, checks: &mut [DispersionCheck]) {
    for other in 1..=SURROGATES {
        let surrogate = Plan { seed: other_seed(plan.seed, other), ..plan.clone() };
        let mut counts = WindowCounts::default();
        counts.extend(surrogate.instants_us(sessions));
        for check in checks.iter_mut() {
            let value = counts.dispersion(check.window_s, counts.span_us());
            check.planned_low = check.planned_low.zip(value).map(|(low, value)| low.min(value));
            check.planned_high = check.planned_high.zip(value).map(|(high, value)| high.max(value));
        }
    }
    for check in checks {
        *check = check.clone().judged();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(planned: [f64; 3], target: [f64; 3]) -> DispersionCheck {
        let ([planned_low, planned, planned_high], [low, target, high]) = (planned, target);
        let check = DispersionCheck {
            target: Some(target),
            planned: Some(planned),
            target_low: Some(low),
            target_high: Some(high),
            planned_low: Some(planned_low),
            planned_high: Some(planned_high),
            ..untold(1.0)
        };
        check.judged()
    }

    #[test]
    fn a_dispersion_passes_fails_or_cannot_be_told() {
        let cases = [
            ("near enough for any capture", [1.1, 1.1, 1.1], [1.0, 1.0, 1.0], 0.15, true, true),
            ("within what a short capture knows", [1.35, 1.35, 1.35], [0.7, 1.0, 1.4], 0.40, true, false),
            ("where other seeds reach the target", [1.2, 1.6, 1.9], [0.7, 1.0, 1.4], 0.80, true, false),
            ("below it", [0.5, 0.6, 0.8], [0.7, 1.0, 1.4], 0.50, true, false),
            ("out of reach", [1.5, 1.6, 1.9], [0.7, 1.0, 1.4], 0.50, false, true),
            ("no target", [0.1, 0.2, 0.3], [0.0, 0.0, 0.0], 0.15, false, true),
        ];
        for (case, planned, target, limit, pass, decided) in cases {
            let check = judged(planned, target);
            assert!((check.limit - limit).abs() < 1e-12, "{case}: {check:?}");
            assert_eq!((check.pass, check.decided), (pass, decided), "{case}: {check:?}");
        }
    }
}
