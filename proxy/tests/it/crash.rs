//! `kill -9` in the middle of traffic.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kingtide_common::exchange::Exchange;

use crate::backend::answering;
use crate::client::{Client, get};
use crate::proxy::{HERE, Proxy, config};

/// Exchanges before the kill: about two seconds of traffic, several flushes.
const BEFORE_KILL_NS: i64 = 2_500_000_000;
const LOSS_NS_MAX: i64 = 1_000_000_000;
/// Kills of one capture: each start goes on in the directory of the one before.
const KILLS_PER_CAPTURE: usize = 10;
const CLIENTS: u64 = 3;
/// What clients that ask as fast as they can would only add in size.
const PAUSE: Duration = Duration::from_millis(4);

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

#[test]
fn ten_kills_at_random_instants_cost_a_second_each_at_most() {
    kills(10, 7);
}

#[test]
#[ignore = "20 minutes: cargo nextest run --workspace --run-ignored only -E 'test(a_thousand_kills)' --no-capture"]
fn a_thousand_kills_at_random_instants_cost_a_second_each_at_most() {
    kills(1_000, 1);
}

/// Kills proxies under load after 50 to 1,500 ms, and reads what each left behind.
fn kills(count: usize, seed: u64) {
    let (backend, mut random) = (answering("{\"ok\":true}"), seed);
    let (mut losses_ms, mut answered_in_all) = (Vec::new(), 0);
    for first in (0..count).step_by(KILLS_PER_CAPTURE) {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let mut expected = HashMap::new();
        for kill in first..count.min(first + KILLS_PER_CAPTURE) {
            let proxy = Proxy::of_in(
                Arc::clone(&directory),
                &config(backend.address, format!("{HERE}/capture").as_ref(), ""),
            );
            let load = Load::start(proxy.address, kill);
            // How long is the point: the instant must not depend on what the proxy has done.
            std::thread::sleep(Duration::from_millis(50 + next(&mut random) % 1_450));
            let killed_ns = now_ns();
            let left = proxy.kill();
            let answered = load.stop();
            answered_in_all += answered.len();
            expected.extend(answered.into_iter().map(|(target, at_ns)| (target, (at_ns, killed_ns))));
            losses_ms.push(loss_ms(&left.reading().exchanges, &expected, kill));
        }
    }
    losses_ms.sort_unstable();
    let at = |share: usize| losses_ms[(losses_ms.len() - 1) * share / 100];
    println!(
        "{count} kills, {answered_in_all} requests answered: every capture opened; lost at most {} ms before the kill \
         (median {} ms, p95 {} ms)",
        at(100),
        at(50),
        at(95)
    );
}

/// How long before its kill the earliest answered request that is missing was answered; everything is there once.
fn loss_ms(exchanges: &[Exchange], expected: &HashMap<String, (i64, i64)>, kill: usize) -> i64 {
    let mut found = HashMap::new();
    for exchange in exchanges {
        *found.entry(exchange.target.as_str()).or_insert(0) += 1;
    }
    assert!(found.values().all(|times| *times == 1), "kill {kill}: recorded twice");
    let missing = expected.iter().filter(|(target, _)| !found.contains_key(target.as_str()));
    let loss_ns = missing.map(|(_, (answered_ns, killed_ns))| killed_ns - answered_ns).max().unwrap_or(0);
    assert!(loss_ns <= LOSS_NS_MAX, "kill {kill}: lost what was answered {} ms before", loss_ns / 1_000_000);
    loss_ns / 1_000_000
}

/// xorshift64: the instants of a run can be had again.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Clients that ask until their connection dies, and when each was answered.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<(String, i64)>>>,
}

impl Load {
    fn start(address: SocketAddr, kill: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|client| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || ask_on(address, &format!("/api/{kill}/{client}"), &stop))
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    fn stop(self) -> Vec<(String, i64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

fn ask_on(address: SocketAddr, prefix: &str, stop: &AtomicBool) -> Vec<(String, i64)> {
    let mut answered = Vec::new();
    let Ok(mut client) = Client::try_connect(address) else { return answered };
    for n in 0.. {
        let target = format!("{prefix}/{n}");
        if stop.load(Ordering::Relaxed) || client.try_ask(get(&target)).is_err() {
            break;
        }
        answered.push((target, now_ns()));
        std::thread::sleep(PAUSE);
    }
    answered
}

fn now_ns() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}
