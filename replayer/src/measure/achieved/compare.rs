//! Both sides together.

use std::collections::BTreeMap;

use kingtide_common::latency::LatencyRecorder;

use super::captured::{Captured, PerSession};
use super::report::{Achieved, Durations, Level, Rhythm};
use super::stages;
use crate::measure::recorder::Recorder;
use crate::measure::route::Routes;
use crate::plan::dispersion::{WINDOWS_S, label};
use crate::plan::{Fidelity, Mode, Plan, total_variation};
use crate::sessions::Session;

/// As of the plan's shapes, but what the target's pace moves is in here too.
const SHAPE_LIMIT: f64 = 0.1;
const LEVEL_LIMIT: f64 = 0.15;

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    pub plan: &'a Plan,
    pub sessions: &'a [Session],
    pub fidelity: &'a Fidelity,
    /// The routes that the recorder's are numbered by.
    pub routes: &'a Routes,
    pub recorder: &'a Recorder,
}

/// See [`super`].
pub fn compare(sides: &Sides<'_>) -> Achieved {
    let Sides { plan, sessions, routes, recorder, .. } = *sides;
    let captured = Captured::of(sessions, plan, routes);
    let sends = &recorder.sends;
    let mixes = captured.routes.iter().zip(&recorder.routes).map(|(seen, done)| [seen.requests, done.sent]);
    Achieved {
        dispersion: rhythms(sides),
        uploads_in_flight: Level {
            planned: Some(per_second(sends.uploads_planned_ns, sends.planned.span_us())),
            ..level(sides, &captured, &captured.uploads, sends.uploads_ns)
        },
        connections_open: level(sides, &captured, &captured.connections, sends.connections_ns),
        session_duration_ms: shape(&captured.sessions, &sends.sessions, plan, sessions),
        think_time_ms: shape(&captured.think, &sends.think, plan, sessions),
        route_mix: total_variation(&mixes),
        route_mix_limit: sides.fidelity.shapes.route_mix.limit,
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
    let plan = sides.plan;
    let users = if plan.mode == Mode::Tempo { 1.0 } else { plan.multiple.get() };
    let at_speed = if captured.span_s > 0.0 { of_capture.sum_s / captured.span_s } else { 0.0 };
    let chance = if plan.is_drawn() { of_capture.chance(plan.users() as f64) } else { 0.0 };
    Level {
        captured: at_speed / plan.speed(),
        expected: users * at_speed,
        planned: None,
        achieved: per_second(achieved_ns, sides.recorder.sends.sent.span_us()),
        limit: LEVEL_LIMIT.max(chance),
    }
}

/// 0 over no time.
fn per_second(sum_ns: u64, span_us: u64) -> f64 {
    if span_us > 0 { sum_ns as f64 / (span_us as f64 * 1e3) } else { 0.0 }
}

/// Values of one session come together, so that chance counts sessions, as in [`crate::plan::fidelity`].
fn shape(
    captured: &LatencyRecorder,
    achieved: &LatencyRecorder,
    plan: &Plan,
    sessions: &[Session],
) -> Durations {
    let (n, m) = (sessions.len() as f64, plan.users() as f64);
    let chance = if plan.is_drawn() { 1.358 * ((n + m) / (n * m)).sqrt() } else { 0.0 };
    stages::durations(captured, achieved, SHAPE_LIMIT, chance)
}
