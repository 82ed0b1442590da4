//! Heads of messages: the bytes as they came, once, and where names and values stand in them.
//!
//! One copy and one list of positions a head, so that a head costs two allocations whatever it holds, keeps
//! order and case of its fields, and is cheap to free on the writer's thread.

use std::fmt;

/// A part of a head's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Part {
    start: u32,
    end: u32,
}

impl Part {
    /// A head is at most some MiB, so positions fit.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(start), end: position(end) }
    }

    fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Name and value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: Part,
    pub(crate) value: Part,
}

/// The fields of a head, in order and as written.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    lines: Vec<Line>,
}

impl Fields {
    pub(crate) fn new(text: Vec<u8>, lines: Vec<Line>) -> Self {
        Self { text, lines }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name.of(&self.text), line.value.of(&self.text)))
    }

    /// The first field of that name, compared without case.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The first field of that name when it is a text.
    pub(crate) fn text<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |(own, _): &(&[u8], &[u8])| own.eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(named).map(|(_, value)| value)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    /// Where the value of a field stands.
    pub(crate) fn line_value(&self, position: usize) -> Part {
        self.lines.get(position).map_or_else(Part::default, |line| line.value)
    }

    pub(crate) fn part(&self, part: Part) -> &[u8] {
        part.of(&self.text)
    }
}

impl fmt::Debug for Fields {
    /// Values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields({} lines)", self.lines.len())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// 10, 11 or 20.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Http10 => 10,
            Self::Http11 => 11,
            Self::Http2 => 20,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
    /// An answer that ends with its connection, or a request of HTTP/2 without a length.
    ToTheEnd,
}

impl Framing {
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }

    pub(crate) fn length(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(bytes) => Some(bytes),
            Self::Chunked | Self::ToTheEnd => None,
        }
    }
}

/// What the parser found besides the fields.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestFacts {
    pub(crate) version: Version,
    pub(crate) method: Part,
    /// Path and query.
    pub(crate) target: Part,
    /// Of the target in absolute form, else of `Host`.
    pub(crate) host: Part,
    pub(crate) framing: Framing,
    /// The client wants the connection to stay.
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) is_websocket: bool,
}

/// A request's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestHead {
    pub(crate) fields: Fields,
    pub(crate) facts: RequestFacts,
}

impl RequestHead {
    /// Upper case as a rule; compared with case (RFC 9110, 9.1).
    pub(crate) fn method(&self) -> &str {
        self.ascii(self.facts.method)
    }

    /// Path and query as sent.
    pub(crate) fn target(&self) -> &[u8] {
        self.fields.part(self.facts.target)
    }

    /// Empty for an absolute target with a query only: it means `/`.
    pub(crate) fn path(&self) -> &[u8] {
        let target = self.target();
        let end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
        &target[..end]
    }

    /// With its port where it was written; empty when it is no text.
    pub(crate) fn host(&self) -> &str {
        self.ascii(self.facts.host)
    }

    /// As it was sent.
    pub(crate) fn host_bytes(&self) -> &[u8] {
        self.fields.part(self.facts.host)
    }

    /// Sent again without asking when it failed halfway (RFC 9110, 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(self.method(), "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
    }

    fn ascii(&self, part: Part) -> &str {
        std::str::from_utf8(self.fields.part(part)).unwrap_or_default()
    }
}

/// An answer's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    /// The upstream lets the connection stay.
    pub(crate) keep_alive: bool,
}

#[cfg(test)]
mod sample;
