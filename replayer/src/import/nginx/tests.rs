//! Lines, and what becomes of them.

use kingtide_common::exchange::{AnsweredBy, Ending};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::foreign::{Connection, Foreign};
use super::super::tests::{SOURCE, exchanges, findings, imported, left_out, options, unreadable};
use super::*;

fn read_text(text: &str) -> Vec<Finding> {
    findings(|sink| read(SOURCE, text.as_bytes(), &LineFormat::Auto, sink)).unwrap()
}

fn read_lines(lines: &[Value]) -> Vec<Foreign> {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    exchanges(read_text(&lines.join("\n")))
}

fn one(line: Value) -> Foreign {
    read_lines(&[line]).remove(0)
}

fn upload() -> Value {
    json!({
        "msec": "1795521605.000", "remote_addr": "1.2.3.4", "connection": "7", "connection_requests": "1",
        "request_method": "POST", "request_uri": "/api/upload", "server_protocol": "HTTP/1.1", "host": "app.example",
        "content_type": "audio/webm", "content_length": "200000", "status": "201", "body_bytes_sent": "50",
        "request_time": "5.000", "upstream_connect_time": "0.001", "upstream_header_time": "2.900",
        "upstream_response_time": "3.000", "http_user_agent": "curl", "cookie_sid": "hush"
    })
}

fn without(names: &[&str]) -> Value {
    let mut line = upload();
    line.as_object_mut().unwrap().retain(|name, _| !names.contains(&name.as_str()));
    line
}

#[test]
fn a_line_is_written_at_the_end_and_the_upload_is_what_the_upstream_did_not_take() {
    let foreign = one(upload());
    assert_eq!(foreign.started_ns, 1_795_521_600_000_000_000);
    assert_eq!((foreign.upload_us, foreign.request.body_bytes), (Some(2_000_000), Some(200_000)));
    let instants = foreign.instants;
    assert_eq!((instants.body_done_us, instants.upstream_connected_us), (Some(2_000_000), Some(2_001_000)));
    assert_eq!((instants.response_head_us, instants.done_us), (Some(4_900_000), Some(5_000_000)));
    assert_eq!(foreign.request.header("cookie"), Some("sid=hush"));
    assert_eq!(foreign.connection, Connection::Named { name: "1.2.3.4/7".into(), begins: true });
    assert_eq!(foreign.synthesised, ["request_headers"].into());
}

#[test]
fn several_upstreams_are_one_time() {
    let mut line = upload();
    line["upstream_response_time"] = json!("1.000, 0.500 : 1.500");
    assert_eq!(one(line).upload_us, Some(2_000_000));
}

#[test]
fn without_a_content_length_the_request_length_tells() {
    let mut line = without(&["content_length"]);
    line["request_length"] = json!(200_400);
    let foreign = one(line);
    let bytes = foreign.request.body_bytes.unwrap();
    assert!((199_900..200_200).contains(&bytes), "{bytes}");
    assert!(foreign.synthesised.contains("request_body_bytes"));
}

#[test]
fn lines_of_one_second_are_spread_over_it_in_their_order() {
    let line = |second: u32, path: &str| {
        format!(
            "1.2.3.4 - - [24/Nov/2026:13:00:0{second} +0100] \"GET /{path} HTTP/1.1\" 200 5 \"-\" \"curl\"\n"
        )
    };
    let text = [line(0, "a"), line(0, "b"), line(0, "c"), line(0, "d"), line(1, "e")].concat();
    let foreign = exchanges(read_text(&text));
    let offsets: Vec<i64> =
        foreign.iter().map(|one| (one.started_ns - 1_795_521_600_000_000_000) / 1_000_000).collect();
    assert_eq!(offsets, [0, 250, 500, 750, 1000]);
    let targets: String = foreign.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(targets, "/a/b/c/d/e");
    assert!(foreign[0].synthesised.contains("started") && foreign[0].synthesised.contains("host"));
}

#[test]
fn who_answered_is_read_off_the_status() {
    let of = |status: u16, names: &[&str]| {
        let mut line = without(names);
        line["status"] = json!(status);
        let foreign = one(line);
        (foreign.answered_by, foreign.ending, foreign.status)
    };
    assert_eq!(of(499, &[]), (AnsweredBy::Nobody, Ending::ClientAbort, None));
    assert_eq!(of(504, &[]).0, AnsweredBy::EdgeError);
    assert_eq!(of(413, &[]).0, AnsweredBy::Upstream);
    let mut refused = without(&["upstream_connect_time", "upstream_header_time"]);
    refused["upstream_response_time"] = json!("-");
    refused["status"] = json!("413");
    assert_eq!(one(refused).answered_by, AnsweredBy::EdgeLimit);
}

#[test]
fn lines_that_are_no_requests_are_counted() {
    let text = "rubbish\n\
        1.2.3.4 - - [24/Nov/2026:13:00:00 +0100] \"\\x16\\x03\\x01\" 400 150 \"-\" \"-\"\n\
        {\"msec\": \"1.0\", \"request\": \"GET / HTTP/1.1\"}\n\
        {\"status\": 200, \"request\": \"GET / HTTP/1.1\"}\n";
    let found = read_text(text);
    assert_eq!(left_out(&found), ["no HTTP request in the line"]);
    let unreadable = unreadable(&found);
    assert_eq!(unreadable.len(), 3);
    assert!(unreadable[0].starts_with("input:1: it does not fit the format `combined`"), "{unreadable:?}");
    assert_eq!(
        unreadable[1..],
        ["input:3: it has no status", "input:4: it has no time, or none that is Nginx's"]
    );
}

proptest! {
    #[test]
    fn any_text_is_read(text in "([ -~]|\\n|é|\"|\\\\){0,300}") {
        read_text(&text);
    }

    #[test]
    fn any_values_are_read(values in prop::collection::vec((0_usize..18, "[ -~]{0,20}|[0-9.,: -]{0,30}"), 0..6)) {
        let mut line = upload();
        let names: Vec<String> = line.as_object().unwrap().keys().cloned().collect();
        for (index, value) in values {
            if let Some(name) = names.get(index) { line[name] = json!(value); }
        }
        let found = read_text(&line.to_string());
        prop_assert_eq!(found.len(), 1);
        imported(options(), found);
    }
}
