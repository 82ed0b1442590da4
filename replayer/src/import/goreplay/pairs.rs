//! Requests and answers by their id. Both may come first; what waits is bounded.

use std::collections::{HashMap, VecDeque};

use super::http::{Parsed, StartLine};
use super::records::Payload;

/// Messages that wait for their other half at most, and their bytes.
const WAITING_MAX: usize = 65_536;
const WAITING_BYTES_MAX: usize = 256 << 20;

/// A message and when it was seen.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) at_ns: i64,
    pub(super) took_ns: Option<u64>,
    pub(super) parsed: Parsed,
    bytes: usize,
}

/// A request with its answer, if there is one.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) request: Half,
    pub(super) response: Option<Half>,
}

/// What waits for its other half.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    waiting: HashMap<String, Half>,
    /// Ids in the order they came; some no longer wait.
    order: VecDeque<String>,
    bytes: usize,
    answers_dropped: u64,
}

impl Pairs {
    /// Takes a message; returns the exchanges that are complete now, or that waited too long.
    pub(super) fn take(&mut self, payload: Payload, parsed: Parsed) -> Vec<Pair> {
        let Payload { id, at_ns, took_ns, bytes, .. } = payload;
        let half = Half { at_ns, took_ns, parsed, bytes: bytes.len() };
        let mut ready = Vec::new();
        match self.waiting.remove(&id) {
            Some(other) if other.is_request() != half.is_request() => {
                self.bytes -= other.bytes;
                let (request, response) = if half.is_request() { (half, other) } else { (other, half) };
                ready.push(Pair { request, response: Some(response) });
            }
            other => {
                if let Some(other) = other {
                    self.bytes -= other.bytes;
                    ready.extend(self.alone(other));
                }
                self.bytes += half.bytes;
                self.order.push_back(id.clone());
                self.waiting.insert(id, half);
            }
        }
        while self.waiting.len() > WAITING_MAX
            || self.bytes > WAITING_BYTES_MAX
            || self.order.len() > 4 * WAITING_MAX
        {
            match self.order.pop_front() {
                Some(oldest) => ready.extend(self.give_up(&oldest)),
                None => break,
            }
        }
        ready
    }

    /// Requests that never got an answer, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Pair> {
        std::iter::from_fn(|| {
            loop {
                let oldest = self.order.pop_front()?;
                if let Some(pair) = self.give_up(&oldest) {
                    return Some(pair);
                }
            }
        })
    }

    /// Answers whose request did not come.
    pub(super) fn answers_left(&self) -> u64 {
        self.answers_dropped
    }

    fn give_up(&mut self, id: &str) -> Option<Pair> {
        let half = self.waiting.remove(id)?;
        self.bytes -= half.bytes;
        self.alone(half)
    }

    fn alone(&mut self, half: Half) -> Option<Pair> {
        if half.is_request() {
            return Some(Pair { request: half, response: None });
        }
        self.answers_dropped += 1;
        None
    }
}

impl Half {
    fn is_request(&self) -> bool {
        matches!(self.parsed.start, StartLine::Request { .. })
    }
}
