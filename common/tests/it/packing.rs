//! A sealed segment of many small batches is written again in large ones: nothing is lost, whenever it is broken off.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kingtide_common::capture::{Capture, CaptureWriter, Damage, Projection};
use kingtide_common::exchange::Exchange;
use kingtide_common::ledger::Ledger;

use crate::scene::{SECOND_NS, read, upload, write, writer};

const BATCHES: u64 = 40;
const BATCH_ROWS: u64 = 3;

fn batch(number: u64) -> Vec<Exchange> {
    (number * BATCH_ROWS + 1..=(number + 1) * BATCH_ROWS).map(upload).collect()
}

/// A capture of slow traffic, a batch now and then.
fn slow_traffic(writer: &mut CaptureWriter) -> Vec<Exchange> {
    let batches: Vec<Vec<Exchange>> = (0..BATCHES).map(batch).collect();
    for batch in &batches {
        write(writer, batch);
    }
    batches.concat()
}

fn close(writer: CaptureWriter) {
    let rows = BATCHES * BATCH_ROWS;
    writer.close(Ledger { accepted: rows, recorded: rows, ..Ledger::default() }, SECOND_NS).unwrap();
}

fn segment(directory: &Path) -> u64 {
    fs::metadata(directory.join("exchanges-000001.arrows")).unwrap().len()
}

fn batches(directory: &Path) -> usize {
    let mut batches = 0;
    let count = |_| {
        batches += 1;
        Ok::<_, kingtide_common::capture::CaptureError>(())
    };
    Capture::open(directory).unwrap().for_each_batch(Projection::All, count).unwrap();
    batches
}

#[test]
fn slow_traffic_takes_little_space_once_it_is_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    let written = slow_traffic(&mut writer);
    let (before, batches_before) = (segment(directory.path()), batches(directory.path()));
    close(writer);

    let reading = read(directory.path());
    assert_eq!((reading.exchanges, reading.damage), (written, vec![]));
    assert_eq!((batches_before, batches(directory.path())), (usize::try_from(BATCHES).unwrap(), 1));
    let after = segment(directory.path());
    assert!(after * 5 < before, "{before} bytes became {after}");
    let manifest = Capture::open(directory.path()).unwrap().manifest().unwrap().clone();
    assert_eq!((manifest.segments.len(), manifest.segments[0].bytes), (1, after));
    assert!(!directory.path().join("packing.arrows").exists());
}

#[test]
fn a_damaged_segment_stays_as_it_is_and_reads_up_to_and_behind_the_damage() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    let written = slow_traffic(&mut writer);
    let path = directory.path().join("exchanges-000001.arrows");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    fs::write(&path, &bytes).unwrap();
    close(writer);

    let reading = read(directory.path());
    assert!(matches!(reading.damage[..], [Damage::BadChecksum { .. }]), "{:?}", reading.damage);
    assert_eq!(reading.exchanges.len(), written.len() - usize::try_from(BATCH_ROWS).unwrap());
    assert!(!directory.path().join("packing.arrows").exists());
}

#[test]
fn what_a_crash_leaves_of_it_is_whole_and_goes_with_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = writer(directory.path());
    let written = slow_traffic(&mut first);
    close(first);
    // Each state between its steps: the new segment is there; the index is gone; the new one has no index yet.
    let index = directory.path().join("exchanges-000001.idx");
    fs::write(directory.path().join("packing.arrows"), b"half of it").unwrap();
    fs::write(directory.path().join("packing.idx"), b"half of it").unwrap();
    assert_eq!(read(directory.path()).exchanges, written);
    fs::remove_file(&index).unwrap();
    let reading = read(directory.path());
    assert_eq!((reading.exchanges, reading.damage), (written, vec![]));

    drop(writer(directory.path()));
    assert!(
        !directory.path().join("packing.arrows").exists() && !directory.path().join("packing.idx").exists()
    );
}

#[test]
fn who_reads_meanwhile_sees_the_old_or_the_new() {
    const ROUNDS: usize = 10;
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    let (is_over, mut written) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut readings, mut rows) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                let reading = read(directory.path());
                let is_open = |damage: &Damage| {
                    matches!(
                        damage,
                        Damage::NotClosed { .. } | Damage::StartNotClosed { .. } | Damage::TornTail { .. }
                    )
                };
                assert!(reading.damage.iter().all(is_open), "{:?}", reading.damage);
                assert!(reading.exchanges.len() >= rows, "{} of {rows}", reading.exchanges.len());
                (readings, rows) = (readings + 1, reading.exchanges.len());
            }
            readings
        });
        for _ in 0..ROUNDS {
            written.extend(slow_traffic(&mut writer));
            writer.rotate().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    writer.look_after(Instant::now()).unwrap();
    close(writer);
    assert_eq!((read(directory.path()).exchanges, batches(directory.path())), (written, ROUNDS));
}
