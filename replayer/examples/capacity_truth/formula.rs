//! M/M/c and M/M/c/K in closed form: what the simulator is checked against.

/// Share of requests that take longer than `limit_s`, waiting included: with Erlang's C the wait is 0 or exponential with
/// rate θ = cµ − λ, and the service is exponential with rate µ.
pub(crate) fn late_share(slots: usize, service_s: f64, per_s: f64, limit_s: f64) -> f64 {
    let served = 1.0 / service_s;
    let theta = slots as f64 * served - per_s;
    if theta <= 0.0 {
        return 1.0;
    }
    let waits = erlang_c(slots, per_s * service_s);
    let (service, wait) = ((-served * limit_s).exp(), (-theta * limit_s).exp());
    // At θ = µ the sum of both has a tail of its own; a hair beside it the general one is right.
    let theta = if (theta / served - 1.0).abs() < 1e-6 { theta * (1.0 + 1e-5) } else { theta };
    (1.0 - waits) * service + waits * (theta * service - served * wait) / (theta - served)
}

/// The share of requests that find all slots taken, by the recursion of Erlang's B.
fn erlang_c(slots: usize, load: f64) -> f64 {
    let blocked = (1..=slots).fold(1.0, |blocked, n| load * blocked / (n as f64 + load * blocked));
    let busy = load / slots as f64;
    blocked / (1.0 - busy * (1.0 - blocked))
}

/// Share of requests that find all slots and `queue` places taken: M/M/c/K by its birth and death.
pub(crate) fn refused_share(slots: usize, queue: usize, service_s: f64, per_s: f64) -> f64 {
    let load = per_s * service_s;
    // Weights of n requests inside, by those of n − 1.
    let (mut weight, mut sum) = (1.0, 1.0);
    for n in 1..=slots + queue {
        weight *= load / n.min(slots) as f64;
        sum += weight;
    }
    weight / sum
}
