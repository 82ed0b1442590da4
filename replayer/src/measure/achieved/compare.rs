//! Both sides together.

use std::collections::BTreeMap;

use kingtide_common::latency::LatencyRecorder;

use super::captured::{Captured, PerSession, connections};
use super::report::{Achieved, Durations, Level, Rhythm};
use super::stages;
use crate::drive::Protocols;
use crate::measure::recorder::Recorder;
use crate::measure::route::Routes;
use crate::plan::dispersion::{WINDOWS_S, label};
use crate::plan::{Comparison, Fidelity, Plan, total_variation};
use crate::sessions::Outlines;

/// As of the plan's shapes, but what the target's pace moves is in here too.
const SHAPE_LIMIT: f64 = 0.1;
const LEVEL_LIMIT: f64 = 0.15;

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    pub plan: &'a Plan,
    pub captured: &'a Captured,
    pub outlines: &'a Outlines,
    pub fidelity: &'a Fidelity,
    /// The routes that the recorder's are numbered by.
    pub routes: &'a Routes,
    pub recorder: &'a Recorder,
    /// By which the captured connections are counted as those of the run.
    pub protocols: Protocols,
}

/// See [`super`].
pub fn compare(sides: &Sides<'_>) -> Achieved {
    let Sides { captured, outlines, routes, recorder, protocols, .. } = *sides;
    let shapes = &sides.fidelity.shapes;
    let connections = connections(outlines, protocols);
    let sends = &recorder.sends;
    let mixes = captured.routes.iter().zip(&recorder.routes).map(|(seen, done)| [seen.requests, done.sent]);
    Achieved {
        dispersion: rhythms(sides),
        uploads_in_flight: Level {
            planned: Some(per_second(sends.uploads_planned_ns, sends.planned.span_us())),
            ..level(sides, captured, &captured.uploads, sends.uploads_ns)
        },
        connections_open: level(sides, captured, &connections, sends.connections_ns),
        session_duration_ms: shape(&captured.sessions, &sends.sessions, shapes.session_duration),
        think_time_ms: shape(&captured.think, &sends.think, shapes.think_time),
        route_mix: total_variation(&mixes),
        route_mix_limit: shapes.route_mix.limit,
        stages: stages::of_all(&captured.routes, &recorder.routes),
        route_stages: stages::of_routes(routes.labels(), &captured.routes, &recorder.routes),
    }
}

fn rhythms(sides: &Sides<'_>) -> BTreeMap<String, Rhythm> {
    WINDOWS_S.into_iter().map(|window_s| (label(window_s), rhythm(window_s, sides.recorder))).collect()
}

/// Over the time that all three cover: a last window that one of them has alone would tell of the end of the run, not
/// of its rhythm.
fn rhythm(window_s: f64, recorder: &Recorder) -> Rhythm {
    let sends = &recorder.sends;
    let series = [&sends.planned, &sends.ready, &sends.sent];
    let span_us = series.iter().map(|counts| counts.span_us()).min().unwrap_or_default();
    let [planned, ready, sent] = series.map(|counts| counts.dispersion(window_s, span_us));
    Rhythm { planned, ready, sent }
}

/// Little's law, L = λW: the mean number under way is the sum of their durations over the time.
fn level(sides: &Sides<'_>, captured: &Captured, of_capture: &PerSession, achieved_ns: u64) -> Level {
    let achieved = per_second(achieved_ns, sides.recorder.sends.sent.span_us());
    level_of(sides.plan, captured.span_s, of_capture, achieved)
}

/// Of N times the users, however the plan makes them.
pub(super) fn level_of(plan: &Plan, span_s: f64, of_capture: &PerSession, achieved: f64) -> Level {
    let captured = if span_s > 0.0 { of_capture.sum_s / span_s } else { 0.0 };
    let expected = plan.multiple.get() * captured;
    let deviation = (expected > 0.0).then(|| (achieved / expected - 1.0).abs());
    let chance = if plan.is_drawn() { of_capture.chance(plan.users() as f64) } else { 0.0 };
    let Comparison { limit, pass, decided, .. } = Comparison::judged(deviation, LEVEL_LIMIT, chance);
    Level { captured, expected, planned: None, achieved, deviation, limit, pass, decided }
}

/// 0 over no time.
fn per_second(sum_ns: u64, span_us: u64) -> f64 {
    if span_us > 0 { sum_ns as f64 / (span_us as f64 * 1e3) } else { 0.0 }
}

/// Chance has drawn what was planned: it is the plan's.
fn shape(captured: &LatencyRecorder, achieved: &LatencyRecorder, planned: Comparison) -> Durations {
    stages::durations(captured, achieved, SHAPE_LIMIT, planned.limit)
}
