//! `Expect: 100-continue`: answered here, and not passed on.

use crate::case::{Case, scene, sends};
use crate::origin::{Act, OK};
use crate::profile::{Profile, body_timeout, buffered, max_body};

pub(super) fn cases() -> Vec<Case> {
    [asked(), not_asked(), by_the_origin()].concat()
}

fn head(expect: &str, length: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a.example\r\nExpect: {expect}\r\n{length}\r\n")
}

const FIVE: &str = "Content-Length: 5\r\n";

/// The client sends its body once it was told to.
fn waiting(name: &str, nginx: &'static str, head: &str, body: &str) -> Case {
    scene(name, nginx).send(head).heads(1).send(body).answers(1).end()
}

fn asked() -> Vec<Case> {
    let chunked = "Transfer-Encoding: chunked\r\n";
    vec![
        waiting("expect", "100 200 open | whole", &head("100-continue", FIVE), "hello"),
        waiting("expect-buffered", "100 200 open | whole", &head("100-continue", FIVE), "hello")
            .with(buffered()),
        waiting("expect-upper-case", "100 200 open | whole", &head("100-CONTINUE", FIVE), "hello"),
        waiting(
            "expect-chunked",
            "100 200 open | whole",
            &head("100-continue", chunked),
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        sends("expect-and-body-at-once", "100 200 open | whole", head("100-continue", FIVE) + "hello"),
        sends("expect-and-a-part-of-the-body", "100 200 open | whole", head("100-continue", FIVE) + "he")
            .send("llo")
            .answers(1),
        scene("expect-and-no-body-comes", "100 fin | broken")
            .with(body_timeout())
            .send(head("100-continue", FIVE))
            .answers(1)
            .end(),
        scene("expect-twice-on-a-connection", "100 200 100 200 open | whole whole")
            .send(head("100-continue", FIVE))
            .heads(1)
            .send("hello")
            .answers(1)
            .send(head("100-continue", FIVE))
            .heads(3)
            .send("hello")
            .answers(2)
            .end(),
    ]
}

fn not_asked() -> Vec<Case> {
    let limit = || max_body(10);
    vec![
        sends("expect-too-large", "413 fin | nothing", head("100-continue", "Content-Length: 20\r\n"))
            .with(limit())
            .watch(1000),
        sends(
            "expect-too-large-buffered",
            "413 open | nothing",
            head("100-continue", "Content-Length: 20\r\n"),
        )
        .with(Profile { buffered: true, ..limit() }),
        sends("expect-other", "200 open | whole", head("200-ok", FIVE) + "hello"),
        sends("expect-with-more", "200 open | whole", head("100-continue, x", FIVE) + "hello"),
        sends("expect-empty", "200 open | whole", head("", FIVE) + "hello"),
        sends(
            "expect-without-body",
            "100 200 open | whole",
            "GET /a HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n",
        ),
        sends("expect-with-length-0", "100 200 open | whole", head("100-continue", "Content-Length: 0\r\n")),
        sends(
            "expect-in-http-1.0",
            "200 fin | whole",
            "POST /a HTTP/1.0\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ]
}

fn by_the_origin() -> Vec<Case> {
    let refuse = b"HTTP/1.1 417 Expectation Failed\r\nX-Origin: yes\r\nContent-Length: 0\r\n\r\n".to_vec();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    vec![
        scene("expect-and-the-origin-refuses", "100 417 fin | broken")
            .origin_does(&[Act::ReadHead, Act::Send(refuse)])
            .send(head("100-continue", FIVE))
            .answers(1)
            .end(),
        scene("expect-and-the-origin-answers-before-the-body", "100 200 fin | broken")
            .origin_does(&[Act::ReadHead, Act::Send(OK.to_vec())])
            .send(head("100-continue", FIVE))
            .answers(1)
            .end(),
        waiting(
            "expect-and-the-origin-says-100-too",
            "100 100 200 open | whole",
            &head("100-continue", FIVE),
            "hello",
        )
        .origin_does(&[Act::ReadHead, Act::Send(go_on), Act::ReadRequest, Act::Send(OK.to_vec())]),
    ]
}
