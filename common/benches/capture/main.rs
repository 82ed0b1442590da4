//! The capture format: exchanges per second in and out, and what an exchange takes on disk.

mod traffic;

use std::fs;
use std::path::Path;
use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use kingtide_common::capture::{Capture, CaptureWriter, WriterOptions};
use kingtide_common::exchange::{Exchange, Record};
use kingtide_common::ledger::Ledger;
use tempfile::TempDir;

/// Rows of a batch: what a second of light, of usual and of heavy traffic makes.
const BATCH_ROWS: [usize; 3] = [16, 128, 1024];
/// Rows written or read in one measurement of a batch size.
const ROWS: usize = 4096;
const READ_EXCHANGES: usize = 100_000;

fn main() {
    print_sizes();
    divan::main();
}

/// Not a time, so divan has no column for it.
fn print_sizes() {
    let whole = traffic::copies(&traffic::golden(), ROWS);
    println!("bytes per exchange on disk        uploads   whole sessions");
    for rows in BATCH_ROWS {
        let bytes = |exchanges: &[Exchange]| bytes_on_disk(exchanges, rows) / exchanges.len() as u64;
        println!("  batches of {rows:>4} rows {:>17} {:>16}", bytes(&uploads()), bytes(&whole));
    }
    println!();
}

fn bytes_on_disk(exchanges: &[Exchange], batch_rows: usize) -> u64 {
    let directory = written(exchanges, batch_rows);
    let files = fs::read_dir(directory.path()).expect("just written");
    files.map(|file| file.and_then(|file| file.metadata()).expect("just written").len()).sum()
}

/// Records → batch → segment and index, flushed to the operating system; `ROWS` uploads.
#[divan::bench(args = BATCH_ROWS, sample_count = 20, sample_size = 1)]
fn encode(bencher: Bencher<'_, '_>, batch_rows: usize) {
    let exchanges = uploads();
    let inputs = || {
        let directory = temporary();
        let writer = writer(directory.path());
        (directory, writer, records(&exchanges))
    };
    bencher.counter(ItemsCount::new(ROWS)).with_inputs(inputs).bench_local_values(
        |(directory, mut writer, records)| {
            push_all(&mut writer, records, batch_rows);
            (directory, writer)
        },
    );
}

/// Segment → checked batches → records; `ROWS` uploads.
#[divan::bench(args = BATCH_ROWS, sample_count = 20, sample_size = 1)]
fn decode(bencher: Bencher<'_, '_>, batch_rows: usize) {
    let directory = written(&uploads(), batch_rows);
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| read(directory.path(), ROWS));
}

/// A whole capture of mixed traffic into memory.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn read_100_000(bencher: Bencher<'_, '_>) {
    let directory = written(&traffic::copies(&traffic::golden(), READ_EXCHANGES), 1024);
    bencher.counter(ItemsCount::new(READ_EXCHANGES)).bench_local(|| read(directory.path(), READ_EXCHANGES));
}

/// The golden capture's uploads, copied to [`ROWS`].
fn uploads() -> Vec<Exchange> {
    let mut golden = traffic::golden();
    golden.retain(|exchange| exchange.files().next().is_some());
    traffic::copies(&golden, ROWS)
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn writer(directory: &Path) -> CaptureWriter {
    CaptureWriter::create(directory, WriterOptions::of("bench", 0))
        .expect("a temporary directory takes a capture")
}

fn records(exchanges: &[Exchange]) -> Vec<Record> {
    exchanges.iter().map(|exchange| Record::Exchange(Box::new(exchange.clone()))).collect()
}

fn push_all(writer: &mut CaptureWriter, records: Vec<Record>, batch_rows: usize) {
    let now = Instant::now();
    for (row, record) in (1..).zip(records) {
        writer.push(record, now).expect("the disk takes it");
        if row % batch_rows == 0 {
            writer.flush(now).expect("the disk takes it");
        }
    }
    writer.flush(now).expect("the disk takes it");
}

fn written(exchanges: &[Exchange], batch_rows: usize) -> TempDir {
    let directory = temporary();
    let mut writer = writer(directory.path());
    push_all(&mut writer, records(exchanges), batch_rows);
    writer.close(Ledger::default(), 1).expect("the disk takes it");
    directory
}

fn read(directory: &Path, expected: usize) -> Vec<Exchange> {
    let reading = Capture::open(directory).and_then(|capture| capture.read()).expect("just written");
    assert_eq!((reading.exchanges.len(), reading.damage.len()), (expected, 0));
    reading.exchanges
}
