//! The request line: methods, targets, versions, and what comes before it.

use crate::case::{Case, scene, sends};
use crate::origin::{BODILESS, answering_with};

pub(super) fn cases() -> Vec<Case> {
    [versions(), spaces(), methods(), targets(), absolute()].concat()
}

fn line(name: &str, nginx: &'static str, line: &[u8]) -> Case {
    sends(name, nginx, [line, b"\r\nHost: a.example\r\n\r\n"].concat())
}

fn versions() -> Vec<Case> {
    let version =
        |name: &str, nginx, version: &str| line(name, nginx, format!("GET /a {version}").as_bytes());
    vec![
        sends("version-0.9", "? fin | whole", "GET /a\r\n"),
        version("version-1.0", "200 fin | whole", "HTTP/1.0"),
        version("version-1.1", "200 open | whole", "HTTP/1.1"),
        version("version-1.2", "200 open | whole", "HTTP/1.2"),
        version("version-1.10", "200 open | whole", "HTTP/1.10"),
        version("version-1.01", "200 open | whole", "HTTP/1.01"),
        version("version-01.1", "400 fin | nothing", "HTTP/01.1"),
        version("version-2.0", "505 fin | nothing", "HTTP/2.0"),
        version("version-9.9", "505 fin | nothing", "HTTP/9.9"),
        version("version-0.1", "400 fin | nothing", "HTTP/0.1"),
        version("version-lower-case", "400 fin | nothing", "http/1.1"),
        version("version-without-minor", "400 fin | nothing", "HTTP/1"),
        version("version-without-digits", "400 fin | nothing", "HTTP/"),
        version("version-other-protocol", "400 fin | nothing", "ICY/1.1"),
        version("version-letters", "400 fin | nothing", "HTTP/1.x"),
        version("version-space-after", "200 open | whole", "HTTP/1.1 "),
        version("version-text-after", "400 fin | nothing", "HTTP/1.1 x"),
        sends("http-2-preface", "400 fin | nothing", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        sends("tls-client-hello", "400 fin | nothing", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ]
}

fn spaces() -> Vec<Case> {
    let get = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
    vec![
        line("line-two-spaces", "200 open | whole", b"GET  /a  HTTP/1.1"),
        line("line-tabs", "400 fin | nothing", b"GET\t/a\tHTTP/1.1"),
        line("line-space-first", "400 fin | nothing", b" GET /a HTTP/1.1"),
        sends("line-after-crlf", "200 open | whole", format!("\r\n{get}")),
        sends("line-after-two-crlf", "200 open | whole", format!("\r\n\r\n{get}")),
        sends("line-after-lf", "200 open | whole", format!("\n{get}")),
        sends("line-after-cr", "200 open | whole", format!("\r{get}")),
        scene("line-after-crlf-on-a-kept-connection", "200 200 open | whole whole")
            .send(get)
            .answers(1)
            .send(format!("\r\n{get}"))
            .answers(2)
            .end(),
        sends("line-empty-and-closed", "silence open | nothing", "\r\n").send("\r\n"),
        line("line-cr-inside", "400 fin | nothing", b"GET /a\rHTTP/1.1"),
        line("line-nul-inside", "400 fin | nothing", b"GET /a\0 HTTP/1.1"),
    ]
}

fn methods() -> Vec<Case> {
    let method =
        |name: &str, nginx, method: &str| line(name, nginx, format!("{method} /a HTTP/1.1").as_bytes());
    vec![
        method("method-head", "200 open | whole", "HEAD").origin(answering_with(BODILESS)),
        method("method-options", "200 open | whole", "OPTIONS"),
        method("method-trace", "405 fin | nothing", "TRACE"),
        method("method-connect", "405 fin | nothing", "CONNECT"),
        line("method-connect-authority", "400 fin | nothing", b"CONNECT a.example:443 HTTP/1.1"),
        method("method-patch", "200 open | whole", "PATCH"),
        method("method-propfind", "200 open | whole", "PROPFIND"),
        method("method-unknown", "200 open | whole", "PURGE"),
        method("method-with-dash", "200 open | whole", "M-SEARCH"),
        method("method-with-underscore", "200 open | whole", "GET_IT"),
        method("method-with-digit", "400 fin | nothing", "GET1"),
        method("method-lower-case", "400 fin | nothing", "get"),
        method("method-mixed-case", "400 fin | nothing", "Get"),
        method("method-with-bracket", "400 fin | nothing", "GE(T"),
        method("method-empty", "400 fin | nothing", ""),
        method("method-of-100-letters", "200 open | whole", &"A".repeat(100)),
        line("options-star", "400 fin | nothing", b"OPTIONS * HTTP/1.1"),
        line("get-star", "400 fin | nothing", b"GET * HTTP/1.1"),
    ]
}

fn targets() -> Vec<Case> {
    let target =
        |name: &str, nginx, target: &[u8]| line(name, nginx, &[b"GET ", target, b" HTTP/1.1"].concat());
    vec![
        target("target-query", "200 open | whole", b"/a?b=c&d=%20"),
        target("target-two-question-marks", "200 open | whole", b"/a?b?c"),
        target("target-empty-query", "200 open | whole", b"/a?"),
        target("target-only-query", "400 fin | nothing", b"?a"),
        target("target-without-slash", "400 fin | nothing", b"a"),
        target("target-percent-00", "400 fin | nothing", b"/a%00b"),
        target("target-percent-crlf", "200 open | whole", b"/a%0d%0aX-Evil:%201"),
        target("target-percent-wrong", "400 fin | nothing", b"/a%zz"),
        target("target-percent-cut", "400 fin | nothing", b"/a%2"),
        target("target-percent-at-the-end", "400 fin | nothing", b"/a%"),
        target("target-percent-wrong-in-query", "200 open | whole", b"/a?b=%zz"),
        target("target-control-byte", "400 fin | nothing", b"/a\x01b"),
        target("target-del", "400 fin | nothing", b"/a\x7fb"),
        target("target-tab", "400 fin | nothing", b"/a\tb"),
        target("target-space", "400 fin | nothing", b"/a b"),
        target("target-high-byte", "200 open | whole", b"/\xe4"),
        target("target-utf-8", "200 open | whole", "/ä".as_bytes()),
        target("target-fragment", "200 open | whole", b"/a#b"),
        target("target-backslash", "200 open | whole", b"/a\\b"),
        target("target-quotes", "200 open | whole", b"/a\"<b>"),
        target("target-two-slashes", "200 open | whole", b"//a//b"),
        target("target-dot", "200 open | whole", b"/./a"),
        target("target-dot-dot", "200 open | whole", b"/a/../b"),
        target("target-above-the-root", "400 fin | nothing", b"/../b"),
        target("target-above-the-root-escaped", "400 fin | nothing", b"/%2e%2e/b"),
        target("target-escaped-slash", "200 open | whole", b"/a%2Fb"),
        target("target-escaped-letter", "200 open | whole", b"/%61"),
        target("target-plus", "200 open | whole", b"/a+b;c=d"),
    ]
}

fn absolute() -> Vec<Case> {
    let get = |name: &str, nginx, target: &str, host: &str| {
        sends(name, nginx, format!("GET {target} HTTP/1.1\r\n{host}\r\n"))
    };
    let host = "Host: a.example\r\n";
    vec![
        get("absolute", "200 open | whole", "http://a.example/b", host),
        get("absolute-other-host", "200 open | whole", "http://b.example/b", host),
        get("absolute-without-host", "400 fin | nothing", "http://a.example/b", ""),
        get("absolute-with-port", "200 open | whole", "http://a.example:81/b", host),
        get("absolute-with-bad-port", "400 fin | nothing", "http://a.example:x/b", host),
        get("absolute-with-user", "400 fin | nothing", "http://u:p@a.example/b", host),
        get("absolute-https", "200 open | whole", "https://a.example/b", host),
        get("absolute-other-scheme", "200 open | whole", "ftp://a.example/b", host),
        get("absolute-upper-case", "200 open | whole", "HTTP://A.EXAMPLE/b", host),
        get("absolute-without-path", "200 open | whole", "http://a.example", host),
        get("absolute-only-query", "200 open | whole", "http://a.example?b", host),
        get("absolute-without-authority", "400 fin | nothing", "http:///b", host),
        get("absolute-ipv6", "200 open | whole", "http://[::1]/b", host),
        sends("absolute-in-http-1.0", "200 fin | whole", "GET http://a.example/b HTTP/1.0\r\n\r\n"),
    ]
}
