//! What becomes of a client's connection after an answer: kept, closed, and when.

use crate::case::{Case, scene};
use crate::origin::{Act, OK, answering_with};
use crate::profile::{Profile, keepalive_timeout, usual};

pub(super) fn cases() -> Vec<Case> {
    [asked_for(), pipelined(), limits(), left_by_the_client()].concat()
}

fn get(path: &str, version: &str, headers: &str) -> String {
    format!("GET {path} HTTP/{version}\r\nHost: a.example\r\n{headers}\r\n")
}

fn plain(path: &str) -> String {
    get(path, "1.1", "")
}

fn asked_for() -> Vec<Case> {
    let with = |name: &str, nginx, version: &str, headers: &str| {
        scene(name, nginx).send(get("/a", version, headers)).answers(1).end()
    };
    vec![
        with("keep-1.1", "200 open | whole", "1.1", ""),
        with("keep-1.1-close", "200 fin | whole", "1.1", "Connection: close\r\n"),
        with("keep-1.1-close-upper-case", "200 fin | whole", "1.1", "Connection: CLOSE\r\n"),
        with("keep-1.1-close-in-a-list", "200 fin | whole", "1.1", "Connection: x, close\r\n"),
        with("keep-1.1-keep-alive", "200 open | whole", "1.1", "Connection: keep-alive\r\n"),
        with("keep-1.1-close-and-keep-alive", "200 fin | whole", "1.1", "Connection: close, keep-alive\r\n"),
        with(
            "keep-1.1-keep-alive-and-close",
            "200 fin | whole",
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
        ),
        with("keep-1.0", "200 fin | whole", "1.0", ""),
        with("keep-1.0-keep-alive", "200 open | whole", "1.0", "Connection: keep-alive\r\n"),
        with("keep-1.0-keep-alive-chunked-answer", "200 fin | whole", "1.0", "Connection: keep-alive\r\n")
            .origin(answering_with(
                "HTTP/1.1 200 OK\r\nX-Origin: yes\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            )),
        with("keep-1.1-the-origin-closes", "200 open | whole", "1.1", "").origin_does(&[
            Act::ReadRequest,
            Act::Send(
                b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
                    .to_vec(),
            ),
            Act::Close,
        ]),
        scene("keep-after-bad-request", "400 fin | nothing").send("nonsense\r\n\r\n").answers(1).end(),
    ]
}

fn pipelined() -> Vec<Case> {
    let post =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello");
    vec![
        scene("pipelined-3", "200 200 200 open | whole whole whole")
            .send(plain("/a") + &plain("/b") + &plain("/c"))
            .answers(3)
            .end(),
        scene("pipelined-with-bodies", "200 200 200 open | whole whole whole")
            .send(post("/a") + &post("/b") + &plain("/c"))
            .answers(3)
            .end(),
        scene("pipelined-after-close", "200 fin | whole")
            .send(get("/a", "1.1", "Connection: close\r\n") + &plain("/b"))
            .answers(2)
            .end(),
        scene("pipelined-then-nonsense", "200 400 fin | whole")
            .send(plain("/a") + "nonsense\r\n\r\n")
            .answers(2)
            .end(),
        scene("pipelined-100", "200*100 open | whole*100")
            .send(plain("/a").repeat(100))
            .answers(100)
            .end()
            .without_times(),
        scene("pipelined-while-the-origin-thinks", "200 200 open | whole whole")
            .origin_does(&[Act::ReadRequest, Act::Pause(200), Act::Send(OK.to_vec()), Act::Again])
            .send(plain("/a"))
            .watch(100)
            .send(plain("/b"))
            .answers(2)
            .end(),
        scene("request-split-in-its-head", "200 open | whole").trickle(plain("/a"), 7, 20).answers(1).end(),
        scene("one-after-the-other", "200 200 open | whole whole")
            .send(plain("/a"))
            .answers(1)
            .watch(100)
            .send(post("/b"))
            .answers(2)
            .end(),
    ]
}

fn limits() -> Vec<Case> {
    let requests = |keepalive_requests| Profile { keepalive_requests, ..usual() };
    vec![
        scene("keepalive-idle-too-long", "200 fin | whole")
            .with(keepalive_timeout())
            .send(plain("/a"))
            .answers(1)
            .watch(1200),
        scene("keepalive-used-in-time", "200 200 fin | whole whole")
            .with(keepalive_timeout())
            .send(plain("/a"))
            .answers(1)
            .watch(400)
            .send(plain("/b"))
            .answers(2)
            .watch(1200),
        scene("keepalive-timeout-0", "200 fin | whole")
            .with(Profile { keepalive_timeout_ms: 0, ..usual() })
            .send(plain("/a"))
            .answers(1)
            .end(),
        scene("keepalive-not-before-the-first-request", "silence open | nothing")
            .with(keepalive_timeout())
            .watch(1000),
        scene("keepalive-half-a-line-stops-its-timer", "200 open | whole")
            .with(keepalive_timeout())
            .send(plain("/a"))
            .answers(1)
            .watch(100)
            .send("GET /b")
            .watch(1000),
        scene("keepalive-requests-2", "200 200 fin | whole whole")
            .with(requests(2))
            .send(plain("/a"))
            .answers(1)
            .send(plain("/b"))
            .answers(2)
            .end(),
        scene("keepalive-requests-2-pipelined-3", "200 200 fin | whole whole")
            .with(requests(2))
            .send(plain("/a") + &plain("/b") + &plain("/c"))
            .answers(3)
            .end(),
        scene("keepalive-requests-1", "200 fin | whole").with(requests(1)).send(plain("/a")).answers(1).end(),
    ]
}

fn left_by_the_client() -> Vec<Case> {
    let slow = [Act::ReadRequest, Act::Pause(400), Act::Send(OK.to_vec()), Act::Again];
    vec![
        scene("client-says-nothing-and-closes", "silence fin | nothing").half_close().end(),
        scene("client-closes-in-its-line", "silence fin | nothing").send("GET /a").half_close().end(),
        scene("client-closes-in-its-headers", "silence fin | nothing")
            .send("GET /a HTTP/1.1\r\nHost:")
            .half_close()
            .end(),
        scene("client-closes-after-an-answer", "200 fin | whole")
            .send(plain("/a"))
            .answers(1)
            .half_close()
            .end(),
        scene("client-half-closes-while-the-origin-thinks", "silence fin | whole")
            .origin_does(&slow)
            .send(plain("/a"))
            .watch(100)
            .half_close()
            .answers(1)
            .end(),
        scene("client-leaves-while-the-origin-thinks", "silence left | whole")
            .origin_does(&slow)
            .send(plain("/a"))
            .watch(100)
            .leave(),
        scene("client-resets-while-the-origin-thinks", "silence left | whole")
            .origin_does(&slow)
            .send(plain("/a"))
            .watch(100)
            .reset(),
    ]
}
