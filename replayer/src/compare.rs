//! What is different between two results: before and after a change, staging and production.
//!
//! A and B are two runs, two series of seeds, or two capacities ([`input`]). What they say of the same thing is a
//! [`figure::Figure`]; where the difference lies, [`difference`]; what that means, [`judge`]. All but the reading of files
//! is pure, and nothing is random: no resampling, so that the same files give the same answer.
//!
//! | of | the interval of one side | its source |
//! |---|---|---|
//! | a percentile | of the share beyond it, read back as values | Woodruff 1952 |
//! | a share | Wilson's, with as many requests as its variance by seconds is worth | Wilson 1927, [`crate::statistics::ratio`] |
//! | a rate | Student's, with the same variance | |
//! | a figure of several seeds | Student's over the runs | [`crate::statistics::spread`] |
//! | a capacity | the search's own | [`crate::capacity`] |
//!
//! Two sides become a difference by MOVER (Zou and Donner 2008; for two shares it is Newcombe's interval of 1998), times in
//! logarithms. Where both runs played the same plan, what their seconds have in common is taken out (Zou 2007).
//!
//! - A difference counts from a smallest relevant one on; it is worse or better when the whole interval is beyond that; none
//!   when none is seen and one of four times that size would have been; else nobody can tell.
//! - With dozens of figures some are "worse" by chance. The exit is decided by few that are named before: the failed share
//!   and the p95 of latency and of the wait, of all and of each route, corrected by Holm (1979). The others are shown.

mod capacities;
mod comparable;
mod difference;
mod estimate;
mod figure;
pub mod input;
mod judge;
pub mod markdown;
mod runs;
mod samples;
mod seeds;
pub mod text;

use serde::Serialize;

pub use figure::FigureReport;
pub use judge::Verdict;
pub use runs::{Known, Run};

use self::figure::Figure;
use self::input::{Input, Result};
use crate::bottleneck::Suspect;

/// From where on a difference counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Relevant {
    /// Of times, rates and capacities, as a part of A's.
    pub share: f64,
    /// Of failed shares, in shares: 0.01 is one percentage point.
    pub failed_share: f64,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Runs,
    Seeds,
    Capacities,
}

/// One of the two, in brief.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SideReport {
    /// As the user wrote it.
    pub path: String,
    pub capture: String,
    pub target: String,
    /// RFC 3339 UTC; of several runs the first one's.
    pub started: String,
    /// What it was: multiple, mode and seeds, or the SLO.
    pub setting: String,
    /// What it says of itself.
    pub verdict: String,
}

/// See the module. JSON schema: replayer/schemas/compare.json.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub kingtide_version: String,
    pub kind: Kind,
    pub a: SideReport,
    pub b: SideReport,
    /// Both played the same requests at the same instants.
    pub is_same_plan: bool,
    pub relevant: Relevant,
    pub verdict: Verdict,
    /// Why they should not be compared, as sentences.
    pub not_comparable: Vec<String>,
    pub figures: Vec<FigureReport>,
    /// What A suspected and what became of it.
    pub bottleneck: Option<Suspect>,
    /// Sentences for people: what is behind the verdict, and what to doubt.
    pub reasons: Vec<String>,
}

/// What the figures of two results are, before they are judged.
struct Findings {
    is_same_plan: bool,
    figures: Vec<Figure>,
    bottleneck: Option<Suspect>,
    cautions: Vec<String>,
}

impl Comparison {
    /// Compared where they can be, or all the same with `anyway`.
    pub fn of(a: &Input, b: &Input, relevant: Relevant, anyway: bool) -> Self {
        let not_comparable = comparable::objections(a, b);
        let is_compared = not_comparable.is_empty() || anyway;
        let findings = is_compared.then(|| findings(a, b, relevant)).flatten();
        let mut comparison = Self {
            kingtide_version: env!("CARGO_PKG_VERSION").to_owned(),
            kind: a.result.kind(),
            a: a.report(),
            b: b.report(),
            is_same_plan: false,
            relevant,
            verdict: Verdict::NotComparable,
            not_comparable,
            figures: Vec::new(),
            bottleneck: None,
            reasons: Vec::new(),
        };
        if let Some(findings) = findings {
            comparison.take(findings);
        }
        comparison
    }

    fn take(&mut self, findings: Findings) {
        self.figures = judge::judge(&findings.figures, self.relevant);
        self.verdict = judge::overall(&self.figures);
        self.is_same_plan = findings.is_same_plan;
        self.bottleneck = findings.bottleneck;
        self.reasons = judge::reasons(&self.figures, self.verdict);
        self.reasons.extend(findings.cautions);
    }
}

/// `None` for results of different kinds.
fn findings(a: &Input, b: &Input, relevant: Relevant) -> Option<Findings> {
    Some(match (&a.result, &b.result) {
        (Result::Run(a), Result::Run(b)) => runs::findings(a, b),
        (Result::Seeds(a), Result::Seeds(b)) => seeds::findings(a, b),
        (Result::Capacity(a), Result::Capacity(b)) => capacities::findings(a, b, relevant),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
