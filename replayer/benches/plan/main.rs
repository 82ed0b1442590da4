//! From a capture in memory to the planned sends: grouping, keeping sessions, amplification, releases.

#[path = "../../../common/benches/capture/traffic.rs"]
mod traffic;

use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use kingtide::plan::{Mode, Plan, amplify, fidelity, releases};
use kingtide::sessions::{Outlines, Rules, Session, group};
use kingtide::store::Store;
use kingtide_common::exchange::Exchange;
use kingtide_common::units::{Multiple, Seed};

const EXCHANGES: usize = 20_000;
const MULTIPLE: f64 = 5.0;

static CAPTURED: LazyLock<Vec<Exchange>> = LazyLock::new(|| traffic::copies(&traffic::golden(), EXCHANGES));
static GROUPED: LazyLock<Vec<Session>> =
    LazyLock::new(|| group(CAPTURED.clone(), &Rules::default()).sessions);
static SESSIONS: LazyLock<Outlines> = LazyLock::new(|| GROUPED.iter().cloned().collect());

fn main() {
    println!("{EXCHANGES} exchanges, {} sessions, {MULTIPLE}×\n", SESSIONS.len());
    println!("{}\n", memory_of_a_large_plan());
    divan::main();
}

fn planned(mode: Mode) -> Plan {
    let multiple = Multiple::new(MULTIPLE).expect("within the range of multiples");
    amplify(&SESSIONS, multiple, mode, Seed(1))
}

/// What the process holds at most while a plan of a thousand times the sessions is made, walked and compared.
fn memory_of_a_large_plan() -> String {
    let before = peak_kib();
    let multiple = Multiple::new(1000.0).expect("within the range of multiples");
    let plan = amplify(&SESSIONS, multiple, Mode::Crowd, Seed(1));
    let clones = plan.clones().count();
    let walked = peak_kib();
    let compared = if fidelity(&plan, &SESSIONS).passes() { "like" } else { "unlike" };
    let grown = |to: u64, from: u64| to.saturating_sub(from) / 1024;
    format!(
        "{clones} clones, shift {} s: peak grew by {} MiB to make and walk them, {} MiB to compare ({compared})",
        plan.shift_s,
        grown(walked, before),
        grown(peak_kib(), walked)
    )
}

/// Largest resident size of this process so far; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Exchanges → sessions with their bindings.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn group_20_000(bencher: Bencher<'_, '_>) {
    let inputs = || CAPTURED.clone();
    bencher
        .counter(ItemsCount::new(EXCHANGES))
        .with_inputs(inputs)
        .bench_local_values(|exchanges| group(exchanges, &Rules::default()));
}

/// Sessions → entries in a store; counted in sessions.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn keep(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(GROUPED.len()))
        .with_inputs(|| GROUPED.clone())
        .bench_local_values(|sessions| Store::of(sessions).expect("there is room for them"));
}

/// Entries → sessions, as when a clone begins; counted in sessions.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn read_back(bencher: Bencher<'_, '_>) {
    let store = Store::of(GROUPED.iter().cloned()).expect("there is room for them");
    let steps = || store.sessions().map(|session| session.map_or(0, |session| session.steps.len()));
    bencher.counter(ItemsCount::new(store.len())).bench_local(|| steps().sum::<usize>());
}

/// Sessions → clones with their starts; counted in clones.
#[divan::bench(args = [Mode::Crowd, Mode::Steady, Mode::Volley, Mode::Tempo], sample_count = 10, sample_size = 1)]
fn amplify_5x(bencher: Bencher<'_, '_>, mode: Mode) {
    let clones = planned(mode).users();
    bencher.counter(ItemsCount::new(clones)).bench_local(|| planned(mode));
}

/// Clones → planned sends in order; counted in releases.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn releases_5x(bencher: Bencher<'_, '_>) {
    let plan = planned(Mode::Crowd);
    let sends = releases(&plan, &SESSIONS).count();
    bencher
        .counter(ItemsCount::new(sends))
        .bench_local(|| releases(&plan, &SESSIONS).map(|release| release.intended_us).sum::<u64>());
}
