//! One planned request and what became of it.
//!
//! All instants are nanoseconds from the start of the run, from one monotonic clock. Errors are data: a
//! class, the stage in which it happened, and from the class the side that caused it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The client's stages, in the order in which a request passes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientStage {
    /// A new connection, with its TLS handshake.
    Connect,
    /// First to last byte of the request handed to the socket, which takes no more than the network does; on HTTP/2 to
    /// the connection, which takes no more than the target's window and 32 KiB.
    Send,
    /// Last byte sent to the first byte of the answer.
    Wait,
    /// First to last byte of the answer.
    Receive,
}

/// Why a planned request has no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    ConnectRefused,
    ConnectTimeout,
    /// Unreachable, or the TLS handshake failed.
    ConnectFailed,
    Reset,
    /// The connection ended before the answer did.
    ClosedEarly,
    /// HTTP/2: the target said twice, on two connections, that it had not taken the request (`REFUSED_STREAM`, `GOAWAY`).
    StreamRefused,
    /// No complete answer within the request timeout.
    Timeout,
    /// The answer was no HTTP.
    Protocol,
    /// A value it needs was in no answer, so it was not sent.
    BindingMissing,
    /// The request whose answer it needs was kept back by this machine, so it was not sent.
    SourceKeptBack,
    /// It could not be written as an HTTP request, so it was not sent.
    Unbuildable,
    /// This machine ran out of ports, descriptors or memory.
    LocalExhausted,
    /// Sent, and still without an answer when the run ended.
    Unfinished,
    /// Still waiting for its turn when the run ended.
    NotSent,
    /// In flight when the user stopped the run at once.
    CutOff,
    /// Dropped by the late policy: the generator was too late for it.
    DroppedLate,
    /// As many requests were in flight as may be: the run's safety stop.
    InFlightCap,
}

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Target,
    Generator,
}

/// A request without a complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    pub class: ErrorClass,
    /// Where it happened; `None` for what never got as far as a connection.
    pub stage: Option<ClientStage>,
}

/// How a planned request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered {
        status: u16,
        /// It failed (≥ 400; ≥ 500 where the body was filler) and the captured one had not.
        worse: bool,
    },
    Failed(Failure),
}

/// What a request carries beside its head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upload {
    pub body_bytes: u64,
    pub files: u64,
    pub file_bytes: u64,
}

/// What went over the connection for a request, heads included, TLS not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// Why a request went out later than intended: the parts add up to sent − intended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagParts {
    /// This generator was late, with the connect or with the request.
    pub pacer_ns: u64,
    /// Its connection was slow to open.
    pub connect_ns: u64,
    /// It waited for a value or for its turn on the connection.
    pub dependency_ns: u64,
}

/// One planned request, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Index of its route.
    pub route: usize,
    /// Index of its clone in the plan, and of its step in the session.
    pub clone: usize,
    pub step: usize,
    /// From the plan, never from a wake-up.
    pub intended_ns: u64,
    /// When it could have gone out: intended, its values there, its connection free and open. A new connection
    /// counts as open from when it would have been, had its connect begun when it was due.
    pub ready_ns: u64,
    /// What it waited beyond its intended instant for values or for its turn on the connection.
    pub dependency_ns: u64,
    /// Duration of the connect, when this request opened the connection.
    pub connect_ns: Option<u64>,
    /// First byte handed to the socket.
    pub sent_ns: Option<u64>,
    /// First byte of its last attempt handed to the socket, where that was not the first.
    pub resent_ns: Option<u64>,
    /// Last byte of the last attempt handed to the socket; `None` when not all of it was.
    pub body_done_ns: Option<u64>,
    /// First byte of the answer to the last attempt.
    pub first_byte_ns: Option<u64>,
    /// Last byte of the answer, or the failure.
    pub ended_ns: u64,
    pub upload: Upload,
    pub traffic: Traffic,
    /// Bytes that the target's kernel had not acknowledged when the last byte was handed to the socket; `None`
    /// when nobody asked or could tell.
    pub held_bytes: Option<u64>,
    pub outcome: Outcome,
}

impl ClientStage {
    pub const ALL: [Self; 4] = [Self::Connect, Self::Send, Self::Wait, Self::Receive];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Receive => "receive",
        }
    }
}

impl ErrorClass {
    /// The class's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::Reset => "reset",
            Self::ClosedEarly => "closed_early",
            Self::StreamRefused => "stream_refused",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::BindingMissing => "binding_missing",
            Self::SourceKeptBack => "source_kept_back",
            Self::Unbuildable => "unbuildable",
            Self::LocalExhausted => "local_exhausted",
            Self::Unfinished => "unfinished",
            Self::NotSent => "not_sent",
            Self::CutOff => "cut_off",
            Self::DroppedLate => "dropped_late",
            Self::InFlightCap => "in_flight_cap",
        }
    }

    pub fn side(self) -> Side {
        match self {
            Self::Unbuildable
            | Self::SourceKeptBack
            | Self::LocalExhausted
            | Self::CutOff
            | Self::DroppedLate
            | Self::InFlightCap => Side::Generator,
            _ => Side::Target,
        }
    }

    /// The run ended before the request did.
    pub fn is_unfinished(self) -> bool {
        matches!(self, Self::Unfinished | Self::NotSent | Self::CutOff)
    }

    /// The target took the request, or its turn, or left it waiting for a connection, and never answered: a
    /// hang, whoever gave up first.
    pub fn is_hang(self) -> bool {
        matches!(self, Self::Unfinished | Self::NotSent | Self::Timeout | Self::ConnectTimeout)
    }
}

impl ErrorClass {
    /// The target showed no sign of life: it left this request, or the one whose answer it needs, without an answer.
    pub fn is_silence(self) -> bool {
        self.is_hang() || matches!(self, Self::BindingMissing | Self::SourceKeptBack)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Outcome {
    pub fn is_failed(&self) -> bool {
        match self {
            Self::Answered { worse, .. } => *worse,
            Self::Failed(_) => true,
        }
    }

    /// Whether this machine is why there is no answer.
    pub fn is_generators(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.class.side() == Side::Generator)
    }
}

impl Sample {
    /// The sample of a request whose earlier attempts ended as `before` and whose last as `self`: it counts from
    /// the first, with the first status, and is judged by the last.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        let outcome = match (before.outcome, self.outcome) {
            (Outcome::Answered { status, .. }, Outcome::Answered { worse, .. }) => {
                Outcome::Answered { status, worse }
            }
            (_, last) => last,
        };
        let (ready_ns, sent_ns, resent_ns) = match before.sent_ns {
            Some(_) => (before.ready_ns, before.sent_ns, self.sent_ns),
            None => (self.ready_ns, self.sent_ns, None),
        };
        let connect_ns = before.connect_ns.or(self.connect_ns);
        let Self { intended_ns, dependency_ns, mut traffic, .. } = *before;
        traffic.add(self.traffic);
        Self {
            intended_ns,
            ready_ns,
            dependency_ns,
            connect_ns,
            sent_ns,
            resent_ns,
            traffic,
            outcome,
            ..self
        }
    }

    /// How late the generator was with the connect and the request, nanoseconds; `None` for a request that
    /// was not sent.
    pub fn lag_ns(&self) -> Option<u64> {
        Some(self.sent_ns?.saturating_sub(self.ready_ns))
    }

    /// `None` for a request that was not sent.
    pub fn lag_parts(&self) -> Option<LagParts> {
        let until_ready_ns = self.ready_ns.saturating_sub(self.intended_ns);
        Some(LagParts {
            pacer_ns: self.lag_ns()?,
            connect_ns: until_ready_ns.saturating_sub(self.dependency_ns),
            dependency_ns: self.dependency_ns,
        })
    }

    /// All of it went out, and all of its answer came: what follows on a connection of HTTP/1.1 is the next.
    pub fn is_complete(&self) -> bool {
        self.body_done_ns.is_some() && matches!(self.outcome, Outcome::Answered { .. })
    }

    /// From the intended instant to the end, nanoseconds: the latency, or the age of what did not end.
    pub fn latency_ns(&self) -> u64 {
        self.ended_ns.saturating_sub(self.intended_ns)
    }

    /// The latency, of what distributions count: answers, and what hung with its age. A reset must not look quick.
    pub fn counted_latency_ns(&self) -> Option<u64> {
        let counts = match self.outcome {
            Outcome::Answered { .. } => true,
            Outcome::Failed(failure) => failure.class.is_hang(),
        };
        counts.then(|| self.latency_ns())
    }

    pub fn service_ns(&self) -> Option<u64> {
        Some(self.ended_ns.saturating_sub(self.sent_ns?))
    }

    /// Duration of a stage of the last attempt; `None` when the request did not pass through it. An answer before the end of
    /// the upload waited 0.
    pub fn stage_ns(&self, stage: ClientStage) -> Option<u64> {
        match stage {
            ClientStage::Connect => self.connect_ns,
            ClientStage::Send => Some(self.body_done_ns?.saturating_sub(self.resent_ns.or(self.sent_ns)?)),
            ClientStage::Wait => Some(self.first_byte_ns?.saturating_sub(self.body_done_ns?)),
            ClientStage::Receive => Some(self.answered_ns()?.saturating_sub(self.first_byte_ns?)),
        }
    }

    fn answered_ns(&self) -> Option<u64> {
        matches!(self.outcome, Outcome::Answered { .. }).then_some(self.ended_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::{answered, failed};
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_parts_of_the_lag_add_up() {
        let cases = [
            ("on time", (10, 10, 0, 10), (0, 0, 0)),
            ("the generator was late", (10, 10, 0, 13), (3, 0, 0)),
            ("its connection was slow to open", (10, 14, 0, 14), (0, 4, 0)),
            ("the answer that it needs was late", (10, 15, 5, 15), (0, 0, 5)),
            ("all of them", (10, 30, 7, 31), (1, 13, 7)),
        ];
        for (case, (intended_ns, ready_ns, dependency_ns, sent_ns), expected) in cases {
            let sent = Some(sent_ns);
            let sample =
                Sample { intended_ns, ready_ns, dependency_ns, sent_ns: sent, ..answered(200, false) };
            let parts = sample.lag_parts().unwrap();
            assert_eq!((parts.pacer_ns, parts.connect_ns, parts.dependency_ns), expected, "{case}");
            assert_eq!(expected.0 + expected.1 + expected.2, sent_ns - intended_ns, "{case}");
        }
        assert_eq!(Sample { sent_ns: None, ..answered(200, false) }.lag_parts(), None);
    }

    #[test]
    fn a_request_tried_again_counts_from_its_first_attempt_and_is_judged_by_its_last() {
        let later = Sample {
            intended_ns: 500 * MS,
            ready_ns: 500 * MS,
            sent_ns: Some(501 * MS),
            body_done_ns: Some(503 * MS),
            first_byte_ns: Some(510 * MS),
            ended_ns: 512 * MS,
            ..answered(201, false)
        };
        let whole = later.after(&answered(503, true));
        assert_eq!(whole.outcome, Outcome::Answered { status: 503, worse: false });
        assert_eq!((whole.latency_ns(), whole.service_ns()), (502 * MS, Some(499 * MS)));
        assert_eq!((whole.lag_ns(), whole.dependency_ns), (Some(MS), 2 * MS));
        assert_eq!(whole.stage_ns(ClientStage::Send), Some(2 * MS), "of the last attempt");
        assert_eq!(whole.traffic.sent_bytes, 2 * later.traffic.sent_bytes, "both went over the wire");
        assert_eq!(failed(ErrorClass::Timeout).after(&answered(503, true)).outcome, {
            failed(ErrorClass::Timeout).outcome
        });
    }

    #[test]
    fn what_had_not_gone_out_before_is_sent_by_the_attempt_that_did() {
        let traffic = Traffic::default();
        let unsent = Sample { sent_ns: None, ready_ns: 0, traffic, ..failed(ErrorClass::ConnectRefused) };
        let whole = answered(200, false).after(&unsent);
        assert_eq!(whole, Sample { dependency_ns: unsent.dependency_ns, ..answered(200, false) });
    }
}
