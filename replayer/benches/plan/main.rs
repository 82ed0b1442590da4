//! From a capture in memory to the planned sends: grouping, amplification, releases.

#[path = "../../../common/benches/capture/traffic.rs"]
mod traffic;

use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use kingtide::plan::{Mode, Plan, amplify, releases};
use kingtide::sessions::{Rules, Sessions, group};
use kingtide_common::exchange::Exchange;
use kingtide_common::units::{Multiple, Seed};

const EXCHANGES: usize = 20_000;
const MULTIPLE: f64 = 5.0;

static CAPTURED: LazyLock<Vec<Exchange>> = LazyLock::new(|| traffic::copies(&traffic::golden(), EXCHANGES));
static SESSIONS: LazyLock<Sessions> = LazyLock::new(|| group(CAPTURED.clone(), &Rules::default()));

fn main() {
    let sessions = &SESSIONS.sessions;
    println!("{EXCHANGES} exchanges, {} sessions, {MULTIPLE}×\n", sessions.len());
    divan::main();
}

fn planned(mode: Mode) -> Plan {
    let multiple = Multiple::new(MULTIPLE).expect("within the range of multiples");
    amplify(&SESSIONS.sessions, multiple, mode, Seed(1))
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

/// Sessions → clones with their starts; counted in clones.
#[divan::bench(args = [Mode::Crowd, Mode::Steady, Mode::Volley, Mode::Tempo], sample_count = 10, sample_size = 1)]
fn amplify_5x(bencher: Bencher<'_, '_>, mode: Mode) {
    let clones = planned(mode).clones.len();
    bencher.counter(ItemsCount::new(clones)).bench_local(|| planned(mode));
}

/// Clones → planned sends in order; counted in releases.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn releases_5x(bencher: Bencher<'_, '_>) {
    let plan = planned(Mode::Crowd);
    let sends = releases(&plan, &SESSIONS.sessions).count();
    bencher
        .counter(ItemsCount::new(sends))
        .bench_local(|| releases(&plan, &SESSIONS.sessions).map(|release| release.intended_us).sum::<u64>());
}
