//! The request and the response of an entry.

use kingtide_common::exchange::{Body, Exchange, Header, Multipart, Part, PartContent};
use serde::Serialize;
use url::form_urlencoded;

use crate::export::csv::http_version;

/// Sizes that nobody measured.
const UNKNOWN: i64 = -1;
const OPAQUE_TYPE: &str = "application/octet-stream";

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    method: &'a str,
    url: String,
    http_version: &'static str,
    cookies: Vec<Pair>,
    headers: &'a [Header],
    query_string: Vec<Pair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'a>>,
    headers_size: i64,
    body_size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    status: u16,
    status_text: &'static str,
    http_version: &'static str,
    cookies: Vec<Pair>,
    headers: &'a [Header],
    content: Content<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: &'a str,
    headers_size: i64,
    body_size: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Pair {
    name: String,
    value: String,
}

/// `text` and `params` exclude each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Param>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Param {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    size: u64,
    mime_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'a> Request<'a> {
    pub(super) fn of(exchange: &'a Exchange, scheme: &str) -> Self {
        let query = exchange.target.split_once('?').map_or("", |(_, query)| query);
        Self {
            method: &exchange.method,
            url: url(exchange, scheme),
            http_version: http_version(exchange.http_version),
            cookies: cookies(&exchange.request_headers),
            headers: &exchange.request_headers,
            query_string: pairs(query),
            post_data: post_data(exchange),
            headers_size: UNKNOWN,
            body_size: exchange.request_body_bytes,
        }
    }
}

impl<'a> Response<'a> {
    /// A request that got no answer has the status 0, as in the archives of browsers.
    pub(super) fn of(exchange: &'a Exchange) -> Self {
        let status = exchange.status.unwrap_or_default();
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Self {
            status,
            status_text: reason.unwrap_or_default(),
            http_version: http_version(exchange.http_version),
            cookies: set_cookies(&exchange.response_headers),
            headers: &exchange.response_headers,
            content: content(exchange),
            redirect_url: exchange.response_header("location").unwrap_or_default(),
            headers_size: UNKNOWN,
            body_size: exchange.response_body_bytes,
        }
    }
}

fn url(exchange: &Exchange, scheme: &str) -> String {
    let target = &exchange.target;
    if target.contains("://") && !target.starts_with('/') {
        return target.clone();
    }
    let host = if exchange.host.is_empty() { "unknown.invalid" } else { &exchange.host };
    let slash = if target.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{host}{slash}{target}")
}

fn pairs(text: &str) -> Vec<Pair> {
    let decoded = form_urlencoded::parse(text.as_bytes());
    decoded.map(|(name, value)| Pair { name: name.into_owned(), value: value.into_owned() }).collect()
}

fn cookies(headers: &[Header]) -> Vec<Pair> {
    let values = values_of(headers, "cookie").flat_map(|value| value.split(';'));
    values.filter_map(|pair| cookie(pair.trim())).collect()
}

fn set_cookies(headers: &[Header]) -> Vec<Pair> {
    let values = values_of(headers, "set-cookie").map(|value| value.split(';').next().unwrap_or_default());
    values.filter_map(|pair| cookie(pair.trim())).collect()
}

fn values_of<'a>(headers: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

fn cookie(pair: &str) -> Option<Pair> {
    let (name, value) = pair.split_once('=')?;
    Some(Pair { name: name.to_owned(), value: value.to_owned() })
}

fn post_data(exchange: &Exchange) -> Option<PostData<'_>> {
    let mime_type = named(exchange.request_header("content-type")).unwrap_or(OPAQUE_TYPE);
    let data = |text, params, comment| Some(PostData { mime_type, text, params, comment });
    match &exchange.request_body {
        Body::Empty => None,
        Body::Json(text) => data(Some(text), Vec::new(), None),
        Body::Form(text) => data(None, pairs(text).into_iter().map(field).collect(), None),
        Body::Multipart(Multipart { parts, .. }) => data(None, parts.iter().map(part).collect(), None),
        Body::Html(_) | Body::Opaque => {
            data(Some(""), Vec::new(), Some(not_kept(exchange.request_body_bytes, "not kept")))
        }
        Body::Unread(why) => data(Some(""), Vec::new(), Some(not_kept(exchange.request_body_bytes, why))),
    }
}

fn field(Pair { name, value }: Pair) -> Param {
    Param { name, value: Some(value), file_name: None, content_type: None, comment: None }
}

fn part(part: &Part) -> Param {
    let name = part.name.clone();
    match &part.content {
        PartContent::Field { value } => field(Pair { name, value: value.clone() }),
        PartContent::File { file } => Param {
            name,
            value: None,
            file_name: Some(format!("file.{}", file.extension.as_deref().unwrap_or("bin"))),
            content_type: Some(file.content_type.clone().unwrap_or_else(|| OPAQUE_TYPE.to_owned())),
            comment: Some(not_kept(file.bytes, "content not kept")),
        },
    }
}

fn content(exchange: &Exchange) -> Content<'_> {
    let mime_type = named(exchange.response_header("content-type")).unwrap_or(OPAQUE_TYPE);
    let size = exchange.response_body_bytes;
    let content = |text, comment| Content { size, mime_type, text, comment };
    match &exchange.response_body {
        Body::Empty => content(None, None),
        Body::Json(text) | Body::Form(text) => content(Some(text), None),
        Body::Multipart(_) | Body::Html(_) | Body::Opaque => content(None, Some(not_kept(size, "not kept"))),
        Body::Unread(why) => content(None, Some(not_kept(size, why))),
    }
}

fn named(content_type: Option<&str>) -> Option<&str> {
    content_type.filter(|value| !value.is_empty())
}

fn not_kept(bytes: u64, why: &str) -> String {
    format!("{bytes} bytes, {why}")
}
