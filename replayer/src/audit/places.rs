//! Where a value stands.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Request,
    Response,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Method,
    Host,
    Path,
    Query,
    Header,
    Cookie,
    Json,
    /// Keys of a JSON body.
    JsonKeys,
    Form,
    /// A field of a multipart body.
    Part,
    PartHead,
    ServerTiming,
    /// Why a body was not looked into.
    Unread,
    /// A column of the segments, whatever row it belongs to.
    Column,
    File,
}

/// A place that many exchanges have: a header, a field, a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Null for columns and files.
    pub side: Option<Side>,
    #[serde(rename = "in")]
    pub kind: Kind,
    /// Header, field, cookie or file; of JSON the pointer, with `*` for every index.
    pub name: String,
}

impl Place {
    pub(super) fn new(side: Side, kind: Kind, name: impl Into<String>) -> Self {
        Self { side: Some(side), kind, name: name.into() }
    }

    /// The last name in it that is no index: what rules for names look at.
    pub(super) fn field(&self) -> String {
        let last = self.name.rsplit('/').find(|key| *key != "*").unwrap_or_default();
        if self.kind == Kind::Json { last.replace("~1", "/").replace("~0", "~") } else { self.name.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Some(Side::Request) => f.write_str("request ")?,
            Some(Side::Response) => f.write_str("response ")?,
            None => {}
        }
        f.write_str(match self.kind {
            Kind::Method => "method",
            Kind::Host => "host",
            Kind::Path => "path",
            Kind::Query => "query",
            Kind::Header => "header",
            Kind::Cookie => "cookie",
            Kind::Json => "JSON",
            Kind::JsonKeys => "keys of the JSON",
            Kind::Form => "form field",
            Kind::Part => "part",
            Kind::PartHead => "head of the part",
            Kind::ServerTiming => "server timing",
            Kind::Unread => "reason of an unread body",
            Kind::Column => "column",
            Kind::File => "file",
        })?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " {}", self.name) }
    }
}
