//! The stages of the exchanges as the client sees them, beside those that the proxy recorded.
//!
//! | here      | captured at the proxy                           | replayed, at the client's socket      |
//! |-----------|-------------------------------------------------|---------------------------------------|
//! | `send`    | headers complete → last body byte received      | first → last byte of the request      |
//! | `wait`    | last body byte → response headers complete      | last byte sent → first byte of answer |
//! | `receive` | response headers → last byte handed to client   | first → last byte of the answer       |
//! | `total`   | first byte of the request → exchange over       | first byte sent → last byte of answer |
//!
//! They differ by nature in three ways. Captured clients were far away: what their connect and the way of their
//! first byte took is in neither, but a slow reader stretched the captured `receive`. A replay sits beside its target:
//! its `wait` holds the way there and back. And when both go through the same proxy, its share is in both.
//!
//! At 1× against the same backend the stages should be alike; at N times the users their change is the answer to what
//! that load does. So only at 1× they are gates, and there a caution: another backend is not the generator's fault.

use std::collections::BTreeMap;

use kingtide_common::exchange::{Ending, Exchange};
use kingtide_common::latency::{LatencyRecorder, Slack};
use kingtide_common::stages::Stage;

use super::ALIKE;
use super::captured::RouteSeen;
use super::report::{Durations, RouteStages};
use crate::measure::ClientStage;
use crate::measure::recorder::RouteCounts;
use crate::plan::Comparison;

/// Below this a route says nothing about a distribution.
const SAMPLES_MIN: u64 = 30;
const LIMIT: f64 = 0.1;

/// A stage that both sides see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeenStage {
    Send,
    Wait,
    Receive,
    Total,
}

impl SeenStage {
    pub(super) const ALL: [Self; 4] = [Self::Send, Self::Wait, Self::Receive, Self::Total];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Receive => "receive",
            Self::Total => "total",
        }
    }

    /// Of an exchange that got its whole answer.
    pub(super) fn captured_us(self, exchange: &Exchange) -> Option<u64> {
        let instants = &exchange.instants;
        let handed_over = instants.client_send_last_us.or(instants.response_last_us);
        let between = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?));
        let duration_us = match self {
            Self::Send => instants.stage_us(Stage::RequestBody),
            Self::Wait => between(instants.body_done_us, instants.response_head_us),
            Self::Receive => between(instants.response_head_us, handed_over),
            Self::Total => instants.stage_us(Stage::Total),
        };
        duration_us.filter(|_| exchange.ending == Ending::Complete)
    }

    fn achieved(self, counts: &RouteCounts) -> &LatencyRecorder {
        match self {
            Self::Send => counts.stages.of(ClientStage::Send),
            Self::Wait => counts.stages.of(ClientStage::Wait),
            Self::Receive => counts.stages.of(ClientStage::Receive),
            Self::Total => &counts.service,
        }
    }
}

/// Stages in the order in which exchanges pass through them.
pub fn in_order(stages: &BTreeMap<String, Durations>) -> impl Iterator<Item = (&'static str, &Durations)> {
    SeenStage::ALL.into_iter().filter_map(|stage| Some((stage.name(), stages.get(stage.name())?)))
}

/// Over all routes, by stage.
pub(super) fn of_all(captured: &[RouteSeen], achieved: &[RouteCounts]) -> BTreeMap<String, Durations> {
    let of_stage = |stage: SeenStage| {
        let (mut seen, mut done) = (LatencyRecorder::default(), LatencyRecorder::default());
        for (of_capture, of_run) in captured.iter().zip(achieved) {
            seen.merge(&of_capture.stages[stage as usize]);
            done.merge(stage.achieved(of_run));
        }
        (stage.name().to_owned(), compared(&seen, &done, comparisons(stage, captured, achieved)))
    };
    SeenStage::ALL.map(of_stage).into()
}

/// Of each route.
pub(super) fn of_routes(
    labels: &[String],
    captured: &[RouteSeen],
    achieved: &[RouteCounts],
) -> Vec<RouteStages> {
    let of_route = |((label, seen), done): ((&String, &RouteSeen), &RouteCounts)| RouteStages {
        route: label.clone(),
        stages: SeenStage::ALL
            .map(|stage| {
                let comparisons = comparisons(stage, captured, achieved);
                let (seen, done) = (&seen.stages[stage as usize], stage.achieved(done));
                (stage.name().to_owned(), compared(seen, done, comparisons))
            })
            .into(),
    };
    labels.iter().zip(captured).zip(achieved).map(of_route).collect()
}

/// How often chance gets to fail a stage: once for each route with enough samples, once over all.
fn comparisons(stage: SeenStage, captured: &[RouteSeen], achieved: &[RouteCounts]) -> usize {
    let routes = captured.iter().zip(achieved);
    1 + routes.filter(|(seen, done)| suffices(&seen.stages[stage as usize], stage.achieved(done))).count()
}

fn suffices(captured: &LatencyRecorder, achieved: &LatencyRecorder) -> bool {
    captured.count().min(achieved.count()) >= SAMPLES_MIN
}

fn compared(captured: &LatencyRecorder, achieved: &LatencyRecorder, comparisons: usize) -> Durations {
    let (n, m) = (captured.count() as f64, achieved.count() as f64);
    let durations = durations(captured, achieved, LIMIT, critical(comparisons) * ((n + m) / (n * m)).sqrt());
    if suffices(captured, achieved) {
        durations
    } else {
        Durations { pass: true, decided: false, ..durations }
    }
}

/// What √(nm / (n + m)) times the distance of two samples exceeds by chance in 5 % of cases, of so many comparisons
/// together (Smirnov's limit law, Bonferroni). 1.358 for one. Both sides are the same requests here, so that chance
/// moves them less than two samples.
fn critical(comparisons: usize) -> f64 {
    (-0.5 * (0.025 / comparisons as f64).ln()).sqrt()
}

/// Both distributions, and whether they are alike: `limit` and `chance` as in [`Comparison`].
pub(super) fn durations(
    captured: &LatencyRecorder,
    achieved: &LatencyRecorder,
    limit: f64,
    chance: f64,
) -> Durations {
    let apart = captured.distance(achieved, ALIKE);
    let chance = if chance.is_finite() { chance } else { 1.0 };
    let Comparison { limit, pass, decided, .. } = Comparison::judged(apart, limit, chance.min(1.0));
    Durations {
        count_captured: captured.count(),
        count_achieved: achieved.count(),
        p50_captured: captured.quantile_ms(0.5),
        p50_achieved: achieved.quantile_ms(0.5),
        p95_captured: captured.quantile_ms(0.95),
        p95_achieved: achieved.quantile_ms(0.95),
        ks: captured.distance(achieved, Slack::NONE),
        apart,
        limit,
        pass,
        decided,
    }
}

#[cfg(test)]
mod tests {
    use kingtide_common::stages::Instants;

    use super::*;

    #[test]
    fn captured_stages_are_those_that_a_client_sees() {
        let instants = Instants {
            head_done_us: Some(100),
            body_done_us: Some(5_100),
            response_head_us: Some(25_100),
            response_last_us: Some(25_200),
            client_send_last_us: Some(25_400),
            done_us: Some(25_500),
            ..Instants::default()
        };
        let exchange = Exchange { instants, ending: Ending::Complete, ..Exchange::default() };
        let stages = SeenStage::ALL.map(|stage| stage.captured_us(&exchange));
        assert_eq!(stages, [5_000, 20_000, 300, 25_500].map(Some));
        let broken = Exchange { ending: Ending::ClientAbort, ..exchange };
        assert_eq!(SeenStage::ALL.map(|stage| stage.captured_us(&broken)), [None; 4]);
    }

    #[test]
    fn the_more_routes_the_more_chance_is_allowed() {
        assert!((critical(1) - 1.358).abs() < 1e-3);
        assert!(critical(6) > 1.65 && critical(6) < 1.70);
    }

    fn constant(ms: u64, count: u64) -> LatencyRecorder {
        let mut recorder = LatencyRecorder::default();
        (0..count).for_each(|_| recorder.record_ns(ms * 1_000_000));
        recorder
    }

    #[test]
    fn a_stage_is_alike_or_not_or_nobody_can_tell() {
        let cases = [
            ("half a millisecond more is nothing", (20, 40), (21, 40), true, true),
            ("twice as long", (20, 40), (40, 40), false, true),
            ("twice as long, too few", (20, 40), (40, 29), true, false),
            ("nothing captured", (20, 0), (40, 40), true, false),
        ];
        for (case, captured, achieved, pass, decided) in cases {
            let stage = compared(&constant(captured.0, captured.1), &constant(achieved.0, achieved.1), 1);
            assert_eq!((stage.pass, stage.decided), (pass, decided), "{case}: {stage:?}");
        }
    }
}
