//! Lines that tell their time only to the second, spread evenly over it in their order.
//!
//! Left at the second they would all start at once, and every log would look like bursts.

use super::super::foreign::{Foreign, made_up};

const SECOND_NS: i64 = 1_000_000_000;
/// Lines of one second that are held at most.
const HELD_MAX: usize = 65_536;

/// Holds the lines of one second until the next begins.
#[derive(Debug, Default)]
pub(super) struct Spread {
    held: Vec<Foreign>,
    ended_ns: i64,
}

impl Spread {
    /// Takes the next line; yields those whose time is known now.
    pub(super) fn take(&mut self, foreign: Foreign) -> impl Iterator<Item = Foreign> + use<> {
        if !foreign.synthesised.contains(made_up::STARTED) {
            return self.flushed().chain(Some(foreign)).collect::<Vec<_>>().into_iter();
        }
        let took_ns = foreign.instants.done_us.unwrap_or_default().saturating_mul(1000);
        let ended_ns = foreign.started_ns.saturating_add_unsigned(took_ns);
        let is_over = ended_ns != self.ended_ns || self.held.len() >= HELD_MAX;
        let ready: Vec<Foreign> = if is_over { self.flushed().collect() } else { Vec::new() };
        self.ended_ns = ended_ns;
        self.held.push(foreign);
        ready.into_iter()
    }

    /// What is still held.
    pub(super) fn flush(mut self) -> impl Iterator<Item = Foreign> {
        self.flushed()
    }

    fn flushed(&mut self) -> impl Iterator<Item = Foreign> + use<> {
        let held = std::mem::take(&mut self.held);
        let step_ns = SECOND_NS / i64::try_from(held.len().max(1)).unwrap_or(SECOND_NS);
        held.into_iter().zip(0_i64..).map(move |(foreign, index)| Foreign {
            started_ns: foreign.started_ns.saturating_add(index * step_ns),
            ..foreign
        })
    }
}
