//! Faults the service shows on request, and how they are written on the command line.
//!
//! `--fault NAME` or `--fault NAME:ARGUMENT`, repeatable; a second fault of the same name replaces the first.
//! Each stands for a failure seen in real upload services, so that a finding about one can be checked.

use std::str::FromStr;
use std::time::Duration;

use crate::law::{millis, number};

/// Names and forms, as listed in the help and in every error.
pub const FAULT_FORMS: &str = "hang-after:UPLOADS, held-transaction, leak:BYTES, cold-start:MS[:IDLE_S], \
                               shed:IN_FLIGHT[:429|503], slow-db:FACTOR, truncate:PROBABILITY";

/// Idle time after which a cold start comes again, when none is given.
const COLD_AFTER_IDLE: Duration = Duration::from_mins(1);
/// Upper bound of `leak`, bytes per upload.
const LEAK_BYTES_MAX: usize = 1 << 30;

/// One fault as typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// After this many accepted uploads no pool connection is given back and nothing is answered.
    HangAfter(u64),
    /// The pool connection (and its transaction) is kept across the object-store call.
    HeldTransaction,
    /// Bytes of memory kept for ever per accepted upload.
    Leak(usize),
    /// The first request after start or idleness waits.
    ColdStart(ColdStart),
    /// Requests above an in-flight limit are refused.
    Shed(Shed),
    /// Database times are multiplied.
    SlowDb(f64),
    /// Answers break off before their announced end with this probability.
    Truncate(f64),
}

/// A start that takes a while, as of an instance scaled to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColdStart {
    /// How long the start takes.
    pub start: Duration,
    /// Idleness after which the service is cold again.
    pub idle: Duration,
}

/// Load shedding at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Requests inside at the same time, at most.
    pub in_flight: usize,
    /// 429 or 503.
    pub status: u16,
}

/// All faults of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// See [`Fault::HangAfter`].
    pub hang_after: Option<u64>,
    /// See [`Fault::HeldTransaction`].
    pub held_transaction: bool,
    /// See [`Fault::Leak`].
    pub leak_bytes: usize,
    /// See [`Fault::ColdStart`].
    pub cold_start: Option<ColdStart>,
    /// See [`Fault::Shed`].
    pub shed: Option<Shed>,
    /// See [`Fault::SlowDb`]; 1 without the fault.
    pub slow_db_factor: f64,
    /// See [`Fault::Truncate`]; 0 without the fault.
    pub truncate_probability: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            hang_after: None,
            held_transaction: false,
            leak_bytes: 0,
            cold_start: None,
            shed: None,
            slow_db_factor: 1.0,
            truncate_probability: 0.0,
        }
    }
}

impl Faults {
    /// The faults of a list, the last of each name winning.
    pub fn of(list: &[Fault]) -> Self {
        let mut faults = Self::default();
        for fault in list {
            faults.apply(fault);
        }
        faults
    }

    fn apply(&mut self, fault: &Fault) {
        match *fault {
            Fault::HangAfter(uploads) => self.hang_after = Some(uploads),
            Fault::HeldTransaction => self.held_transaction = true,
            Fault::Leak(bytes) => self.leak_bytes = bytes,
            Fault::ColdStart(cold) => self.cold_start = Some(cold),
            Fault::Shed(shed) => self.shed = Some(shed),
            Fault::SlowDb(factor) => self.slow_db_factor = factor,
            Fault::Truncate(probability) => self.truncate_probability = probability,
        }
    }
}

/// Why a fault cannot be understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultError {
    /// No fault has this name.
    #[error("no fault is called `{0}`; known: {FAULT_FORMS}")]
    Unknown(String),
    /// The fault needs another argument.
    #[error("fault `{name}` {reason}, not `{argument}`; known: {FAULT_FORMS}")]
    Argument { name: &'static str, argument: String, reason: &'static str },
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, argument) = text.split_once(':').unwrap_or((text, ""));
        let bad = |name, reason| FaultError::Argument { name, argument: argument.to_owned(), reason };
        match name {
            "hang-after" => argument
                .parse()
                .map(Self::HangAfter)
                .map_err(|_| bad("hang-after", "takes a number of uploads")),
            "held-transaction" if argument.is_empty() => Ok(Self::HeldTransaction),
            "held-transaction" => Err(bad("held-transaction", "takes no argument")),
            "leak" => leak(argument).ok_or_else(|| bad("leak", "takes a number of bytes up to 1 GiB")),
            "cold-start" => cold_start(argument)
                .ok_or_else(|| bad("cold-start", "takes milliseconds, then optionally idle seconds")),
            "shed" => {
                shed(argument).ok_or_else(|| bad("shed", "takes a limit above 0, then optionally 429 or 503"))
            }
            "slow-db" => slow_db(argument).ok_or_else(|| bad("slow-db", "takes a factor above 0")),
            "truncate" => {
                truncate(argument).ok_or_else(|| bad("truncate", "takes a probability between 0 and 1"))
            }
            _ => Err(FaultError::Unknown(name.to_owned())),
        }
    }
}

fn leak(argument: &str) -> Option<Fault> {
    argument.parse().ok().filter(|bytes| *bytes <= LEAK_BYTES_MAX).map(Fault::Leak)
}

fn cold_start(argument: &str) -> Option<Fault> {
    let (start, idle) = match argument.split_once(':') {
        Some((start, idle)) => (start, millis(number(idle)? * 1000.0)),
        None => (argument, COLD_AFTER_IDLE),
    };
    Some(Fault::ColdStart(ColdStart { start: millis(number(start)?), idle }))
}

fn shed(argument: &str) -> Option<Fault> {
    let (limit, status) = argument.split_once(':').unwrap_or((argument, "503"));
    let in_flight = limit.parse().ok().filter(|limit| *limit > 0)?;
    let status = status.parse().ok().filter(|status| matches!(status, 429 | 503))?;
    Some(Fault::Shed(Shed { in_flight, status }))
}

fn slow_db(argument: &str) -> Option<Fault> {
    number(argument).filter(|factor| *factor > 0.0).map(Fault::SlowDb)
}

fn truncate(argument: &str) -> Option<Fault> {
    number(argument).filter(|probability| *probability <= 1.0).map(Fault::Truncate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_help_is_understood() {
        let cold = |start, idle| {
            Fault::ColdStart(ColdStart {
                start: Duration::from_millis(start),
                idle: Duration::from_secs(idle),
            })
        };
        let table = [
            ("hang-after:50", Fault::HangAfter(50)),
            ("held-transaction", Fault::HeldTransaction),
            ("leak:1048576", Fault::Leak(1 << 20)),
            ("cold-start:1500", cold(1500, 60)),
            ("cold-start:1500:5", cold(1500, 5)),
            ("shed:30", Fault::Shed(Shed { in_flight: 30, status: 503 })),
            ("shed:30:429", Fault::Shed(Shed { in_flight: 30, status: 429 })),
            ("slow-db:2.5", Fault::SlowDb(2.5)),
            ("truncate:0.05", Fault::Truncate(0.05)),
        ];
        for (text, fault) in table {
            assert_eq!(text.parse::<Fault>().unwrap(), fault, "{text}");
        }
    }

    #[test]
    fn a_wrong_fault_is_answered_with_the_names() {
        let wrong = [
            "",
            "hang",
            "hang-after",
            "hang-after:x",
            "held-transaction:3",
            "leak:-1",
            "leak:9999999999999",
            "cold-start:",
            "cold-start:1:x",
            "shed:0",
            "shed:3:500",
            "slow-db:0",
            "slow-db:NaN",
            "truncate:1.1",
        ];
        for text in wrong {
            let message = text.parse::<Fault>().unwrap_err().to_string();
            assert!(message.contains("hang-after:UPLOADS, held-transaction"), "{text}: {message}");
        }
    }

    #[test]
    fn the_last_of_a_name_wins() {
        let faults = Faults::of(&[Fault::SlowDb(2.0), Fault::HeldTransaction, Fault::SlowDb(3.0)]);
        assert_eq!(faults, Faults { held_transaction: true, slow_db_factor: 3.0, ..Faults::default() });
    }
}
