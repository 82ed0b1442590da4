//! From the trials to the finding.

use super::Config;
use super::history::History;
use crate::capacity::estimate::{self, Estimate};
use crate::capacity::finding::{Bound, Capacity, Finding, Outcome, Safe, TrialRecord};
use crate::capacity::trial::Purpose;
use crate::capacity::verdict::{FailureMode, Verdict};

/// Of the capacity: what can be run at without living at the edge.
const SAFE_SHARE: f64 = 0.7;
/// Failing trials within this of the smallest failing load tell how the target gives way; beyond, how it is overrun.
const NEAR: f64 = 1.2;

pub(super) fn conclude(config: &Config, history: History<'_>, outcome: Outcome, full_s: u64) -> Finding {
    let capacity = capacity(config, history, outcome, full_s);
    let retrograde = estimate::retrograde(history.classifying());
    let safe = |capacity: Capacity| Safe {
        multiple: capacity.multiple * SAFE_SHARE,
        share: SAFE_SHARE,
        requests_per_s: capacity.requests_per_s * SAFE_SHARE,
        bytes_per_s: None,
        users: None,
    };
    Finding {
        verdict: outcome,
        slo: config.slo.to_string(),
        capacity,
        safe: capacity.filter(|capacity| capacity.bound != Bound::AtMost).map(safe),
        failure_mode: failure_mode(history, outcome, capacity, retrograde.is_some()),
        recovery_s: history.0.iter().filter_map(|record| record.recovered_after_s).max(),
        recovered: recovered(history, outcome),
        after_overload_multiple: after_overload(history),
        retrograde,
        trials: history.0.to_vec(),
        reasons: reasons(config, history, outcome),
    }
}

fn capacity(config: &Config, history: History<'_>, outcome: Outcome, full_s: u64) -> Option<Capacity> {
    let of = |Estimate { multiple, low, high }, bound| Capacity {
        multiple,
        low,
        high,
        bound,
        requests_per_s: multiple * config.unit_per_s,
        bytes_per_s: None,
        users: None,
        trial_s: full_s,
    };
    let alone = |multiple| Estimate { multiple, low: multiple, high: multiple };
    let lower = history.lower().map(|load| load.multiple);
    let upper = history.upper().map(|load| load.multiple);
    match (outcome, lower, upper) {
        // One number for it would be a wrong one.
        (Outcome::Unstable, ..) => None,
        (Outcome::Metastable, ..) => {
            history.last().map(|light| of(alone(light.trial.multiple), Bound::AtMost))
        }
        (Outcome::FailsAtSmallest, _, Some(upper)) | (_, None, Some(upper)) => {
            Some(of(alone(upper), Bound::AtMost))
        }
        // Whether or not a larger load was sent and failed: between them nothing is known.
        (Outcome::GeneratorLimited, Some(lower), Some(upper)) => {
            Some(of(Estimate { multiple: lower, low: lower, high: upper }, Bound::AtLeast))
        }
        (_, Some(lower), None) => Some(of(alone(lower), Bound::AtLeast)),
        (_, Some(lower), Some(upper)) if config.steps.is_some() => {
            Some(of(Estimate { multiple: lower, low: lower, high: upper }, Bound::AtLeast))
        }
        (_, Some(lower), Some(upper)) => {
            let found = estimate::estimate(history.full_length(), config.slo.spare_per_s(), config.width);
            // Between them nothing is known.
            let between = Estimate { multiple: lower, low: lower, high: upper };
            Some(found.map_or_else(|| of(between, Bound::AtLeast), |found| of(found, Bound::Estimate)))
        }
        (_, None, None) => None,
    }
}

/// How the smallest failing loads fail: what most of their trials say.
fn failure_mode(
    history: History<'_>,
    outcome: Outcome,
    capacity: Option<Capacity>,
    is_retrograde: bool,
) -> Option<FailureMode> {
    match outcome {
        Outcome::Hang => return Some(FailureMode::Hang),
        Outcome::Metastable => return Some(FailureMode::Recovery),
        _ if is_retrograde => return Some(FailureMode::Retrograde),
        _ => {}
    }
    let smallest = history.upper()?.multiple;
    let near = |record: &&TrialRecord| record.trial.multiple <= smallest * NEAR;
    let full: Vec<FailureMode> =
        history.full_length().filter(near).filter_map(|record| record.judged.mode()).collect();
    let any = history.classifying().filter(near).filter_map(|record| record.judged.mode()).collect();
    let most = most_frequent(if full.is_empty() { any } else { full })?;
    let room = capacity.and_then(|capacity| estimate::has_room(history.classifying(), capacity.multiple));
    Some(match (most, room) {
        // One trial alone takes a long spell of congestion for a backlog that grows for ever, and the other way round.
        (FailureMode::Drift, Some(true)) => FailureMode::Latency,
        (FailureMode::Latency, Some(false)) => FailureMode::Drift,
        (most, _) => most,
    })
}

fn most_frequent(mut modes: Vec<FailureMode>) -> Option<FailureMode> {
    modes.sort_unstable();
    let runs = modes.chunk_by(|a, b| a == b);
    runs.max_by_key(|run| run.len()).map(|run| run[0])
}

/// `None` when it was not looked for long enough to say that it does not.
fn recovered(history: History<'_>, outcome: Outcome) -> Option<bool> {
    let looked = history.0.iter().rev().find(|record| record.trial.purpose == Purpose::Recovery)?;
    let is_back = looked.recovered_after_s.is_some();
    (is_back || matches!(outcome, Outcome::Metastable | Outcome::Hang)).then_some(is_back)
}

/// Where the lower bound surely failed twice after the overload, the load that passed then; `None` too when the budget
/// ended before one did.
fn after_overload(history: History<'_>) -> Option<f64> {
    let mut reruns = history.0.iter().filter(|record| record.trial.purpose == Purpose::Rerun);
    let is_less = reruns.clone().filter(|record| record.judged.has_failed()).count() >= 2;
    let passed = reruns.rfind(|record| !record.judged.is_high());
    passed.filter(|_| is_less).map(|record| record.trial.multiple)
}

fn exhausted(config: &Config) -> String {
    let requests = config.budget_requests.map(|requests| format!(" or of {requests} requests"));
    let wanted = match config.steps {
        Some(_) => "all steps were tried".to_owned(),
        None => format!("the bounds were within {:.0} %", config.width * 100.0),
    };
    format!("the budget of {} s{} ended before {wanted}", config.budget_s, requests.unwrap_or_default())
}

fn reasons(config: &Config, history: History<'_>, outcome: Outcome) -> Vec<String> {
    let main = match outcome {
        Outcome::Found => None,
        Outcome::MaximumReached => Some("the largest load asked for passed: a larger maximum would find the end".into()),
        Outcome::GeneratorLimited => Some(
            "larger loads could not be generated from here, on time and with a user of its own for each session: what was \
             missing stands below"
                .into(),
        ),
        Outcome::FailsAtSmallest => Some("the smallest load asked for failed already: a smaller minimum would find the capacity".into()),
        Outcome::BudgetExhausted => Some(exhausted(config)),
        Outcome::Interrupted => Some("it was stopped before it knew more".to_owned()),
        Outcome::Unstable => Some(
            "the same loads passed and failed: the target is not the same from one trial to the next, and one number \
             for it would be a wrong one"
                .to_owned(),
        ),
        Outcome::Hang => Some("the target stopped answering and was not loaded any further".into()),
        Outcome::Metastable => Some("after an overload the target did not come back at a light load".into()),
        Outcome::Invalid => Some("no trial was valid".into()),
    };
    let less = after_overload(history).map(|multiple| {
        format!("after an overload only {multiple:.2}× passed of what passed before it: the target does not come back whole")
    });
    let ends_invalid = matches!(outcome, Outcome::GeneratorLimited | Outcome::Invalid);
    let last = history.0.iter().rfind(|record| record.judged.verdict == Verdict::Invalid && ends_invalid);
    let invalid = last.iter().flat_map(|record| {
        let multiple = record.trial.multiple;
        record.judged.reasons.iter().map(move |reason| format!("at {multiple:.2}×: {reason}"))
    });
    let is_sure = history.full_length().any(|record| record.judged.verdict == Verdict::Pass);
    let unsure = (!is_sure && history.lower().is_some()).then(|| {
        "no trial surely held the SLO: at this rate they have too few requests; longer ones (--trial, --budget) tell more"
            .to_owned()
    });
    let short = config
        .slo
        .throughput_per_s()
        .filter(|per_s| history.lower().is_some_and(|lower| lower.multiple * config.unit_per_s < *per_s));
    let short = short.map(|per_s| {
        format!("the {per_s} answers a second that are asked for were not reached at any load that passed")
    });
    let slower = (recovered(history, outcome).is_none() && history.count(Purpose::Recovery) > 0)
        .then(|| "after an overload the target was not seen to be as quick as before, within the time that was left".to_owned());
    main.into_iter().chain(invalid).chain(unsure).chain(short).chain(slower).chain(less).collect()
}
