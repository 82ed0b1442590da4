//! The capacity search against simulated targets of known capacity: a small part of `bench/capacity_truth.md`, with the
//! same code. Seeds are fixed, so that it fails for a reason and not by chance.

use kingtide::capacity::finding::{Bound, Finding, Outcome};

#[path = "../../examples/capacity_truth/arrivals.rs"]
mod arrivals;
#[path = "../../examples/capacity_truth/backend.rs"]
mod backend;
#[path = "../../examples/capacity_truth/formula.rs"]
mod formula;
#[path = "../../examples/capacity_truth/naive.rs"]
mod naive;
#[path = "../../examples/capacity_truth/random.rs"]
mod random;
#[path = "../../examples/capacity_truth/rig.rs"]
mod rig;
#[allow(dead_code, reason = "the table has more kinds of targets than this part of it")]
#[path = "../../examples/capacity_truth/subject.rs"]
mod subject;
#[path = "../../examples/capacity_truth/trials.rs"]
mod trials;

use subject::{Kind, Subject};

const BUDGET_S: u64 = 3_600;

/// The first subjects of a kind for whose capacity there is a formula, with that capacity.
fn known(kind: Kind, count: usize) -> Vec<(Subject, f64)> {
    let subjects = (1..).map(|seed| Subject::draw(kind, seed)).filter(|subject| subject.formula().is_some());
    subjects.take(count).map(|subject| (subject.clone(), subject.truth_per_s(0.0, 0))).collect()
}

fn ratio(subject: &Subject, found: &Finding, truth_per_s: f64) -> f64 {
    found.capacity.map_or(0.0, |capacity| capacity.multiple * subject.unit_per_s / truth_per_s)
}

#[test]
fn the_simulator_agrees_with_the_formulas() {
    for kind in [Kind::Memoryless, Kind::Shedding] {
        for (subject, truth_per_s) in known(kind, 1) {
            let simulated_per_s = subject.simulated_truth_per_s(60_000.0, 3);
            let ratio = simulated_per_s / truth_per_s;
            assert!((ratio - 1.0).abs() < 0.03, "{}: {ratio:.3} of {truth_per_s}", kind.name());
        }
    }
}

#[test]
fn searches_find_the_capacity_and_name_how_it_fails() {
    let mut covered = 0;
    for (subject, truth_per_s) in [known(Kind::Memoryless, 3), known(Kind::Shedding, 3)].concat() {
        let (found, _) = trials::search(&subject, BUDGET_S);
        let capacity = found.capacity.expect("a capacity");
        let (name, ratio) = (subject.kind.name(), ratio(&subject, &found, truth_per_s));
        assert_eq!(
            (found.verdict, capacity.bound),
            (Outcome::Found, Bound::Estimate),
            "{name}, {}",
            subject.slo
        );
        assert!((ratio - 1.0).abs() < 0.06, "{name}, {}: {ratio:.3}", subject.slo);
        let mode = found.failure_mode.expect("a failing load");
        assert!(subject.is_right(mode, truth_per_s), "{name}, {}: {mode:?}", subject.slo);
        assert_eq!(found.recovered, Some(true), "{name}");
        let truth = truth_per_s / subject.unit_per_s;
        covered += u32::from(capacity.low <= truth && truth <= capacity.high);
    }
    assert!(covered >= 5, "{covered} of 6 intervals hold the truth");
}

/// Without a formula: no target answers more than its slots or tokens allow, but for the 5 % that may be refused.
#[test]
fn every_kind_of_target_gets_a_number_that_it_can_answer() {
    for kind in Kind::ALL {
        let subject = Subject::draw(kind, 1);
        let (found, _) = trials::search(&subject, 1_200);
        let of_saturated = ratio(&subject, &found, subject.saturated_per_s);
        assert!(
            (0.3..1.15).contains(&of_saturated),
            "{}: {of_saturated:.3}, {:?}",
            kind.name(),
            found.verdict
        );
    }
}

#[test]
fn naive_searches_read_far_too_much_where_the_slo_is_loose() {
    let loose = known(Kind::Memoryless, 5).into_iter().filter(|(subject, _)| subject.limit_s > 4.0);
    for (subject, truth_per_s) in loose {
        let naive = naive::searches(&subject, truth_per_s);
        assert!(naive.bisection_per_s > 1.2 * truth_per_s, "{}: {naive:?} of {truth_per_s}", subject.slo);
        assert!(naive.ramp_per_s > 1.05 * truth_per_s, "{}: {naive:?} of {truth_per_s}", subject.slo);
    }
}
