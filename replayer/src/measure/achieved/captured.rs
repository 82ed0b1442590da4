//! The captured side of it: the same quantities from the recorded exchanges.

use kingtide_common::latency::LatencyRecorder;

use super::stages::SeenStage;
use crate::drive::{LanePlan, Protocols, anchors};
use crate::measure::route::Routes;
use crate::sessions::{Outline, Outlines, Session};
use crate::store::{Store, StoreError};

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// From the first request to the last.
    pub(super) span_s: f64,
    pub(super) uploads: PerSession,
    pub(super) sessions: LatencyRecorder,
    pub(super) think: LatencyRecorder,
    /// By route, numbered as those of the run.
    pub(super) routes: Vec<RouteSeen>,
}

/// Of one route.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteSeen {
    pub(super) requests: u64,
    /// One for each of [`SeenStage::ALL`].
    pub(super) stages: [LatencyRecorder; SeenStage::ALL.len()],
}

/// What sessions add to a sum of seconds, and how unequally.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PerSession {
    pub(super) sum_s: f64,
    squares: f64,
    sessions: f64,
}

impl PerSession {
    pub(super) fn add(&mut self, us: u64) {
        let seconds = us as f64 / 1e6;
        self.sum_s += seconds;
        self.squares += seconds * seconds;
        self.sessions += 1.0;
    }

    /// By what share the sum over so many sessions, drawn at random, misses the expected one in at most 5 % of cases.
    pub(super) fn chance(&self, drawn: f64) -> f64 {
        let mean = self.sum_s / self.sessions.max(1.0);
        let variance = (self.squares / self.sessions.max(1.0) - mean * mean).max(0.0);
        if mean > 0.0 && drawn > 0.0 { 1.96 * variance.sqrt() / (mean * drawn.sqrt()) } else { 0.0 }
    }
}

impl Captured {
    /// Goes through all sessions once.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let outlines = store.outlines();
        let routes = Routes::of(outlines);
        let labels = routes.labels().len();
        let mut captured = Self { routes: vec![RouteSeen::default(); labels], ..Self::default() };
        let first_ns = outlines.iter().map(|session| session.start_ns).min().unwrap_or_default();
        for (session, whole) in outlines.iter().zip(store.sessions()) {
            captured.count_session(session);
            captured.count_routes(session, &whole?, &routes);
            let start_us = session.start_ns.abs_diff(first_ns) / 1_000;
            let last_us = session.steps.last().map_or(0, |step| start_us.saturating_add(step.offset_us));
            captured.span_s = captured.span_s.max(last_us as f64 / 1e6);
        }
        Ok(captured)
    }

    fn count_session(&mut self, session: Outline<'_>) {
        let steps = session.steps.iter();
        let whole = steps.map(|step| (step.offset_us, step.end_us())).reduce(joined);
        self.sessions.record_ns(1_000 * whole.map_or(0, length));
        // As the plan has them, with those that their clients broke off.
        self.uploads.add(session.steps.iter().map(|step| step.upload_us).sum());
        for (step, anchor) in session
            .steps
            .iter()
            .zip(anchors(session.steps.iter().map(|step| (step.offset_us, step.end_us()))))
        {
            let thought_us =
                anchor.map(|anchor| step.offset_us.saturating_sub(session.steps[anchor].end_us()));
            if let Some(us) = thought_us {
                self.think.record_ns(1_000 * us);
            }
        }
    }

    fn count_routes(&mut self, outline: Outline<'_>, session: &Session, routes: &Routes) {
        for (outline, step) in outline.steps.iter().zip(&session.steps) {
            let route = &mut self.routes[routes.of_template(outline.route)];
            route.requests += 1;
            for (stage, recorder) in SeenStage::ALL.into_iter().zip(&mut route.stages) {
                stage.captured_us(&step.exchange).into_iter().for_each(|us| recorder.record_ns(1_000 * us));
            }
        }
    }
}

/// How long each connection of a session was in use, as [`super::Stretch`] has it: by those that the run needed, so that
/// like is held against like.
pub(super) fn connections(sessions: &Outlines, protocols: Protocols) -> PerSession {
    let mut used = PerSession::default();
    for session in sessions.iter() {
        let stretch = |step: &usize| (session.steps[*step].offset_us, session.steps[*step].end_us());
        let of_lane = |lane: LanePlan| lane.steps.iter().map(stretch).reduce(joined);
        used.add(protocols.outlined_lanes(session).into_iter().filter_map(of_lane).map(length).sum());
    }
    used
}

fn joined(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0.min(other.0), one.1.max(other.1))
}

fn length((from, to): (u64, u64)) -> u64 {
    to - from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_few_unequal_sessions_are_left_to_chance() {
        let mut uploads = PerSession::default();
        uploads.add(1_000_000);
        uploads.add(3_000_000);
        // Mean 2 s, standard deviation 1 s: of 100 draws the sum has one of 5 %.
        assert!((uploads.chance(100.0) - 0.098).abs() < 1e-12);
        assert!(PerSession::default().chance(100.0).abs() < 1e-12);
    }
}
