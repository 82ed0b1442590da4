//! Comparisons of runs whose truth is known, and of files by hand.

mod capacities;
mod series;
mod simulated;

use std::path::PathBuf;

use self::simulated::{ROUTES, Scene};
use super::input::{Input, Result};
use super::runs::Run;
use super::*;

const RELEVANT: Relevant = Relevant { share: 0.05, failed_share: 0.01 };
const PAIRS: u64 = 200;

fn input(name: &str, run: Run) -> Input {
    Input::new(PathBuf::from(name), Result::Run(Box::new(run)))
}

fn compared(a: Run, b: Run) -> Comparison {
    Comparison::of(&input("runs/before", a), &input("runs/after", b), RELEVANT, false)
}

fn figure<'a>(comparison: &'a Comparison, route: Option<&str>, name: &str) -> &'a FigureReport {
    let is_it = |figure: &&FigureReport| figure.route.as_deref() == route && figure.figure == name;
    comparison.figures.iter().find(is_it).unwrap()
}

/// How many of these many pairs are called what.
fn verdicts(pairs: u64, pair: impl Fn(u64) -> (Run, Run)) -> impl Fn(Verdict) -> u64 {
    let all: Vec<Verdict> = (0..pairs)
        .map(|at| {
            let (a, b) = pair(at);
            compared(a, b).verdict
        })
        .collect();
    move |verdict| all.iter().filter(|of_one| **of_one == verdict).count() as u64
}

/// At most 5 % are allowed; that 200 of such pairs show more than 18 has a chance of 1 %.
const FALSE_ALARMS_MAX: u64 = 18;

#[test]
fn like_runs_of_one_plan_are_no_different() {
    let count = verdicts(PAIRS, |at| (Scene::USUAL.run(at, 2 * at), Scene::USUAL.run(at, 2 * at + 1)));
    assert!(count(Verdict::Worse) + count(Verdict::Better) <= FALSE_ALARMS_MAX, "{}", told(&count));
    // The others are too short to tell.
    assert!(count(Verdict::NoDifference) >= PAIRS / 10 * 8, "{}", told(&count));
}

/// Half busy to 90 %, where what is in flight comes and goes in spells of half a minute.
#[test]
fn like_runs_of_two_plans_are_not_called_worse() {
    let scene = |at: u64| Scene {
        sessions_per_s: [2.4, 3.8, 4.5][usize::try_from(at % 3).unwrap()],
        length_s: 120,
        ..Scene::USUAL
    };
    let count = verdicts(PAIRS, |at| (scene(at).run(2 * at, 2 * at), scene(at).run(2 * at + 1, 2 * at + 1)));
    assert!(count(Verdict::Worse) + count(Verdict::Better) <= FALSE_ALARMS_MAX, "{}", told(&count));
}

#[test]
fn a_service_a_fifth_slower_is_found() {
    let slower = Scene { slowness: 1.2, ..Scene::USUAL };
    let count = verdicts(20, |at| (Scene::USUAL.run(at, 2 * at), slower.run(at, 2 * at + 1)));
    assert!(count(Verdict::Worse) >= 19, "{}", told(&count));
    let count = verdicts(20, |at| (slower.run(at, 2 * at), Scene::USUAL.run(at, 2 * at + 1)));
    assert!(count(Verdict::Better) >= 19, "{}", told(&count));
}

fn told(count: &impl Fn(Verdict) -> u64) -> String {
    let all = [Verdict::Worse, Verdict::Better, Verdict::NoDifference, Verdict::CannotTell];
    all.map(|verdict| format!("{} {}", count(verdict), text::name(verdict))).join(", ")
}

#[test]
fn failures_are_found_where_times_are_the_same() {
    let failing = Scene { failed_share: 0.04, ..Scene::USUAL };
    let comparison = compared(Scene::USUAL.run(1, 1), failing.run(1, 2));
    assert_eq!(comparison.verdict, Verdict::Worse, "{}", text::render(&comparison));
    let failed = figure(&comparison, None, "failed_share");
    assert!(failed.decides && failed.verdict == Verdict::Worse, "{failed:?}");
    assert!((0.025..0.055).contains(&failed.change.unwrap()), "{failed:?}");
    assert_eq!(failed.a.value.to_bits(), 0.0_f64.to_bits());
    assert!(failed.a.high.unwrap() > 0.0, "none seen is not none there");
}

#[test]
fn the_figures_are_those_of_the_samples() {
    let (a, b) = (Scene::USUAL.run(3, 1), Scene { slowness: 1.5, ..Scene::USUAL }.run(3, 2));
    let seconds = a.samples.as_ref().unwrap().seconds;
    assert_eq!(seconds, 300);
    let comparison = compared(a, b);
    assert!(comparison.is_same_plan);
    let p50 = figure(&comparison, Some(ROUTES[1]), "latency_ms_p50");
    assert!((140.0..220.0).contains(&p50.a.value) && !p50.decides, "{p50:?}");
    let wait = figure(&comparison, None, "wait_ms_p95");
    assert!(wait.change.unwrap() > 0.3 && wait.verdict == Verdict::Worse, "{wait:?}");
    let told = text::render(&comparison);
    for part in ["WORSE: B (runs/after) against A (runs/before)", "POST /upload latency p95 *", "* decides"] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}

#[test]
fn a_run_is_no_different_from_itself() {
    let run = Scene::USUAL.run(5, 5);
    let comparison = compared(run.clone(), run);
    assert_eq!(comparison.verdict, Verdict::NoDifference, "{}", text::render(&comparison));
    // What took 0 ms to receive has no ratio.
    let is_none = |figure: &FigureReport| figure.change.is_none_or(|change| change.abs() < 1e-12);
    assert!(comparison.figures.iter().all(is_none));
}

#[test]
fn without_samples_nothing_of_times_is_sure() {
    let bare = |luck| Run { samples: None, ..Scene::USUAL.run(1, luck) };
    let comparison = compared(bare(1), bare(2));
    assert_eq!(figure(&comparison, None, "latency_ms_p95").verdict, Verdict::CannotTell);
    assert_eq!(comparison.verdict, Verdict::CannotTell);
    assert!(comparison.reasons.iter().any(|reason| reason.contains("B has no samples.csv.gz")));
}

type Change = fn(&mut Run);

#[test]
fn what_differs_in_what_was_asked_is_not_compared_unless_wanted() {
    let other = |change: Change| {
        let mut run = Scene::USUAL.run(1, 2);
        change(&mut run);
        run
    };
    let cases: [(Change, &str); 6] = [
        (|run| run.report.multiple = 2.0, "the multiple differs: A has 1×, B has 2×"),
        (|run| run.report.mode = "tempo".to_owned(), "the mode differs: A has crowd, B has tempo"),
        (|run| run.report.capture = "captures/friday".to_owned(), "the captures differ"),
        (|run| run.report.uplink = "3g".to_owned(), "the uplink differs"),
        (
            |run| run.report.scenario = Some(crate::report::tests::scenario()),
            "the scenario differs: A has none, B has ",
        ),
        (|run| run.report.verdict = crate::measure::run::Verdict::Invalid, "B is INVALID"),
    ];
    for (change, said) in cases {
        let [a, b] = [Scene::USUAL.run(1, 1), other(change)].map(|run| input("runs/x", run));
        let refused = Comparison::of(&a, &b, RELEVANT, false);
        assert_eq!((refused.verdict, refused.figures.len()), (Verdict::NotComparable, 0), "{said}");
        let told = text::render(&refused);
        assert!(told.contains(said) && told.contains("--anyway"), "{said} in\n{told}");
        let forced = Comparison::of(&a, &b, RELEVANT, true);
        assert!(forced.verdict != Verdict::NotComparable && !forced.not_comparable.is_empty(), "{said}");
    }
    let mut moved = Scene::USUAL.run(1, 2);
    moved.report.capture = "/elsewhere/captures/monday".to_owned();
    assert!(compared(Scene::USUAL.run(1, 1), moved).is_same_plan, "the same capture at another place");
}
