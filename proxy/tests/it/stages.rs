//! Who was slow: injected delays appear in their stage and in no other.

use std::thread::sleep;
use std::time::Duration;

use kingtide_common::stages::Stage;

use crate::backend::{answering, scripted, write_answer};
use crate::client::{Client, get, upload};
use crate::proxy::{Proxy, recording, route_all};

/// What a busy machine may add; the injected delays are several times longer.
const TOLERANCE_MS: u64 = 150;
/// A stage may begin a little after the pause that it should show.
const LESS_MS: u64 = 15;

fn assert_about(stage_us: Option<u64>, injected_ms: u64) {
    let took_ms = stage_us.unwrap() / 1000;
    let about = injected_ms.saturating_sub(LESS_MS)..injected_ms + TOLERANCE_MS;
    assert!(about.contains(&took_ms), "{took_ms} ms for {injected_ms} ms");
}

#[test]
fn a_slow_client_and_a_slow_backend_are_told_apart() {
    let backend = scripted(|stream| {
        sleep(Duration::from_millis(400));
        write_answer(stream, "{}");
    });
    let proxy = Proxy::start(backend.address);
    let (head, body) = upload("/api/upload", &vec![7; 100_000]);
    let mut client = Client::connect(proxy.address);
    client.send(head);
    client.send(&body[..50_000]);
    sleep(Duration::from_millis(700));
    client.send(&body[50_000..]);
    client.answer();

    let exchange = proxy.stop().exchange();
    let instants = exchange.instants;
    assert_about(instants.stage_us(Stage::RequestBody), 700);
    assert_about(instants.stage_us(Stage::UpstreamWait), 400);
    assert_about(instants.stage_us(Stage::Total), 1100);
    assert_about(instants.stage_us(Stage::UpstreamConnect), 0);
    assert_about(instants.stage_us(Stage::ClientSend), 0);
    let stall_us = exchange.pacing.windows(2).map(|pair| pair[1].at_us - pair[0].at_us).max();
    assert_about(stall_us, 700);
}

#[test]
fn a_request_begins_with_its_first_byte_not_with_the_connection() {
    let backend = answering("{}");
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        sleep(Duration::from_millis(300));
        let request = get("/api/a");
        client.send(&request[..9]);
        sleep(Duration::from_millis(200));
        client.send(&request[9..]);
        client.answer();
    }
    let exchanges = proxy.stop().exchanges();
    for (number, exchange) in exchanges.iter().enumerate() {
        assert_about(exchange.instants.stage_us(Stage::RequestHead), 200);
        assert_about(exchange.instants.stage_us(Stage::Total), 200);
        let idle_ms = 300 + 500 * number as u64;
        assert_about(Some(exchange.connection_age_us), idle_ms);
    }
}

#[test]
fn a_slow_answer_is_response_body() {
    let backend = scripted(|stream| {
        use std::io::Write;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").unwrap();
        sleep(Duration::from_millis(300));
        stream.write_all(b"cd").unwrap();
    });
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    client.send(get("/api/a"));
    assert_eq!(client.answer().1, "abcd");
    let instants = proxy.stop().exchange().instants;
    assert_about(instants.stage_us(Stage::ResponseBody), 300);
    assert_about(instants.stage_us(Stage::ClientSend), 300);
    assert_about(instants.stage_us(Stage::UpstreamWait), 0);
}

#[test]
fn an_answer_tells_its_client_what_it_waited_for() {
    let backend = scripted(|stream| {
        sleep(Duration::from_millis(300));
        write_answer(stream, "{}");
    });
    let config = |more: &str| format!("{}{}", recording(backend.address), route_all(more));
    let told = |proxy: &Proxy| {
        let (head, _) = Client::connect(proxy.address).ask(get("/api/a"));
        let values = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("server-timing:"));
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let silent = Proxy::of(&config(""));
    let before = told(&silent);
    assert!(before.iter().all(|line| !line.contains("edge")), "{before:?}");
    let telling = Proxy::of(&config("server_timing = true"));
    let lines = told(&telling);
    assert_eq!(lines.len(), before.len() + 1, "what the backend told stands beside it: {lines:?}");
    let waits = lines.last().unwrap();
    let upstream = waits.rsplit_once("upstream;dur=").and_then(|(_, ms)| ms.split_once('.'));
    let upstream_us = upstream.and_then(|(ms, _)| ms.parse::<u64>().ok()).map(|ms| 1000 * ms);
    assert_about(upstream_us, 300);
    assert!(waits.contains("edge;dur="), "{waits}");
}
