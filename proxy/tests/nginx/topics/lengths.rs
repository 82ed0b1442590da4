//! How long a request body is: `Content-Length` and `Transfer-Encoding`, right, wrong and both.

use crate::case::{Case, scene, sends};
use crate::origin::{BODILESS, answering_with};
use crate::profile::buffered;

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    [content_length(), transfer_encoding(), both(), other_methods()].concat()
}

fn content_length() -> Vec<Case> {
    vec![
        post("cl", "200 open | whole", "Content-Length: 5\r\n", "hello").comparing_framing(),
        post("cl-buffered", "200 open | whole", "Content-Length: 5\r\n", "hello").with(buffered()).comparing_framing(),
        post("cl-none", "200 open | whole", "", "").comparing_framing(),
        post("cl-0", "200 open | whole", "Content-Length: 0\r\n", "").comparing_framing(),
        post("cl-twice-same", "400 fin | nothing", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        post("cl-twice-different", "400 fin | nothing", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
        post("cl-plus", "400 fin | nothing", "Content-Length: +5\r\n", "hello"),
        post("cl-negative", "400 fin | nothing", "Content-Length: -5\r\n", "hello"),
        post("cl-list-same", "400 fin | nothing", "Content-Length: 5, 5\r\n", "hello"),
        post("cl-list-different", "400 fin | nothing", "Content-Length: 5,6\r\n", "hello"),
        post("cl-hex", "400 fin | nothing", "Content-Length: 0x5\r\n", "hello"),
        post("cl-fraction", "400 fin | nothing", "Content-Length: 5.0\r\n", "hello"),
        post("cl-letters-after", "400 fin | nothing", "Content-Length: 5a\r\n", "hello"),
        post("cl-space-inside", "400 fin | nothing", "Content-Length: 1 0\r\n", "hello"),
        post("cl-space-after", "200 open | whole", "Content-Length: 5 \r\n", "hello"),
        post("cl-tab-before", "400 fin | nothing", "Content-Length:\t5\r\n", "hello"),
        post("cl-tab-after", "400 fin | nothing", "Content-Length: 5\t\r\n", "hello"),
        post("cl-no-space", "200 open | whole", "Content-Length:5\r\n", "hello"),
        post("cl-leading-zeros", "200 open | whole", "Content-Length: 00005\r\n", "hello").comparing_framing(),
        post("cl-empty", "400 fin | nothing", "Content-Length: \r\n", ""),
        post("cl-2-to-the-63", "400 fin | nothing", "Content-Length: 9223372036854775808\r\n", "hello"),
        post("cl-2-to-the-64", "400 fin | nothing", "Content-Length: 18446744073709551616\r\n", "hello"),
        post("cl-space-before-colon", "400 fin | nothing", "Content-Length : 5\r\n", "hello"),
        post("cl-underscore", "200 open | whole", "Content_Length: 5\r\n", ""),
        post("cl-lower-case", "200 open | whole", "content-length: 5\r\n", "hello"),
        scene("cl-0-then-smuggled", "200 200 open | whole whole")
            .send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\nGET /b HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .answers(2)
            .end(),
        scene("cl-more-bytes-than-said", "200 400 fin | whole")
            .send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhelloworld\r\n\r\n")
            .answers(2)
            .end(),
    ]
}

fn transfer_encoding() -> Vec<Case> {
    let with =
        |name: &str, nginx, value: &str| post(name, nginx, &format!("Transfer-Encoding:{value}\r\n"), CHUNKS);
    vec![
        with("te-chunked", "200 open | whole", " chunked"),
        with("te-chunked-buffered", "200 open | whole", " chunked").with(buffered()).comparing_framing(),
        with("te-upper-case", "200 open | whole", " CHUNKED"),
        with("te-xchunked", "501 fin | nothing", " xchunked"),
        with("te-chunked-identity", "501 fin | nothing", " chunked, identity"),
        with("te-identity-chunked", "501 fin | nothing", " identity, chunked"),
        with("te-identity", "501 fin | nothing", " identity"),
        with("te-gzip", "501 fin | nothing", " gzip"),
        with("te-gzip-chunked", "501 fin | nothing", " gzip, chunked"),
        with("te-empty", "501 fin | nothing", " "),
        with("te-tab-before", "501 fin | nothing", "\tchunked"),
        with("te-tab-after", "501 fin | nothing", " chunked\t"),
        with("te-vertical-tab", "501 fin | nothing", " \u{b}chunked"),
        with("te-space-after", "200 open | whole", " chunked "),
        with("te-spaces-before", "200 open | whole", "    chunked"),
        with("te-comma-after", "501 fin | nothing", " chunked,"),
        with("te-comma-before", "501 fin | nothing", " ,chunked"),
        with("te-quoted", "501 fin | nothing", " \"chunked\""),
        with("te-parameter", "501 fin | nothing", " chunked;q=1"),
        post(
            "te-twice",
            "400 fin | nothing",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            CHUNKS,
        ),
        post(
            "te-xchunked-first",
            "400 fin | nothing",
            "Transfer-Encoding: xchunked\r\nTransfer-Encoding: chunked\r\n",
            CHUNKS,
        ),
        post(
            "te-identity-second",
            "400 fin | nothing",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            CHUNKS,
        ),
        post("te-space-before-colon", "400 fin | nothing", "Transfer-Encoding : chunked\r\n", CHUNKS),
        post("te-underscore", "200 open | whole", "Transfer_Encoding: chunked\r\n", ""),
        sends(
            "te-in-http-1.0",
            "400 fin | nothing",
            format!("POST /a HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"),
        ),
        sends(
            "te-in-http-1.0-kept-alive",
            "400 fin | nothing",
            format!(
                "POST /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"
            ),
        ),
    ]
}

fn both() -> Vec<Case> {
    vec![
        post(
            "cl-then-te",
            "400 fin | nothing",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            CHUNKS,
        ),
        post(
            "te-then-cl",
            "400 fin | nothing",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            CHUNKS,
        ),
        post(
            "cl-0-then-te",
            "400 fin | nothing",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            CHUNKS,
        ),
        post(
            "cl-then-te-identity",
            "501 fin | nothing",
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "hello",
        ),
        post(
            "cl-then-te-xchunked",
            "501 fin | nothing",
            "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n",
            "hello",
        ),
        post(
            "cl-then-te-underscore",
            "200 open | whole",
            "Content-Length: 5\r\nTransfer_Encoding: chunked\r\n",
            "hello",
        ),
        sends(
            "cl-and-te-in-http-1.0",
            "400 fin | nothing",
            format!(
                "POST /a HTTP/1.0\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"
            ),
        ),
    ]
}

fn other_methods() -> Vec<Case> {
    let with = |name: &str, nginx, method: &str, headers: &str, body: &str| {
        sends(name, nginx, format!("{method} /a HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n{body}"))
    };
    vec![
        with("cl-on-get", "200 open | whole", "GET", "Content-Length: 5\r\n", "hello").comparing_framing(),
        with("te-on-get", "200 open | whole", "GET", "Transfer-Encoding: chunked\r\n", CHUNKS),
        with("cl-on-head", "200 open | whole", "HEAD", "Content-Length: 5\r\n", "hello")
            .origin(answering_with(BODILESS)),
        with("cl-on-delete", "200 open | whole", "DELETE", "Content-Length: 5\r\n", "hello"),
        with("cl-on-options", "200 open | whole", "OPTIONS", "Content-Length: 5\r\n", "hello"),
        with("put-without-a-length", "200 open | whole", "PUT", "", "").comparing_framing(),
        with("body-after-get-without-a-length", "200 400 fin | whole", "GET", "", "hello"),
    ]
}

fn post(name: &str, nginx: &'static str, headers: &str, body: &str) -> Case {
    sends(name, nginx, format!("POST /a HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n{body}"))
}
