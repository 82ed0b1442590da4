//! Users are recorded whole or not at all: sampled, and when there is no room. Those whose beginning is in the
//! capture and whose rest is not are named by it.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kingtide_common::exchange::{CutUser, Exchange, Gap};
use kingtide_common::fingerprint::Fingerprint;

use crate::backend::{Backend, Received, replying};
use crate::client::Client;
use crate::proxy::{Left, Proxy, recording, route_all};

/// Answers a login with a token or, to every other user, a cookie.
fn school() -> Backend {
    replying(|stream, received| {
        use std::io::Write as _;
        let (cookie, body) = match login_of(received) {
            Some(user) if user.is_multiple_of(2) => {
                (String::new(), format!("{{\"access_token\":\"{}\"}}", token(user)))
            }
            Some(user) => (format!("Set-Cookie: sid={}; Path=/\r\n", token(user)), "{}".to_owned()),
            None => (String::new(), "{}".to_owned()),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{cookie}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all((head + &body).as_bytes());
    })
}

fn login_of(received: &Received) -> Option<u64> {
    received.target().strip_prefix("/login/")?.parse().ok()
}

fn token(user: u64) -> String {
    format!("token-of-user-{user}")
}

/// One user: a login, then requests with what it issued.
struct User {
    number: u64,
    asked: u64,
}

impl User {
    fn new(number: u64) -> Self {
        Self { number, asked: 0 }
    }

    fn ask(&mut self, client: &mut Client, more: &str) {
        let (number, n) = (self.number, self.asked);
        let request = match n {
            0 => format!("POST /login/{number} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: 2\r\n\r\n{{}}"),
            _ => format!("GET /u/{number}/{n} HTTP/1.1\r\nHost: a\r\n{more}{}\r\n", self.credential()),
        };
        let (head, _) = client.ask(request);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        self.asked += 1;
    }

    fn credential(&self) -> String {
        let token = token(self.number);
        if self.number.is_multiple_of(2) {
            format!("Authorization: Bearer {token}\r\n")
        } else {
            format!("Cookie: theme=dark; sid={token}\r\n")
        }
    }
}

/// Each user over two connections of their own, one after the other.
fn visit(address: SocketAddr, user: u64, requests: u64) {
    let mut clients = [Client::connect(address), Client::connect(address)];
    let mut user = User::new(user);
    for n in 0..requests {
        user.ask(&mut clients[usize::from(n % 2 == 1)], "");
    }
}

/// Which requests of each user are in the capture.
fn recorded(exchanges: &[Exchange]) -> BTreeMap<u64, Vec<u64>> {
    let mut users = BTreeMap::<u64, Vec<u64>>::new();
    for exchange in exchanges {
        let mut parts = exchange.target.rsplit('/').map(str::parse::<u64>);
        let (last, before) = (parts.next().unwrap().unwrap(), parts.next().unwrap());
        let (user, n) = before.map_or((last, 0), |user| (user, last));
        users.entry(user).or_default().push(n);
    }
    for requests in users.values_mut() {
        requests.sort_unstable();
    }
    users
}

/// Whether a gap names an exchange's user.
fn is_cut(gaps: &[Gap], of_user: &[&Exchange]) -> bool {
    let named: HashSet<CutUser> = gaps.iter().flat_map(|gap| gap.cut.iter().copied()).collect();
    of_user.iter().any(|exchange| {
        let texts = format!("{:?}{:?}", exchange.request_headers, exchange.response_headers);
        let texts = texts + &format!("{:?}", exchange.response_body);
        let prints = Fingerprint::find_all(&texts).into_iter().map(|(_, print)| CutUser::Credential(print));
        prints.chain([CutUser::Connection(exchange.connection)]).any(|user| named.contains(&user))
    })
}

/// Every user is whole, absent, or a beginning that the capture says is cut. Gives the numbers of each kind.
fn assert_whole(left: &Left, users: u64, requests: u64) -> [usize; 3] {
    assert_whole_of(left, users, users, requests)
}

/// As [`assert_whole`], where only some of the numbers up to `users` came.
fn assert_whole_of(left: &Left, users: u64, came: u64, requests: u64) -> [usize; 3] {
    let reading = left.reading();
    assert_eq!(reading.damage, []);
    let recorded = recorded(&reading.exchanges);
    let mut kinds = [0; 3];
    for user in 0..users {
        let found = recorded.get(&user).map_or(&[][..], Vec::as_slice);
        let beginning: Vec<u64> = (0..found.len() as u64).collect();
        assert_eq!(found, beginning, "user {user} has a hole");
        let whole = found.len() as u64 == requests;
        if !whole && !found.is_empty() {
            let of_user = |exchange: &&Exchange| {
                exchange.target == format!("/login/{user}")
                    || exchange.target.starts_with(&format!("/u/{user}/"))
            };
            let exchanges: Vec<&Exchange> = reading.exchanges.iter().filter(of_user).collect();
            assert!(
                is_cut(&reading.gaps, &exchanges),
                "user {user} is cut and nothing says so: {:?}",
                reading.gaps
            );
        }
        kinds[if whole { 0 } else { 1 + usize::from(!found.is_empty()) }] += 1;
    }
    let (ledger, missing) = (left.ledger(), reading.gaps.iter().map(|gap| gap.count).sum::<u64>());
    assert_eq!(ledger.in_flight(), 0, "{ledger:?}");
    assert_eq!(ledger.recorded, reading.exchanges.len() as u64);
    assert_eq!(missing, ledger.shed_queue + ledger.shed_budget + ledger.shed_disk);
    assert_eq!(ledger.accepted, came * requests);
    kinds
}

fn proxy(backend: &Backend, capture_key: &str, more: &str) -> Proxy {
    let text =
        recording(backend.address).replace("enabled = true\n", &format!("enabled = true\n{capture_key}\n"));
    Proxy::of(&(text + &route_all("") + more))
}

#[test]
fn half_of_the_users_are_sampled_with_their_logins() {
    const USERS: u64 = 40;
    let backend = school();
    let proxy = proxy(&backend, "sample = \"50%\"", "");
    (0..USERS).for_each(|user| visit(proxy.address, user, 5));
    let left = proxy.stop();
    let [whole, absent, cut] = assert_whole(&left, USERS, 5);
    assert_eq!(cut, 0);
    // Outside once in a million runs.
    assert!((5..=35).contains(&whole), "{whole} whole, {absent} absent");
    assert_eq!(left.ledger().sampled_out, absent as u64 * 5);
}

/// A load balancer's connection carries everybody.
#[test]
fn behind_a_trusted_proxy_users_of_one_connection_and_address_are_told_apart() {
    const USERS: u64 = 40;
    let backend = school();
    let text = recording(backend.address)
        .replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n")
        .replace("enabled = true\n", "enabled = true\nsample = 0.5\n");
    let proxy = Proxy::of(&(text + &route_all("")));
    let mut balancer = Client::connect(proxy.address);
    let mut users: Vec<User> = (0..USERS).map(User::new).collect();
    for _ in 0..5 {
        for user in &mut users {
            user.ask(&mut balancer, "X-Forwarded-For: 203.0.113.7\r\nUser-Agent: x\r\n");
        }
    }
    let [whole, absent, cut] = assert_whole(&proxy.stop(), USERS, 5);
    assert_eq!(cut, 0);
    assert!((5..=35).contains(&whole), "{whole} whole, {absent} absent");
}

#[test]
fn over_the_rate_who_is_in_goes_on_and_nobody_new_comes() {
    let backend = school();
    let proxy = proxy(&backend, "exchanges_per_s_max = 10", "");
    // Twelve at once are more than a second's worth: who comes right after them is not begun.
    (0..6).for_each(|user| visit(proxy.address, user, 12));
    let left = proxy.stop();
    let [whole, absent, cut] = assert_whole(&left, 6, 12);
    assert!(whole >= 1 && absent >= 1 && cut == 0, "{whole} whole, {absent} absent, {cut} cut");
    assert!(left.ledger().shed_budget > 0);
}

/// Ten seconds' worth is as far as one user may go.
#[test]
fn who_asks_far_too_much_is_cut_and_named() {
    let backend = school();
    let proxy = proxy(&backend, "exchanges_per_s_max = 1", "");
    (0..2).for_each(|user| visit(proxy.address, user, 40));
    assert_eq!(assert_whole(&proxy.stop(), 2, 40), [0, 1, 1]);
}

#[test]
fn under_overload_many_users_at_once_are_whole_or_named() {
    const USERS: u64 = 48;
    let backend = school();
    let proxy = proxy(&backend, "queue_slots = 2", "");
    let address = proxy.address;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                (0..USERS).filter(|user| user % 8 == thread).for_each(|user| visit(address, user, 20));
            });
        }
    });
    let [_, absent, cut] = assert_whole(&proxy.stop(), USERS, 20);
    assert!(absent + cut > 0, "nothing was shed");
}

const THROTTLED_FOR: Duration = Duration::from_mins(2);
const THROTTLED_CLIENTS: u64 = 16;
const THROTTLED_REQUESTS: u64 = 12;
/// Between two requests of a client: the rate must not depend on how slow the proxy is.
const THROTTLED_PAUSE: Duration = Duration::from_millis(40);
/// A tenth of what each of the two proxies is asked.
const THROTTLED_TO: u64 = THROTTLED_CLIENTS * 1000 / 40 / 10;

/// Sessions through two proxies in turn, one that records nothing and one that may record a tenth of what comes:
/// what their clients waited, and that the capture is whole users.
#[test]
#[ignore = "two minutes, and it measures: cargo nextest run --workspace --run-ignored only -E 'test(throttled)' --no-capture"]
fn throttled_to_a_tenth_the_tap_delays_nobody_and_users_are_whole() {
    let backend = school();
    let off = Proxy::of(
        &(recording(backend.address).replace("enabled = true", "enabled = false") + &route_all("")),
    );
    let throttled = proxy(&backend, &format!("exchanges_per_s_max = {THROTTLED_TO}"), "");
    let addresses = [off.address, throttled.address];
    let until = Instant::now() + THROTTLED_FOR;
    let clients: Vec<_> = (0..THROTTLED_CLIENTS)
        .map(|client| std::thread::spawn(move || visits(addresses, client, until)))
        .collect();
    let visited: Vec<Visited> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let left = throttled.stop();
    // Each client's users were numbered from a base of its own.
    let sessions = visited.iter().map(|visited| visited.users).max().unwrap();
    let (users, ledger) = (THROTTLED_CLIENTS * sessions, left.ledger());
    let ran: Vec<u64> = visited.iter().map(|visited| visited.users).collect();
    let never_came: u64 = ran.iter().map(|ran| sessions - ran).sum();
    let [whole, absent, cut] = assert_whole_of(&left, users, users - never_came, THROTTLED_REQUESTS);
    println!(
        "{} users, {} requests: {whole} whole, {} absent, {cut} cut and named; {ledger:?}",
        users - never_came,
        ledger.accepted,
        absent as u64 - never_came
    );
    let waits = |which: usize| {
        let mut us: Vec<u64> = visited.iter().flat_map(|visited| visited.waits_us[which].clone()).collect();
        us.sort_unstable();
        [500, 900, 990, 999].map(|share| us[(us.len() - 1) * share / 1000])
    };
    let (off, throttled) = (waits(0), waits(1));
    println!("capture off: p50 p90 p99 p99.9 = {off:?} us; throttled: {throttled:?} us");
    let allowed = (off[2] + 1_000).max(off[2] * 105 / 100);
    assert!(throttled[2] <= allowed, "p99 {} us beside {} us", throttled[2], off[2]);
}

/// What one client's users waited at each proxy.
struct Visited {
    users: u64,
    waits_us: [Vec<u64>; 2],
}

fn visits(addresses: [SocketAddr; 2], client: u64, until: Instant) -> Visited {
    let mut visited = Visited { users: 0, waits_us: [Vec::new(), Vec::new()] };
    while Instant::now() < until {
        let number = visited.users * THROTTLED_CLIENTS + client;
        let mut sides = addresses.map(|address| (Client::connect(address), User::new(number)));
        for request in 0..THROTTLED_REQUESTS {
            let begun = Instant::now();
            // Whatever else the machine does hits both alike; who is asked first changes.
            for side in [request % 2, 1 - request % 2].map(|side| usize::from(side == 1)) {
                let (client, user) = &mut sides[side];
                let asked = Instant::now();
                user.ask(client, "");
                visited.waits_us[side].push(u64::try_from(asked.elapsed().as_micros()).unwrap());
            }
            std::thread::sleep(THROTTLED_PAUSE.saturating_sub(begun.elapsed()));
        }
        visited.users += 1;
    }
    visited
}
