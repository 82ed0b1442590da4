//! The result of a capacity search as text: the sentence first, then its reasons and its trials.

use std::fmt::Write;

use super::format::{ms, number, seconds, share};
use super::table::{Align, Table};
use crate::bottleneck::sentence;
use crate::capacity::answer::{Answer, bytes};
use crate::capacity::cold_start::ColdStart;
use crate::capacity::finding::{Bound, Capacity, Finding, Outcome, Safe, TrialRecord};
use crate::capacity::several::Several;
use crate::capacity::trial::Purpose;
use crate::capacity::verdict::{Judged, Verdict};

const TITLES: [&str; 10] = [
    "load",
    "planned",
    "done",
    "verdict",
    "bad share",
    "allowed",
    "p50",
    "p95",
    "in flight",
    "why it was held",
];

/// The whole text, ending in a line feed.
pub fn render(answer: &Answer) -> String {
    let finding = &answer.finding;
    let stopped = if answer.interrupted { "stopped by the user; what was known by then:\n" } else { "" };
    let mut text = format!("{stopped}{}\n", headline(finding));
    for reason in finding.reasons.iter().chain(&answer.cautions) {
        let _ = writeln!(text, "  {reason}");
    }
    for suspect in &answer.bottleneck {
        let _ = writeln!(text, "  {}", sentence(suspect));
    }
    let next = answer.next_limit.as_ref().map(|next| format!("next limit: {}", next.sentence));
    for grown in &answer.grown {
        let _ = writeln!(text, "  leak? {}", grown.sentence());
    }
    let cold = answer.cold_start.as_ref().map(ColdStart::sentence);
    for line in
        next.into_iter().chain(cold).chain(answer.scalability.map(|scalability| scalability.sentence()))
    {
        let _ = writeln!(text, "  {line}");
    }
    let _ = write!(text, "\n{}", trials(&finding.trials));
    text
}

/// What they say together, then a line for each.
pub fn render_several(several: &Several) -> String {
    let mut text = format!("{}\n", several.sentence());
    for reason in &several.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    for (seed, answer) in several.seeds.iter().zip(&several.searches) {
        let _ = writeln!(text, "\nseed {seed}: {}", render(answer));
    }
    text
}

/// `capacity 6.2× (310 requests/s, 155 MB/s, ~186 users) …`.
pub fn headline(finding: &Finding) -> String {
    let head = match &finding.capacity {
        Some(capacity) => of_capacity(capacity),
        None => "no capacity".to_owned(),
    };
    let safe = finding.safe.map(of_safe);
    let fails = finding.failure_mode.map(|mode| format!("fails by {}", mode.name()));
    let parts = [Some(format!("SLO {}", finding.slo)), fails, recovery(finding), safe];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}: {head} · {}", outcome(finding.verdict), parts.join(" · "))
}

fn of_capacity(capacity: &Capacity) -> String {
    let (sign, interval) = match capacity.bound {
        Bound::Estimate => ("", format!(" 95 % [{:.2}, {:.2}]", capacity.low, capacity.high)),
        // The step above it failed.
        Bound::AtLeast if capacity.high > capacity.multiple => {
            ("≥ ", format!(" and < {:.2}×", capacity.high))
        }
        Bound::AtLeast => ("≥ ", String::new()),
        Bound::AtMost => ("≤ ", String::new()),
    };
    let amount = amount(capacity.requests_per_s, capacity.bytes_per_s, capacity.users);
    format!(
        "capacity {sign}{:.2}× ({amount}){interval} at trials of {} s",
        capacity.multiple, capacity.trial_s
    )
}

fn of_safe(safe: Safe) -> String {
    let amount = amount(safe.requests_per_s, safe.bytes_per_s, safe.users);
    format!("safe at {}: {:.2}× ({amount})", share(safe.share), safe.multiple)
}

/// `310 requests/s, 155 MB/s, ~186 users`.
fn amount(requests_per_s: f64, bytes_per_s: Option<f64>, users: Option<f64>) -> String {
    let requests = format!("{} requests/s", number(Some(requests_per_s)));
    let volume = bytes_per_s.map(|volume| format!("{}/s", bytes(volume)));
    let users = users.map(|users| format!("~{} users", number(Some(users.round()))));
    [Some(requests), volume, users].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn recovery(finding: &Finding) -> Option<String> {
    match (finding.recovered?, finding.recovery_s) {
        (true, Some(recovery_s)) => Some(format!("recovers in {}", seconds(Some(recovery_s as f64)))),
        (true, None) => Some("recovers".to_owned()),
        (false, _) => Some("does not recover".to_owned()),
    }
}

fn trials(records: &[TrialRecord]) -> String {
    let mut table = Table::of_numbers(TITLES).align(3, Align::Left).align(9, Align::Left);
    for TrialRecord { trial, judged, .. } in records {
        let worst = judged.shares.iter().max_by(|a, b| (a.share / a.limit).total_cmp(&(b.share / b.limit)));
        table.row([
            format!("{:.2}×", judged.multiple),
            format!("{}/s", number(Some(judged.planned_per_s))),
            format!("{}/s", number(Some(judged.completed_per_s))),
            verdict(judged.verdict),
            worst.map(|worst| share(worst.share)).unwrap_or_default(),
            worst.map(|worst| share(worst.limit)).unwrap_or_default(),
            ms(judged.latency_ms_p50),
            ms(judged.latency_ms_p95),
            number(Some(judged.in_flight)),
            format!("{} ({} s)", purpose(trial.purpose), trial.length_s),
        ]);
    }
    table.render(0)
}

/// One trial in a line.
pub fn judged_line(judged: &Judged) -> String {
    let reasons = judged.reasons.join("; ");
    let numbers = format!(
        "{:.2}x held, {}/s done, p95 {}, {} in flight",
        judged.multiple,
        number(Some(judged.completed_per_s)),
        ms(judged.latency_ms_p95),
        number(Some(judged.in_flight))
    );
    format!("{} ({numbers}) {reasons}", verdict(judged.verdict))
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => "PASS".to_owned(),
        Verdict::Fail(mode) => format!("FAIL ({})", mode.name()),
        Verdict::Undecided => "UNDECIDED".to_owned(),
        Verdict::Invalid => "INVALID".to_owned(),
    }
}

/// Why a trial is held, for people.
pub fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::WarmUp => "warm-up",
        Purpose::Bracket => "looks for a load that fails",
        Purpose::Refine => "closes in",
        Purpose::Verify => "a bound again",
        Purpose::Interval => "for the interval",
        Purpose::Overload => "overload",
        Purpose::Recovery => "does it recover?",
        Purpose::Rerun => "the lower bound after an overload",
        Purpose::Step => "step",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Found => "FOUND",
        Outcome::MaximumReached => "MAXIMUM REACHED",
        Outcome::GeneratorLimited => "GENERATOR-LIMITED",
        Outcome::FailsAtSmallest => "FAILS AT THE SMALLEST LOAD",
        Outcome::BudgetExhausted => "BUDGET EXHAUSTED",
        Outcome::Interrupted => "STOPPED",
        Outcome::Unstable => "UNSTABLE",
        Outcome::Hang => "HANG",
        Outcome::Metastable => "METASTABLE",
        Outcome::Invalid => "INVALID",
    }
}
