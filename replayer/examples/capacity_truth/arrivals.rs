//! When requests come: sessions as a Poisson process, of one request each or of several with pauses.

use super::random::Draws;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rhythm {
    /// Requests by themselves.
    Poisson,
    /// Sessions of a geometric number of requests with exponential pauses.
    Sessions { requests: f64, pause_s: f64 },
}

/// Sorted instants of `length_s` seconds at `per_s` requests a second, grown to it evenly over `ramp_s`.
pub(crate) fn arrivals(
    rhythm: Rhythm,
    per_s: f64,
    length_s: f64,
    ramp_s: f64,
    random: &mut Draws,
) -> Vec<f64> {
    let mut instants = Vec::new();
    // Sessions that began before the trial are in their middle when it begins.
    let (each, before_s) = match rhythm {
        Rhythm::Poisson => (1.0, 0.0),
        Rhythm::Sessions { requests, pause_s } => (requests, 20.0 * requests * pause_s),
    };
    let mut start_s = -before_s;
    loop {
        start_s += random.exponential(each / per_s);
        if start_s >= length_s {
            break;
        }
        session(rhythm, start_s, random, &mut instants);
    }
    instants
        .retain(|at_s| (0.0..length_s).contains(at_s) && (*at_s >= ramp_s || random.unit() * ramp_s < *at_s));
    instants.sort_by(f64::total_cmp);
    instants
}

fn session(rhythm: Rhythm, start_s: f64, random: &mut Draws, instants: &mut Vec<f64>) {
    instants.push(start_s);
    if let Rhythm::Sessions { requests, pause_s } = rhythm {
        let mut at_s = start_s;
        while random.unit() < 1.0 - 1.0 / requests {
            at_s += random.exponential(pause_s);
            instants.push(at_s);
        }
    }
}
