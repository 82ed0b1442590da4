//! Runs cases against nginx and against ours, several at once, and says where the two differ.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::case::Case;
use crate::client::{Script, Seen};
use crate::compare::{Disagreement, disagreements};
use crate::differences::intended;
use crate::nginx::Nginx;
use crate::observation::Observation;
use crate::origin::Running;
use crate::ours::Ours;

/// Cases mostly wait for timers: many at once cost little.
const CASES_AT_ONCE: usize = 10;

/// A case that differs is run so often before it counts: on a busy machine a pause of a script may end early or
/// late, at either side. What is said to differ differed each time.
const RUNS_MAX: usize = 3;

/// What a proxy still does once its clients are done, such as closing its connections to the upstream.
const SETTLING: Duration = Duration::from_millis(150);

/// Fails with all that differs from nginx and is not in the table of differences.
pub(crate) fn check(cases: Vec<Case>) {
    let queue = Mutex::new(VecDeque::from(cases));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = next(&queue) {
            if let Err(failure) = check_one(&case) {
                failures.lock().unwrap().push(failure);
            }
        }
    };
    thread::scope(|scope| (0..CASES_AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

fn next(queue: &Mutex<VecDeque<Case>>) -> Option<Case> {
    queue.lock().unwrap().pop_front()
}

fn check_one(case: &Case) -> Result<(), String> {
    let mut verdict = attempt(case);
    for _ in 1..RUNS_MAX {
        let Err(failure) = &verdict else { break };
        eprintln!("once more, since it differed: {}", failure.lines().next().unwrap_or_default());
        verdict = attempt(case);
    }
    verdict
}

/// Why the case fails.
fn attempt(case: &Case) -> Result<(), String> {
    let (nginx, ours) = thread::scope(|scope| {
        let nginx = scope.spawn(|| at_nginx(case));
        let ours = at_ours(case);
        (nginx.join().unwrap(), ours)
    });
    if nginx.0.summary() != case.nginx {
        let (gives, noted) = (nginx.0.summary(), case.nginx);
        let text = format!(
            "{}: nginx gives `{gives}`, noted is `{noted}`\n{}{}",
            case.name,
            nginx.0.shown(),
            nginx.1
        );
        return Err(text);
    }
    let mut found =
        disagreements(&nginx.0.facts(case.compares_framing), &ours.0.facts(case.compares_framing));
    found.retain(|differ| case.compares_times || !differ.is_of_time);
    judge(&case.name, &found).map_err(|why| report(case, &why, &nginx.0, &ours.0, &found) + &ours.1)
}

/// What differs must be what the table says, in full.
fn judge(name: &str, found: &[Disagreement]) -> Result<(), String> {
    let mut noted = intended(name);
    if noted.is_empty() {
        return if found.is_empty() { Ok(()) } else { Err("differs".to_owned()) };
    }
    let lasting = found.iter().filter(|differ| !differ.is_of_time);
    let mut ours: Vec<_> = lasting.map(|differ| (differ.fact.as_str(), differ.ours.as_str())).collect();
    ours.sort_unstable();
    noted.sort_unstable();
    if ours == noted { Ok(()) } else { Err(format!("differs, but not as differences.rs says: {noted:?}")) }
}

fn report(case: &Case, why: &str, nginx: &Observation, ours: &Observation, found: &[Disagreement]) -> String {
    let mut text = format!("{} {why}\n", case.name);
    for Disagreement { fact, nginx, ours, .. } in found {
        let _ = writeln!(text, "  {fact}\n    nginx: {nginx}\n    ours:  {ours}");
    }
    text + &format!("  all of nginx:\n{}  all of ours:\n{}", nginx.shown(), ours.shown())
}

fn at_nginx(case: &Case) -> (Observation, String) {
    let origin = case.origin.start();
    let nginx = Nginx::start(&case.profile, &origin.peers);
    (observe(case, nginx.address, &origin), nginx.log())
}

fn at_ours(case: &Case) -> (Observation, String) {
    let origin = case.origin.start();
    let ours = Ours::start(&case.profile, &origin.peers);
    (observe(case, ours.address, &origin), ours.log())
}

fn observe(case: &Case, address: SocketAddr, origin: &Running) -> Observation {
    let beginning = origin.begin();
    let clients = thread::scope(|scope| {
        let run = |script: &'_ Script| script.run(address, beginning);
        let clients: Vec<_> = case.clients.iter().map(|script| scope.spawn(move || run(script))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect::<Vec<Seen>>()
    });
    thread::sleep(SETTLING);
    Observation::new(clients, origin.connections())
}
