//! What differences mean, each by itself and all together.

use serde::Serialize;

use super::Relevant;
use super::figure::{Figure, FigureReport};
use super::text::change;
use crate::report::words::listed;
use crate::seeds::Unit;
use crate::statistics::Interval;
use crate::statistics::spread::CONFIDENCE;

/// However small A is, less than this is nothing that a user feels, and the noise of machines.
const RELEVANT_MS_MIN: f64 = 1.0;
/// Figures that a sentence names.
const NAMED: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is beyond the smallest relevant difference.
    Worse,
    Better,
    /// The whole interval is within it.
    NoDifference,
    CannotTell,
    /// They were not compared.
    NotComparable,
}

/// Those that decide are corrected for their number by Holm's procedure (Scandinavian Journal of Statistics 6, 1979): the
/// surest is held to 95 % over all m of them, the next to 95 % over m − 1, until one fails.
pub(super) fn judge(figures: &[Figure], relevant: Relevant) -> Vec<FigureReport> {
    let sure = holm(figures, relevant);
    let judged = figures.iter().zip(sure);
    judged.map(|(figure, sure)| judged_figure(figure, sure, relevant)).collect()
}

/// What the ones that decide say, where it is sure.
fn holm(figures: &[Figure], relevant: Relevant) -> Vec<Option<Verdict>> {
    let mut sure = vec![None; figures.len()];
    let mut left: Vec<usize> = (0..figures.len()).filter(|at| figures[*at].decides).collect();
    loop {
        let confidence = 1.0 - (1.0 - CONFIDENCE) / left.len().max(1) as f64;
        let differs = |at: &usize| match verdict_at(&figures[*at], relevant, confidence) {
            verdict @ (Verdict::Worse | Verdict::Better) => Some((*at, verdict)),
            _ => None,
        };
        let Some((at, verdict)) = left.iter().find_map(differs) else { return sure };
        sure[at] = Some(verdict);
        left.retain(|other| *other != at);
    }
}

fn judged_figure(figure: &Figure, sure: Option<Verdict>, relevant: Relevant) -> FigureReport {
    let alone = verdict_at(figure, relevant, CONFIDENCE);
    let is_by_chance = figure.decides && sure.is_none() && matches!(alone, Verdict::Worse | Verdict::Better);
    if is_by_chance {
        let why = "by itself it would count; among as many figures one such comes by chance".to_owned();
        return figure.told(Verdict::CannotTell, Some(why));
    }
    figure.told(sure.unwrap_or(alone), figure.difference.why())
}

fn verdict_at(figure: &Figure, relevant: Relevant, confidence: f64) -> Verdict {
    let limit = smallest(figure, relevant);
    match figure.worsening(confidence) {
        Some(Interval { low, .. }) if low > limit => Verdict::Worse,
        Some(Interval { high, .. }) if high < -limit => Verdict::Better,
        Some(Interval { low, high }) if low >= -limit && high <= limit => Verdict::NoDifference,
        _ => Verdict::CannotTell,
    }
}

/// The smallest relevant difference, in the figure's scale.
fn smallest(figure: &Figure, relevant: Relevant) -> f64 {
    match figure.unit {
        Unit::Share => relevant.failed_share,
        Unit::Milliseconds => relevant.share.max(RELEVANT_MS_MIN / figure.a.value()).ln_1p(),
        _ => relevant.share.ln_1p(),
    }
}

/// By the figures that decide.
pub(super) fn overall(figures: &[FigureReport]) -> Verdict {
    let deciding = || figures.iter().filter(|figure| figure.decides).map(|figure| figure.verdict);
    let any = |verdict| deciding().any(|of_one| of_one == verdict);
    match () {
        () if any(Verdict::Worse) => Verdict::Worse,
        () if any(Verdict::CannotTell) && !any(Verdict::Better) => Verdict::CannotTell,
        () if any(Verdict::Better) => Verdict::Better,
        () if any(Verdict::NoDifference) => Verdict::NoDifference,
        () => Verdict::CannotTell,
    }
}

/// What is behind the verdict.
pub(super) fn reasons(figures: &[FigureReport], overall: Verdict) -> Vec<String> {
    let deciding: Vec<&FigureReport> = figures.iter().filter(|figure| figure.decides).collect();
    let of = |verdict| deciding.iter().filter(move |figure| figure.verdict == verdict).copied();
    let named = |verdict, what: &str| {
        let sentences = of(verdict).map(|figure| format!("{} {}", name(figure), change(figure)));
        let all: Vec<String> = sentences.collect();
        let more = all.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("{more} more"));
        let all: Vec<String> = all.into_iter().take(NAMED).chain(more).collect();
        listed(&all).map(|list| format!("{what}: {list}"))
    };
    let width = (overall == Verdict::CannotTell).then(|| of(Verdict::CannotTell).find_map(unseen)).flatten();
    [named(Verdict::Worse, "worse"), named(Verdict::Better, "better"), width].into_iter().flatten().collect()
}

/// How large a difference could be there all the same.
fn unseen(figure: &FigureReport) -> Option<String> {
    figure.change_low.or(figure.change_high)?;
    Some(format!(
        "{} changed by {}: more cannot be said from these; longer ones, the same seed for both, or several seeds can",
        name(figure),
        change(figure)
    ))
}

/// `failed share of POST /upload`.
fn name(figure: &FigureReport) -> String {
    let title = figure.unit.title(&figure.figure);
    figure.route.as_ref().map_or(title.clone(), |route| format!("{title} of {route}"))
}
