//! Header lines: which are refused, which are dropped, which reach the upstream and how.

use crate::case::{Case, sends};

pub(super) fn cases() -> Vec<Case> {
    [forms(), names(), values(), passed_on()].concat()
}

fn forms() -> Vec<Case> {
    vec![
        header("header-folded", "400 fin | nothing", b"X-A: 1\r\n 2\r\n"),
        header("header-folded-with-tab", "400 fin | nothing", b"X-A: 1\r\n\t2\r\n"),
        sends(
            "header-first-with-space-before",
            "400 fin | nothing",
            "GET /a HTTP/1.1\r\n Host: a.example\r\n\r\n",
        ),
        header("header-lf", "200 open | whole", b"X-A: 1\nX-B: 2\r\n"),
        sends("header-all-lf", "200 open | whole", "GET /a HTTP/1.1\nHost: a.example\nX-A: 1\n\n"),
        header("header-cr-inside", "400 fin | nothing", b"X-A: 1\r2\r\n"),
        header("header-cr-cr-lf", "200 open | whole", b"X-A: 1\r\r\n"),
        header("header-cr-then-header", "400 fin | nothing", b"X-A: 1\rX-B: 2\r\n"),
        header("header-without-colon", "200 open | whole", b"nonsense\r\n"),
        header("header-of-one-colon", "400 fin | nothing", b":\r\n"),
        header("header-without-name", "400 fin | nothing", b": x\r\n"),
        header("header-space-before-colon", "400 fin | nothing", b"X-A : 1\r\n"),
        header("header-tab-before-colon", "400 fin | nothing", b"X-A\t: 1\r\n"),
    ]
}

fn names() -> Vec<Case> {
    vec![
        header("name-with-space", "400 fin | nothing", b"X A: 1\r\n"),
        header("name-with-underscore", "200 open | whole", b"X_A: 1\r\nX-B: 2\r\n"),
        header("name-with-dot", "200 open | whole", b"X.A: 1\r\nX-B: 2\r\n"),
        header("name-with-exclamation-mark", "200 open | whole", b"X!A: 1\r\nX-B: 2\r\n"),
        header("name-with-slash", "200 open | whole", b"X/A: 1\r\nX-B: 2\r\n"),
        header("name-of-digits", "200 open | whole", b"007: 1\r\n"),
        header("name-with-nul", "400 fin | nothing", b"X\0A: 1\r\n"),
        header("name-with-control-byte", "400 fin | nothing", b"X\x01A: 1\r\n"),
        header("name-with-del", "400 fin | nothing", b"X\x7fA: 1\r\nX-B: 2\r\n"),
        header("name-with-high-byte", "200 open | whole", b"X\xe4A: 1\r\nX-B: 2\r\n"),
        header("name-long", "200 open | whole", format!("X-{}: 1\r\n", "a".repeat(300)).as_bytes()),
    ]
}

fn values() -> Vec<Case> {
    vec![
        header("value-with-nul", "400 fin | nothing", b"X-A: 1\x002\r\n"),
        header("value-with-control-byte", "200 open | whole", b"X-A: 1\x012\r\n"),
        header("value-with-del", "200 open | whole", b"X-A: 1\x7f2\r\n"),
        header("value-with-high-byte", "200 open | whole", b"X-A: \xe4\r\n"),
        header("value-with-utf-8", "200 open | whole", "X-A: ä\r\n".as_bytes()),
        header("value-with-tab-inside", "200 open | whole", b"X-A: 1\t2\r\n"),
        header("value-with-spaces-around", "200 open | whole", b"X-A:   1   \r\n"),
        header("value-with-tabs-around", "200 open | whole", b"X-A:\t1\t\r\n"),
        header("value-empty", "200 open | whole", b"X-A:\r\nX-B: \r\n"),
        header("value-with-colons", "200 open | whole", b"X-A: a: b: c\r\n"),
    ]
}

fn passed_on() -> Vec<Case> {
    vec![
        header("header-twice", "200 open | whole", b"X-A: 1\r\nX-B: 3\r\nX-A: 2\r\n"),
        header("cookies-twice", "200 open | whole", b"Cookie: a=1\r\nCookie: b=2\r\n"),
        header("authorization-twice", "400 fin | nothing", b"Authorization: a\r\nAuthorization: b\r\n"),
        header(
            "if-none-match-twice",
            "400 fin | nothing",
            b"If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n",
        ),
        header(
            "if-modified-since-twice",
            "400 fin | nothing",
            b"If-Modified-Since: a\r\nIf-Modified-Since: a\r\n",
        ),
        header("if-range-twice", "400 fin | nothing", b"If-Range: a\r\nIf-Range: b\r\n"),
        header("content-range-twice", "400 fin | nothing", b"Content-Range: a\r\nContent-Range: b\r\n"),
        header("expect-twice", "400 fin | nothing", b"Expect: 100-continue\r\nExpect: 100-continue\r\n"),
        header("range-twice", "200 open | whole", b"Range: bytes=0-1\r\nRange: bytes=2-3\r\n"),
        header("referer-twice", "200 open | whole", b"Referer: a\r\nReferer: b\r\n"),
        header(
            "x-forwarded-for-twice",
            "200 open | whole",
            b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n",
        ),
        header("content-type-twice", "200 open | whole", b"Content-Type: a/b\r\nContent-Type: c/d\r\n"),
        header("user-agent-twice", "200 open | whole", b"User-Agent: a\r\nUser-Agent: b\r\n"),
        header("connection-names-a-header", "200 open | whole", b"Connection: X-A\r\nX-A: 1\r\n"),
        header(
            "hop-by-hop",
            "200 open | whole",
            b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-A\r\n",
        ),
        header("proxy-authorization", "200 open | whole", b"Proxy-Authorization: Basic eDp5\r\n"),
        header(
            "upgrade-not-asked-for",
            "200 open | whole",
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
        header("proxy-header", "200 open | whole", b"Proxy: http://evil.example\r\n"),
        header(
            "if-none-match",
            "200 open | whole",
            b"If-None-Match: \"a\"\r\nRange: bytes=0-1\r\nIf-Range: \"a\"\r\n",
        ),
        header("accept-encoding", "200 open | whole", b"Accept-Encoding: gzip, br\r\nVia: 1.1 other\r\n"),
    ]
}

fn header(name: &str, nginx: &'static str, lines: &[u8]) -> Case {
    sends(name, nginx, [b"GET /a HTTP/1.1\r\nHost: a.example\r\n", lines, b"\r\n"].concat())
}
