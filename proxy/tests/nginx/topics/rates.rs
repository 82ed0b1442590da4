//! `limit_req` and `limit_conn`.

use crate::case::{Case, scene};
use crate::origin::{Act, OK};
use crate::profile::{Delay, Profile, Rate, rate, usual};

pub(super) fn cases() -> Vec<Case> {
    [rates(), by_header(), connections()].concat()
}

const RATE: Rate = Rate { per_s: 4, burst: 0, delay: Delay::All, by_header: false, status: 503 };

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n")
}

/// So many requests, one after the other's answer.
fn requests(case: Case, count: usize) -> Case {
    (0..count).fold(case, |case, number| case.send(get(&format!("/{number}"), "")).answers(number + 1)).end()
}

fn rates() -> Vec<Case> {
    let case = |name: &str, nginx, limit: Rate, count| requests(scene(name, nginx).with(rate(limit)), count);
    vec![
        case("rate-without-burst", "200 503 503 open | whole", RATE, 3),
        case("rate-with-other-status", "200 429 open | whole", Rate { status: 429, ..RATE }, 2),
        case("rate-with-burst-delayed", "200 200 200 open | whole whole whole", Rate { burst: 2, ..RATE }, 3),
        case(
            "rate-with-burst-nodelay",
            "200 200 200 503 503 open | whole whole whole",
            Rate { burst: 2, delay: Delay::None, ..RATE },
            5,
        ),
        case(
            "rate-with-delay-after-1",
            "200*4 open | whole*4",
            Rate { burst: 3, delay: Delay::After(1), ..RATE },
            4,
        ),
        scene("rate-recovers", "200 503 200 open | whole whole")
            .with(rate(RATE))
            .send(get("/0", ""))
            .answers(1)
            .send(get("/1", ""))
            .answers(2)
            .watch(400)
            .send(get("/2", ""))
            .answers(3)
            .end(),
        scene("rate-refuses-an-upload", "200 503 503 open | whole")
            .with(rate(RATE))
            .send(get("/0", ""))
            .answers(1)
            .send("POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello")
            .answers(2)
            .send(get("/2", ""))
            .answers(3)
            .end(),
        scene("rate-refuses-an-upload-that-is-not-sent", "200 503 open | whole")
            .with(rate(RATE))
            .send(get("/0", ""))
            .answers(1)
            .send("POST /1 HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .answers(2)
            .end(),
        scene("rate-comes-after-the-size-of-the-body", "200 413 open | whole")
            .with(rate(RATE))
            .send(get("/0", ""))
            .answers(1)
            .send("POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5000000\r\n\r\n")
            .answers(2)
            .end(),
        scene("rate-and-the-client-leaves-while-delayed", "200 left, 200 open | whole whole")
            .with(rate(Rate { burst: 2, ..RATE }))
            .send(get("/0", ""))
            .answers(1)
            .send(get("/1", ""))
            .watch(100)
            .leave()
            .client_after(600)
            .send(get("/2", ""))
            .answers(1)
            .end(),
        scene("rate-is-shared-by-connections", "200 open, 503 open | whole")
            .with(rate(RATE))
            .send(get("/0", ""))
            .answers(1)
            .end()
            .client_after(80)
            .send(get("/1", ""))
            .answers(1)
            .end(),
    ]
}

fn by_header() -> Vec<Case> {
    let case = |name: &str, nginx, headers: &[&str]| {
        let case = scene(name, nginx).with(rate(Rate { by_header: true, ..RATE }));
        let with = |case: Case, (number, header): (usize, &&str)| {
            case.send(get(&format!("/{number}"), header)).answers(number + 1)
        };
        headers.iter().enumerate().fold(case, with).end()
    };
    vec![
        case(
            "rate-by-header",
            "200 200 503 open | whole whole",
            &["X-Key: a\r\n", "X-Key: b\r\n", "X-Key: a\r\n"],
        ),
        case("rate-by-header-missing", "200 200 200 open | whole whole whole", &["", "", ""]),
        case("rate-by-header-empty", "200 200 open | whole whole", &["X-Key:\r\n", "X-Key:\r\n"]),
    ]
}

fn connections() -> Vec<Case> {
    let slow = [Act::ReadRequest, Act::Pause(300), Act::Send(OK.to_vec()), Act::Again];
    let limited = || Profile { connections: Some(1), ..usual() };
    let first = |name: &str, nginx| scene(name, nginx).with(limited()).origin_does(&slow);
    vec![
        first("connections-one-too-many", "200 open, 503 open | whole")
            .send(get("/0", ""))
            .answers(1)
            .end()
            .client_after(120)
            .send(get("/1", ""))
            .answers(1)
            .end(),
        first("connections-free-again", "200 open, 200 open | whole whole")
            .send(get("/0", ""))
            .answers(1)
            .end()
            .client_after(450)
            .send(get("/1", ""))
            .answers(1)
            .end(),
        first("connections-idle-ones-do-not-count", "silence open, 200 open | whole")
            .watch(300)
            .client_after(100)
            .send(get("/1", ""))
            .answers(1)
            .end(),
        first("connections-free-after-an-abort", "silence left, 200 open | whole whole")
            .send(get("/0", ""))
            .watch(80)
            .reset()
            .client_after(200)
            .send(get("/1", ""))
            .answers(1)
            .end(),
        first("connections-count-uploads-in-progress", "200 open, 503 open | whole")
            .send("POST /0 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nhello")
            .watch(300)
            .send("world")
            .answers(1)
            .end()
            .client_after(120)
            .send(get("/1", ""))
            .answers(1)
            .end(),
    ]
}
