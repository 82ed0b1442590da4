//! One JSON object a line.
//!
//! Durations are milliseconds with up to three decimals, sizes bytes. Each line has the same keys: a stage
//! that did not run to its end is `null`. `tls_ms` and `accept_queue_ms` stand on the first line of their
//! connection only, so that sums over lines are right.

use std::net::{IpAddr, SocketAddr};

use kingtide_common::exchange::{AnsweredBy, Ending};
use kingtide_common::stages::Stage;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::Context;
use super::masked::masked;
use crate::limits::LimitName;
use crate::passage::{Attempt, Passage};
use crate::server_timing::server_timings;

/// RFC 3339.
const STARTED: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

#[derive(Serialize)]
struct Line<'a> {
    started: &'a str,
    connection: u64,
    request: u64,
    client: IpAddr,
    /// Who the connection is with: a trusted proxy may stand between.
    socket: SocketAddr,
    protocol: &'static str,
    tls: Option<&'static str>,
    tls_cipher: Option<&'static str>,
    /// The host that the client asked for in the handshake.
    tls_name: Option<&'a str>,
    method: &'a str,
    host: &'a str,
    target: &'a str,
    route: &'a str,
    status: Option<u16>,
    logged_status: u16,
    answered_by: AnsweredBy,
    ending: Ending,
    #[serde(serialize_with = "as_text")]
    end: [char; 2],
    refused_by: Option<&'static str>,
    would_refuse: Vec<&'static str>,
    request_bytes: u64,
    response_bytes: u64,
    bytes_sent: u64,
    accept_queue_ms: Option<u32>,
    #[serde(flatten)]
    stages: Stages<'a>,
    server_timing_ms: ServerTimings<'a>,
    attempts: Vec<AttemptLine>,
    request_id: &'a str,
    trace_id: Option<&'a str>,
}

#[derive(Serialize)]
struct AttemptLine {
    peer: SocketAddr,
    connect_ms: Option<f64>,
    header_ms: Option<f64>,
    reused: bool,
    status: u16,
}

/// `tls_ms`, `request_head_ms` … `total_ms`
struct Stages<'a>(&'a Passage);

/// `{"auth": 48.0}`; a name that comes twice keeps both.
struct ServerTimings<'a>(&'a Passage);

pub(super) fn line(passage: &Passage, context: &Context, out: &mut Vec<u8>) {
    let started = context.utc(passage.marks.started_ns).format(STARTED).unwrap_or_default();
    let target = masked(passage.request.target(), &context.rules);
    let target = String::from_utf8_lossy(&target);
    let line = described(passage, &started, &target);
    let start = out.len();
    // No value above can fail; should one, half a line must not spoil the file.
    if serde_json::to_writer(&mut *out, &line).is_err() {
        out.truncate(start);
        return;
    }
    out.push(b'\n');
}

fn described<'a>(passage: &'a Passage, started: &'a str, target: &'a str) -> Line<'a> {
    let (connection, request) = (&passage.connection, &passage.request);
    Line {
        started,
        connection: connection.id,
        request: passage.number,
        client: passage.client,
        socket: connection.client,
        protocol: request.facts.version.name(),
        tls: connection.tls.as_ref().map(|tls| tls.version),
        tls_cipher: connection.tls.as_ref().map(|tls| tls.cipher),
        tls_name: connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref()),
        method: request.method(),
        host: request.host(),
        target,
        route: &passage.route,
        status: passage.status,
        logged_status: passage.logged_status(),
        answered_by: passage.answered_by,
        ending: passage.ending,
        end: passage.end_code(),
        refused_by: passage.refused_by.map(LimitName::name),
        would_refuse: passage.would_refuse.iter().map(LimitName::name).collect(),
        request_bytes: passage.request_body_bytes,
        response_bytes: passage.response_body_bytes,
        bytes_sent: passage.bytes_sent,
        accept_queue_ms: connection.accept_queue_ms.filter(|_| passage.number == 1),
        stages: Stages(passage),
        server_timing_ms: ServerTimings(passage),
        attempts: passage.attempts.iter().map(attempt).collect(),
        request_id: &passage.request_id,
        trace_id: passage.traceparent.split('-').nth(1),
    }
}

fn attempt(attempt: &Attempt) -> AttemptLine {
    let since_pick = |at_ns: u64| ms(at_ns.saturating_sub(attempt.picked_ns) / 1000);
    AttemptLine {
        peer: attempt.peer,
        connect_ms: attempt.connected_ns.map(since_pick),
        header_ms: attempt.head_ns.map(since_pick),
        reused: attempt.reused,
        status: attempt.status,
    }
}

/// Whole microseconds print with at most three decimals.
fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_text<S: Serializer>(letters: &[char; 2], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}{}", letters[0], letters[1]))
}

/// As the key of a line.
fn key(stage: Stage) -> &'static str {
    match stage {
        Stage::Tls => "tls_ms",
        Stage::RequestHead => "request_head_ms",
        Stage::RequestBody => "request_body_ms",
        Stage::UpstreamConnect => "upstream_connect_ms",
        Stage::UpstreamSend => "upstream_send_ms",
        Stage::UpstreamWait => "upstream_wait_ms",
        Stage::ResponseBody => "response_body_ms",
        Stage::ClientSend => "client_send_ms",
        Stage::Total => "total_ms",
    }
}

impl Serialize for Stages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let instants = self.0.marks.instants();
        let mut map = serializer.serialize_map(Some(Stage::ALL.len()))?;
        for stage in Stage::ALL {
            let us = if stage == Stage::Tls { self.0.handshake_us() } else { instants.stage_us(stage) };
            map.serialize_entry(key(stage), &us.map(ms))?;
        }
        map.end()
    }
}

impl Serialize for ServerTimings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let timings = self.0.response.iter().flat_map(|response| server_timings(&response.fields));
        serializer.collect_map(timings.map(|timing| (timing.name, ms(timing.duration_us))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::context;
    use super::*;
    use crate::sample;

    fn logged(passage: &Passage) -> Value {
        let mut out = Vec::new();
        line(passage, &context(), &mut out);
        assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1), "one line");
        let mut value: Value = serde_json::from_slice(&out).unwrap();
        let started = value.as_object_mut().unwrap().remove("started").unwrap();
        assert_eq!(started.as_str().unwrap().len(), "2026-11-24T15:14:00.123Z".len());
        value
    }

    #[test]
    fn an_upload_with_all_its_stages() {
        let mut expected = json!({
            "connection": 17, "request": 3, "client": "192.0.2.7", "socket": "192.0.2.7:40312", "protocol": "HTTP/1.1", "tls": "TLSv1.3",
            "method": "POST", "host": "school.example", "target": "/api/uploads?token=***&lesson=7",
            "route": "uploads", "status": 201, "logged_status": 201, "answered_by": "upstream",
            "ending": "complete", "end": "--", "refused_by": null, "would_refuse": [],
            "request_bytes": 204_800, "response_bytes": 120, "bytes_sent": 350,
            "accept_queue_ms": null, "tls_ms": null, "request_head_ms": 1.0, "request_body_ms": 90.0,
            "upstream_connect_ms": 1.0, "upstream_send_ms": 5.0, "upstream_wait_ms": 2700.0,
            "response_body_ms": 1.0, "client_send_ms": 2.0, "total_ms": 2804.0,
            "server_timing_ms": {"auth": 48.0, "store": 2500.5},
            "attempts": [
                {"peer": "10.0.0.1:8000", "connect_ms": null, "header_ms": null, "reused": false, "status": 502},
                {"peer": "10.0.0.2:8000", "connect_ms": 1.0, "header_ms": 2706.0, "reused": false, "status": 201},
            ],
            "request_id": "0123456789abcdef0123456789abcdef", "trace_id": sample::TRACE_ID,
        });
        expected["tls_cipher"] = json!("TLS13_AES_128_GCM_SHA256");
        expected["tls_name"] = json!("school.example");
        assert_eq!(logged(&sample::upload()), expected);
    }

    #[test]
    fn the_first_request_of_a_connection_carries_its_handshake() {
        let passage = Passage { number: 1, ..sample::upload() };
        let line = logged(&passage);
        assert_eq!((&line["tls_ms"], &line["accept_queue_ms"]), (&json!(12.0), &json!(2)));
    }

    #[test]
    fn limits_are_named_and_what_was_not_reached_is_null() {
        let mut passage = sample::silent_client();
        passage.refused_by = Some(LimitName::ClientHeaderTimeout);
        passage.would_refuse.insert(LimitName::LimitReq);
        let line = logged(&passage);
        assert_eq!(
            (&line["status"], &line["logged_status"], &line["end"]),
            (&json!(null), &json!(408), &json!("PR"))
        );
        assert_eq!(
            (&line["refused_by"], &line["would_refuse"]),
            (&json!("client_header_timeout"), &json!(["limit_req"]))
        );
        assert_eq!((&line["upstream_wait_ms"], &line["total_ms"]), (&json!(null), &json!(60_000.0)));
        assert_eq!(line["trace_id"], json!(null));
    }
}
