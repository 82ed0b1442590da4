//! `kill -9` in the middle of traffic.

use std::time::{SystemTime, UNIX_EPOCH};

use kingtide_common::exchange::Exchange;

use crate::backend::answering;
use crate::client::{Client, get};
use crate::proxy::Proxy;

/// Exchanges before the kill: about two seconds of traffic, several flushes.
const BEFORE_KILL_NS: i64 = 2_500_000_000;
const LOSS_NS_MAX: i64 = 1_000_000_000;

#[test]
fn after_kill_9_all_but_the_last_second_reads_back_and_the_tail_is_said_to_be_torn() {
    let backend = answering("{\"ok\":true}");
    let proxy = Proxy::start(backend.address);
    let mut client = Client::connect(proxy.address);
    let begun_ns = now_ns();
    let mut answered_ns = Vec::new();
    while now_ns() - begun_ns < BEFORE_KILL_NS {
        client.send(get("/api/a"));
        client.answer();
        answered_ns.push(now_ns());
    }
    let killed_ns = now_ns();
    let left = proxy.kill();

    let reading = left.reading();
    let expected = answered_ns.iter().filter(|at_ns| **at_ns < killed_ns - LOSS_NS_MAX).count();
    assert!(reading.exchanges.len() >= expected, "{} of at least {expected}", reading.exchanges.len());
    let last_done_ns = reading.exchanges.iter().map(Exchange::done_ns).max().unwrap();
    assert!(killed_ns - last_done_ns <= LOSS_NS_MAX, "lost {} ms", (killed_ns - last_done_ns) / 1_000_000);
    assert!(
        reading.damage.iter().any(|damage| damage.to_string().contains("torn tail")),
        "{:?}",
        reading.damage
    );
}

fn now_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
