//! What became of the requests that the plan had in each second, held against a service level.
//!
//! By the second in which they were *planned*: a request that is answered late, in the drain or never is charged to
//! the load that caused it, and one that was not sent cannot help a share.

use super::sample::{ErrorClass, Outcome, Sample, Side};
use super::series::SECONDS_MAX;

const NS_PER_S: u64 = 1_000_000_000;

/// What makes a request a bad one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    pub applies: Applies,
    /// Slower than this from its intended instant is bad; failed is bad in any case.
    pub latency_ns_max: Option<u64>,
}

/// To which requests a bar applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applies {
    All,
    /// To those of the route with this label.
    Route(String),
    /// To none: it keeps its place in the row of bars.
    Nothing,
}

/// Requests that failed, each under one kind; not those that this machine failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// Refused for load: 429 and 503.
    pub shed: u64,
    /// Another answer that is worse than the captured one, or one that broke off.
    pub error: u64,
    /// No answer within the timeout.
    pub timeout: u64,
    /// No connection: refused, reset, no answer to the handshake.
    pub connect: u64,
    /// Without an answer when the run ended.
    pub unfinished: u64,
    /// Not sent for want of a value: what should have brought it failed before, and tells why.
    pub follows: u64,
}

/// Requests that a bar applies to, and those it found bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub asked: u64,
    pub bad: u64,
}

/// The requests planned in one second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlannedSecond {
    pub planned: u64,
    /// In the order of the bars.
    pub shares: Vec<Count>,
    pub failures: Failures,
}

/// See the module. Without bars nothing is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attainment {
    bars: Vec<BarOfRoutes>,
    rows: Vec<PlannedSecond>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct BarOfRoutes {
    latency_ns_max: Option<u64>,
    /// By number of the route.
    applies: Vec<bool>,
}

impl Applies {
    fn to(&self, label: &str) -> bool {
        match self {
            Self::All => true,
            Self::Route(route) => route == label,
            Self::Nothing => false,
        }
    }
}

impl Attainment {
    /// For routes numbered as `labels` are.
    pub fn new(bars: &[Bar], labels: &[String]) -> Self {
        let of_routes = |bar: &Bar| BarOfRoutes {
            latency_ns_max: bar.latency_ns_max,
            applies: labels.iter().map(|label| bar.applies.to(label)).collect(),
        };
        Self { bars: bars.iter().map(of_routes).collect(), rows: Vec::new() }
    }

    pub fn seconds(&self) -> &[PlannedSecond] {
        &self.rows
    }

    pub(super) fn ended(&mut self, sample: &Sample) {
        if self.bars.is_empty() {
            return;
        }
        let second =
            usize::try_from(sample.intended_ns / NS_PER_S).unwrap_or(SECONDS_MAX).min(SECONDS_MAX - 1);
        let bars = self.bars.len();
        if self.rows.len() <= second {
            let empty = PlannedSecond { shares: vec![Count::default(); bars], ..PlannedSecond::default() };
            self.rows.resize(second + 1, empty);
        }
        self.rows[second].count(sample, &self.bars);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.bars.is_empty() {
            self.bars.clone_from(&other.bars);
        }
        let rows = self.rows.len().max(other.rows.len());
        let empty =
            PlannedSecond { shares: vec![Count::default(); self.bars.len()], ..PlannedSecond::default() };
        self.rows.resize(rows, empty);
        self.rows.iter_mut().zip(&other.rows).for_each(|(row, more)| row.merge(more));
    }
}

impl Count {
    /// `None` of nothing.
    pub fn share(self) -> Option<f64> {
        (self.asked > 0).then(|| self.bad as f64 / self.asked as f64)
    }
}

impl PlannedSecond {
    fn count(&mut self, sample: &Sample, bars: &[BarOfRoutes]) {
        self.planned += 1;
        self.failures.count(sample.outcome);
        let is_failed = sample.outcome.is_failed();
        for (share, bar) in self.shares.iter_mut().zip(bars).filter(|(_, bar)| bar.applies[sample.route]) {
            let is_slow = bar.latency_ns_max.is_some_and(|max| sample.latency_ns() > max);
            share.asked += 1;
            share.bad += u64::from(is_failed || is_slow);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.failures.add(other.failures);
        for (share, more) in self.shares.iter_mut().zip(&other.shares) {
            share.asked += more.asked;
            share.bad += more.bad;
        }
    }
}

impl Failures {
    fn count(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Answered { worse: false, .. } => return,
            Outcome::Answered { status: 429 | 503, .. } => &mut self.shed,
            Outcome::Answered { .. } => &mut self.error,
            Outcome::Failed(failure) => match failure.class {
                // In flight when the run was ended: it had no answer yet.
                ErrorClass::CutOff => &mut self.unfinished,
                class if class.side() == Side::Generator => return,
                ErrorClass::ConnectRefused | ErrorClass::ConnectTimeout | ErrorClass::ConnectFailed => {
                    &mut self.connect
                }
                ErrorClass::Timeout => &mut self.timeout,
                ErrorClass::BindingMissing => &mut self.follows,
                ErrorClass::Unfinished | ErrorClass::NotSent => &mut self.unfinished,
                _ => &mut self.error,
            },
        };
        *count += 1;
    }

    pub fn sum(&self) -> u64 {
        self.shed + self.error + self.timeout + self.connect + self.unfinished + self.follows
    }

    pub fn add(&mut self, other: Self) {
        self.shed += other.shed;
        self.error += other.error;
        self.timeout += other.timeout;
        self.connect += other.connect;
        self.unfinished += other.unfinished;
        self.follows += other.follows;
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::{answered, failed};
    use super::*;

    const MS: u64 = 1_000_000;

    fn bars() -> Attainment {
        let bar = |applies, latency_ms_max: Option<u64>| Bar {
            applies,
            latency_ns_max: latency_ms_max.map(|ms| ms * MS),
        };
        let labels = ["POST /upload".to_owned(), "GET /".to_owned()];
        let get = Applies::Route("GET /".to_owned());
        Attainment::new(&[bar(Applies::All, Some(100)), bar(get, None), bar(Applies::Nothing, None)], &labels)
    }

    #[test]
    fn a_request_is_charged_to_the_second_it_was_planned_in() {
        let mut attainment = bars();
        let slow = Sample { intended_ns: 1_500 * MS, ended_ns: 9_000 * MS, ..answered(200, false) };
        attainment.ended(&slow);
        attainment.ended(&Sample { route: 1, ..answered(503, true) });
        attainment.ended(&Sample { route: 1, ..failed(ErrorClass::Timeout) });
        attainment.ended(&answered(200, false));
        let seconds = attainment.seconds();
        let shares = |asked, bad| Count { asked, bad };
        assert_eq!(seconds[0].shares, [shares(3, 2), shares(2, 2), shares(0, 0)]);
        assert_eq!(seconds[1].shares, [shares(1, 1), shares(0, 0), shares(0, 0)]);
        assert_eq!((seconds[0].planned, seconds[1].planned), (3, 1));
        let failures = Failures { shed: 1, timeout: 1, ..Failures::default() };
        assert_eq!((seconds[0].failures, seconds[1].failures), (failures, Failures::default()));
    }

    #[test]
    fn merged_parts_equal_the_whole_and_without_bars_nothing_is_kept() {
        let samples = [answered(200, false), failed(ErrorClass::Reset), failed(ErrorClass::LocalExhausted)];
        let (mut whole, mut part, mut other) = (bars(), bars(), bars());
        for (index, sample) in samples.iter().enumerate() {
            whole.ended(sample);
            if index == 0 { &mut part } else { &mut other }.ended(sample);
        }
        let mut merged = Attainment::default();
        merged.merge(&part);
        merged.merge(&other);
        assert_eq!(merged, whole);
        let mut none = Attainment::default();
        none.ended(&answered(200, false));
        assert_eq!(none.seconds(), []);
    }
}
