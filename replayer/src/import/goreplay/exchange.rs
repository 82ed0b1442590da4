//! A request and its answer → an exchange. GoReplay records no connections and no clients.

use std::collections::BTreeSet;

use kingtide_common::exchange::{AnsweredBy, Ending};
use kingtide_common::stages::Instants;

use super::super::foreign::{Connection, Foreign, Message, made_up};
use super::super::{Finding, Source};
use super::http::StartLine;
use super::pairs::{Half, Pair};

const WEBSOCKET: &str = "WebSocket";
const BODILESS: [u16; 2] = [204, 304];

pub(super) fn finding(source: Source<'_>, pair: Pair) -> Finding {
    let Pair { request, response } = pair;
    let status = response.as_ref().and_then(status);
    if status == Some(101) {
        return Finding::LeftOut(WEBSOCKET);
    }
    let StartLine::Request { method, target } = request.parsed.start.clone() else {
        return Finding::LeftOut(super::NO_REQUEST);
    };
    let mut synthesised = BTreeSet::from([made_up::CONNECTION]);
    let instants = instants(&request, response.as_ref());
    if response.is_none() {
        synthesised.extend([made_up::RESPONSE, made_up::TIMINGS]);
    }
    let message = request.parsed.message;
    let host = message.header("host").unwrap_or_default().to_owned();
    if host.is_empty() {
        synthesised.insert(made_up::HOST);
    }
    Finding::Exchange(Box::new(Foreign {
        started_ns: request.at_ns,
        connection: connection(source, &message),
        tls_us: None,
        instants,
        response: answer(response, &method, status),
        method,
        host,
        target,
        client: format!("goreplay {}", source.number),
        http_version: request.parsed.http_version,
        request: message,
        upload_us: request.took_ns.map(|ns| ns / 1000),
        status,
        answered_by: status.map_or(AnsweredBy::Nobody, |_| AnsweredBy::Upstream),
        // Of a request without an answer nothing else is known.
        ending: Ending::Complete,
        synthesised,
    }))
}

fn status(response: &Half) -> Option<u16> {
    match response.parsed.start {
        StartLine::Response { status } => Some(status),
        StartLine::Request { .. } => None,
    }
}

fn answer(response: Option<Half>, method: &str, status: Option<u16>) -> Message {
    let mut message = response.map(|response| response.parsed.message).unwrap_or_default();
    if method == "HEAD" || status.is_some_and(|status| BODILESS.contains(&status)) {
        message.body_bytes = Some(0);
    }
    message
}

/// Requests with the same credential are one client's; one without might be anybody's.
fn connection(source: Source<'_>, request: &Message) -> Connection {
    let credentials: Vec<&str> = request.all("authorization").chain(request.all("cookie")).collect();
    if credentials.is_empty() {
        return Connection::Own;
    }
    Connection::OfClient(format!("{}/{}", source.number, credentials.join("\n")))
}

/// Old files tell of an answer how long it took from its request, new ones how long it took by itself, and
/// of a request as well.
fn instants(request: &Half, response: Option<&Half>) -> Instants {
    let sent_us = request.took_ns.unwrap_or_default() / 1000;
    let since_us = |at_ns: i64| u64::try_from(at_ns.saturating_sub(request.at_ns)).unwrap_or_default() / 1000;
    let head_us = response.map(|response| since_us(response.at_ns));
    let is_new = request.took_ns.is_some();
    let receive_us =
        response.and_then(|response| response.took_ns).filter(|_| is_new).unwrap_or_default() / 1000;
    let last_us = head_us.map(|head_us| head_us.saturating_add(receive_us));
    Instants {
        head_done_us: Some(0),
        body_done_us: Some(sent_us),
        upstream_send_last_us: Some(sent_us),
        response_head_us: head_us,
        response_last_us: last_us,
        done_us: Some(last_us.unwrap_or(sent_us)),
        ..Instants::default()
    }
}
