//! How like its capture a plan is: the values and limits that become gates of the report.
//!
//! A small capture is noisy whatever is done with it, so each limit has two parts, the larger counting: what
//! a faithful plan of a large capture stays under, and what chance alone exceeds in 5 % of cases at this
//! number of sessions (Kolmogorov–Smirnov, 1.358·√((n + m) / (n·m)) for n captured and m planned sessions;
//! requests of one session are not independent, so sessions are counted). For dispersion chance has two
//! sides: a short capture tells its own dispersion only within an interval ([`Target`]), and plans with the
//! same width and other seeds differ (the range of 20, about a 95 % interval). A dispersion passes when it
//! is within 15 % of the target, or when these two intervals overlap.

use std::collections::BTreeMap;

use kingtide_common::units::Seed;
use serde::Serialize;

use super::dispersion::{self, Target, dispersion};
use super::{Captured, Mode, Plan, starts};
use crate::sessions::{Session, route};

/// Largest share by which a planned dispersion may miss its target.
pub(crate) const DISPERSION_LIMIT: f64 = 0.15;
/// Of synthetic captures of 2,400 sessions at 5×, new users of the same law are 0.013–0.025 away, the bootstrap
/// 0.012–0.037, a steady stream over 0.10.
const INTER_ARRIVAL_LIMIT: f64 = 0.05;
const SHAPE_LIMIT: f64 = 0.05;
const ROUTE_MIX_LIMIT: f64 = 0.02;
const SURROGATES: u64 = 20;

/// Comparison of a plan with its capture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fidelity {
    pub dispersion: Vec<DispersionCheck>,
    /// KS distance of the gaps between session starts, planned gaps × multiple.
    pub inter_arrival: Comparison,
    /// KS distance of the bytes of request bodies.
    pub body_bytes: Comparison,
    /// KS distance of the requests per session.
    pub session_requests: Comparison,
    /// Total variation distance of the shares of routes.
    pub route_mix: Comparison,
}

/// The dispersion of planned requests in one window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DispersionCheck {
    pub window_s: f64,
    pub captured: f64,
    pub target: f64,
    pub planned: f64,
    /// |planned / target − 1|.
    pub deviation: f64,
    /// Largest deviation that passes: 15 %, or what the two intervals below put down to chance.
    pub limit: f64,
    /// 95 % interval of the target.
    pub target_low: f64,
    pub target_high: f64,
    /// Range of 20 plans with other seeds; of this plan alone where that suffices or no seed plays a part.
    pub planned_low: f64,
    pub planned_high: f64,
    pub pass: bool,
}

/// A distance between two distributions, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    pub value: f64,
    pub limit: f64,
    pub pass: bool,
}

/// Compares a plan with the sessions it was made from.
pub fn fidelity(plan: &Plan, sessions: &[Session]) -> Fidelity {
    let chance = chance_limit(sessions.len(), plan.clones.len());
    let compare = |value: f64, limit: f64| {
        let limit = limit.max(chance);
        Comparison { value, limit, pass: value <= limit }
    };
    Fidelity {
        dispersion: dispersion_checks(plan, sessions),
        inter_arrival: compare(inter_arrival_distance(plan, sessions), INTER_ARRIVAL_LIMIT),
        body_bytes: compare(ks_of(plan, sessions, body_bytes), SHAPE_LIMIT),
        session_requests: compare(ks_of(plan, sessions, request_count), SHAPE_LIMIT),
        route_mix: compare(route_mix_distance(plan, sessions), ROUTE_MIX_LIMIT),
    }
}

impl Fidelity {
    /// The comparisons of distributions, by name.
    pub fn shapes(&self) -> [(&'static str, Comparison); 4] {
        [
            ("inter_arrival", self.inter_arrival),
            ("body_bytes", self.body_bytes),
            ("session_requests", self.session_requests),
            ("route_mix", self.route_mix),
        ]
    }

    /// Whether every comparison passes.
    pub fn passes(&self) -> bool {
        self.dispersion.iter().all(|check| check.pass) && self.shapes().iter().all(|(_, shape)| shape.pass)
    }
}

/// Largest difference of two empirical distribution functions (two-sample Kolmogorov–Smirnov D).
///
/// 0 when either sample is empty.
pub fn ks_distance(one: &[f64], other: &[f64]) -> f64 {
    let (one, other) = (sorted(one), sorted(other));
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    let share = |sample: &[f64], value: f64| {
        sample.partition_point(|element| *element <= value) as f64 / sample.len() as f64
    };
    let values = one.iter().chain(&other);
    values.map(|value| (share(&one, *value) - share(&other, *value)).abs()).fold(0.0, f64::max)
}

/// Half the sum of the differences of the shares of each kind.
pub fn total_variation(one: &BTreeMap<String, u64>, other: &BTreeMap<String, u64>) -> f64 {
    let total = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>().max(1) as f64;
    let (one_total, other_total) = (total(one), total(other));
    let share = |counts: &BTreeMap<String, u64>, kind: &String, total: f64| {
        counts.get(kind).copied().unwrap_or_default() as f64 / total
    };
    let only_other = other.keys().filter(|kind| !one.contains_key(*kind));
    let kinds = one.keys().chain(only_other);
    let differences = kinds.map(|kind| (share(one, kind, one_total) - share(other, kind, other_total)).abs());
    differences.sum::<f64>() / 2.0
}

fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut sample = sample.to_vec();
    sample.sort_by(f64::total_cmp);
    sample
}

/// What chance exceeds in 5 % of cases.
fn chance_limit(captured: usize, planned: usize) -> f64 {
    let (captured, planned) = (captured.max(1) as f64, planned.max(1) as f64);
    1.358 * ((captured + planned) / (captured * planned)).sqrt()
}

fn dispersion_checks(plan: &Plan, sessions: &[Session]) -> Vec<DispersionCheck> {
    let instants_us = plan.instants_us(sessions);
    let duration_us = dispersion::span_us(&instants_us);
    let targets = dispersion::targets(sessions, plan.multiple.get());
    let mut checks: Vec<DispersionCheck> = targets
        .into_iter()
        .filter_map(|target| Some(check(target, dispersion(&instants_us, target.window_s, duration_us)?)))
        .collect();
    if plan.mode == Mode::Crowd && checks.iter().any(|check| !check.pass) {
        allow_for_chance(plan, sessions, &mut checks);
    }
    checks
}

fn check(target: Target, planned: f64) -> DispersionCheck {
    let deviation = (planned - target.target).abs() / unit(target.target);
    let check = DispersionCheck {
        window_s: target.window_s,
        captured: target.captured,
        target: target.target,
        planned,
        deviation,
        limit: DISPERSION_LIMIT,
        target_low: target.low,
        target_high: target.high,
        planned_low: planned,
        planned_high: planned,
        pass: false,
    };
    check.judged()
}

/// What deviations are measured in: the target, or 1 where there is none.
fn unit(target: f64) -> f64 {
    if target > 0.0 { target } else { 1.0 }
}

impl DispersionCheck {
    /// With the limit that decides. A plan as far from its target as the limit has its interval just touch
    /// that of the target: nearer than that, chance explains the distance.
    fn judged(self) -> Self {
        let room = if self.planned < self.target {
            self.planned_high - self.target_low
        } else {
            self.target_high - self.planned_low
        };
        let limit = DISPERSION_LIMIT.max(self.deviation + room / unit(self.target));
        Self { limit, pass: self.deviation <= limit, ..self }
    }
}

fn allow_for_chance(plan: &Plan, sessions: &[Session], checks: &mut [DispersionCheck]) {
    let surrogates: Vec<Vec<u64>> = (1..=SURROGATES).map(|other| surrogate(plan, sessions, other)).collect();
    for check in checks {
        let values = surrogates.iter().filter_map(|instants_us| {
            dispersion(instants_us, check.window_s, dispersion::span_us(instants_us))
        });
        for value in values {
            check.planned_low = check.planned_low.min(value);
            check.planned_high = check.planned_high.max(value);
        }
        *check = check.judged();
    }
}

/// Instants of the same plan with another seed.
fn surrogate(plan: &Plan, sessions: &[Session], other: u64) -> Vec<u64> {
    let seed = Seed(plan.seed.0.wrapping_add(other.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let clones = starts::crowd_with_shift(&Captured::new(sessions), plan.multiple, seed, plan.shift_s);
    Plan { seed, clones, ..plan.clone() }.instants_us(sessions)
}

fn inter_arrival_distance(plan: &Plan, sessions: &[Session]) -> f64 {
    let captured = gaps(Captured::new(sessions).starts_us, 1.0);
    let starts_us = plan.clones.iter().map(|clone| clone.start_us).collect();
    ks_distance(&captured, &gaps(starts_us, plan.multiple.get()))
}

fn gaps(mut starts_us: Vec<u64>, times: f64) -> Vec<f64> {
    starts_us.sort_unstable();
    starts_us.windows(2).map(|pair| (pair[1] - pair[0]) as f64 * times).collect()
}

/// KS distance of the values that each session has, captured and planned.
fn ks_of(plan: &Plan, sessions: &[Session], values: fn(&Session) -> Vec<f64>) -> f64 {
    let captured: Vec<f64> = sessions.iter().flat_map(values).collect();
    let planned: Vec<f64> = plan.clones.iter().flat_map(|clone| values(&sessions[clone.session])).collect();
    ks_distance(&captured, &planned)
}

fn body_bytes(session: &Session) -> Vec<f64> {
    session.steps.iter().map(|step| step.exchange.request_body_bytes as f64).collect()
}

fn request_count(session: &Session) -> Vec<f64> {
    vec![session.steps.len() as f64]
}

fn route_mix_distance(plan: &Plan, sessions: &[Session]) -> f64 {
    let per_session: Vec<BTreeMap<String, u64>> = sessions.iter().map(routes).collect();
    let planned = plan.clones.iter().map(|clone| &per_session[clone.session]);
    total_variation(&added(per_session.iter()), &added(planned))
}

fn routes(session: &Session) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for step in &session.steps {
        *counts.entry(route::template(&step.exchange.method, &step.exchange.target)).or_default() += 1;
    }
    counts
}

fn added<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (kind, count) in maps.flatten() {
        *sum.entry(kind.clone()).or_default() += count;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ks_distance_is_the_largest_step_between_two_samples() {
        // F1 jumps at 1, 2, 3, 4; F2 at 3, 4, 5, 6: furthest apart just below 3 (0.5 against 0).
        let distance = ks_distance(&[4.0, 2.0, 1.0, 3.0], &[3.0, 4.0, 5.0, 6.0]);
        assert!((distance - 0.5).abs() < 1e-12);
        assert!((ks_distance(&[1.0, 1.0, 2.0], &[1.0]) - 1.0 / 3.0).abs() < 1e-12);
        assert!(ks_distance(&[1.0, 2.0], &[1.0, 2.0, 1.0, 2.0]).abs() < 1e-12);
        assert!((ks_distance(&[1.0], &[2.0]) - 1.0).abs() < 1e-12);
    }

    fn judged(planned: [f64; 3], target: [f64; 3]) -> DispersionCheck {
        let ([planned_low, planned, planned_high], [low, target, high]) = (planned, target);
        let target = Target { window_s: 1.0, captured: 1.0, target, low, high };
        DispersionCheck { planned_low, planned_high, ..check(target, planned) }.judged()
    }

    #[test]
    fn the_limit_of_a_dispersion_is_the_one_that_decided() {
        let cases = [
            ("near enough for any capture", [1.1, 1.1, 1.1], [1.0, 1.0, 1.0], 0.15, true),
            ("within what a short capture knows", [1.35, 1.35, 1.35], [0.7, 1.0, 1.4], 0.40, true),
            ("where other seeds reach the target", [1.2, 1.6, 1.9], [0.7, 1.0, 1.4], 0.80, true),
            ("below it", [0.5, 0.6, 0.8], [0.7, 1.0, 1.4], 0.50, true),
            ("out of reach", [1.5, 1.6, 1.9], [0.7, 1.0, 1.4], 0.50, false),
            ("no target", [0.1, 0.2, 0.3], [0.0, 0.0, 0.0], 0.15, false),
        ];
        for (case, planned, target, limit, pass) in cases {
            let check = judged(planned, target);
            assert!((check.limit - limit).abs() < 1e-12, "{case}: {check:?}");
            assert_eq!((check.pass, check.deviation <= check.limit), (pass, pass), "{case}");
        }
    }

    #[test]
    fn total_variation_is_half_the_sum_of_differences() {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        let (one, other) = (counts(&[("a", 1), ("b", 1)]), counts(&[("a", 3), ("c", 1)]));
        // Shares ½, ½, 0 against ¾, 0, ¼: differences ¼ + ½ + ¼.
        assert!((total_variation(&one, &other) - 0.5).abs() < 1e-12);
        assert!(total_variation(&one, &counts(&[("a", 7), ("b", 7)])).abs() < 1e-12);
    }
}
