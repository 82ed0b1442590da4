//! How like N times the captured users a plan is: the values and limits that become gates of the report. The
//! same in every mode: what a mode changes shows as a failed check.
//!
//! A small capture is noisy whatever is done with it, so each check has two limits. What a faithful plan of a
//! large capture stays under passes. What chance alone exceeds in 5 % of cases at this number of sessions
//! fails. Between the two nobody can tell: the check is undecided, and says so.
//!
//! Chance, for distributions: a plan that draws sessions takes a sample of the captured ones, so that its
//! distance from them is that of one sample (Kolmogorov–Smirnov, 1.358 / √m). Requests of one session come
//! together, so m counts sessions, for values of requests Kish's effective number of them, (Σn)² / Σn² for n
//! requests each. Modes that draw nothing have no chance to plead. The gaps between starts are no draws but
//! arise anew: there capture and plan are two samples of one clock, 1.358·√((n + m) / (n·m)).
//!
//! For dispersion: [`DispersionCheck`].
//!
//! Memory follows the captured sessions and the windows, not the plan.

mod bursts;

use serde::Serialize;

use super::dispersion::WindowCounts;
use super::ks::Distance;
use super::{Plan, scaled};
use crate::sessions::{Outline, Outlines};
pub use bursts::DispersionCheck;

/// Of synthetic captures of 2,400 sessions at 5×, new users of the same law are 0.013–0.025 away, the bootstrap
/// 0.012–0.037, a steady stream over 0.10.
const INTER_ARRIVAL_LIMIT: f64 = 0.05;
const SHAPE_LIMIT: f64 = 0.05;
const ROUTE_MIX_LIMIT: f64 = 0.02;
const USERS_LIMIT: f64 = 0.01;

/// Comparison of a plan with N times its capture's users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fidelity {
    /// One for each of [`super::dispersion::WINDOWS_S`].
    pub dispersion: Vec<DispersionCheck>,
    #[serde(flatten)]
    pub shapes: Shapes,
}

/// What is compared beside dispersion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shapes {
    /// By what share the number of users misses N times the captured one.
    pub users: Comparison,
    /// KS distance of the gaps between session starts, planned gaps × multiple.
    pub inter_arrival: Comparison,
    /// KS distance of the gaps between the requests of a session.
    pub think_time: Comparison,
    /// KS distance of the time from a session's first request to its last.
    pub session_duration: Comparison,
    /// KS distance of the requests per session.
    pub session_requests: Comparison,
    /// KS distance of the bytes of request bodies.
    pub body_bytes: Comparison,
    /// Total variation distance of the shares of routes.
    pub route_mix: Comparison,
}

/// A distance between two distributions, 0 to 1; `None` without values to compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    pub value: Option<f64>,
    /// Largest value that does not fail.
    pub limit: f64,
    pub pass: bool,
    /// False when the sessions are too few to tell; it then passes.
    pub decided: bool,
}

impl Comparison {
    /// See the module: below `limit` it passes, beyond `chance` too it fails.
    pub(crate) fn judged(value: Option<f64>, limit: f64, chance: f64) -> Self {
        let limit_with_chance = limit.max(chance);
        let pass = value.is_none_or(|value| value <= limit_with_chance);
        let decided = value.is_some_and(|value| value <= limit || value > limit_with_chance);
        Self { value, limit: limit_with_chance, pass, decided }
    }
}

/// Compares a plan with the sessions it was made from.
pub fn fidelity(plan: &Plan, sessions: &Outlines) -> Fidelity {
    let planned = Planned::of(plan, sessions);
    let shapes = Shapes {
        users: users(plan),
        inter_arrival: planned.inter_arrival,
        think_time: planned.compare(plan, sessions, think_times_us),
        session_duration: planned.compare(plan, sessions, duration_us),
        session_requests: planned.compare(plan, sessions, request_count),
        body_bytes: planned.compare(plan, sessions, body_bytes),
        route_mix: planned.route_mix(plan, sessions),
    };
    Fidelity { dispersion: bursts::checks(plan, sessions, &planned.counts), shapes }
}

impl Fidelity {
    /// Whether no comparison fails.
    pub fn passes(&self) -> bool {
        self.dispersion.iter().all(|check| check.pass)
            && self.shapes.by_name().iter().all(|(_, shape)| shape.pass)
    }

    /// What a reader of results must know of the plan beside its gates, as sentences.
    pub fn cautions(&self, plan: &Plan) -> Vec<String> {
        let is_fitted = self.dispersion.iter().any(|check| check.target.is_some());
        let unfitted = (plan.is_shifted() && !is_fitted).then(|| {
            format!(
                "the capture is too short to show its bursts: starts are shifted by {} s, fitted to nothing",
                plan.shift_s
            )
        });
        unfitted.into_iter().collect()
    }
}

impl Shapes {
    /// By name, with what the value is.
    pub fn by_name(&self) -> [(&'static str, Comparison); 7] {
        [
            ("users", self.users),
            ("inter_arrival", self.inter_arrival),
            ("think_time", self.think_time),
            ("session_duration", self.session_duration),
            ("session_requests", self.session_requests),
            ("body_bytes", self.body_bytes),
            ("route_mix", self.route_mix),
        ]
    }
}

/// What one pass over the clones of a plan leaves.
struct Planned {
    counts: WindowCounts,
    /// How often each session is cloned.
    copies: Vec<u64>,
    inter_arrival: Comparison,
}

impl Planned {
    fn of(plan: &Plan, sessions: &Outlines) -> Self {
        let mut counts = WindowCounts::default();
        let mut copies = vec![0; sessions.len()];
        let mut gaps = Distance::from(captured_gaps_us(plan));
        let mut last_us = None;
        for clone in plan.clones() {
            let steps = sessions.get(clone.session).steps.iter();
            counts.extend(steps.map(|step| plan.intended_us(clone, step.offset_us)));
            copies[clone.session] += 1;
            if let Some(last_us) = last_us.replace(clone.start_us) {
                gaps.add((clone.start_us - last_us) as f64 * plan.multiple.get(), 1);
            }
        }
        let (captured, planned) = (sessions.len().max(1) as f64, plan.users().max(1) as f64);
        let chance = chance(captured * planned / (captured + planned));
        Self { counts, copies, inter_arrival: Comparison::judged(gaps.value(), INTER_ARRIVAL_LIMIT, chance) }
    }

    /// The values that each session has at a speed, captured and planned.
    fn compare(
        &self,
        plan: &Plan,
        sessions: &Outlines,
        values: fn(Outline<'_>, f64) -> Vec<f64>,
    ) -> Comparison {
        let mut distance = Distance::from(sessions.iter().flat_map(|session| values(session, 1.0)));
        let mut effective = Effective::default();
        for (session, copies) in sessions.iter().zip(&self.copies).filter(|(_, copies)| **copies > 0) {
            let values = values(session, plan.speed());
            effective.add(values.len(), *copies);
            for value in values {
                distance.add(value, *copies);
            }
        }
        Comparison::judged(distance.value(), SHAPE_LIMIT, drawn_chance(plan, &effective))
    }

    fn route_mix(&self, plan: &Plan, sessions: &Outlines) -> Comparison {
        let mut routes = vec![[0_u64; 2]; sessions.templates().len()];
        let mut effective = Effective::default();
        for (session, copies) in sessions.iter().zip(&self.copies) {
            effective.add(session.steps.len(), *copies);
            for step in session.steps {
                let [captured, planned] = &mut routes[step.route as usize];
                *captured += 1;
                *planned += copies;
            }
        }
        let chance = if plan.is_drawn() { mix_chance(routes.len(), effective.number()) } else { 0.0 };
        Comparison::judged(total_variation(&routes.iter().copied()), ROUTE_MIX_LIMIT, chance)
    }
}

/// Kish's effective number of sessions of unequal length.
#[derive(Debug, Default)]
struct Effective {
    sum: f64,
    squares: f64,
}

impl Effective {
    fn add(&mut self, values: usize, copies: u64) {
        let (values, copies) = (values as f64, copies as f64);
        self.sum += values * copies;
        self.squares += values * values * copies;
    }

    fn number(&self) -> f64 {
        if self.squares > 0.0 { self.sum * self.sum / self.squares } else { 1.0 }
    }
}

/// What the KS distance of a sample of so many exceeds in 5 % of cases.
fn chance(number: f64) -> f64 {
    1.358 / number.sqrt()
}

fn drawn_chance(plan: &Plan, effective: &Effective) -> f64 {
    if plan.is_drawn() { chance(effective.number()) } else { 0.0 }
}

/// What the total variation of so many kinds in a sample exceeds in at most 5 % of cases: a bound of its mean
/// (Cauchy–Schwarz), ½√((k − 1) / m), and McDiarmid's inequality for the rest, √(ln 20 / 2m).
fn mix_chance(kinds: usize, number: f64) -> f64 {
    const LN_20: f64 = 2.995_732;
    0.5 * (kinds.saturating_sub(1) as f64 / number).sqrt() + (LN_20 / (2.0 * number)).sqrt()
}

/// Half the sum of the differences of the shares of each kind.
pub(crate) fn total_variation(counts: &(impl Iterator<Item = [u64; 2]> + Clone)) -> Option<f64> {
    let total = |side: usize| counts.clone().map(|counts| counts[side]).sum::<u64>();
    let (one, other) = (total(0), total(1));
    let apart = |counts: [u64; 2]| (counts[0] as f64 / one as f64 - counts[1] as f64 / other as f64).abs();
    (one > 0 && other > 0).then(|| counts.clone().map(apart).sum::<f64>() / 2.0)
}

fn users(plan: &Plan) -> Comparison {
    let wanted = plan.multiple.get() * plan.starts.len() as f64;
    let value = (wanted > 0.0).then(|| (plan.users() as f64 / wanted - 1.0).abs());
    // Half a user more or less is rounding.
    Comparison::judged(value, USERS_LIMIT.max(0.5 / wanted.max(1.0)), 0.0)
}

fn captured_gaps_us(plan: &Plan) -> Vec<f64> {
    let mut starts_us: Vec<u64> = plan.starts.by_session().collect();
    starts_us.sort_unstable();
    starts_us.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect()
}

fn think_times_us(session: Outline<'_>, speed: f64) -> Vec<f64> {
    let gaps = session.steps.windows(2).map(|pair| pair[1].offset_us.saturating_sub(pair[0].offset_us));
    gaps.map(|gap_us| scaled(gap_us, speed) as f64).collect()
}

fn duration_us(session: Outline<'_>, speed: f64) -> Vec<f64> {
    session.steps.last().map(|last| scaled(last.offset_us, speed) as f64).into_iter().collect()
}

fn request_count(session: Outline<'_>, _: f64) -> Vec<f64> {
    vec![session.steps.len() as f64]
}

fn body_bytes(session: Outline<'_>, _: f64) -> Vec<f64> {
    session.steps.iter().map(|step| step.body_bytes as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_variation_is_half_the_sum_of_differences() {
        // Shares ½, ½, 0 against ¾, 0, ¼: differences ¼ + ½ + ¼.
        let distance = total_variation(&[[1, 3], [1, 0], [0, 1]].into_iter());
        assert!((distance.unwrap() - 0.5).abs() < 1e-12);
        assert!(total_variation(&[[1, 7], [1, 7]].into_iter()).unwrap().abs() < 1e-12);
        assert_eq!(total_variation(&[[1, 0]].into_iter()), None);
    }

    #[test]
    fn long_sessions_count_as_few() {
        let number = |lengths: &[usize]| {
            let mut effective = Effective::default();
            for length in lengths {
                effective.add(*length, 1);
            }
            effective.number()
        };
        assert!((number(&[3, 3, 3, 3]) - 4.0).abs() < 1e-12);
        assert!(number(&[100, 1, 1, 1]) < 1.1);
    }
}
