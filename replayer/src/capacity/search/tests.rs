//! The state machine against a target without chance: a queue as a fluid, which answers at most `answers_per_s`.

use super::*;
use crate::capacity::finding::{Bound, Capacity};
use crate::capacity::trial::{Count, Failures, Tick};
use crate::capacity::verdict::FailureMode;
use crate::capacity::watch::Live;

const UNIT_PER_S: f64 = 100.0;
const LIMIT_S: f64 = 2.0;
const SERVICE_S: f64 = 0.2;

/// What the target does at a load, in requests a second.
#[derive(Debug, Clone, Copy)]
struct Target {
    answers_per_s: f64,
    /// From this load on the generator is too slow.
    generator_per_s: f64,
    /// And above this one it is not.
    generator_again_per_s: f64,
    /// From this load on nothing is answered.
    hangs_per_s: f64,
    /// What is beyond the capacity is refused instead of queued.
    sheds: bool,
    /// What it answers after it was overrun once.
    afterwards_per_s: Option<f64>,
    was_overrun: bool,
    /// What it answers the less, the more is asked beyond its capacity.
    thrashes: bool,
    /// By how much some trials are better.
    moody: f64,
    trials: usize,
}

fn target(answers_per_s: f64) -> Target {
    Target {
        answers_per_s,
        generator_per_s: f64::INFINITY,
        generator_again_per_s: f64::INFINITY,
        hangs_per_s: f64::INFINITY,
        sheds: false,
        thrashes: false,
        afterwards_per_s: None,
        was_overrun: false,
        moody: 1.0,
        trials: 0,
    }
}

impl Target {
    fn observe(&mut self, trial: &Trial, watch: &mut Watch) -> Observation {
        self.trials += 1;
        let load_per_s = trial.multiple * UNIT_PER_S;
        let most_per_s = self.most_per_s(load_per_s);
        let (mut seconds, mut queue, mut aborted) = (Vec::new(), 0.0, None);
        for second in 0..trial.length_s {
            let ramp = ((second as f64 + 0.5) / trial.ramp_s.max(1) as f64).min(1.0);
            let (tick, live) = self.second(load_per_s * ramp, most_per_s, &mut queue);
            seconds.push(tick);
            aborted = watch.on_second(live);
            if aborted.is_some() {
                break;
            }
        }
        let too_slow = self.generator_per_s..self.generator_again_per_s;
        let invalid = too_slow.contains(&load_per_s).then(|| "requests went out late".to_owned());
        Observation {
            unit_per_s: UNIT_PER_S,
            sending_s: seconds.len() as u64,
            ramp_s: trial.ramp_s,
            rest_s: 4,
            seconds,
            invalid: invalid.into_iter().collect(),
            aborted,
        }
    }

    fn most_per_s(&mut self, load_per_s: f64) -> f64 {
        let moods = [true, false, true, true, false, false, true, false, false, false, true];
        let is_better = moods[self.trials % moods.len()];
        let mood = if is_better { self.moody } else { 1.0 };
        let now_per_s =
            self.afterwards_per_s.filter(|_| self.was_overrun).unwrap_or(self.answers_per_s) * mood;
        let beyond = if self.thrashes { (load_per_s / now_per_s).max(1.0) } else { 1.0 };
        self.was_overrun |= load_per_s > 1.2 * now_per_s;
        if load_per_s >= self.hangs_per_s { 0.0 } else { now_per_s / beyond }
    }

    fn second(&self, per_s: f64, most_per_s: f64, queue: &mut f64) -> (Tick, Live) {
        let wait_s = *queue / most_per_s.max(1e-9);
        let done = (per_s + *queue).min(most_per_s);
        let left = per_s + *queue - done;
        let shed = if self.sheds { left } else { 0.0 };
        *queue = left - shed;
        let is_late = wait_s + SERVICE_S > LIMIT_S;
        let planned = count(per_s);
        let bad = if is_late { planned } else { count(shed) };
        let in_flight = count(*queue + done * SERVICE_S);
        let tick = Tick {
            planned,
            criteria: vec![Count { asked: planned, bad }, Count { asked: planned, bad: count(shed) }],
            failures: Failures { shed: count(shed), ..Failures::default() },
            sent: planned,
            done: count(done),
            in_flight,
            latency_ms_p50: (done > 0.0).then_some((wait_s + SERVICE_S) * 1e3),
            latency_ms_p95: (done > 0.0).then_some((wait_s + SERVICE_S) * 1e3),
        };
        let late = if wait_s > 2.0 * LIMIT_S { tick.done } else { 0 };
        let live = Live {
            planned,
            sent: planned,
            done: tick.done,
            failed: count(shed),
            in_flight,
            late,
            ..Live::default()
        };
        (tick.clone(), live)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
fn count(number: f64) -> u64 {
    number.round() as u64
}

fn config() -> Config {
    Config { multiple_max: 64.0, ..Config::new("p95<2s,errors<5%".parse().unwrap(), UNIT_PER_S, 3_600) }
}

fn search(config: Config, mut target: Target) -> Finding {
    let mut search = Search::new(config).unwrap();
    for _ in 0..100 {
        match search.next() {
            Next::Done(found) => return *found,
            Next::Trial(trial) => {
                let observed = target.observe(&trial, &mut search.watch());
                search.on_trial(&trial, &observed);
            }
        }
    }
    panic!("no end: {:?}", search.records.iter().map(|record| record.trial).collect::<Vec<_>>());
}

fn capacity(found: &Finding) -> Capacity {
    found.capacity.unwrap()
}

fn purposes(found: &Finding) -> Vec<Purpose> {
    found.trials.iter().map(|record| record.trial.purpose).collect()
}

#[test]
fn a_capacity_is_found_with_its_interval_mode_and_recovery() {
    for per_s in [37.0, 130.0, 620.0, 5_000.0] {
        let found = search(config(), target(per_s));
        let capacity = capacity(&found);
        assert_eq!((found.verdict, capacity.bound), (Outcome::Found, Bound::Estimate), "{per_s}: {found:?}");
        assert!((capacity.requests_per_s / per_s - 1.0).abs() < 0.03, "{per_s}: {capacity:?}");
        assert!(
            capacity.low * UNIT_PER_S <= per_s && per_s <= capacity.high * UNIT_PER_S,
            "{per_s}: {capacity:?}"
        );
        assert_eq!(found.failure_mode, Some(FailureMode::Drift));
        assert_eq!(
            (found.recovered, found.after_overload_multiple, found.retrograde),
            (Some(true), None, None)
        );
        assert!(found.safe.unwrap().multiple < 0.71 * capacity.multiple);
    }
}

#[test]
fn the_search_warms_up_brackets_refines_verifies_and_ends_with_a_recovery() {
    let found = search(config(), target(620.0));
    let mut order = purposes(&found);
    order.dedup();
    assert_eq!(order[..3], [Purpose::WarmUp, Purpose::Bracket, Purpose::Recovery]);
    assert_eq!(order[3], Purpose::Refine);
    assert!(order.ends_with(&[Purpose::Recovery, Purpose::Rerun]), "{order:?}");
    let at = |purpose| order.iter().position(|other| *other == purpose);
    assert!(
        at(Purpose::Refine) < at(Purpose::Verify) && at(Purpose::Verify) < at(Purpose::Interval),
        "{order:?}"
    );
    let seeds: Vec<u64> = found.trials.iter().map(|record| record.trial.seed).collect();
    assert!(seeds.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_lower_bound_rests_on_full_length_trials() {
    let found = search(config(), target(620.0));
    let multiple = capacity(&found).multiple;
    let near = |record: &&TrialRecord| {
        record.trial.purpose.is_full_length()
            && record.judged.verdict == Verdict::Pass
            && record.trial.multiple > 0.9 * multiple
    };
    assert!(found.trials.iter().filter(near).count() >= 2);
}

#[test]
fn refusals_are_named() {
    let found = search(config(), Target { sheds: true, ..target(400.0) });
    assert_eq!(found.failure_mode, Some(FailureMode::Shed));
    // 5 % may be refused.
    let per_s = capacity(&found).requests_per_s;
    assert!((per_s / 400.0 - 1.0 / 0.95).abs() < 0.03, "{per_s}");
}

#[test]
fn more_load_and_fewer_answers_is_retrograde() {
    let found = search(config(), Target { thrashes: true, ..target(500.0) });
    assert_eq!(found.failure_mode, Some(FailureMode::Retrograde));
    let retrograde = found.retrograde.unwrap();
    assert!(retrograde.completed_per_s < 0.85 * retrograde.completed_per_s_max, "{retrograde:?}");
}

#[test]
fn a_maximum_that_passes_is_a_bound() {
    let found = search(Config { multiple_max: 5.0, ..config() }, target(620.0));
    assert_eq!((found.verdict, capacity(&found).bound), (Outcome::MaximumReached, Bound::AtLeast));
    assert!((capacity(&found).multiple - 5.0).abs() < 1e-9);
    assert_eq!(purposes(&found).last(), Some(&Purpose::Verify), "by a full-length trial");
}

#[test]
fn a_smallest_load_that_fails_is_a_bound() {
    let found = search(Config { multiple_min: 1.0, ..config() }, target(62.0));
    assert_eq!((found.verdict, capacity(&found).bound), (Outcome::FailsAtSmallest, Bound::AtMost));
    assert_eq!((capacity(&found).multiple, found.safe), (1.0, None));
}

#[test]
fn a_generator_that_is_too_slow_gives_no_number() {
    let found = search(config(), Target { generator_per_s: 500.0, ..target(620.0) });
    let bound = capacity(&found);
    assert_eq!((found.verdict, bound.bound), (Outcome::GeneratorLimited, Bound::AtLeast));
    assert!((4.0..=5.0).contains(&bound.multiple), "{bound:?}");
    assert_eq!(found.failure_mode, None);
    let found = search(config(), Target { generator_per_s: 0.0, ..target(620.0) });
    assert_eq!((found.verdict, found.capacity), (Outcome::Invalid, None));
}

#[test]
fn a_generator_that_is_too_slow_between_the_bounds_is_not_asked_for_ever() {
    let found =
        search(config(), Target { generator_per_s: 480.0, generator_again_per_s: 700.0, ..target(620.0) });
    assert_eq!(found.verdict, Outcome::GeneratorLimited);
    assert!(found.capacity.is_none_or(|capacity| capacity.bound != Bound::Estimate), "{:?}", found.capacity);
    assert!(found.trials.len() < 15, "{}", found.trials.len());
}

#[test]
fn a_target_that_hangs_is_left_alone() {
    let found = search(config(), Target { hangs_per_s: 300.0, ..target(620.0) });
    assert_eq!((found.verdict, found.failure_mode), (Outcome::Hang, Some(FailureMode::Hang)));
    let hung = found
        .trials
        .iter()
        .position(|record| record.judged.verdict == Verdict::Fail(FailureMode::Hang))
        .unwrap();
    assert!(found.trials[hung].sending_s <= 10, "found within seconds");
    let after = &found.trials[hung + 1..];
    assert!(after.len() <= 1 && after.iter().all(|record| record.trial.multiple <= 1.0), "{after:?}");
}

#[test]
fn a_target_that_hangs_at_the_first_load_is_asked_whether_it_came_back() {
    let found = search(config(), Target { hangs_per_s: 90.0, ..target(620.0) });
    assert_eq!(
        (found.verdict, found.recovered),
        (Outcome::Hang, Some(true)),
        "it hangs above 90 a second only"
    );
    assert_eq!(purposes(&found).last(), Some(&Purpose::Recovery));
    let found = search(config(), Target { hangs_per_s: 0.0, ..target(620.0) });
    assert_eq!((found.verdict, found.recovered), (Outcome::Hang, Some(false)));
}

#[test]
fn a_target_that_does_not_come_back_is_metastable() {
    let found = search(config(), Target { afterwards_per_s: Some(100.0), ..target(620.0) });
    assert_eq!((found.verdict, found.failure_mode), (Outcome::Metastable, Some(FailureMode::Recovery)));
    assert_eq!((found.recovered, capacity(&found).bound), (Some(false), Bound::AtMost));
}

#[test]
fn a_target_that_contradicts_itself_gets_no_single_number() {
    let found = search(config(), Target { moody: 1.6, ..target(500.0) });
    assert_eq!(found.verdict, Outcome::Unstable, "{:?}", found.capacity);
}

#[test]
fn a_budget_that_ends_early_leaves_the_bounds() {
    let found = search(Config { budget_s: 400, ..config() }, target(620.0));
    assert_eq!(found.verdict, Outcome::BudgetExhausted);
    let bounds = capacity(&found);
    assert!(bounds.low <= 6.2 && 6.2 <= bounds.high, "{bounds:?}");
    let spent_s: u64 = found.trials.iter().map(|record| record.sending_s).sum();
    assert!(spent_s <= 400, "{spent_s}");
    let found = search(Config { budget_requests: Some(20_000), ..config() }, target(620.0));
    assert_eq!(found.verdict, Outcome::BudgetExhausted);
}

#[test]
fn steps_are_climbed_until_one_fails() {
    let steps = |steps: &[f64]| Config { steps: Some(steps.to_vec()), ..config() };
    let found = search(steps(&[1.0, 2.0, 5.0, 10.0, 20.0]), target(620.0));
    let tried: Vec<f64> =
        found.trials.iter().filter(|r| r.trial.purpose == Purpose::Step).map(|r| r.trial.multiple).collect();
    assert_eq!(tried, [1.0, 2.0, 5.0, 10.0]);
    let bounds = capacity(&found);
    assert_eq!((bounds.low, bounds.high, bounds.bound), (5.0, 10.0, Bound::AtLeast));
    assert_eq!(search(steps(&[1.0, 2.0]), target(620.0)).verdict, Outcome::MaximumReached);
    assert_eq!(search(steps(&[8.0, 9.0]), target(620.0)).verdict, Outcome::FailsAtSmallest);
}

#[test]
fn an_interrupted_search_says_what_it_knows() {
    let mut search = Search::new(config()).unwrap();
    assert_eq!(search.finding().capacity, None);
    let mut target = target(620.0);
    for _ in 0..3 {
        let Next::Trial(trial) = search.next() else { panic!("an end") };
        let observed = target.observe(&trial, &mut search.watch());
        search.on_trial(&trial, &observed);
    }
    assert_eq!(search.finding().verdict, Outcome::Interrupted);
    assert_eq!(search.next(), search.next());
}

#[test]
fn trials_shorter_than_their_sessions_are_refused_with_what_would_do() {
    let of_sessions = |session_s, full_s| Search::new(Config { session_s, full_s, ..config() }).map(drop);
    assert_eq!(of_sessions(20.0, Some(60)), Ok(()));
    let refused = of_sessions(45.0, Some(60)).unwrap_err().to_string();
    assert!(refused.contains("give --trial 90s or more, and a --budget of 1260s"), "{refused}");
}
