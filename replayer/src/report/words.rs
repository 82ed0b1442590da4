//! What runs mean, in sentences that a person on a bad day understands.
//!
//! Numbers come from the run; nothing is judged here that the run did not judge itself.

use std::collections::HashSet;

use super::format::{count, counted, ms, multiple, number, seconds, share};
use crate::guard::abort::Aborted;
use crate::measure::run::{RouteReport, RunReport, Verdict};

/// Failure classes named in a sentence; the rest are summed up.
const CLASSES_NAMED: usize = 3;
/// From how far above the lightest run's p95 on the comparison is worth words.
const NOTABLE_GROWTH: f64 = 1.25;

/// What each run is called: its multiple or scenario, and as much more as it takes to tell the runs apart.
pub fn run_names(runs: &[RunReport]) -> Vec<String> {
    let short: Vec<String> = runs.iter().map(short_name).collect();
    let with_mode = runs.iter().map(|run| format!("{} {}", multiple(run.multiple), run.mode)).collect();
    let with_seed = runs.iter().map(|run| format!("{} seed {}", multiple(run.multiple), run.seed)).collect();
    let numbered = short.iter().enumerate().map(|(at, name)| format!("{name} #{}", at + 1)).collect();
    [short.clone(), with_mode, with_seed].into_iter().find(|names| all_differ(names)).unwrap_or(numbered)
}

fn short_name(run: &RunReport) -> String {
    run.scenario.as_ref().map_or_else(|| multiple(run.multiple), |scenario| scenario.name.clone())
}

fn all_differ(names: &[String]) -> bool {
    names.iter().collect::<HashSet<_>>().len() == names.len()
}

/// What all runs say together, in one line.
pub fn headline(runs: &[RunReport]) -> String {
    let held = names_of(runs, Verdict::Pass).map(|list| format!("held at {list}"));
    let missed = names_of(runs, Verdict::Fail).map(|list| format!("missed at {list}"));
    let undecided = names_of(runs, Verdict::Undecided).map(|list| format!("undecided at {list}"));
    let invalid = names_of(runs, Verdict::Invalid).map(|list| format!("cannot tell at {list}"));
    let parts: Vec<String> = [held, missed, undecided, invalid].into_iter().flatten().collect();
    if parts.is_empty() { "What the capture holds".to_owned() } else { capitalised(&parts.join(", ")) }
}

fn names_of(runs: &[RunReport], verdict: Verdict) -> Option<String> {
    let named = runs.iter().zip(run_names(runs)).filter(|(run, _)| run.verdict == verdict);
    listed(&named.map(|(_, name)| name).collect::<Vec<_>>())
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(names: &[String]) -> Option<String> {
    let (last, rest) = names.split_last()?;
    Some(if rest.is_empty() { last.clone() } else { format!("{} and {last}", rest.join(", ")) })
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The run that others are compared with: the one with the lowest multiple.
pub fn baseline(runs: &[RunReport]) -> Option<&RunReport> {
    runs.iter().min_by(|a, b| a.multiple.total_cmp(&b.multiple))
}

/// The run that weighed most on the target, with its name.
pub fn heaviest(runs: &[RunReport]) -> Option<(String, &RunReport)> {
    run_names(runs).into_iter().zip(runs).max_by(|(_, a), (_, b)| a.multiple.total_cmp(&b.multiple))
}

/// Routes that have stages, the slowest (latency p95) first.
pub fn by_slowness(routes: &[RouteReport]) -> impl Iterator<Item = &RouteReport> {
    let p95_ms = |route: &RouteReport| route.latency_ms.p95.unwrap_or(-1.0);
    let mut routes: Vec<&RouteReport> = routes.iter().filter(|route| !route.stages_ms.is_empty()).collect();
    routes.sort_by(|a, b| p95_ms(b).total_cmp(&p95_ms(a)));
    routes.into_iter()
}

/// What happened in a run.
pub fn describe(run: &RunReport, baseline: Option<&RunReport>) -> String {
    let sentences = [
        interruption(run),
        Some(outcome(run)),
        unfinished(run),
        speed(run),
        slowest_route(run, baseline),
        lateness(run),
    ];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn interruption(run: &RunReport) -> Option<String> {
    let kept_back = counted(run.withheld, "planned request");
    let withheld = if run.withheld == 0 { String::new() } else { format!("; {kept_back} not sent") };
    if let Some(aborted) = &run.aborted {
        let Aborted { rule, at_s, reason, .. } = aborted;
        return Some(format!("The run was ended after {at_s} s by {rule}: {reason}{withheld}."));
    }
    run.interrupted
        .then(|| format!("The run was cut short after {}{withheld}.", seconds(Some(run.duration_s))))
}

fn outcome(run: &RunReport) -> String {
    if run.failed == 0 && run.done == run.planned {
        return format!(
            "All {} got an answer like the captured one.",
            counted(run.planned, "planned request")
        );
    }
    let failed_share = share(run.failed as f64 / run.planned as f64);
    let planned = counted(run.planned, "planned request");
    format!("{} of {planned} failed ({failed_share}){}.", count(run.failed), classes(run))
}

/// `: 28 answered worse than captured, 4 unfinished and 2 others`; empty when no class is known.
fn classes(run: &RunReport) -> String {
    let errors = run.errors.iter().map(|(class, n)| (spoken(class), *n));
    let mut by_count: Vec<(String, u64)> = errors.chain([(WORSE.to_owned(), worse_answers(run))]).collect();
    by_count.retain(|(_, n)| *n > 0);
    by_count.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let (named, rest) = by_count.split_at(by_count.len().min(CLASSES_NAMED));
    let mut parts: Vec<String> = named.iter().map(|(class, n)| format!("{} {class}", count(*n))).collect();
    let others: u64 = rest.iter().map(|(_, n)| n).sum();
    parts.extend((others > 0).then(|| counted(others, "other")));
    listed(&parts).map(|list| format!(": {list}")).unwrap_or_default()
}

/// What an answer is called that failed where the captured one had not.
pub const WORSE: &str = "answered worse than captured";

/// Failures that are complete answers: all that are in no error class.
pub fn worse_answers(run: &RunReport) -> u64 {
    run.failed.saturating_sub(run.errors.values().sum())
}

/// A name of the contract as words: `connection_reset` → `connection reset`.
pub fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

fn unfinished(run: &RunReport) -> Option<String> {
    let oldest =
        run.unfinished_oldest_s.map(|age_s| format!("; the oldest had waited {}", seconds(Some(age_s))));
    let pronoun = if run.unfinished == 1 { "request had" } else { "requests had" };
    let who = format!("{} {pronoun}", count(run.unfinished));
    (run.unfinished > 0).then(|| format!("{who} no answer when the run ended{}.", oldest.unwrap_or_default()))
}

fn speed(run: &RunReport) -> Option<String> {
    let latency = &run.latency_ms;
    latency.p50.map(|_| {
        format!(
            "Counted from the planned instant, half were done within {}, 95 % within {}, the slowest after {}.",
            ms(latency.p50),
            ms(latency.p95),
            ms(latency.max)
        )
    })
}

/// The slowest route, and how much slower than in the lightest run: percentiles over all routes hide it
/// behind many quick requests.
fn slowest_route(run: &RunReport, lightest: Option<&RunReport>) -> Option<String> {
    let p95_of = |route: &RouteReport| route.latency_ms.p95;
    let slowest =
        run.routes.iter().max_by(|a, b| p95_of(a).unwrap_or(-1.0).total_cmp(&p95_of(b).unwrap_or(-1.0)))?;
    let p95_ms = p95_of(slowest)?;
    let growth = lightest.and_then(|lightest| growth(run, slowest, p95_ms, lightest));
    Some(format!(
        "Slowest was {}: 95 % within {}{}.",
        slowest.route,
        ms(Some(p95_ms)),
        growth.unwrap_or_default()
    ))
}

fn growth(run: &RunReport, slowest: &RouteReport, p95_ms: f64, lightest: &RunReport) -> Option<String> {
    let before = lightest.routes.iter().find(|route| route.route == slowest.route)?;
    let ratio = p95_ms / before.latency_ms.p95?;
    (run.multiple > lightest.multiple && ratio >= NOTABLE_GROWTH)
        .then(|| format!(", {} times as long as at {}", number(Some(ratio)), multiple(lightest.multiple)))
}

/// Only worth words when the generator itself was late.
fn lateness(run: &RunReport) -> Option<String> {
    const LATE_MS: f64 = 10.0;
    let lag_ms = run.lag_ms.p99.filter(|lag_ms| *lag_ms > LATE_MS)?;
    Some(format!("Kingtide itself sent late: 1 % of the requests by more than {}.", ms(Some(lag_ms))))
}

/// Keeps numbers and their units on one line: the space between them becomes a no-break space.
pub fn with_bound_units(text: &str) -> String {
    const UNITS: [&str; 11] = ["µs", "ms", "s", "min", "h", "%", "B", "KB", "MB", "GB", "×"];
    let is_unit = |word: &str| UNITS.contains(&word.trim_end_matches(['.', ',', ';', ':', ')']));
    let mut bound = String::with_capacity(text.len());
    for word in text.split(' ') {
        let gap =
            if bound.ends_with(|last: char| last.is_ascii_digit()) && is_unit(word) { '\u{a0}' } else { ' ' };
        bound.extend((!bound.is_empty()).then_some(gap));
        bound.push_str(word);
    }
    bound
}

/// What the verdict is called on a badge.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "held",
        Verdict::Fail => "missed",
        Verdict::Undecided => "undecided",
        Verdict::Invalid => "invalid",
    }
}
