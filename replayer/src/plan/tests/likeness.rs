//! What the checks say of each mode, on captures whose law is known.

use super::*;

/// An hour of a school, two to three thousand sessions.
fn hour() -> Outlines {
    let sessions = school(1.0, 1.0, 1);
    assert!(sessions.len() > 2000, "{}", sessions.len());
    sessions
}

fn compared(sessions: &Outlines, times: f64, mode: Mode) -> Fidelity {
    let plan = amplify(sessions, multiple(times), mode, Seed(1));
    let fidelity = fidelity(&plan, sessions);
    eprintln!("{times}× {mode}, h = {} s", plan.shift_s);
    for check in &fidelity.dispersion {
        let DispersionCheck { window_s, captured, target, planned, deviation, limit, .. } = check;
        let verdict = (check.pass, check.decided);
        eprintln!(
            "  I({window_s} s) {captured:.2?} {target:.2?} {planned:.2?} {deviation:.3?} ≤ {limit:.3} {verdict:?}"
        );
    }
    for (name, shape) in fidelity.shapes.by_name() {
        eprintln!("  {name} {:.4?} ≤ {:.3} {:?}", shape.value, shape.limit, (shape.pass, shape.decided));
    }
    fidelity
}

/// Names of the checks that fail.
fn failing(fidelity: &Fidelity) -> Vec<String> {
    let windows = fidelity.dispersion.iter().filter(|check| !check.pass);
    let shapes = fidelity.shapes.by_name().into_iter().filter(|(_, shape)| !shape.pass);
    let windows = windows.map(|check| dispersion::label(check.window_s));
    windows.chain(shapes.map(|(name, _)| name.to_owned())).collect()
}

#[test]
fn a_crowd_has_the_bursts_of_2_5_and_10_times_the_users() {
    let sessions = hour();
    for times in [2.0, 5.0, 10.0] {
        let fidelity = compared(&sessions, times, Mode::Crowd);
        assert_eq!(fidelity.dispersion.iter().map(|check| check.window_s).collect::<Vec<_>>(), WINDOWS_S);
        assert_eq!(failing(&fidelity), [""; 0], "{times}×");
        let decided = fidelity.dispersion.iter().filter(|check| check.decided).count();
        assert!(decided >= 3, "an hour tells: {:?}", fidelity.dispersion);
        assert!(fidelity.shapes.by_name().iter().all(|(_, shape)| shape.decided), "{:?}", fidelity.shapes);
    }
}

#[test]
fn time_compression_is_caught_at_2_5_and_10_times() {
    let sessions = hour();
    for times in [2.0, 5.0, 10.0] {
        let fidelity = compared(&sessions, times, Mode::Tempo);
        let failing = failing(&fidelity);
        for caught in ["users", "think_time", "session_duration"] {
            assert!(failing.iter().any(|name| name == caught), "{times}×: {failing:?}");
        }
        // At 2× it may pass: where bursts last long, twice as many requests in half the time are as bursty as
        // those of twice the users.
        let is_told = times < 5.0 || fidelity.dispersion.iter().any(|check| !check.pass);
        assert!(is_told, "{times}×: {failing:?}");
        // All gaps are shorter by N, as those of N times the users are: this one cannot tell.
        assert!(fidelity.shapes.inter_arrival.pass);
    }
}

#[test]
fn a_window_that_the_plan_is_too_short_for_fails_with_the_reason() {
    let sessions = school(1.0, 0.1, 1);
    let fidelity = compared(&sessions, 10.0, Mode::Tempo);
    let [.., minute] = fidelity.dispersion.as_slice() else { panic!("no windows") };
    assert_eq!(
        (minute.target.is_some(), minute.planned, minute.pass, minute.decided),
        (true, None, false, true)
    );
    let reason = minute.reason.as_deref().unwrap();
    assert!(reason.starts_with("the plan lasts 3") && reason.contains("three windows of 60 s"), "{reason}");
}

#[test]
fn a_window_that_the_capture_is_too_short_for_tells_nothing() {
    let sessions = school(1.0, 0.02, 1);
    let fidelity = compared(&sessions, 5.0, Mode::Crowd);
    let [.., minute] = fidelity.dispersion.as_slice() else { panic!("no windows") };
    assert_eq!((minute.target, minute.pass, minute.decided), (None, true, false));
    assert!(minute.reason.as_deref().unwrap().contains("the capture is too short"));
}

#[test]
fn a_steady_stream_has_no_bursts_and_is_caught() {
    let failing = failing(&compared(&hour(), 5.0, Mode::Steady));
    for caught in ["1", "10", "60", "inter_arrival"] {
        assert!(failing.iter().any(|name| name == caught), "{failing:?}");
    }
}

#[test]
fn aligned_copies_are_caught() {
    let failing = failing(&compared(&hour(), 5.0, Mode::Volley));
    for caught in ["0.1", "inter_arrival"] {
        assert!(failing.iter().any(|name| name == caught), "{failing:?}");
    }
}

#[test]
fn a_small_captures_own_noise_fails_one_check_in_twenty_at_most() {
    const CAPTURES: usize = 20;
    let (mut checks, mut failed) = (0, Vec::new());
    for seed in 1..=CAPTURES as u64 {
        let mut sessions = school(1.0, 0.025, seed);
        sessions.reorder(&(0..sessions.len().min(45)).collect::<Vec<_>>());
        let fidelity = compared(&sessions, 5.0, Mode::Crowd);
        checks += fidelity.dispersion.iter().filter(|check| check.target.is_some()).count();
        checks += fidelity.shapes.by_name().len();
        failed.extend(failing(&fidelity));
    }
    assert!(failed.len() * 20 <= checks, "{failed:?} of {checks}");
}

#[test]
fn a_width_that_nothing_was_fitted_to_is_named() {
    let sessions: Outlines = [session(0, &[0]), session(100_000, &[0])].into_iter().collect();
    let plan = at_5x(&sessions, Mode::Crowd);
    let cautions = fidelity(&plan, &sessions).cautions(&plan);
    assert!(cautions[0].contains("shifted by 0.1 s, fitted to nothing"), "{cautions:?}");
    let hour = hour();
    let plan = at_5x(&hour, Mode::Crowd);
    assert!(fidelity(&plan, &hour).cautions(&plan).is_empty());
}
