//! Samples by hand, and what is said of what they achieved.

use kingtide_common::units::{Multiple, Seed};

use super::captured::PerSession;
use super::compare::level_of;
use super::report::{Achieved, Rhythm};
use super::*;
use crate::measure::recorder::tests::answered;
use crate::measure::{Sample, Upload};
use crate::plan::dispersion::WindowCounts;
use crate::plan::{Mode, amplify};
use crate::sessions::Outlines;

const MS: u64 = 1_000_000;

fn sample(intended_ms: u64, ready_ms: u64, sent_ms: u64) -> Sample {
    let sent_ns = sent_ms * MS;
    Sample {
        intended_ns: intended_ms * MS,
        ready_ns: ready_ms * MS,
        sent_ns: Some(sent_ns),
        body_done_ns: Some(sent_ns + 30 * MS),
        first_byte_ns: Some(sent_ns + 50 * MS),
        ended_ns: sent_ns + 60 * MS,
        upload: Upload { body_bytes: 1_000, ..Upload::default() },
        ..answered(200, false)
    }
}

fn sends(samples: &[Sample]) -> Sends {
    let mut sends = Sends::default();
    for sample in samples {
        sends.scheduled(sample.intended_ns, 30 * MS);
        sends.ended(sample);
    }
    sends.visited(samples.iter().map(Stretch::of));
    sends
}

fn dispersion(samples: &[Sample]) -> Rhythm {
    let sends = sends(samples);
    let series = [&sends.planned, &sends.ready, &sends.sent];
    let span_us = series.map(WindowCounts::span_us).into_iter().min().unwrap();
    let [planned, ready, sent] = series.map(|counts| counts.dispersion(1.0, span_us));
    Rhythm { planned, ready, sent }
}

/// A request each 100 ms over 10 s, of which those of every other second are moved by so much.
fn moved(ready_ms: u64, sent_ms: u64) -> Vec<Sample> {
    let at = |number: u64| {
        let (at_ms, second) = (number * 100, number / 10);
        let moved = u64::from(second.is_multiple_of(2));
        sample(at_ms, at_ms + moved * ready_ms, at_ms + moved * (ready_ms + sent_ms))
    };
    (0..100).map(at).collect()
}

fn achieved(rhythm: Rhythm) -> Achieved {
    Achieved { dispersion: [("1".to_owned(), rhythm)].into(), ..Achieved::default() }
}

#[test]
fn who_changed_the_rhythm_is_told_by_what_the_sends_waited_for() {
    let cases = [
        ("nobody", moved(0, 0), true, true),
        ("a late answer", moved(1_000, 0), true, false),
        ("this generator", moved(0, 1_000), false, false),
    ];
    for (case, samples, is_valid, is_like) in cases {
        let achieved = achieved(dispersion(&samples));
        let valid = validity(&achieved, 100)["pacer_dispersion"].clone();
        let like = likeness(&achieved, 100, false)["sent_dispersion_1s"].clone();
        assert_eq!((valid.pass, like.pass), (is_valid, is_like), "{case}: {achieved:?}");
        assert!(valid.decided && like.decided, "{case}");
    }
    let few = validity(&achieved(dispersion(&moved(0, 1_000))), 29)["pacer_dispersion"].clone();
    assert!(few.pass && !few.decided, "{few:?}");
}

#[test]
fn workers_merge_exactly() {
    let samples = moved(300, 20);
    let (one, other) = samples.split_at(37);
    let mut merged = sends(one);
    merged.merge(&sends(other));
    let whole = sends(&samples);
    assert_eq!([merged.uploads_ns, merged.uploads_planned_ns], [100 * 30 * MS; 2]);
    assert_eq!(merged.uploads_ns, whole.uploads_ns);
    assert_eq!(merged.connections_ns, whole.connections_ns);
    for window_s in crate::plan::dispersion::WINDOWS_S {
        let of = |sends: &Sends| {
            [&sends.planned, &sends.ready, &sends.sent]
                .map(|counts| counts.dispersion(window_s, counts.span_us()))
        };
        assert_eq!(of(&merged), of(&whole), "{window_s} s");
    }
}

#[test]
fn a_connection_is_in_use_from_its_first_request_to_its_last_answer() {
    let mut used = Stretch::default();
    assert_eq!(used.ns(), None);
    used.join(Stretch::of(&Sample { sent_ns: None, ..sample(0, 0, 5) }));
    assert_eq!(used.ns(), None, "what was not sent opened nothing");
    for at_ms in [700, 100, 400] {
        used.join(Stretch::of(&sample(at_ms, at_ms, at_ms)));
    }
    assert_eq!(used.ns(), Some(660 * MS));
    let mut sends = Sends::default();
    sends.visited([used, Stretch::of(&sample(50, 50, 50))]);
    assert_eq!(sends.connections_ns, 720 * MS);
    assert_eq!(sends.sessions.max_ms(), Some(710.0));
}

#[test]
fn uploads_in_flight_are_what_the_capture_has_times_n() {
    let mut captured = PerSession::default();
    (0..60).for_each(|_| captured.add(2_000_000));
    // 60 sessions of 2 s within 60 s: 2 under way at a time, and 10 at 5×, by whatever mode.
    let of = |mode, achieved| {
        let plan = amplify(&Outlines::default(), Multiple::new(5.0).unwrap(), mode, Seed(1));
        Achieved { uploads_in_flight: level_of(&plan, 60.0, &captured, achieved), ..Achieved::default() }
    };
    for mode in [Mode::Crowd, Mode::Volley, Mode::Tempo] {
        let passes = |achieved| likeness(&of(mode, achieved), 100, false)["sent_uploads_in_flight"].pass;
        assert!(passes(11.4) && passes(8.6), "{mode}");
        assert!(
            !passes(11.6) && !passes(2.0),
            "{mode}: as many as captured are a fifth of what five times need"
        );
    }
    let none = likeness(&Achieved::default(), 100, false)["sent_uploads_in_flight"].clone();
    assert!(none.pass && !none.decided);
}

#[test]
fn a_slow_route_does_not_hide_among_quick_ones() {
    let quick =
        Durations { apart: Some(0.02), limit: 0.1, pass: true, decided: true, ..Durations::default() };
    let slow = Durations { apart: Some(0.9), limit: 0.3, pass: false, decided: true, ..Durations::default() };
    let stages = |durations| [("wait".to_owned(), durations)].into();
    let route = |route: &str, durations| RouteStages { route: route.to_owned(), stages: stages(durations) };
    let achieved = Achieved {
        stages: stages(quick),
        route_stages: vec![route("GET /a", quick), route("POST /b", slow)],
        ..Achieved::default()
    };
    let gates = likeness(&achieved, 100, true);
    assert!(!gates["stage_wait"].pass && gates["stage_wait"].meaning.ends_with("at POST /b, at most"));
    let cautions = cautions(&gates, 0.0);
    assert!(cautions.len() == 1 && cautions[0].contains("stage_wait: 0.9"), "{cautions:?}");
    let at_5 = likeness(&achieved, 100, false);
    for of_answers in ["stage_wait", "sent_connections_open", "sent_session_duration"] {
        assert!(gates.contains_key(of_answers) && !at_5.contains_key(of_answers), "{of_answers}: only at 1×");
    }
}
