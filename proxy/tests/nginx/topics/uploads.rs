//! The life of an upload: refused early, broken off, answered early, on either side (section D).

use crate::case::{Case, scene};
use crate::origin::{Act, OK, Origin};
use crate::profile::{Profile, buffered, lingering_time, usual};

const BYTES: usize = 200_000;

pub(super) fn cases() -> Vec<Case> {
    [refused_early(), broken_off(), left_after(), answered_early(), upstream_breaks()].concat()
}

fn head(bytes: usize) -> String {
    format!("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: {bytes}\r\n\r\n")
}

fn upload(bytes: usize) -> Vec<u8> {
    [head(bytes).into_bytes(), vec![b'u'; bytes]].concat()
}

fn refused_early() -> Vec<Case> {
    let limit = || Profile { max_body: 10 << 10, ..lingering_time() };
    let refused = |name: &str, nginx| scene(name, nginx).with(limit());
    vec![
        refused("refused-and-the-client-reads", "413 fin | nothing")
            .send(head(3_000_000))
            .answers(1)
            .watch(1000),
        refused("refused-and-the-client-sends-all-first", "413 fin | nothing")
            .send(upload(3_000_000))
            .answers(1)
            .watch(1000),
        refused("refused-and-the-client-goes-on", "413 closed | nothing")
            .send(head(1 << 30))
            .flood(50, 3000)
            .without_times(),
        refused("refused-and-the-client-goes-on-in-chunks", "413 closed | nothing")
            .send("POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n")
            .flood(50, 3000)
            .without_times(),
        refused("refused-and-the-client-pauses", "413 closed | nothing")
            .send(head(1 << 30))
            .answers(1)
            .deaf(900)
            .flood(50, 1000),
        refused("refused-and-the-body-comes-whole", "413 fin | nothing")
            .send(head(20_000))
            .watch(100)
            .send(vec![b'u'; 20_000])
            .answers(1)
            .send("GET /b HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .answers(2)
            .end(),
        refused("refused-for-its-header-and-the-client-goes-on", "400 closed | nothing")
            .send("POST /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
            .flood(50, 3000)
            .without_times(),
    ]
}

/// The client goes away after so many eighths of its body, in two ways, at two kinds of proxy.
fn broken_off() -> Vec<Case> {
    let streamed = ("", usual(), "silence fin | broken", "silence left | broken");
    let buffered = ("-buffered", buffered(), "silence fin | nothing", "silence left | nothing");
    let mut cases = Vec::new();
    for (suffix, profile, closes, resets) in [streamed, buffered] {
        for eighth in [0, 1, 4, 7] {
            let begun = |way: &str, nginx| {
                scene(format!("client-{way}-at-{eighth}-eighths{suffix}"), nginx)
                    .with(profile.clone())
                    .send(&upload(BYTES)[..head(BYTES).len() + eighth * BYTES / 8])
                    .watch(120)
            };
            cases.push(begun("half-closes", closes).half_close().answers(1).end());
            cases.push(begun("resets", resets).reset());
        }
    }
    cases
}

/// The client goes away once its body is sent.
fn left_after() -> Vec<Case> {
    let slow = [Act::ReadRequest, Act::Pause(400), Act::Send(OK.to_vec()), Act::Again];
    let sent = |name: &str, nginx| scene(name, nginx).origin_does(&slow).send(upload(BYTES)).watch(150);
    vec![
        sent("client-resets-after-its-body", "silence left | whole").reset(),
        sent("client-leaves-after-its-body", "silence left | whole").leave(),
        sent("client-half-closes-after-its-body", "silence fin | whole").half_close().answers(1).end(),
        sent("client-resets-after-its-body-buffered", "silence left | whole").with(buffered()).reset(),
        scene("client-leaves-in-the-answer", "200~ left | whole")
            .origin_does(&[
                Act::ReadRequest,
                Act::Send(b"HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: 10\r\n\r\nhello".to_vec()),
                Act::Pause(300),
                Act::Send(b"world".to_vec()),
                Act::Again,
            ])
            .send(upload(10))
            .watch(150)
            .leave(),
    ]
}

fn forbidden() -> Vec<u8> {
    b"HTTP/1.1 403 Forbidden\r\nX-Origin: yes\r\nContent-Length: 2\r\n\r\nno".to_vec()
}

/// The upstream answers before it has had the body.
fn answered_early() -> Vec<Case> {
    let half = |name: &str, nginx, script: &[Act]| {
        scene(name, nginx).origin_does(script).send(&upload(BYTES)[..head(BYTES).len() + BYTES / 2])
    };
    let rest = vec![b'u'; BYTES / 2];
    let whole =
        |name: &str, nginx, script: &[Act]| half(name, nginx, script).watch(200).send(&rest).answers(1).end();
    let refuse = [Act::ReadHead, Act::Send(forbidden())];
    let refuse_and_close = [Act::ReadHead, Act::Pause(80), Act::Send(forbidden()), Act::Close];
    let refuse_and_reset = [Act::ReadHead, Act::Send(forbidden()), Act::Pause(50), Act::Reset];
    let refuse_and_say_so = [
        Act::ReadHead,
        Act::Send(
            b"HTTP/1.1 403 Forbidden\r\nX-Origin: yes\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
                .to_vec(),
        ),
        Act::HalfClose,
    ];
    vec![
        whole("origin-refuses-early-and-reads-on", "403 fin | broken", &refuse),
        half("origin-refuses-early-and-the-client-waits", "403 fin | broken", &refuse).answers(1).end(),
        whole("origin-refuses-early-and-closes", "403 fin | broken", &refuse_and_close),
        whole("origin-refuses-early-and-resets", "403 fin | broken", &refuse_and_reset),
        whole("origin-refuses-early-and-half-closes", "403 fin | broken", &refuse_and_say_so),
        whole(
            "origin-accepts-early-and-reads-on",
            "200 fin | broken",
            &[Act::ReadHead, Act::Send(OK.to_vec())],
        ),
        half("origin-refuses-early-and-the-client-floods", "403 closed | broken", &refuse).flood(50, 2500),
        scene("origin-answers-early-in-pieces", "403 open | whole")
            .origin_does(&[Act::ReadHead, Act::Pieces(forbidden(), 20, 120)])
            .send(&upload(BYTES)[..head(BYTES).len() + BYTES / 2])
            .watch(100)
            .send(&rest)
            .answers(1)
            .end(),
        // Not so early that it depends on how fast the upload comes from the disk.
        whole(
            "origin-refuses-early-buffered",
            "403 open | whole",
            &[Act::ReadHead, Act::Pause(100), Act::Send(forbidden())],
        )
        .with(buffered()),
    ]
}

fn upstream_breaks() -> Vec<Case> {
    let half = |name: &str, nginx, script: &[Act]| {
        scene(name, nginx)
            .origin_does(script)
            .send(&upload(BYTES)[..head(BYTES).len() + BYTES / 2])
            .watch(200)
            .send(vec![b'u'; BYTES / 2])
            .answers(1)
            .end()
    };
    vec![
        half(
            "upstream-resets-in-the-upload",
            "502 fin | broken",
            &[Act::ReadHead, Act::Pause(50), Act::Reset],
        ),
        half(
            "upstream-closes-in-the-upload",
            "502 fin | broken",
            &[Act::ReadHead, Act::Pause(50), Act::Close],
        ),
        half("upstream-half-closes-in-the-upload", "502 fin | broken", &[Act::ReadHead, Act::HalfClose]),
        half("upstream-resets-at-once", "502 fin | nothing", &[Act::Reset]),
        half("upstream-resets-after-the-upload", "502 open | whole", &[Act::ReadRequest, Act::Reset]),
        half("upstream-closes-after-the-upload", "502 open | whole", &[Act::ReadRequest, Act::Close]),
        half("upstream-resets-at-once-buffered", "502 open | nothing", &[Act::Reset]).with(buffered()),
        half("upstream-refuses-connections", "502 fin | nothing", &[]).origin(Origin::Refusing),
        half("upstream-refuses-connections-buffered", "502 open | nothing", &[])
            .origin(Origin::Refusing)
            .with(buffered()),
        half("upstream-refuses-and-another-does-not", "200 open | whole", &[])
            .origin(Origin::RefusingThen(vec![Act::ReadRequest, Act::Send(OK.to_vec()), Act::Again])),
        half("upstream-refuses-and-another-does-not-buffered", "200 open | whole", &[])
            .origin(Origin::RefusingThen(vec![Act::ReadRequest, Act::Send(OK.to_vec()), Act::Again]))
            .with(buffered()),
    ]
}
