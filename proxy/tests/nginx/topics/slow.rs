//! Clients that are slow: heads, bodies and reading (section A of the adversarial list).

use crate::case::{Case, scene};
use crate::origin::{Act, OK, answering_with};
use crate::profile::{Profile, body_timeout, header_timeout, proxy_read_timeout, send_timeout};

pub(super) fn cases() -> Vec<Case> {
    [heads(), bodies(), bodies_buffered(), chunks(), reading()].concat()
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n";
const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";

fn heads() -> Vec<Case> {
    let slow = |name: &str, nginx| scene(name, nginx).with(header_timeout());
    vec![
        slow("silence-after-connecting", "silence fin | nothing").watch(1200),
        slow("silence-after-half-a-line", "silence fin | nothing").send("GET /a").watch(1200),
        slow("silence-after-half-a-head", "silence fin | nothing")
            .send("GET /a HTTP/1.1\r\nHost: a.example\r\n")
            .watch(1200),
        slow("head-byte-by-byte", "silence fin | nothing").trickle(GET, 1, 100).watch(600),
        slow("head-byte-by-byte-with-long-pauses", "silence fin | nothing").trickle(GET, 1, 350).watch(600),
        slow("head-late-but-in-time", "200 open | whole").watch(300).send(GET).answers(1).end(),
        slow("head-in-two-pieces-in-time", "200 open | whole")
            .send(&GET[..20])
            .watch(300)
            .send(&GET[20..])
            .answers(1)
            .end(),
        slow("second-head-never-ended", "200 fin | whole")
            .send(GET)
            .answers(1)
            .watch(200)
            .send(&GET[..20])
            .watch(1300),
        slow("second-head-byte-by-byte", "200 fin | whole")
            .send(GET)
            .answers(1)
            .trickle(GET, 1, 350)
            .watch(600),
        slow("second-head-after-long-idleness", "200 200 open | whole whole")
            .send(GET)
            .answers(1)
            .watch(900)
            .send(GET)
            .answers(2)
            .end(),
        slow("second-head-begun-with-the-first-request", "200 fin | whole")
            .send(format!("{GET}{}", &GET[..20]))
            .answers(1)
            .watch(1200),
        slow("empty-lines-for-ever", "silence fin | nothing").trickle("\r\n".repeat(20), 2, 100).watch(300),
    ]
}

fn bodies() -> Vec<Case> {
    let slow = |name: &str, nginx| scene(name, nginx).with(body_timeout()).send(POST);
    vec![
        slow("body-never-begun", "silence fin | broken").watch(1200),
        slow("body-stalled", "silence fin | broken").send("hello").watch(1200),
        slow("body-byte-by-byte", "200 open | whole").trickle("helloworld", 2, 400).answers(1).end(),
        slow("body-stalled-after-a-while", "silence fin | broken").trickle("hello", 2, 400).watch(1200),
        slow("body-late-but-in-time", "200 open | whole").watch(400).send("helloworld").answers(1).end(),
        slow("body-stalled-while-the-header-timer-ran", "silence fin | broken")
            .with(Profile { header_timeout_ms: 300, ..body_timeout() })
            .watch(1200),
        slow("slow-body-is-not-the-origins-fault", "200 open | whole")
            .with(proxy_read_timeout())
            .trickle("helloworld", 5, 900)
            .answers(1)
            .end(),
        slow("body-stalled-on-a-reused-upstream-connection", "200 fin | whole broken")
            .send("helloworld")
            .answers(1)
            .send(POST)
            .send("hello")
            .watch(1200),
    ]
}

fn bodies_buffered() -> Vec<Case> {
    let slow = |name: &str, nginx| scene(name, nginx).with(body_timeout().buffering()).send(POST);
    vec![
        slow("body-never-begun-buffered", "silence fin | nothing").watch(1200),
        slow("body-stalled-buffered", "silence fin | nothing").send("hello").watch(1200),
        slow("body-byte-by-byte-buffered", "200 open | whole").trickle("helloworld", 2, 400).answers(1).end(),
        slow("slow-body-is-not-the-origins-fault-buffered", "200 open | whole")
            .with(proxy_read_timeout().buffering())
            .trickle("helloworld", 5, 900)
            .answers(1)
            .end(),
    ]
}

fn chunks() -> Vec<Case> {
    let slow = |name: &str, nginx, body: &str| {
        scene(name, nginx).with(body_timeout()).send(format!("{CHUNKED}{body}"))
    };
    vec![
        slow("chunks-never-begun", "silence fin | broken", "").watch(1200),
        slow("chunks-stalled-in-a-size", "silence fin | broken", "5\r\nhello\r\n5").watch(1200),
        slow("chunks-stalled-in-data", "silence fin | broken", "5\r\nhe").watch(1200),
        slow("chunks-stalled-after-data", "silence fin | broken", "5\r\nhello").watch(1200),
        slow("chunks-stalled-before-the-last", "silence fin | broken", "5\r\nhello\r\n").watch(1200),
        slow("chunks-stalled-in-trailers", "silence fin | broken", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n")
            .watch(1200),
        slow("chunks-stalled-in-data-buffered", "silence fin | nothing", "5\r\nhe")
            .with(body_timeout().buffering())
            .watch(1200),
        slow("chunks-one-by-one", "200 open | whole", "")
            .trickle("2\r\nhe\r\n2\r\nll\r\n0\r\n\r\n", 7, 400)
            .answers(1)
            .end(),
        slow("chunks-flood-of-single-bytes", "200 open | whole", "")
            .send("1\r\nx\r\n".repeat(5000))
            .send("0\r\n\r\n")
            .answers(1)
            .end(),
    ]
}

fn reading() -> Vec<Case> {
    let large = |bytes: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: {bytes}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; bytes]].concat()
    };
    vec![
        scene("answer-never-read", "200~ fin | whole")
            .with(send_timeout())
            .origin(answering_with(large(12 << 20)))
            .narrow()
            .send(GET)
            .deaf(1500)
            .watch(1500),
        scene("answer-read-late-but-in-time", "200 open | whole")
            .with(send_timeout())
            .origin(answering_with(large(300 << 10)))
            .narrow()
            .send(GET)
            .deaf(400)
            .answers(1)
            .end(),
        scene("answer-slow-from-the-origin-is-not-the-clients-fault", "200 open | whole")
            .with(send_timeout())
            .origin_does(&[Act::ReadRequest, Act::Pieces(OK.to_vec(), 30, 900), Act::Again])
            .send(GET)
            .answers(1)
            .end(),
    ]
}
