//! A simulated target: requests that take slots of pools, hold them for drawn times and give them back.
//!
//! Event by event, first come first served, no client gives up: what the search sees of it is what a runner would see.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::random::Draws;

/// A distribution of times, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Law {
    Exponential {
        mean: f64,
    },
    /// By its mean and its coefficient of variation.
    Lognormal {
        mean: f64,
        variation: f64,
    },
    /// With tail exponent `alpha`.
    Pareto {
        mean: f64,
        alpha: f64,
    },
}

/// What a request does inside the target, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Waits for a slot of this pool.
    Take(usize),
    Hold(Law),
    /// With this probability.
    HoldSometimes(f64, Law),
    Give(usize),
    /// The client has its answer.
    Answer,
}

/// When a request is refused at the door.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    Open,
    /// 503 when so many wait for the first pool.
    QueueFull(usize),
    /// 429 by a token bucket for each of so many addresses.
    PerAddress {
        addresses: usize,
        per_s: f64,
        burst: f64,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Design {
    pub(crate) pools: Vec<usize>,
    pub(crate) steps: Vec<Step>,
    pub(crate) door: Door,
}

/// An answer, when it was given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) came_s: f64,
    pub(crate) at_s: f64,
    pub(crate) is_refused: bool,
}

#[derive(Debug)]
pub(crate) struct Backend {
    design: Design,
    random: Draws,
    now_s: f64,
    due: BinaryHeap<Due>,
    free: Vec<usize>,
    waiting: Vec<VecDeque<Inside>>,
    buckets: Vec<(f64, f64)>,
    pub(crate) ended: Vec<Ended>,
}

/// A request inside the target, about to do the step `at`.
#[derive(Debug, Clone, Copy)]
struct Inside {
    came_s: f64,
    at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at_s: f64,
    inside: Inside,
}

impl Law {
    pub(crate) fn mean(self) -> f64 {
        match self {
            Self::Exponential { mean } | Self::Lognormal { mean, .. } | Self::Pareto { mean, .. } => mean,
        }
    }

    pub(crate) fn draw(self, random: &mut Draws) -> f64 {
        match self {
            Self::Exponential { mean } => random.exponential(mean),
            Self::Lognormal { mean, variation } => {
                let sigma2 = (1.0 + variation * variation).ln();
                mean * (random.normal() * sigma2.sqrt() - sigma2 / 2.0).exp()
            }
            Self::Pareto { mean, alpha } => mean * (alpha - 1.0) / alpha * random.unit().powf(-1.0 / alpha),
        }
    }
}

impl Backend {
    pub(crate) fn new(design: Design, seed: u64) -> Self {
        let pools = design.pools.len();
        let addresses = match design.door {
            Door::PerAddress { addresses, burst, .. } => vec![(burst, 0.0); addresses],
            Door::Open | Door::QueueFull(_) => Vec::new(),
        };
        Self {
            free: design.pools.clone(),
            design,
            random: Draws::new(seed),
            now_s: 0.0,
            due: BinaryHeap::new(),
            waiting: vec![VecDeque::new(); pools],
            buckets: addresses,
            ended: Vec::new(),
        }
    }

    pub(crate) fn now_s(&self) -> f64 {
        self.now_s
    }

    /// Lets the time pass.
    pub(crate) fn run_until(&mut self, until_s: f64) {
        while let Some(due) = self.due.peek().copied().filter(|due| due.at_s <= until_s) {
            self.due.pop();
            self.now_s = due.at_s;
            self.go_on(due.inside);
        }
        self.now_s = until_s;
    }

    /// A request comes, not before the last event.
    pub(crate) fn arrive(&mut self, at_s: f64) {
        self.run_until(at_s);
        if self.is_refused() {
            self.ended.push(Ended { came_s: at_s, at_s, is_refused: true });
        } else {
            self.go_on(Inside { came_s: at_s, at: 0 });
        }
    }

    fn is_refused(&mut self) -> bool {
        match self.design.door {
            Door::Open => false,
            Door::QueueFull(most) => self.waiting[0].len() >= most,
            Door::PerAddress { addresses, per_s, burst } => {
                let (tokens, seen_s) = &mut self.buckets[self.random.index(addresses)];
                *tokens = (*tokens + (self.now_s - *seen_s) * per_s).min(burst);
                *seen_s = self.now_s;
                let is_empty = *tokens < 1.0;
                *tokens -= if is_empty { 0.0 } else { 1.0 };
                is_empty
            }
        }
    }

    /// As many steps as take no time.
    fn go_on(&mut self, mut inside: Inside) {
        while let Some(step) = self.design.steps.get(inside.at).copied() {
            inside.at += 1;
            match step {
                Step::Take(pool) if self.free[pool] == 0 => return self.waiting[pool].push_back(inside),
                Step::Take(pool) => self.free[pool] -= 1,
                Step::Hold(law) => return self.hold(law, inside),
                Step::HoldSometimes(share, law) if self.random.unit() < share => {
                    return self.hold(law, inside);
                }
                Step::HoldSometimes(..) => {}
                Step::Give(pool) => self.give(pool),
                Step::Answer => {
                    self.ended.push(Ended { came_s: inside.came_s, at_s: self.now_s, is_refused: false });
                }
            }
        }
    }

    fn hold(&mut self, law: Law, inside: Inside) {
        let at_s = self.now_s + law.draw(&mut self.random);
        self.due.push(Due { at_s, inside });
    }

    /// The slot goes to who waits longest; that request has its step behind it.
    fn give(&mut self, pool: usize) {
        match self.waiting[pool].pop_front() {
            Some(next) => self.due.push(Due { at_s: self.now_s, inside: next }),
            None => self.free[pool] += 1,
        }
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_s.total_cmp(&self.at_s)
    }
}
