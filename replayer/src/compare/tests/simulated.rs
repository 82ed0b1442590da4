//! Runs against a simulated service, whose truth is known: so many slots with a queue before them, and times that vary.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kingtide_common::units::Seed;

use super::super::runs::Run;
use super::super::samples::Samples;
use crate::measure::Sample;
use crate::measure::recorder::tests::answered;
use crate::measure::run::{RouteReport, RunReport, Second};
use crate::plan::random::Draws;
use crate::report::tests as reports;

const NS_PER_S: f64 = 1e9;
pub(super) const ROUTES: [&str; 2] = ["POST /upload", "GET /me"];

/// What is sent, and what it costs.
#[derive(Debug, Clone, Copy)]
struct Planned {
    at_s: f64,
    route: usize,
    work_s: f64,
}

/// A service and the load on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) length_s: u32,
    /// Sessions of five requests, with a second between them.
    pub(super) sessions_per_s: f64,
    pub(super) slots: usize,
    /// How many times as long everything takes.
    pub(super) slowness: f64,
    pub(super) failed_share: f64,
}

impl Scene {
    /// A service that is half busy.
    pub(super) const USUAL: Self =
        Self { length_s: 300, sessions_per_s: 2.4, slots: 6, slowness: 1.0, failed_share: 0.0 };

    /// The plan of one seed, and how it went by the luck of another.
    pub(super) fn run(&self, plan: u64, luck: u64) -> Run {
        let planned = self.planned(plan);
        let samples = self.samples(&planned, luck);
        let mut found = Samples::default();
        for (planned, sample) in planned.iter().zip(&samples) {
            found.add(ROUTES[planned.route], sample);
        }
        Run { report: self.report(plan, &planned, &samples), samples: Some(found) }
    }

    fn planned(&self, seed: u64) -> Vec<Planned> {
        let mut draws = Draws::new(Seed(seed), 1);
        let length_s = f64::from(self.length_s);
        let sessions = (0..).take_while(|session| f64::from(*session) < length_s * self.sessions_per_s);
        let mut planned = Vec::new();
        for _ in sessions {
            let mut at_s = draws.unit() * length_s;
            for step in 0..5 {
                let is_upload = step == 2;
                // Uploads of several sizes.
                let work_s = if is_upload { 0.6 * (0.5 + draws.unit()) } else { 0.15 };
                planned.push(Planned { at_s, route: usize::from(!is_upload), work_s });
                at_s += -(1.0 - draws.unit()).ln();
            }
        }
        planned.retain(|planned| planned.at_s < length_s);
        planned.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        planned
    }

    /// First come, first served.
    fn samples(&self, planned: &[Planned], luck: u64) -> Vec<Sample> {
        let mut draws = Draws::new(Seed(luck), 2);
        let mut free: BinaryHeap<Reverse<u64>> = (0..self.slots).map(|_| Reverse(0)).collect();
        let mut sample = |planned: &Planned| {
            let intended_ns = ns(planned.at_s);
            let Reverse(free_ns) = free.pop().expect("there is a slot");
            let takes_s = planned.work_s * self.slowness * (0.15 * draws.normal()).exp();
            let ended_ns = free_ns.max(intended_ns) + ns(takes_s);
            free.push(Reverse(ended_ns));
            let (sent_ns, body_done_ns) = (Some(intended_ns), Some(intended_ns));
            let first_byte_ns = Some(ended_ns);
            let is_failed = draws.unit() < self.failed_share;
            Sample { intended_ns, sent_ns, body_done_ns, first_byte_ns, ended_ns, ..answered(200, is_failed) }
        };
        planned.iter().map(&mut sample).collect()
    }

    fn report(&self, seed: u64, planned: &[Planned], samples: &[Sample]) -> RunReport {
        let count = planned.len() as u64;
        let second = |at_s| Second { at_s, ..Second::default() };
        let mut series: Vec<Second> = (0..u64::from(self.length_s)).map(second).collect();
        let mut count_in = |at_ns: u64, count: fn(&mut Second)| {
            let second = usize::try_from(at_ns / 1_000_000_000).ok().and_then(|at| series.get_mut(at));
            if let Some(second) = second {
                count(second);
            }
        };
        for sample in samples {
            count_in(sample.intended_ns, |second| {
                second.planned += 1;
                second.sent += 1;
            });
            count_in(sample.ended_ns, |second| second.done += 1);
        }
        let route = |(at, route): (usize, &&str)| RouteReport {
            route: (*route).to_owned(),
            planned: planned.iter().filter(|planned| planned.route == at).count() as u64,
            ..RouteReport::default()
        };
        RunReport {
            seed,
            planned: count,
            sent: count,
            done: count,
            routes: ROUTES.iter().enumerate().map(route).collect(),
            series,
            ..reports::run(1.0, 1.0)
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and within days")]
fn ns(seconds: f64) -> u64 {
    (seconds * NS_PER_S) as u64
}
