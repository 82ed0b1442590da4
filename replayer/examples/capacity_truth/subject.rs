//! Targets drawn at random, and the load at which each no longer holds its SLO.

use super::arrivals::{Rhythm, arrivals};
use super::backend::{Backend, Design, Door, Law, Step};
use super::formula;
use super::random::Draws;
use kingtide::capacity::slo::Slo;
use kingtide::capacity::verdict::FailureMode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// M/M/c.
    Memoryless,
    /// M/G/c, lognormal or Pareto.
    HeavyTail,
    PoolBehindPool,
    Shedding,
    /// A share of the requests keeps its slot after the answer, until it is reclaimed.
    Leaking,
    RateLimited,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Memoryless,
        Self::HeavyTail,
        Self::PoolBehindPool,
        Self::Shedding,
        Self::Leaking,
        Self::RateLimited,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memoryless => "M/M/c",
            Self::HeavyTail => "M/G/c, heavy tail",
            Self::PoolBehindPool => "pool behind a pool",
            Self::Shedding => "sheds when its queue is full",
            Self::Leaking => "leaks slots",
            Self::RateLimited => "rate limit per address",
        }
    }
}

/// A target with the load that is sent to it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) design: Design,
    pub(crate) rhythm: Rhythm,
    pub(crate) slo: Slo,
    pub(crate) limit_s: f64,
    pub(crate) errors_share: f64,
    /// Requests a second at 1×.
    pub(crate) unit_per_s: f64,
    /// Where the slots or tokens are used up.
    pub(crate) saturated_per_s: f64,
    pub(crate) seed: u64,
}

/// Nobody waits longer for an answer.
const LIMIT_S_MAX: f64 = 60.0;
const LATE_SHARE: f64 = 0.05;

impl Subject {
    pub(crate) fn draw(kind: Kind, seed: u64) -> Self {
        let mut random = Draws::new(seed);
        let saturated_per_s = random.log_between(8.0, 150.0);
        let slots = 2 + random.index(31);
        let service_s = slots as f64 / saturated_per_s;
        let exponential = Law::Exponential { mean: service_s };
        let simple = |law| vec![Step::Take(0), Step::Hold(law), Step::Answer, Step::Give(0)];
        // From barely more than the service itself takes to a wait that no short trial sees.
        let patience = random.log_between(1.3, 20.0);
        let mut errors_share = 0.05;
        let (design, saturated_per_s, limit_s) = match kind {
            Kind::Memoryless => {
                let design = Design { pools: vec![slots], steps: simple(exponential), door: Door::Open };
                (design, saturated_per_s, patience * p95(exponential, &mut random))
            }
            Kind::HeavyTail => {
                let law = if random.unit() < 0.5 {
                    Law::Lognormal { mean: service_s, variation: random.between(1.0, 2.5) }
                } else {
                    Law::Pareto { mean: service_s, alpha: random.between(2.3, 3.0) }
                };
                let design = Design { pools: vec![slots], steps: simple(law), door: Door::Open };
                (design, saturated_per_s, patience * p95(law, &mut random))
            }
            Kind::PoolBehindPool => {
                let inner = 2 + random.index(7);
                let inside = Law::Exponential { mean: inner as f64 / saturated_per_s };
                let before =
                    Law::Lognormal { mean: inside.mean() * random.between(0.5, 3.0), variation: 0.5 };
                // Large enough that the inner pool is what gives way, as a database's is.
                let busy = saturated_per_s * (before.mean() + 3.0 * inside.mean());
                let outer = whole(busy * random.between(1.2, 2.0)).max(inner + 2);
                let steps = vec![
                    Step::Take(0),
                    Step::Hold(before),
                    Step::Take(1),
                    Step::Hold(inside),
                    Step::Give(1),
                    Step::Answer,
                    Step::Give(0),
                ];
                let design = Design { pools: vec![outer, inner], steps, door: Door::Open };
                (design, saturated_per_s, patience * 3.0 * (before.mean() + inside.mean()))
            }
            Kind::Shedding => {
                let queue = 1 + random.index(2 * slots);
                errors_share = if random.unit() < 0.5 { 0.01 } else { 0.05 };
                let design =
                    Design { pools: vec![slots], steps: simple(exponential), door: Door::QueueFull(queue) };
                // The queue is short: what is not refused is never late.
                (design, saturated_per_s, 8.0 * service_s * (1.0 + queue as f64 / slots as f64))
            }
            Kind::Leaking => {
                // Many small leaks: what happens less often than once in a trial no trial can find.
                let slots = 16 + random.index(49);
                let service_s = slots as f64 / saturated_per_s;
                let exponential = Law::Exponential { mean: service_s };
                let reclaimed = Law::Exponential { mean: random.between(5.0, 20.0) };
                let leaked = random.between(0.1, 0.4) * service_s / reclaimed.mean();
                let steps = vec![
                    Step::Take(0),
                    Step::Hold(exponential),
                    Step::Answer,
                    Step::HoldSometimes(leaked, reclaimed),
                    Step::Give(0),
                ];
                let saturated = slots as f64 / (service_s + leaked * reclaimed.mean());
                let design = Design { pools: vec![slots], steps, door: Door::Open };
                (design, saturated, patience * p95(exponential, &mut random))
            }
            Kind::RateLimited => {
                let addresses = 5 + random.index(46);
                let per_s = saturated_per_s / addresses as f64;
                let door = Door::PerAddress { addresses, per_s, burst: random.between(2.0, 20.0).floor() };
                let law = Law::Lognormal { mean: random.log_between(0.02, 0.5), variation: 0.5 };
                let design = Design { pools: vec![1_000_000], steps: simple(law), door };
                (design, saturated_per_s, 10.0 * law.mean())
            }
        };
        let is_bursty = random.unit() < 0.3;
        let rhythm =
            if is_bursty { Rhythm::Sessions { requests: 3.0, pause_s: 1.0 } } else { Rhythm::Poisson };
        let limit_s = limit_s.min(LIMIT_S_MAX);
        let slo = format!("p95<{}ms,errors<{}%", (limit_s * 1e3).round(), errors_share * 100.0);
        let unit_per_s = saturated_per_s / random.log_between(1.2, 12.0);
        Self {
            kind,
            design,
            rhythm,
            slo: slo.parse().expect("an SLO made of numbers"),
            limit_s: (limit_s * 1e3).round() / 1e3,
            errors_share,
            unit_per_s,
            saturated_per_s,
            seed,
        }
    }

    /// Requests a second at which the SLO is just held for ever: where there is a formula by that, else by bisection over
    /// simulations of `requests` requests each, all with the same draws.
    pub(crate) fn truth_per_s(&self, requests: f64, seed: u64) -> f64 {
        let (low, high) = (0.2 * self.saturated_per_s, 1.3 * self.saturated_per_s);
        match self.formula() {
            Some(bad) => bisect(low, high, bad),
            None => self.simulated_truth_per_s(requests, seed),
        }
    }

    /// Whether the SLO holds at a load, where there is a formula for it.
    pub(crate) fn formula(&self) -> Option<impl Fn(f64) -> bool> {
        let slots = self.design.pools[0];
        let service_s = self.design.steps.iter().find_map(|step| match step {
            Step::Hold(law) => Some(law.mean()),
            _ => None,
        })?;
        let has_formula =
            self.rhythm == Rhythm::Poisson && matches!(self.kind, Kind::Memoryless | Kind::Shedding);
        let (door, limit_s, errors_share) = (self.design.door, self.limit_s, self.errors_share);
        has_formula.then_some(move |per_s: f64| match door {
            // The SLO of these is so loose that only refusals miss it.
            Door::QueueFull(queue) => formula::refused_share(slots, queue, service_s, per_s) <= errors_share,
            _ => formula::late_share(slots, service_s, per_s, limit_s) <= LATE_SHARE,
        })
    }

    /// First roughly, so that the long simulations have a tenth of the range.
    pub(crate) fn simulated_truth_per_s(&self, requests: f64, seed: u64) -> f64 {
        let (low, high) = (0.2 * self.saturated_per_s, 1.3 * self.saturated_per_s);
        let about = bisect(low, high, |per_s| self.holds(per_s, requests / 10.0, seed));
        bisect(0.93 * about, 1.07 * about, |per_s| self.holds(per_s, requests, seed))
    }

    fn holds(&self, per_s: f64, requests: f64, seed: u64) -> bool {
        let mut counts = Counts::default();
        let mut backend = Backend::new(self.design.clone(), seed);
        let mut random = Draws::new(seed ^ 0x5eed);
        // In pieces, so that memory stays small; what the first piece of 20 leaves out is the beginning.
        let length_s = requests / per_s / 20.0;
        for piece in 0..20 {
            let from_s = backend.now_s();
            for at_s in arrivals(self.rhythm, per_s, length_s, 0.0, &mut random) {
                backend.arrive(from_s + at_s);
            }
            backend.run_until(from_s + length_s);
            for ended in backend.ended.drain(..).filter(|_| piece > 0) {
                counts.all += 1.0;
                counts.late +=
                    f64::from(u8::from(ended.is_refused || ended.at_s - ended.came_s > self.limit_s));
                counts.refused += f64::from(u8::from(ended.is_refused));
            }
            // What waits beyond the limit already is late, whenever it will end; and no truth is that far off.
            if counts.late > 0.3 * counts.all + 5_000.0 {
                return false;
            }
        }
        counts.late <= LATE_SHARE * counts.all && counts.refused <= self.errors_share * counts.all
    }

    /// How this target may be said to give way at loads just above `truth_per_s`.
    pub(crate) fn is_right(&self, mode: FailureMode, truth_per_s: f64) -> bool {
        let fill = truth_per_s / self.saturated_per_s;
        match (self.kind, mode) {
            (Kind::Shedding | Kind::RateLimited, mode) => mode == FailureMode::Shed,
            // For ever the backlog grows only above saturation. Up to a seventh below it, congestion lasts longer than
            // trials do, and either name is right.
            (_, FailureMode::Drift) => fill > 0.87,
            (_, FailureMode::Latency) => fill < 0.985,
            _ => false,
        }
    }
}

/// Where `holds` ends, to 0.05 %.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    while high / low > 1.0005 {
        let middle = (low * high).sqrt();
        if holds(middle) { low = middle } else { high = middle }
    }
    (low * high).sqrt()
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    all: f64,
    late: f64,
    refused: f64,
}

fn p95(law: Law, random: &mut Draws) -> f64 {
    let mut times: Vec<f64> = (0..20_000).map(|_| law.draw(random)).collect();
    times.sort_by(f64::total_cmp);
    times[19_000]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
fn whole(number: f64) -> usize {
    number.ceil() as usize
}
