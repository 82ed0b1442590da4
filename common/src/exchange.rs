//! One request and its response as the proxy saw them: the row of a capture.
//!
//! Texts are already redacted: secret and personal values stand as fingerprint tokens
//! (see [`crate::fingerprint`]). Bodies are described, not stored.

use std::fmt;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::fingerprint::Fingerprint;
use crate::stages::Instants;

/// A header as sent, name in the case it had on the wire, value redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// What is kept of a body: enough to rebuild a like one, never the file itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Body {
    #[default]
    Empty,
    /// Redacted JSON text.
    Json(String),
    /// Redacted `application/x-www-form-urlencoded` text.
    Form(String),
    Multipart(Multipart),
    /// The forms of an HTML page as redacted JSON, see [`crate::html`].
    Html(String),
    /// A type that is not looked into; only its size is known.
    Opaque,
    /// It should have been looked into and could not be; says why (too large, malformed, broken off).
    Unread(String),
}

/// A `multipart/form-data` body, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipart {
    /// Bytes of the boundary parameter, so that a fresh one keeps the body's length.
    pub boundary_bytes: u32,
    pub parts: Vec<Part>,
}

/// One part of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The part's header block as sent, without the blank line; lines end in CRLF. The stem of a file
    /// name is masked by `x` at its own length.
    pub head: String,
    pub name: String,
    #[serde(flatten)]
    pub content: PartContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PartContent {
    Field { value: String },
    File { file: FilePart },
}

/// A file part: what it was, not what was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePart {
    pub content_type: Option<String>,
    /// Extension of the file name, without the dot.
    pub extension: Option<String>,
    /// Exact size of the content.
    pub bytes: u64,
    /// Keyed hash of the size and the leading bytes; equal files have equal hashes within a capture.
    pub hash: String,
}

/// A point of the upload's arrival curve: `bytes` of the body had arrived `at_us` after the headers.
/// Both are cumulative and never decrease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacingPoint {
    pub at_us: u64,
    pub bytes: u64,
}

/// An inner stage of the backend, from its `Server-Timing` header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTiming {
    pub name: String,
    pub duration_us: u64,
}

/// One of several tries at an upstream. Times count from when its peer was picked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Address and port.
    pub peer: String,
    /// Until the connection was up; `None` when none came about.
    pub connect_us: Option<u64>,
    /// Until the answer's headers were complete; `None` when none came.
    pub head_us: Option<u64>,
    /// The connection came from the pool.
    pub reused: bool,
    /// What the upstream answered; 502 or 504 where it did not.
    pub status: u16,
}

impl Body {
    /// Its kind, as the columns `request_body_kind` and `response_body_kind` name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Json(_) => "json",
            Self::Form(_) => "form",
            Self::Multipart(_) => "multipart",
            Self::Html(_) => "html",
            Self::Opaque => "opaque",
            Self::Unread(_) => "unread",
        }
    }

    /// What is kept of it, as the columns `request_body` and `response_body` hold it.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Empty | Self::Opaque => None,
            Self::Json(text) | Self::Form(text) | Self::Html(text) | Self::Unread(text) => Some(text.into()),
            Self::Multipart(multipart) => {
                Some(serde_json::to_string(multipart).expect("plain data always serialises").into())
            }
        }
    }
}

/// Who produced the answer that the client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    Upstream,
    /// A limit of the edge refused the request.
    EdgeLimit,
    /// The edge could not get an answer (502, 504).
    EdgeError,
    #[default]
    Nobody,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Complete,
    /// The client went away.
    ClientAbort,
    /// The client was too slow for a timeout of the edge.
    ClientTimeout,
    /// The upstream refused or broke off the connection.
    UpstreamReset,
    /// The upstream was too slow for a timeout of the edge.
    UpstreamTimeout,
    /// The edge itself failed.
    #[default]
    EdgeFailure,
}

/// One request and its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Order of acceptance within the capture, from 1.
    pub id: u64,
    /// The client's connection, unique within the capture.
    pub connection: u64,
    /// First byte of the request, nanoseconds UTC.
    pub started_ns: i64,
    /// From the connection's accept to `started_ns`, microseconds.
    pub connection_age_us: u64,
    /// Duration of the TLS handshake, on the connection's first exchange.
    pub tls_us: Option<u64>,
    /// How long the connection waited to be accepted, on its first exchange; `None` also where the kernel
    /// does not tell.
    pub accept_queue_ms: Option<u32>,
    pub instants: Instants,
    /// The upstream connection came from the pool.
    pub upstream_reused: bool,
    pub method: String,
    pub host: String,
    /// Path and query, redacted.
    pub target: String,
    /// Name of the route that served it.
    pub route: String,
    /// Fingerprint of the client's address.
    pub client: String,
    /// 10, 11 or 20.
    pub http_version: u8,
    pub request_headers: Vec<Header>,
    pub request_body: Body,
    /// Bytes of the body received, transfer coding removed.
    pub request_body_bytes: u64,
    pub pacing: Vec<PacingPoint>,
    /// Status sent to the client; `None` when it got none.
    pub status: Option<u16>,
    pub response_headers: Vec<Header>,
    pub response_body: Body,
    pub response_body_bytes: u64,
    pub server_timing: Vec<ServerTiming>,
    pub answered_by: AnsweredBy,
    pub ending: Ending,
    /// Who ended it and where it stood then, two letters as HAProxy writes them; `--` for complete, `None`
    /// in captures that are older than this field.
    pub end: Option<String>,
    /// The limit that refused it or cut it off, by its directive in Nginx (`client_max_body_size`).
    pub refused_by: Option<String>,
    /// Limits in shadow mode that it passed.
    pub would_refuse: Vec<String>,
    /// All tries at the upstream where there was more than one, else none: a single one is what the other
    /// fields tell.
    pub attempts: Vec<Attempt>,
    /// What an import made up because its source does not hold it (`pacing`, `request_body`); empty for what
    /// the proxy recorded. The names and their rules: captures/README.md, "Importing".
    pub synthesised: Vec<String>,
}

/// Requests that were accepted and are not in the capture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the first and the last of them began, nanoseconds UTC.
    pub from_ns: i64,
    pub to_ns: i64,
    pub count: u64,
    /// Bytes of their request bodies.
    pub bytes: u64,
    /// `queue`, `disk` or `budget`.
    pub reason: String,
    /// Users of whom the capture holds something, and from here on nothing: their sessions are cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<CutUser>,
}

/// By what the requests of a user whose session is cut can be found. Written as its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutUser {
    /// It stands in a header that carries a credential, or as a cookie.
    Credential(Fingerprint),
    Connection(u64),
}

const CONNECTION: &str = "connection:";

impl fmt::Display for CutUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(fingerprint) => fingerprint.fmt(f),
            Self::Connection(number) => write!(f, "{CONNECTION}{number}"),
        }
    }
}

impl CutUser {
    /// Reads what [`fmt::Display`] writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(CONNECTION) {
            Some(number) => number.parse().ok().map(Self::Connection),
            None => Fingerprint::parse(text).map(Self::Credential),
        }
    }
}

impl Serialize for CutUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CutUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` names no user")))
    }
}

/// A row of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Exchange(Box<Exchange>),
    Gap(Gap),
}

impl AnsweredBy {
    /// Its word in captures, the same as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::EdgeLimit => "edge_limit",
            Self::EdgeError => "edge_error",
            Self::Nobody => "nobody",
        }
    }
}

impl Ending {
    /// Its word in captures, the same as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientAbort => "client_abort",
            Self::ClientTimeout => "client_timeout",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::EdgeFailure => "edge_failure",
        }
    }
}

impl Record {
    /// When the exchange, or the first of the missing requests, began, nanoseconds UTC.
    pub fn started_ns(&self) -> i64 {
        match self {
            Self::Exchange(exchange) => exchange.started_ns,
            Self::Gap(gap) => gap.from_ns,
        }
    }
}

impl Exchange {
    /// When the exchange was over, nanoseconds UTC.
    pub fn done_ns(&self) -> i64 {
        let done_us = self.instants.done_us.unwrap_or_default();
        self.started_ns.saturating_add_unsigned(done_us.saturating_mul(1000))
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }

    /// The extension of what the path names (`webm` of `/uploads/unit-3.webm`).
    pub fn path_extension(&self) -> Option<&str> {
        let name = self.path().rsplit('/').next()?;
        name.rsplit_once('.').map(|(_, extension)| extension)
    }

    /// Value of a request header; names compare without case.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        find_header(&self.request_headers, name)
    }

    /// Value of a response header; names compare without case.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        find_header(&self.response_headers, name)
    }

    /// The file parts of the request, empty when it is no multipart body.
    pub fn files(&self) -> impl Iterator<Item = &FilePart> {
        let parts = match &self.request_body {
            Body::Multipart(multipart) => multipart.parts.as_slice(),
            _ => &[],
        };
        parts.iter().filter_map(|part| match &part.content {
            PartContent::File { file } => Some(file),
            PartContent::Field { .. } => None,
        })
    }
}

fn find_header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_whose_sessions_are_cut_survive_as_texts() {
        let print = Fingerprint { hash: 0xAB, bytes: 7 };
        for (user, text) in [
            (CutUser::Credential(print), "{fp:00000000000000ab.7}"),
            (CutUser::Connection(17), "connection:17"),
        ] {
            assert_eq!(user.to_string(), text);
            assert_eq!(CutUser::parse(text), Some(user));
        }
        assert_eq!(CutUser::parse("connection:x"), None);
        let gap = Gap { cut: vec![CutUser::Connection(3)], ..Gap::default() };
        let json = serde_json::to_string(&gap).unwrap();
        assert_eq!(serde_json::from_str::<Gap>(&json).unwrap(), gap);
    }
}
