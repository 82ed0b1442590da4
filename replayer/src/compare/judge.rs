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
/// Who saw no difference must have been able to see one of so many times the smallest relevant one.
const SEEN: f64 = 4.0;
/// Figures that a sentence names.
const NAMED: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The whole interval is beyond the smallest relevant difference.
    Worse,
    Better,
    /// None is seen, and one of four times the smallest relevant difference would have been; or the whole interval is within
    /// the smallest relevant one.
    NoDifference,
    CannotTell,
    /// They were not compared.
    NotComparable,
}

/// Those that decide are corrected for their number by Holm's procedure (Scandinavian Journal of Statistics 6, 1979): the
/// surest is held to 95 % over all m of them, the next to 95 % over m − 1, until one fails.
pub(super) fn judge(figures: &[Figure], relevant: Relevant) -> Vec<FigureReport> {
    let sure = holm(figures, relevant);
    let deciding = figures.iter().filter(|figure| figure.decides).count();
    let judged = figures.iter().zip(sure);
    judged.map(|(figure, sure)| judged_figure(figure, sure, deciding, relevant)).collect()
}

/// What the ones that decide say, where it is sure.
fn holm(figures: &[Figure], relevant: Relevant) -> Vec<Option<Verdict>> {
    let mut sure = vec![None; figures.len()];
    let mut left: Vec<usize> = (0..figures.len()).filter(|at| figures[*at].decides).collect();
    loop {
        let confidence = of_each(left.len());
        let differs = |at: &usize| Some((*at, differs(&figures[*at], relevant, confidence)?));
        let Some((at, verdict)) = left.iter().find_map(differs) else { return sure };
        sure[at] = Some(verdict);
        left.retain(|other| *other != at);
    }
}

/// What each of so many is held to, that all of them are right in 95 %.
fn of_each(count: usize) -> f64 {
    1.0 - (1.0 - CONFIDENCE) / count.max(1) as f64
}

fn judged_figure(
    figure: &Figure,
    sure: Option<Verdict>,
    deciding: usize,
    relevant: Relevant,
) -> FigureReport {
    let alone = differs(figure, relevant, CONFIDENCE);
    let is_none = || is_none(figure, relevant, if figure.decides { of_each(deciding) } else { CONFIDENCE });
    match (sure.or(alone.filter(|_| !figure.decides)), alone) {
        (Some(verdict), _) => figure.told(verdict, None),
        (None, Some(_)) => {
            let why = "by itself it would count; among as many figures one such comes by chance";
            figure.told(Verdict::CannotTell, Some(why.to_owned()))
        }
        (None, None) if is_none() => figure.told(Verdict::NoDifference, None),
        (None, None) => figure.told(Verdict::CannotTell, figure.difference.why()),
    }
}

/// Worse or better, with this confidence.
fn differs(figure: &Figure, relevant: Relevant, confidence: f64) -> Option<Verdict> {
    let Interval { low, high } = figure.worsening(confidence)?;
    let limit = relevant_times(1.0, figure, relevant);
    let worse = (low > limit).then_some(Verdict::Worse);
    worse.or_else(|| (high < -limit).then_some(Verdict::Better))
}

/// See [`Verdict::NoDifference`]; that 0 is not held is doubted with this confidence.
fn is_none(figure: &Figure, relevant: Relevant, confidence: f64) -> bool {
    let Some(Interval { low, high }) = figure.worsening(CONFIDENCE) else { return false };
    // One that goes beyond what was seen holds everything.
    let wide = figure.worsening(confidence);
    let holds_none = wide.is_none_or(|wide| wide.low <= 0.0 && wide.high >= 0.0);
    let is_within = |times| {
        let limit = relevant_times(times, figure, relevant);
        low >= -limit && high <= limit
    };
    is_within(1.0) || (holds_none && is_within(SEEN))
}

/// So many times the smallest relevant difference, in the figure's scale.
fn relevant_times(times: f64, figure: &Figure, relevant: Relevant) -> f64 {
    match figure.unit {
        Unit::Share => times * relevant.failed_share,
        Unit::Milliseconds => (times * relevant.share.max(RELEVANT_MS_MIN / figure.a.value())).ln_1p(),
        _ => (times * relevant.share).ln_1p(),
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
