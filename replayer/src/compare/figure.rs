//! A figure of two results: what each says, and what the difference is.

use serde::Serialize;

use super::difference::Difference;
use super::estimate::Estimate;
use super::judge::Verdict;
use crate::seeds::Unit;
use crate::statistics::Interval;
use crate::statistics::spread::CONFIDENCE;

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// By their ratio, in logarithms.
    Ratio,
    /// By what lies between them: shares, which may be 0.
    Points,
}

/// Which way is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worse {
    Higher,
    Lower,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub(super) name: String,
    /// `None`: of all requests.
    pub(super) route: Option<String>,
    pub(super) unit: Unit,
    pub(super) worse: Worse,
    /// Named before it was looked at: it counts for the exit.
    pub(super) decides: bool,
    pub(super) a: Estimate,
    pub(super) b: Estimate,
    pub(super) difference: Difference,
}

/// A figure as it is told. Values are in the figure's unit; a change is a part of A's (0.2: 20 % more), of shares what lies
/// between them (0.01: one percentage point).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureReport {
    pub figure: String,
    /// `null`: of all requests.
    pub route: Option<String>,
    pub unit: Unit,
    pub a: Side,
    pub b: Side,
    pub change: Option<f64>,
    /// 95 %; `null` also where a bound is infinite.
    pub change_low: Option<f64>,
    pub change_high: Option<f64>,
    /// It counts for the exit.
    pub decides: bool,
    pub verdict: Verdict,
    /// Why nothing can be told.
    pub why: Option<String>,
}

/// What one of the two says; bounds 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Side {
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Scale {
    pub(super) fn of(self, value: f64) -> f64 {
        match self {
            Self::Ratio => value.ln(),
            Self::Points => value,
        }
    }

    pub(super) fn back(self, scaled: f64) -> f64 {
        match self {
            Self::Ratio => scaled.exp(),
            Self::Points => scaled,
        }
    }

    /// A difference in this scale, as it is told.
    fn told(self, difference: f64) -> f64 {
        match self {
            Self::Ratio => difference.exp_m1(),
            Self::Points => difference,
        }
    }
}

impl Figure {
    pub(super) fn scale(&self) -> Scale {
        if self.unit == Unit::Share { Scale::Points } else { Scale::Ratio }
    }

    /// The difference, towards worse.
    pub(super) fn worsening(&self, confidence: f64) -> Option<Interval> {
        let Interval { low, high } = self.difference.at(&self.a, &self.b, self.scale(), confidence)?;
        Some(match self.worse {
            Worse::Higher => Interval { low, high },
            Worse::Lower => Interval { low: -high, high: -low },
        })
    }

    pub(super) fn told(&self, verdict: Verdict, why: Option<String>) -> FigureReport {
        let scale = self.scale();
        let told = |difference: f64| Some(scale.told(difference)).filter(|told| told.is_finite());
        let interval = self.difference.at(&self.a, &self.b, scale, CONFIDENCE);
        FigureReport {
            figure: self.name.clone(),
            route: self.route.clone(),
            unit: self.unit,
            a: Side::of(&self.a),
            b: Side::of(&self.b),
            change: self.difference.value(&self.a, &self.b, scale).and_then(told),
            change_low: interval.and_then(|interval| told(interval.low)),
            change_high: interval.and_then(|interval| told(interval.high)),
            decides: self.decides,
            verdict,
            why,
        }
    }
}

impl Side {
    fn of(estimate: &Estimate) -> Self {
        let interval = estimate.at(CONFIDENCE);
        Self {
            value: estimate.value(),
            low: interval.map(|interval| interval.low),
            high: interval.map(|interval| interval.high).filter(|high| high.is_finite()),
        }
    }
}
