//! What other tools do to find a capacity, on the same targets, in their favour: the target drains between trials, what
//! is late counts however late it ends, and the ramp is as steep as somebody would make it who knows the capacity.

use super::rig::Rig;
use super::subject::Subject;
use kingtide::capacity::trial::{Purpose, Trial};
use kingtide::capacity::watch::{Abort, AbortCause, Live};

/// Requests a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naive {
    /// Doubling, then bisection to 1 % in trials of 10 s, judged by the p95 and the errors of all that was sent in
    /// them: more than tools do that look only at what ended.
    pub(crate) bisection_per_s: f64,
    /// One ramp that reaches the capacity after ten minutes, until the p95 or the errors so far miss the SLO.
    pub(crate) ramp_per_s: f64,
}

const TRIAL_S: u64 = 10;
const RAMP_S: u64 = 600;
const WIDTH: f64 = 1.01;
const LATE_SHARE: f64 = 0.05;

pub(crate) fn searches(subject: &Subject, truth_per_s: f64) -> Naive {
    Naive { bisection_per_s: bisection(subject), ramp_per_s: ramp(subject, truth_per_s) }
}

/// What a tool sums up while it runs.
#[derive(Debug, Default)]
struct Ended {
    done: u64,
    late: u64,
    failed: u64,
}

impl Ended {
    fn add(&mut self, live: Live) {
        self.done += live.done;
        self.late += live.late;
        self.failed += live.failed;
    }

    fn misses(&self, errors_share: f64) -> bool {
        let is_late = self.late as f64 > LATE_SHARE * self.done as f64;
        is_late || self.failed as f64 > errors_share * (self.done + self.failed) as f64
    }
}

fn bisection(subject: &Subject) -> f64 {
    let mut rig = Rig::new(subject, subject.seed ^ 0xb15e);
    let mut seed = 0;
    let mut passes = |multiple: f64| {
        seed += 1;
        let trial = Trial { multiple, length_s: TRIAL_S, ramp_s: 0, seed, purpose: Purpose::Step };
        let observed = rig.observe(&trial, f64::INFINITY, |_| None);
        let shares = [LATE_SHARE, subject.errors_share];
        shares.into_iter().enumerate().all(|(at, share)| {
            let counts = observed.seconds.iter().map(|tick| tick.criteria[at]);
            let (asked, bad) =
                counts.fold((0, 0), |(asked, bad), count| (asked + count.asked, bad + count.bad));
            bad as f64 <= share * asked as f64
        })
    };
    let mut low = 1.0;
    while passes(low * 2.0) && low < 1_000.0 {
        low *= 2.0;
    }
    let mut high = low * 2.0;
    while high / low > WIDTH {
        let middle = (low * high).sqrt();
        if passes(middle) { low = middle } else { high = middle }
    }
    low * subject.unit_per_s
}

fn ramp(subject: &Subject, truth_per_s: f64) -> f64 {
    let mut rig = Rig::new(subject, subject.seed ^ 0x4a39);
    // Up to four times the capacity; whoever does not stop by then says so.
    let length_s = 4 * RAMP_S;
    let multiple = 4.0 * truth_per_s / subject.unit_per_s;
    let trial = Trial { multiple, length_s, ramp_s: length_s, seed: 1, purpose: Purpose::Step };
    let mut ended = Ended::default();
    let observed = rig.observe(&trial, subject.limit_s * 1e3, |live| {
        ended.add(live);
        // The first half minute has too few requests for a percentile.
        let stops = ended.done > 100 && ended.misses(subject.errors_share);
        stops.then(|| Abort { cause: AbortCause::Latency, at_s: 0, reason: String::new() })
    });
    truth_per_s * observed.sending_s as f64 / RAMP_S as f64
}
