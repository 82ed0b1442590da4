//! One request and its answer as another program recorded them: raw, not yet redacted.
//!
//! Every importer makes these of its own format and of nothing else; what follows (connections, bodies,
//! redaction) is the same for all. What the source does not hold is left open here and made up by the rules
//! of [`super::describe`], or made up by the importer and marked.

use std::collections::BTreeSet;

use kingtide_common::exchange::{AnsweredBy, Ending};
use kingtide_common::stages::Instants;

/// Names of what an import may make up, as they stand in the column `synthesised`.
pub mod made_up {
    pub const STARTED: &str = "started";
    pub const CONNECTION: &str = "connection";
    pub const HOST: &str = "host";
    pub const HTTP_VERSION: &str = "http_version";
    pub const TIMINGS: &str = "timings";
    pub const REQUEST_HEADERS: &str = "request_headers";
    pub const REQUEST_BODY: &str = "request_body";
    pub const REQUEST_BODY_BYTES: &str = "request_body_bytes";
    pub const FILE_BYTES: &str = "file_bytes";
    pub const PACING: &str = "pacing";
    pub const RESPONSE: &str = "response";
    pub const RESPONSE_BODY: &str = "response_body";
}

/// Which of the client's connections carried an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// The source names it; `begins` when this is known to be its first exchange.
    Named { name: String, begins: bool },
    /// Only the client is known: it takes whichever of its connections is free, else opens another.
    OfClient(String),
    /// Nothing is known.
    Own,
}

/// What the source holds of a body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Content {
    #[default]
    Absent,
    Whole(Vec<u8>),
    /// Its beginning.
    Cut(Vec<u8>),
}

/// Head and body of a request or an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// In order, name and value.
    pub headers: Vec<(String, String)>,
    pub content: Content,
    /// Bytes of the body on the wire; `None` when the source does not tell, then those of `content` count.
    pub body_bytes: Option<u64>,
    /// The content is without its content coding, whatever the headers say.
    pub is_decoded: bool,
}

/// A request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// First byte of the request, nanoseconds UTC.
    pub started_ns: i64,
    pub connection: Connection,
    pub tls_us: Option<u64>,
    pub instants: Instants,
    pub method: String,
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Tells one client from another; never kept.
    pub client: String,
    /// 10, 11 or 20.
    pub http_version: u8,
    pub request: Message,
    /// How long the client took for its body, µs.
    pub upload_us: Option<u64>,
    pub status: Option<u16>,
    pub response: Message,
    pub answered_by: AnsweredBy,
    pub ending: Ending,
    /// Names of [`made_up`].
    pub synthesised: BTreeSet<&'static str>,
}

impl Message {
    /// Value of a header; names compare without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every value of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = move |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.headers.iter().filter(of_name).map(|(_, value)| value.as_str())
    }

    /// `Content-Length`, where it is one number.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }
}
