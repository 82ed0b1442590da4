//! `[[route]]`: which requests it is for, and what becomes of them.

use std::collections::BTreeMap;

use garde::Validate;
use kingtide_common::units::ByteSize;
use serde::{Deserialize, Serialize};

use super::RouteLimits;

/// Which requests go where. Exactly one of `upstream`, `redirect` and `answer`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    #[garde(length(min = 1))]
    pub(crate) name: String,
    /// Any host when empty; `*.example.com` matches every name below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(skip)]
    pub(crate) hosts: Vec<String>,
    /// Any listener when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(skip)]
    pub(crate) ports: Vec<u16>,
    #[serde(default = "Route::prefix")]
    #[garde(prefix("/"))]
    pub(crate) prefix: String,
    /// The path must be the prefix itself: `location = /path`.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) exact: bool,
    /// Any method when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[garde(skip)]
    pub(crate) methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub(crate) upstream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub(crate) redirect: Option<Redirect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub(crate) answer: Option<Answer>,
    /// Takes the place of the prefix towards the upstream: `proxy_pass http://backend/rewrite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    pub(crate) rewrite: Option<String>,
    /// The upload is read whole before the upstream is opened: `proxy_request_buffering on`.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) request_buffering: bool,
    /// Bytes of a spooled upload kept in memory.
    #[serde(default = "Route::client_body_buffer_size")]
    #[garde(skip)]
    pub(crate) client_body_buffer_size: ByteSize,
    /// Set towards the upstream; an empty value removes the header. Variables: see configs/proxy.toml.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[garde(skip)]
    pub(crate) request_headers: BTreeMap<String, String>,
    /// Set towards the client; an empty value removes the header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[garde(skip)]
    pub(crate) response_headers: BTreeMap<String, String>,
    /// Tells the client in `Server-Timing` what it waited for: the edge, or the upstream.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) server_timing: bool,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) limits: RouteLimits,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    #[garde(range(min = 300, max = 399))]
    pub(crate) status: u16,
    /// Variables as in headers: `https://$host$request_uri`.
    #[garde(length(min = 1))]
    pub(crate) to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// 444 closes the connection without an answer.
    #[garde(range(min = 200, max = 599))]
    pub(crate) status: u16,
    #[serde(default)]
    #[garde(skip)]
    pub(crate) body: String,
    #[serde(default = "Answer::content_type")]
    #[garde(skip)]
    pub(crate) content_type: String,
}

impl Route {
    pub(super) fn prefix() -> String {
        "/".to_owned()
    }

    fn client_body_buffer_size() -> ByteSize {
        ByteSize(16 << 10)
    }
}

impl Answer {
    fn content_type() -> String {
        "text/plain".to_owned()
    }
}
