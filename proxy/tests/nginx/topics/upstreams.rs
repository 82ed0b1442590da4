//! Upstreams: their timers, their answers well and badly formed, and the connections kept to them.

use crate::case::{Case, scene};
use crate::origin::{Act, OK, Origin, answering_with};
use crate::profile::{LIMIT_MS, Profile, connect_timeout, proxy_read_timeout, proxy_send_timeout, usual};

pub(super) fn cases() -> Vec<Case> {
    [timers(), bodiless(), lengths(), malformed(), interim(), pooled(), upgrades()].concat()
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn gets(name: &str, nginx: &'static str, answer: &[u8]) -> Case {
    scene(name, nginx).origin(answering_with(answer)).send(GET).answers(1).end()
}

/// The upstream closes after its answer.
fn gets_and_ends(name: &str, nginx: &'static str, answer: &[u8]) -> Case {
    let script = [Act::ReadRequest, Act::Send(answer.to_vec()), Act::Close];
    scene(name, nginx).origin_does(&script).send(GET).answers(1).end()
}

fn timers() -> Vec<Case> {
    let waits = |name: &str, nginx, profile: Profile, script: &[Act]| {
        scene(name, nginx).with(profile).origin_does(script).send(GET).answers(1).end()
    };
    let begun = b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 10\r\n\r\nhello".to_vec();
    let upload = [
        "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 8000000\r\n\r\n".as_bytes(),
        &vec![b'x'; 8_000_000],
    ]
    .concat();
    vec![
        waits("upstream-never-answers", "504 open | whole", proxy_read_timeout(), &[Act::ReadRequest]),
        waits(
            "upstream-stalls-in-its-head",
            "504 open | whole",
            proxy_read_timeout(),
            &[Act::ReadRequest, Act::Send(b"HTTP/1.1 200 OK\r\nX-".to_vec())],
        ),
        waits(
            "upstream-stalls-in-its-body",
            "200~ fin | whole",
            proxy_read_timeout(),
            &[Act::ReadRequest, Act::Send(begun)],
        ),
        waits(
            "upstream-head-in-pieces",
            "504 open | whole",
            proxy_read_timeout(),
            &[Act::ReadRequest, Act::Pieces(OK.to_vec(), 20, 380), Act::Again],
        ),
        waits(
            "upstream-head-byte-by-byte",
            "200 open | whole",
            usual(),
            &[Act::ReadRequest, Act::Pieces(OK.to_vec(), 1, 3), Act::Again],
        ),
        waits(
            "upstream-answers-late-but-in-time",
            "200 open | whole",
            proxy_read_timeout(),
            &[Act::ReadRequest, Act::Pause(400), Act::Send(OK.to_vec()), Act::Again],
        ),
        waits(
            "upstream-never-answers-twice",
            "504 504 open | whole whole",
            proxy_read_timeout(),
            &[Act::ReadRequest],
        )
        .send(GET)
        .answers(2)
        .end(),
        waits("upstream-unreachable", "504 open | nothing", connect_timeout(), &[])
            .origin(Origin::Unreachable),
        waits("upstream-refusing", "502 open | nothing", usual(), &[]).origin(Origin::Refusing),
        scene("upstream-never-reads", "504 fin | nothing")
            .with(proxy_send_timeout())
            .origin(Origin::Narrow(vec![Act::Deaf(2000)]))
            .send(&upload)
            .answers(1)
            .end(),
        scene("upstream-never-reads-buffered", "504 open | nothing")
            .with(proxy_send_timeout().buffering())
            .origin(Origin::Narrow(vec![Act::Deaf(2000)]))
            .send(&upload)
            .answers(1)
            .end(),
        scene("upstream-reads-late-but-in-time", "200 open | whole")
            .with(proxy_send_timeout())
            .origin(Origin::Narrow(vec![Act::Deaf(LIMIT_MS - 250), Act::ReadRequest, Act::Send(OK.to_vec())]))
            .send(&upload)
            .answers(1)
            .end()
            .without_times(),
    ]
}

fn bodiless() -> Vec<Case> {
    let head = |name: &str, nginx, answer: &[u8]| {
        scene(name, nginx)
            .origin(answering_with(answer))
            .send("HEAD /a HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .answers(1)
            .end()
    };
    vec![
        gets("answer-204", "204 open | whole", b"HTTP/1.1 204 No Content\r\nX-Origin: yes\r\n\r\n"),
        gets(
            "answer-204-with-a-length",
            "204 open | whole",
            b"HTTP/1.1 204 No Content\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok",
        ),
        gets(
            "answer-304",
            "304 open | whole",
            b"HTTP/1.1 304 Not Modified\r\nX-Origin: yes\r\nETag: \"a\"\r\n\r\n",
        ),
        gets(
            "answer-304-with-a-length",
            "304 open | whole",
            b"HTTP/1.1 304 Not Modified\r\nX-Origin: yes\r\nContent-Length: 9\r\n\r\n",
        ),
        head(
            "answer-to-head-with-a-length",
            "200 open | whole",
            b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 9\r\n\r\n",
        ),
        head(
            "answer-to-head-chunked",
            "200 open | whole",
            b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        head(
            "answer-to-head-with-a-body",
            "200 open | whole",
            b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok",
        ),
        gets(
            "answer-of-length-0",
            "200 open | whole",
            b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 0\r\n\r\n",
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let chunked = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nX-Origin: yes\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
    };
    let with = |headers: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\nX-Origin: yes\r\n{headers}\r\n{body}").into_bytes()
    };
    vec![
        gets("answer-chunked", "200 open | whole", &chunked("5\r\nhello\r\n0\r\n\r\n")),
        gets(
            "answer-chunked-with-trailer",
            "200 open | whole",
            &chunked("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        ),
        gets("answer-chunked-badly", "silence fin | whole", &chunked("5\r\nhello\r\nzz\r\n")),
        gets("answer-chunked-badly-at-once", "silence fin | whole", &chunked("zz\r\nhello\r\n")),
        gets_and_ends("answer-chunked-cut", "200~ fin | whole", &chunked("5\r\nhello\r\n")),
        gets_and_ends("answer-cut", "200~ fin | whole", &with("Content-Length: 10\r\n", "hello")),
        gets_and_ends("answer-until-close", "200 open | whole", &with("", "hello")),
        gets("answer-longer-than-it-says", "200 open | whole", &with("Content-Length: 2\r\n", "okmore")),
        gets_and_ends(
            "answer-1.0",
            "200 open | whole",
            b"HTTP/1.0 200 OK\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok",
        ),
        gets_and_ends(
            "answer-1.0-until-close",
            "200 open | whole",
            b"HTTP/1.0 200 OK\r\nX-Origin: yes\r\n\r\nok",
        ),
        gets(
            "answer-with-both-lengths",
            "200 open | whole",
            &with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ),
        gets(
            "answer-with-two-lengths",
            "200 open | whole",
            &with("Content-Length: 2\r\nContent-Length: 2\r\n", "ok"),
        ),
        gets(
            "answer-with-two-different-lengths",
            "200~ open | whole",
            &with("Content-Length: 2\r\nContent-Length: 3\r\n", "ok"),
        ),
        gets("answer-with-negative-length", "200~ open | whole", &with("Content-Length: -2\r\n", "ok")),
        gets("answer-gzip-coded", "200~ open | whole", &with("Transfer-Encoding: gzip\r\n", "ok")),
        scene("answer-chunked-to-http-1.0", "200 fin | whole")
            .origin(answering_with(chunked("5\r\nhello\r\n0\r\n\r\n")))
            .send("GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n")
            .answers(1)
            .end(),
    ]
}

fn malformed() -> Vec<Case> {
    let large = |bytes: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX-A: {}\r\nContent-Length: 2\r\n\r\nok",
            "a".repeat(bytes)
        )
        .into_bytes()
    };
    vec![
        gets("answer-head-of-3k", "200 open | whole", &large(3000)),
        gets("answer-head-of-100k", "502 open | whole", &large(100_000)),
        gets("answer-head-of-2m", "502 open | whole", &large(2_000_000)),
        gets("answer-without-reason", "200 open | whole", b"HTTP/1.1 200\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-unknown-status", "299 open | whole", b"HTTP/1.1 299 Odd\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-status-999", "999 open | whole", b"HTTP/1.1 999 Odd\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok"),
        gets_and_ends("answer-with-status-of-2-digits", "20 open | whole", b"HTTP/1.1 20 OK\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok"),
        gets_and_ends("answer-with-letters-as-status", "0 open | whole", b"HTTP/1.1 abc OK\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nok"),
        gets_and_ends("answer-is-nonsense", "? open | whole", b"nonsense\r\n\r\n"),
        gets_and_ends("answer-is-empty", "502 open | whole", b""),
        gets_and_ends("answer-head-cut", "502 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\n"),
        gets("answer-with-lf", "200 open | whole", b"HTTP/1.1 200 OK\nX-Origin: yes\nContent-Length: 2\n\nok"),
        gets("answer-with-folded-header", "502 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-nul", "502 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX-A: 1\x002\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-cr", "502 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX-A: 1\r2\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-line-without-colon", "200 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nnonsense\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-underscore", "200 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX_A: 1\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-space-before-colon", "502 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-hop-by-hop", "200 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nX-Accel-Buffering: no\r\nX-Pad: x\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-repeated-headers", "200 open | whole", b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\nok"),
        gets("answer-with-redirect-to-the-upstream", "302 open | whole", b"HTTP/1.1 302 Found\r\nX-Origin: yes\r\nLocation: http://backend/b\r\nRefresh: 1; url=http://backend/b\r\nContent-Length: 0\r\n\r\n"),
        gets("answer-500", "500 open | whole", b"HTTP/1.1 500 Oops\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nno"),
    ]
}

fn interim() -> Vec<Case> {
    let after = |interim: &str| [interim.as_bytes(), OK].concat();
    vec![
        gets("interim-100", "100 200 open | whole", &after("HTTP/1.1 100 Continue\r\n\r\n")),
        gets("interim-103", "103 200 open | whole", &after("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")),
        gets("interim-100-a-thousand-times", "100*1000 200 open | whole", &after(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000))),
        gets_and_ends("interim-and-nothing-more", "100 open | whole", b"HTTP/1.1 100 Continue\r\n\r\n"),
        gets_and_ends("switching-without-being-asked", "101~ open | whole", b"HTTP/1.1 101 Switching Protocols\r\nX-Origin: yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"),
    ]
}

/// Connections that are kept to the upstream.
fn pooled() -> Vec<Case> {
    let twice = |name: &str, nginx, scripts: Vec<Vec<Act>>| {
        scene(name, nginx)
            .origin(Origin::Scripts(scripts))
            .send(GET)
            .answers(1)
            .watch(150)
            .send(GET)
            .answers(2)
            .end()
    };
    let ok = || Act::Send(OK.to_vec());
    let answering = || vec![Act::ReadRequest, ok(), Act::Again];
    let post = "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let get_then_post = |name: &str, nginx, profile: Profile| {
        scene(name, nginx)
            .with(profile)
            .origin(Origin::Scripts(vec![
                vec![Act::ReadRequest, ok(), Act::ReadRequest, Act::Close],
                answering(),
            ]))
            .send(GET)
            .answers(1)
            .watch(150)
            .send(post)
            .answers(2)
            .end()
    };
    let close =
        b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_vec();
    vec![
        twice("pool-is-used", "200 200 open | whole whole", vec![answering()]),
        twice("pool-off", "200 200 open | whole whole", vec![answering()])
            .with(Profile { upstream_keepalive: 0, ..usual() }),
        twice(
            "pool-and-the-origin-closes-idle",
            "200 200 open | whole whole",
            vec![vec![Act::ReadRequest, ok(), Act::Close], answering()],
        ),
        twice(
            "pool-and-the-origin-resets-idle",
            "200 200 open | whole whole",
            vec![vec![Act::ReadRequest, ok(), Act::Pause(30), Act::Reset], answering()],
        ),
        twice(
            "pool-and-the-origin-closes-on-the-second",
            "200 200 open | whole whole whole",
            vec![vec![Act::ReadRequest, ok(), Act::ReadRequest, Act::Close], answering()],
        ),
        twice(
            "pool-and-the-origin-resets-on-the-second",
            "200 200 open | whole whole whole",
            vec![vec![Act::ReadRequest, ok(), Act::ReadRequest, Act::Reset], answering()],
        ),
        get_then_post("pool-and-the-origin-closes-on-a-post", "200 502 open | whole whole", usual()),
        get_then_post(
            "pool-and-the-origin-closes-on-a-post-buffered",
            "200 502 open | whole whole",
            usual().buffering(),
        ),
        twice(
            "pool-and-bytes-nobody-asked-for",
            "200 200 open | whole whole",
            vec![vec![Act::ReadRequest, ok(), Act::Pause(50), Act::Send(OK.to_vec())], answering()],
        ),
        twice(
            "pool-and-more-than-was-said",
            "200 200 open | whole whole",
            vec![
                vec![Act::ReadRequest, Act::Send([OK, b"HTTP/1.1 500 Smuggled\r\n\r\n"].concat())],
                answering(),
            ],
        ),
        twice(
            "pool-and-the-origin-says-close",
            "200 200 open | whole whole",
            vec![vec![Act::ReadRequest, Act::Send(close), Act::Again], answering()],
        ),
    ]
}

fn upgrades() -> Vec<Case> {
    let asks = "GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let switch = Act::Send(b"HTTP/1.1 101 Switching Protocols\r\nX-Origin: yes\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst".to_vec());
    let profile = || Profile { upgrade: true, ..usual() };
    vec![
        scene("upgrade-and-the-origin-closes", "101 fin | whole")
            .with(profile())
            .origin_does(&[
                Act::ReadRequest,
                switch.clone(),
                Act::Pause(200),
                Act::Send(b"second".to_vec()),
                Act::Close,
            ])
            .send(asks)
            .heads(1)
            .watch(600),
        scene("upgrade-and-the-client-closes", "101 fin | whole broken")
            .with(profile())
            .origin_does(&[Act::ReadRequest, switch.clone()])
            .send(asks)
            .heads(1)
            .send("ping")
            .watch(100)
            .half_close()
            .watch(200),
        scene("upgrade-refused", "200 open | whole")
            .with(profile())
            .origin_does(&[Act::ReadRequest, Act::Send(OK.to_vec()), Act::Again])
            .send(asks)
            .answers(1)
            .end(),
        scene("upgrade-idle-too-long", "101 fin | whole")
            .with(Profile { upgrade: true, ..proxy_read_timeout() })
            .origin_does(&[Act::ReadRequest, switch])
            .send(asks)
            .heads(1)
            .watch(1200),
    ]
}
