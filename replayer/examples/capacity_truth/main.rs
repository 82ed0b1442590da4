//! The proof of the capacity search: 200 searches against simulated targets whose capacity is known, and the searches
//! that other tools do beside them. Writes the table of `bench/capacity_truth.md` to stdout, progress to stderr.
//!
//! `cargo run --release -p kingtide --example capacity_truth [-- SEARCHES [BUDGET_S [SEED]]]`

mod arrivals;
mod backend;
mod formula;
mod naive;
mod random;
mod rig;
mod subject;
mod table;
mod trials;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use subject::{Kind, Subject};
use table::Row;

/// Requests in each of the simulations that a truth is bisected with.
const TRUTH_REQUESTS: f64 = 1e6;
/// Of so many subjects the truth is computed twice, with other draws, to know its own error.
const TRUTH_TWICE: usize = 36;

/// Parts of the budget that the same searches are done with once more.
const SHORTER: [u64; 3] = [6, 3, 2];

fn main() -> ExitCode {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let Ok(numbers) = numbers else {
        eprintln!("usage: capacity_truth [SEARCHES [BUDGET_S [SEED]]], all of them whole numbers");
        return ExitCode::from(2);
    };
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (searches, budget_s, seed) = (number(0, 200), number(1, 3_600), number(2, 3));
    let rows = prove(searches, budget_s, seed);
    print!("{}", table::markdown(&rows, budget_s, seed, TRUTH_REQUESTS, &SHORTER));
    ExitCode::SUCCESS
}

fn prove(searches: u64, budget_s: u64, seed: u64) -> Vec<Row> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at as u64 >= searches {
                return;
            }
            let row = prove_one(at, budget_s, seed);
            eprintln!("{row}");
            rows.lock().expect("no thread panics with it").push((at, row));
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut rows = rows.into_inner().expect("all threads ended");
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn prove_one(at: usize, budget_s: u64, seed: u64) -> Row {
    let kind = Kind::ALL[at % Kind::ALL.len()];
    let subject = Subject::draw(kind, seed * 1_000_000 + at as u64);
    let truth_per_s = subject.truth_per_s(TRUTH_REQUESTS, 1);
    // A formula gives the same again.
    let again =
        (at < TRUTH_TWICE && subject.formula().is_none()).then(|| subject.truth_per_s(TRUTH_REQUESTS, 2));
    let (found, spent_s) = trials::search(&subject, budget_s);
    let with_less = SHORTER.map(|part| trials::search(&subject, budget_s / part).0);
    let naive = naive::searches(&subject, truth_per_s);
    Row::new(&subject, truth_per_s, again, &found, spent_s, naive).with_less(
        &subject,
        truth_per_s,
        &with_less,
    )
}
