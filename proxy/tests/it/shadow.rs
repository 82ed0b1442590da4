//! Limits in shadow and enforced, through the real proxy: what clients get and what the capture says.

use std::collections::BTreeSet;
use std::net::TcpListener;

use kingtide_common::exchange::{AnsweredBy, Exchange};

use crate::backend::{Backend, answering};
use crate::client::{Client, get};
use crate::proxy::Proxy;

const LIMIT: &str = "client_max_body_size";
/// `100k`, as Nginx counts.
const LIMIT_BYTES: usize = 100 << 10;
const SIZES: [usize; 8] = [0, 1, 50_000, LIMIT_BYTES - 1, LIMIT_BYTES, LIMIT_BYTES + 1, 150_000, 900_000];
/// Of the chunks that a body is sent in.
const CHUNK_BYTES: usize = 7_000;

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Chunked,
}

/// A recording proxy whose route `/api/limited/` has the limit in the given mode.
fn limited(backend: &Backend, mode: &str) -> Proxy {
    let route = format!(
        "[[route]]\nname = \"limited\"\nprefix = \"/api/limited/\"\nupstream = \"backend\"\n\
         limits = {{ {LIMIT} = {{ value = \"100k\", mode = \"{mode}\" }} }}\n"
    );
    Proxy::start_with(backend.address, &route)
}

/// Each size both ways, on a connection of its own; the path tells the size. The statuses that were answered.
fn upload_all(proxy: &Proxy) -> Vec<(usize, u16)> {
    let ways = SIZES.into_iter().flat_map(|bytes| [(bytes, Framing::Length), (bytes, Framing::Chunked)]);
    ways.map(|(bytes, framing)| (bytes, upload(proxy, bytes, framing))).collect()
}

fn upload(proxy: &Proxy, bytes: usize, framing: Framing) -> u16 {
    let body = vec![b'x'; bytes];
    let (field, body) = match framing {
        Framing::Length => (format!("Content-Length: {bytes}"), body),
        Framing::Chunked => ("Transfer-Encoding: chunked".to_owned(), chunked(&body)),
    };
    let mut client = Client::connect(proxy.address);
    client.send(format!("POST /api/limited/{bytes} HTTP/1.1\r\nHost: school.example\r\n{field}\r\n\r\n"));
    client.send(body);
    client.answer().0[9..12].parse().unwrap()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in body.chunks(CHUNK_BYTES) {
        text.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        text.extend([chunk, b"\r\n"].concat());
    }
    [text.as_slice(), b"0\r\n\r\n"].concat()
}

fn size(exchange: &Exchange) -> usize {
    exchange.target.rsplit('/').next().unwrap().parse().unwrap()
}

#[test]
fn a_shadowed_size_refuses_nothing_and_marks_exactly_what_was_over() {
    let backend = answering("{}");
    let proxy = limited(&backend, "shadow");
    let answered = upload_all(&proxy);
    assert!(answered.iter().all(|(_, status)| *status == 200), "{answered:?}");

    let exchanges = proxy.stop().exchanges();
    assert_eq!(exchanges.len(), 2 * SIZES.len());
    for exchange in &exchanges {
        let marked = exchange.would_refuse == [LIMIT];
        assert_eq!(marked, size(exchange) > LIMIT_BYTES, "{exchange:#?}");
        assert!(marked || exchange.would_refuse.is_empty());
        assert_eq!((exchange.refused_by.as_deref(), exchange.end.as_deref()), (None, Some("--")));
        assert_eq!(exchange.request_body_bytes, size(exchange) as u64);
    }
    let bodies: BTreeSet<usize> = backend.received.try_iter().map(|received| received.body.len()).collect();
    assert_eq!(bodies, BTreeSet::from(SIZES));
}

#[test]
fn an_enforced_size_answers_413_and_is_named() {
    let backend = answering("{}");
    let proxy = limited(&backend, "enforce");
    for (bytes, status) in upload_all(&proxy) {
        assert_eq!(status, if bytes > LIMIT_BYTES { 413 } else { 200 }, "{bytes} bytes");
    }

    let exchanges = proxy.stop().exchanges();
    assert_eq!(exchanges.len(), 2 * SIZES.len());
    for exchange in &exchanges {
        let refused = (size(exchange) > LIMIT_BYTES).then_some(LIMIT);
        assert_eq!(exchange.refused_by.as_deref(), refused, "{exchange:#?}");
        assert!(exchange.would_refuse.is_empty());
        let end = exchange.end.as_deref().unwrap();
        assert_eq!(end.starts_with('P'), refused.is_some(), "{end}");
        let answered_by = if refused.is_some() { AnsweredBy::EdgeLimit } else { AnsweredBy::Upstream };
        assert_eq!(exchange.answered_by, answered_by);
    }
}

#[test]
fn a_second_attempt_is_recorded_with_the_first_and_a_single_one_is_not() {
    let backend = answering("{}");
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start_before(&[unused, backend.address]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        client.send(get("/api/a"));
        assert!(client.answer().0.starts_with("HTTP/1.1 200"));
    }

    let exchanges = proxy.stop().exchanges();
    let tried: Vec<&Exchange> = exchanges.iter().filter(|exchange| !exchange.attempts.is_empty()).collect();
    let [exchange] = tried.as_slice() else { panic!("{exchanges:#?}") };
    let [failed, answered] = exchange.attempts.as_slice() else { panic!("{exchange:#?}") };
    assert_eq!((failed.peer.as_str(), failed.status), (unused.to_string().as_str(), 502));
    assert_eq!((failed.connect_us, failed.head_us, failed.reused), (None, None, false));
    assert_eq!((answered.peer.as_str(), answered.status), (backend.address.to_string().as_str(), 200));
    assert!(answered.connect_us.is_some() && answered.connect_us <= answered.head_us);
}
