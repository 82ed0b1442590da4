//! Sizes at their limits: request lines, headers, bodies.

use crate::case::{Case, scene, sends};
use crate::profile::{Profile, buffered, max_body, usual};

pub(super) fn cases() -> Vec<Case> {
    [lines(), header_lines(), bodies(), refused_bodies()].concat()
}

const K: usize = 1 << 10;

/// A GET whose request line has so many bytes, line end included.
fn line_of(bytes: usize) -> String {
    let rest = "GET / HTTP/1.1\r\n".len();
    format!("GET /{} HTTP/1.1\r\nHost: a.example\r\n\r\n", "a".repeat(bytes - rest))
}

/// A header line of so many bytes, line end included.
fn header_of(bytes: usize) -> String {
    format!("X-A: {}\r\n", "a".repeat(bytes - "X-A: \r\n".len()))
}

fn with_headers(headers: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n")
}

fn lines() -> Vec<Case> {
    let small = || Profile { large_header_buffers: (2, 2048), ..usual() };
    vec![
        sends("line-of-1k", "200 open | whole", line_of(K)),
        sends("line-over-1k", "200 open | whole", line_of(K + 1)),
        sends("line-of-8k-less-1", "200 open | whole", line_of(8 * K - 1)),
        sends("line-of-8k", "200 open | whole", line_of(8 * K)),
        sends("line-of-8k-and-1", "414 fin | nothing", line_of(8 * K + 1)),
        sends("line-of-9k", "414 fin | nothing", line_of(9 * K)),
        sends("line-of-100k", "414 fin | nothing", line_of(100 * K)),
        sends("line-of-2k-at-a-limit-of-2k", "200 open | whole", line_of(2 * K)).with(small()),
        sends("line-of-3k-at-a-limit-of-2k", "414 fin | nothing", line_of(3 * K)).with(small()),
        scene("line-too-long-and-never-ended", "414 fin | nothing")
            .send(format!("GET /{}", "a".repeat(9 * K)))
            .answers(1)
            .end(),
        scene("line-too-long-in-pieces", "414 fin | nothing")
            .trickle(line_of(9 * K), 3000, 20)
            .answers(1)
            .end(),
    ]
}

fn header_lines() -> Vec<Case> {
    let headers = |name: &str, nginx, headers: &str| sends(name, nginx, with_headers(headers));
    let small = || Profile { large_header_buffers: (2, 2048), ..usual() };
    vec![
        headers("header-of-8k-less-1", "200 open | whole", &header_of(8 * K - 1)),
        headers("header-of-8k", "200 open | whole", &header_of(8 * K)),
        headers("header-of-8k-and-1", "400 fin | nothing", &header_of(8 * K + 1)),
        headers("header-of-9k", "400 fin | nothing", &header_of(9 * K)),
        headers("headers-4-of-7k", "200 open | whole", &header_of(7 * K).repeat(4)),
        headers("headers-5-of-7k", "400 fin | nothing", &header_of(7 * K).repeat(5)),
        headers("headers-of-31k-in-small-lines", "200 open | whole", &header_of(100).repeat(310)),
        headers("headers-of-36k-in-small-lines", "400 fin | nothing", &header_of(100).repeat(360)),
        headers("headers-256", "200 open | whole", &"A: b\r\n".repeat(256)),
        headers("headers-1100", "400 fin | nothing", &"A: b\r\n".repeat(1100)),
        headers("headers-of-1m", "400 fin | nothing", &header_of(K).repeat(K)),
        headers("headers-2-of-1900-at-a-limit-of-2-2k", "200 open | whole", &header_of(1900).repeat(2))
            .with(small()),
        headers("headers-3-of-1900-at-a-limit-of-2-2k", "400 fin | nothing", &header_of(1900).repeat(3))
            .with(small()),
        headers("header-of-3k-at-a-limit-of-2-2k", "400 fin | nothing", &header_of(3 * K)).with(small()),
        sends(
            "line-of-7k-and-headers-3-of-7k",
            "200 open | whole",
            line_of(7 * K).replace("\r\n\r\n", &format!("\r\n{}\r\n", header_of(7 * K).repeat(3))),
        ),
        sends(
            "line-of-7k-and-headers-4-of-7k",
            "400 fin | nothing",
            line_of(7 * K).replace("\r\n\r\n", &format!("\r\n{}\r\n", header_of(7 * K).repeat(4))),
        ),
        scene("header-too-long-in-pieces", "400 fin | nothing")
            .trickle(with_headers(&header_of(9 * K)), 3000, 20)
            .answers(1)
            .end(),
        scene("headers-too-long-on-a-kept-connection", "200 400 fin | whole")
            .send(with_headers(""))
            .answers(1)
            .send(with_headers(&header_of(9 * K)))
            .answers(2)
            .end(),
    ]
}

fn with_length(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn in_chunks(body: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let head = b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let add = |mut all: Vec<u8>, chunk: &[u8]| {
        all.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
        all.extend(chunk);
        all.extend(b"\r\n");
        all
    };
    [body.chunks(chunk_bytes).fold(head, add), b"0\r\n\r\n".to_vec()].concat()
}

/// Within the limit, streamed and buffered.
fn bodies() -> Vec<Case> {
    let body = vec![b'x'; 10 * K];
    let limit = || max_body(10 << 10);
    let large = vec![b'y'; 600 * K];
    vec![
        sends("body-at-its-limit", "200 open | whole", with_length(&body)).with(limit()),
        sends("body-at-its-limit-buffered", "200 open | whole", with_length(&body)).with(limit().buffering()),
        sends("body-at-its-limit-in-chunks", "200 open | whole", in_chunks(&body, 1000)).with(limit()),
        sends("body-at-its-limit-in-chunks-buffered", "200 open | whole", in_chunks(&body, 1000))
            .with(limit().buffering()),
        sends("body-of-600k", "200 open | whole", with_length(&large)),
        sends("body-of-600k-buffered", "200 open | whole", with_length(&large))
            .with(buffered())
            .comparing_framing(),
        sends("body-of-600k-in-chunks-buffered", "200 open | whole", in_chunks(&large, 5000))
            .with(buffered())
            .comparing_framing(),
        sends("body-of-2m-without-a-limit", "200 open | whole", with_length(&vec![b'z'; 2 << 20]))
            .with(max_body(0)),
        sends("body-just-over-the-memory-buffer", "200 open | whole", with_length(&vec![b'z'; 16 * K + 1]))
            .with(buffered()),
    ]
}

fn refused_bodies() -> Vec<Case> {
    let over = vec![b'x'; 10 * K + 1];
    let limit = || max_body(10 << 10);
    let declared =
        |bytes: u64| format!("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: {bytes}\r\n\r\nx");
    let announced = "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        sends("body-over-its-limit", "413 fin | nothing", with_length(&over)).with(limit()),
        sends("body-over-its-limit-buffered", "413 fin | nothing", with_length(&over))
            .with(limit().buffering()),
        sends("body-over-its-limit-in-chunks", "413 fin | nothing", in_chunks(&over, 1000)).with(limit()),
        sends("body-over-its-limit-in-chunks-buffered", "413 fin | nothing", in_chunks(&over, 1000))
            .with(limit().buffering()),
        sends("body-over-its-limit-in-one-chunk", "413 fin | nothing", in_chunks(&over, 20_000))
            .with(limit()),
        sends("chunk-announced-over-the-limit", "413 fin | nothing", format!("{announced}2801\r\nx"))
            .with(limit())
            .watch(1000),
        sends(
            "chunk-announced-over-the-limit-without-data",
            "silence open | broken",
            format!("{announced}2801\r\n"),
        )
        .with(limit()),
        sends(
            "chunk-announced-over-the-limit-buffered",
            "413 fin | nothing",
            format!("{announced}2801\r\nx"),
        )
        .with(limit().buffering()),
        sends("chunk-announced-at-the-limit", "silence open | broken", format!("{announced}2800\r\nx"))
            .with(limit()),
        scene("chunks-over-the-limit-after-a-while", "413 fin | broken")
            .with(limit())
            .send(announced)
            .trickle("800\r\n".to_owned() + &"x".repeat(0x800) + "\r\n", 4000, 150)
            .trickle("2001\r\nx", 100, 50)
            .answers(1)
            .end(),
        sends("declared-5g-over-the-limit", "413 fin | nothing", declared(5 << 30)).watch(1000),
        scene("declared-5g-without-a-limit-and-left", "silence left | broken")
            .with(max_body(0))
            .send(declared(5 << 30))
            .watch(150)
            .leave(),
        sends(
            "body-over-its-limit-on-get",
            "413 open | nothing",
            "GET /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 20000\r\n\r\n",
        )
        .with(limit()),
        scene("body-over-its-limit-then-another-request", "413 fin | nothing")
            .with(limit())
            .send(with_length(&over))
            .send(with_headers(""))
            .answers(2)
            .end(),
        sends(
            "body-over-its-limit-with-connection-close",
            "413 open | nothing",
            "POST /a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 20000\r\n\r\n",
        )
        .with(limit()),
    ]
}
