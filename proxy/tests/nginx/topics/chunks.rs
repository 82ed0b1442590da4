//! Chunked request bodies, well and badly formed.

use crate::case::{Case, scene, sends};
use crate::profile::{Profile, buffered, usual};

const HEAD: &str = "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    [well_formed(), sizes(), line_ends(), trailers(), broken_off(), in_pieces()].concat()
}

fn well_formed() -> Vec<Case> {
    let mut ones = "1\r\nx\r\n".repeat(500);
    ones.push_str("0\r\n\r\n");
    vec![
        chunks("chunks-two", "200 open | whole", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        chunks("chunks-none", "200 open | whole", "0\r\n\r\n"),
        chunks("chunks-none-buffered", "200 open | whole", "0\r\n\r\n").with(buffered()).comparing_framing(),
        chunks("chunks-of-one-byte", "200 open | whole", &ones),
        chunks("chunk-size-upper-case", "200 open | whole", "A\r\nhelloworld\r\n0\r\n\r\n"),
        chunks("chunk-size-leading-zeros", "200 open | whole", "00005\r\nhello\r\n000\r\n\r\n"),
        chunks(
            "chunk-size-many-leading-zeros",
            "200 open | whole",
            "000000000000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        chunks("chunk-extension", "200 open | whole", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        chunks("chunk-extension-quoted", "200 open | whole", "5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n"),
        chunks(
            "chunk-extension-of-10k",
            "200 open | whole",
            &format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(10_000)),
        ),
        scene("chunks-then-another-request", "200 200 open | whole whole")
            .send(format!("{HEAD}5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: a.example\r\n\r\n"))
            .answers(2)
            .end(),
    ]
}

fn sizes() -> Vec<Case> {
    [
        ("chunk-size-of-17-digits", "400 fin | nothing", "11111111111111111\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-of-16-fs", "400 fin | nothing", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-underscore", "400 fin | nothing", "0_2\r\nhi\r\n0\r\n\r\n"),
        ("chunk-size-0x", "400 fin | nothing", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-negative", "400 fin | nothing", "-5\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-plus", "400 fin | nothing", "+5\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-no-digit", "400 fin | nothing", "g\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-empty", "400 fin | nothing", "\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-only-extension", "400 fin | nothing", ";a=b\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-space-before", "400 fin | nothing", " 5\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-space-after", "200 open | whole", "5 \r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-tab-after", "200 open | whole", "5\t\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-space-inside", "400 fin | nothing", "1 0\r\nhello\r\n0\r\n\r\n"),
        ("chunk-size-control-byte-after", "400 fin | nothing", "5\u{1}\r\nhello\r\n0\r\n\r\n"),
        ("chunk-too-long-for-its-size", "400 fin | nothing", "4\r\nhello\r\n0\r\n\r\n"),
        ("chunk-too-short-for-its-size", "200 open | whole", "6\r\nhello\r\n0\r\n\r\n"),
    ]
    .map(|(name, nginx, body)| chunks(name, nginx, body))
    .into()
}

fn line_ends() -> Vec<Case> {
    [
        ("chunk-missing-crlf-after-data", "400 fin | nothing", "5\r\nhello0\r\n\r\n"),
        ("chunk-lf-after-size", "200 open | whole", "5\nhello\r\n0\r\n\r\n"),
        ("chunk-lf-after-data", "200 open | whole", "5\r\nhello\n0\r\n\r\n"),
        ("chunk-lf-only", "200 open | whole", "5\nhello\n0\n\n"),
        ("chunk-cr-after-size", "400 fin | nothing", "5\rhello\r\n0\r\n\r\n"),
        ("chunk-cr-cr-lf-after-size", "400 fin | nothing", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("chunk-lf-in-extension", "200 open | whole", "5;a\nhello\r\n0\r\n\r\n"),
        ("chunk-cr-in-extension", "400 fin | nothing", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("chunk-lf-at-the-end", "200 open | whole", "5\r\nhello\r\n0\r\n\n"),
    ]
    .map(|(name, nginx, body)| chunks(name, nginx, body))
    .into()
}

fn trailers() -> Vec<Case> {
    let after = |name: &str, nginx, trailers: &str| {
        chunks(name, nginx, &format!("5\r\nhello\r\n0\r\n{trailers}\r\n"))
    };
    vec![
        after("trailer", "200 open | whole", "X-Sum: 1\r\n"),
        after(
            "trailers-forbidden",
            "200 open | whole",
            "Content-Length: 3\r\nHost: b.example\r\nTransfer-Encoding: gzip\r\n",
        ),
        after("trailer-with-lf", "200 open | whole", "X-Sum: 1\n"),
        after("trailer-without-colon", "200 open | whole", "nonsense\r\n"),
        after("trailer-folded", "200 open | whole", "X-Sum: 1\r\n 2\r\n"),
        after("trailer-of-70k", "200 open | whole", &format!("X-Sum: {}\r\n", "1".repeat(70_000))),
        scene("trailer-then-another-request", "200 200 open | whole whole")
            .send(format!("{HEAD}0\r\nX-Sum: 1\r\n\r\nGET /b HTTP/1.1\r\nHost: a.example\r\n\r\n"))
            .answers(2)
            .end(),
    ]
}

/// The client goes away, or leaves half a connection, before the last chunk.
fn broken_off() -> Vec<Case> {
    let modes = [("", "silence fin | broken", usual()), ("-buffered", "silence fin | nothing", buffered())];
    let bodies = [
        ("chunks-end-in-size", "5\r\nhello\r\n5"),
        ("chunks-end-in-data", "5\r\nhel"),
        ("chunks-end-before-the-last", "5\r\nhello\r\n"),
        ("chunks-end-before-the-last-crlf", "5\r\nhello\r\n0\r\n"),
    ];
    let case = |(suffix, nginx, profile): &(&str, &'static str, Profile), (name, body): (&str, &str)| {
        scene(format!("{name}{suffix}"), nginx)
            .with(profile.clone())
            .send(format!("{HEAD}{body}"))
            .watch(100)
            .half_close()
            .answers(1)
            .end()
    };
    modes.iter().flat_map(|mode| bodies.map(|body| case(mode, body))).collect()
}

/// What is wrong comes after the upstream has had a part.
fn in_pieces() -> Vec<Case> {
    let case = |name: &str, nginx, first: &str, second: &str| {
        scene(name, nginx).send(format!("{HEAD}{first}")).watch(150).send(second).answers(1).end()
    };
    vec![
        case(
            "chunk-wrong-after-a-good-one",
            "400 fin | broken",
            "5\r\nhello\r\n",
            "zz\r\nhello\r\n0\r\n\r\n",
        ),
        case(
            "chunk-wrong-after-a-good-one-buffered",
            "400 fin | nothing",
            "5\r\nhello\r\n",
            "zz\r\nhello\r\n0\r\n\r\n",
        )
        .with(buffered()),
        case("chunk-split-in-its-size", "200 open | whole", "1", "0\r\n0123456789abcdef\r\n0\r\n\r\n"),
        case("chunk-split-in-its-crlf", "200 open | whole", "5\r\nhello\r", "\n0\r\n\r\n"),
        case("chunk-split-in-the-last-crlf", "200 open | whole", "5\r\nhello\r\n0\r\n\r", "\n"),
    ]
}

fn chunks(name: &str, nginx: &'static str, body: &str) -> Case {
    sends(name, nginx, format!("{HEAD}{body}"))
}
