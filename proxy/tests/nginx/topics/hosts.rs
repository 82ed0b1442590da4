//! `Host`: missing, double, wrong.

use crate::case::{Case, sends};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        headers("host-missing", "400 fin | nothing", b""),
        sends("host-missing-in-http-1.0", "200 fin | whole", "GET /a HTTP/1.0\r\n\r\n"),
        headers("host-twice", "400 fin | nothing", b"Host: a.example\r\nHost: a.example\r\n"),
        headers("host-twice-different", "400 fin | nothing", b"Host: a.example\r\nHost: b.example\r\n"),
        headers("host-lower-case-name", "200 open | whole", b"host: a.example\r\n"),
        headers("host-space-before-colon", "400 fin | nothing", b"Host : a.example\r\n"),
        sends("host-empty-in-http-1.0", "400 fin | nothing", "GET /a HTTP/1.0\r\nHost:\r\n\r\n"),
    ];
    let values: &[(&str, &str, &[u8])] = &[
        ("host-empty", "400 fin | nothing", b""),
        ("host-with-port", "200 open | whole", b"a.example:8080"),
        ("host-with-empty-port", "200 open | whole", b"a.example:"),
        ("host-with-letters-as-port", "200 open | whole", b"a.example:http"),
        ("host-only-port", "400 fin | nothing", b":80"),
        ("host-two-ports", "200 open | whole", b"a.example:80:81"),
        ("host-with-user", "200 open | whole", b"u@a.example"),
        ("host-with-space", "400 fin | nothing", b"a b"),
        ("host-with-tab", "400 fin | nothing", b"a\tb"),
        ("host-with-slash", "400 fin | nothing", b"a/b"),
        ("host-with-backslash", "200 open | whole", b"a\\b"),
        ("host-with-question-mark", "200 open | whole", b"a?b"),
        ("host-with-comma", "400 fin | nothing", b"a.example, b.example"),
        ("host-with-underscore", "200 open | whole", b"a_b.example"),
        ("host-with-nul", "400 fin | nothing", b"a\0b"),
        ("host-with-high-byte", "200 open | whole", b"\xe4.example"),
        ("host-with-percent", "200 open | whole", b"a%20b"),
        ("host-with-quotes", "200 open | whole", b"\"a\""),
        ("host-with-brackets-inside", "200 open | whole", b"a[b]"),
        ("host-upper-case", "200 open | whole", b"A.EXAMPLE"),
        ("host-dot-at-the-end", "200 open | whole", b"a.example."),
        ("host-two-dots", "400 fin | nothing", b"a..example"),
        ("host-only-dot", "400 fin | nothing", b"."),
        ("host-dot-first", "200 open | whole", b".example"),
        ("host-ipv4", "200 open | whole", b"127.0.0.1:80"),
        ("host-ipv6", "200 open | whole", b"[::1]:80"),
        ("host-ipv6-not-closed", "200 open | whole", b"[::1"),
        ("host-ipv6-letters", "200 open | whole", b"[zz]"),
        ("host-with-scheme", "400 fin | nothing", b"http://a.example"),
    ];
    cases.extend(
        values
            .iter()
            .map(|(name, nginx, value)| headers(name, nginx, &[b"Host: ", *value, b"\r\n"].concat())),
    );
    cases
}

fn headers(name: &str, nginx: &'static str, headers: &[u8]) -> Case {
    sends(name, nginx, [b"GET /a HTTP/1.1\r\n", headers, b"\r\n"].concat())
}
