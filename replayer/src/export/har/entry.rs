//! One exchange as an entry of an archive.

use kingtide_common::exchange::{Attempt, Body, Exchange, ServerTiming};
use kingtide_common::stages::Instants;
use serde::Serialize;

use super::message::{Request, Response};
use super::timings::Timings;
use crate::export::csv::utc;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    /// When connecting began, where that is known; else the first byte of the request.
    started_date_time: String,
    /// Milliseconds.
    time: f64,
    request: Request<'a>,
    response: Response<'a>,
    cache: Cache,
    timings: Timings,
    connection: String,
    #[serde(rename = "_kingtide")]
    own: Own<'a>,
}

/// Proxies keep no cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Cache {}

/// What HAR has no place for, by the names of the capture's columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Own<'a> {
    id: u64,
    connection: u64,
    /// Nanoseconds UTC.
    started_ns: i64,
    connection_age_us: u64,
    tls_us: Option<u64>,
    accept_queue_ms: Option<u32>,
    instants: &'a Instants,
    upstream_reused: bool,
    host: &'a str,
    target: &'a str,
    route: &'a str,
    client: &'a str,
    http_version: u8,
    request_body: OwnBody<'a>,
    response_body: OwnBody<'a>,
    /// Pairs of µs since the headers and bytes that had arrived by then.
    pacing: Vec<(u64, u64)>,
    server_timing: &'a [ServerTiming],
    answered_by: &'static str,
    ending: &'static str,
    end: Option<&'a str>,
    refused_by: Option<&'a str>,
    would_refuse: &'a [String],
    attempts: &'a [Attempt],
    synthesised: &'a [String],
}

/// A body; its text only where the entry does not hold it as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OwnBody<'a> {
    kind: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<std::borrow::Cow<'a, str>>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(exchange: &'a Exchange, scheme: &str) -> Self {
        let handshake_ns = exchange.tls_us.unwrap_or_default().saturating_mul(1000);
        Self {
            started_date_time: utc(exchange.started_ns.saturating_sub_unsigned(handshake_ns)),
            time: Timings::total_ms(exchange),
            request: Request::of(exchange, scheme),
            response: Response::of(exchange),
            cache: Cache {},
            timings: Timings::of(exchange),
            connection: exchange.connection.to_string(),
            own: Own::of(exchange),
        }
    }
}

impl<'a> Own<'a> {
    fn of(exchange: &'a Exchange) -> Self {
        Self {
            id: exchange.id,
            connection: exchange.connection,
            started_ns: exchange.started_ns,
            connection_age_us: exchange.connection_age_us,
            tls_us: exchange.tls_us,
            accept_queue_ms: exchange.accept_queue_ms,
            instants: &exchange.instants,
            upstream_reused: exchange.upstream_reused,
            host: &exchange.host,
            target: &exchange.target,
            route: &exchange.route,
            client: &exchange.client,
            http_version: exchange.http_version,
            request_body: OwnBody::of(&exchange.request_body, exchange.request_body_bytes),
            response_body: OwnBody::of(&exchange.response_body, exchange.response_body_bytes),
            pacing: exchange.pacing.iter().map(|point| (point.at_us, point.bytes)).collect(),
            server_timing: &exchange.server_timing,
            answered_by: exchange.answered_by.word(),
            ending: exchange.ending.word(),
            end: exchange.end.as_deref(),
            refused_by: exchange.refused_by.as_deref(),
            would_refuse: &exchange.would_refuse,
            attempts: &exchange.attempts,
            synthesised: &exchange.synthesised,
        }
    }
}

impl<'a> OwnBody<'a> {
    fn of(body: &'a Body, bytes: u64) -> Self {
        let is_elsewhere = matches!(body, Body::Json(_));
        Self { kind: body.kind(), bytes, text: body.text().filter(|_| !is_elsewhere) }
    }
}
