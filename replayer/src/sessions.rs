//! Sessions: the exchanges of one user in order, and the values that must be fresh for a new user.
//!
//! Made when a capture is read, never when it is written, so that better rules apply to old captures.

use std::ops::Range;

use kingtide_common::exchange::Exchange;

/// The exchanges of one user, in order of their start.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// What holds it together: a token's or cookie's fingerprint, or the connection.
    pub key: String,
    /// First byte of its first request, nanoseconds UTC.
    pub start_ns: i64,
    pub steps: Vec<Step>,
    /// It uses a credential whose login the capture does not hold.
    pub orphan: bool,
}

/// One exchange of a session, with what must be filled in before it can be sent for a new user.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub exchange: Exchange,
    /// From the session's start to the first byte of this request, microseconds.
    pub offset_us: u64,
    /// Which of the session's connections carries it, numbered by first use from 0.
    pub connection: usize,
    /// Holes in the order of [`Place`] and position; they never overlap.
    pub holes: Vec<Hole>,
}

/// A stretch of a request's text that is replaced for each clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    pub place: Place,
    /// Byte range in that place's text.
    pub range: Range<usize>,
    pub escape: Escape,
    pub source: Source,
}

/// The texts of a request that can have holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Path and query.
    Target,
    /// Value of the request header with this index.
    Header(usize),
    /// Text of a JSON or form body.
    Body,
    /// Value of the field part with this index of a multipart body.
    Part(usize),
}

/// How a value is written into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    Raw,
    /// Inside a JSON string.
    JsonString,
    /// A whole JSON scalar (numbers, booleans): written without quotes.
    JsonScalar,
    /// Percent-encoded, for paths, queries and forms.
    Percent,
}

/// Where the value of a hole comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A value in the response to an earlier step of the same session.
    Response { step: usize, from: ResponsePlace },
    /// A column of the identities file.
    Identity { column: String },
    /// Made new for each clone.
    Fresh(Fresh),
    /// A fingerprint whose value nothing supplies: sent as captured filler and counted.
    Unresolved,
}

/// Where in a response a value stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResponsePlace {
    /// A scalar at a JSON pointer (RFC 6901).
    Json {
        pointer: String,
    },
    Header {
        name: String,
    },
    /// A cookie set by the response.
    Cookie {
        name: String,
    },
}

/// Values that no response supplied and that must not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fresh {
    Uuid,
}

impl Step {
    /// The earlier steps whose answers this one needs before it can be sent.
    pub fn waits_for(&self) -> impl Iterator<Item = usize> {
        self.holes.iter().filter_map(|hole| match &hole.source {
            Source::Response { step, .. } => Some(*step),
            _ => None,
        })
    }
}

impl Session {
    /// From the first request's first byte to the last exchange's end, microseconds.
    pub fn duration_us(&self) -> u64 {
        let ends = self.steps.iter().map(|step| step.offset_us + step.exchange.instants.done_us.unwrap_or(0));
        ends.max().unwrap_or(0)
    }
}
