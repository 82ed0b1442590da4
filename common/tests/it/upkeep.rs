//! What becomes of segments once they are written: taken away when they are too many or too old, moved or
//! deleted under their writer, synced.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kingtide_common::capture::{
    Capture, CaptureError, CaptureWriter, Damage, Removed, Retention, Rotation, SyncPolicy, Upkeep,
    WriterOptions,
};
use kingtide_common::exchange::Exchange;
use kingtide_common::ledger::Ledger;

use crate::scene::{SECOND_NS, options, read, upload, write, writer};

/// A writer that seals a segment after each batch.
fn rotating(directory: &Path, retention: Retention) -> CaptureWriter {
    let rotation = Rotation { bytes: 1, age: Duration::from_hours(1) };
    let writer = CaptureWriter::create(directory, WriterOptions { rotation, ..options() }).unwrap();
    writer.with_upkeep(Upkeep { retention, ..Upkeep::default() })
}

fn batch(number: u64) -> Vec<Exchange> {
    (number * 10 + 1..=number * 10 + 10).map(upload).collect()
}

fn ids(directory: &Path) -> Vec<u64> {
    read(directory).exchanges.iter().map(|exchange| exchange.id).collect()
}

fn removed(directory: &Path) -> Removed {
    Capture::open(directory).unwrap().manifest().unwrap().removed
}

fn segment_bytes(directory: &Path, number: u32) -> u64 {
    let size =
        |end: &str| fs::metadata(directory.join(format!("exchanges-{number:06}.{end}"))).unwrap().len();
    size("arrows") + size("idx")
}

#[test]
fn the_oldest_segments_go_and_the_manifest_says_how_much_that_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = rotating(directory.path(), Retention::default());
    write(&mut writer, &batch(0));
    let one = segment_bytes(directory.path(), 1);
    let retention = Retention { bytes: Some(one * 5 / 2), age: None };
    let mut writer = writer.with_upkeep(Upkeep { retention, ..Upkeep::default() });
    for number in 1..5 {
        write(&mut writer, &batch(number));
        writer.look_after(Instant::now()).unwrap();
    }
    writer.close(Ledger { accepted: 50, recorded: 50, ..Ledger::default() }, SECOND_NS).unwrap();

    assert_eq!(ids(directory.path()), (31..=50).collect::<Vec<u64>>());
    assert_eq!(read(directory.path()).damage, [], "what was taken away on purpose is no damage");
    let removed = removed(directory.path());
    assert_eq!((removed.segments, removed.rows, removed.last_number), (3, 30, 3));
    assert_eq!(removed.last_ns, upload(30).started_ns);
    assert!(!directory.path().join("exchanges-000003.idx").exists());
}

#[test]
fn a_later_start_goes_on_behind_the_last_number_and_counts_what_others_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = writer(directory.path());
    write(&mut first, &batch(0));
    drop(first);
    let old = Retention { bytes: None, age: Some(Duration::from_mins(1)) };
    let mut second = rotating(directory.path(), old);
    // The writer's clock began at 0; an hour after the exchanges, the unsealed segment of the crash is old.
    let started_s = u64::try_from(upload(1).started_ns / SECOND_NS).unwrap();
    second.look_after(Instant::now() + Duration::from_secs(started_s + 3600)).unwrap();
    write(&mut second, &batch(1));
    second.close(Ledger::default(), SECOND_NS).unwrap();

    assert_eq!(removed(directory.path()).rows, 10);
    assert!(directory.path().join("exchanges-000002.arrows").exists(), "the number 1 is not given again");
    let reading = read(directory.path());
    assert_eq!(reading.exchanges.len(), 10);
    let named = |damage: &Damage| matches!(damage, Damage::StartNotClosed { .. });
    assert!(reading.damage.iter().all(named), "{:?}", reading.damage);
}

#[test]
fn a_crash_between_the_manifest_and_the_removal_leaves_nothing_to_be_read_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = rotating(directory.path(), Retention { bytes: Some(1), age: None });
    write(&mut writer, &batch(0));
    let first = directory.path().join("exchanges-000001.arrows");
    let bytes = fs::read(&first).unwrap();
    write(&mut writer, &batch(1));
    writer.look_after(Instant::now()).unwrap();
    fs::write(&first, bytes).unwrap();
    writer.close(Ledger::default(), SECOND_NS).unwrap();

    assert_eq!(ids(directory.path()), Vec::<u64>::new());
    drop(rotating(directory.path(), Retention::default()));
    assert!(!first.exists(), "the next start takes it away");
}

#[test]
fn a_directory_removed_under_its_writer_is_made_again_and_what_went_with_it_is_said() {
    let scene = tempfile::tempdir().unwrap();
    let directory = scene.path().join("capture");
    let mut writer = rotating(&directory, Retention::default());
    write(&mut writer, &batch(0));
    fs::remove_dir_all(&directory).unwrap();
    write(&mut writer, &batch(1));
    let ledger = Ledger { accepted: 20, recorded: 20, ..Ledger::default() };
    writer.close(ledger, SECOND_NS).unwrap();

    assert_eq!(ids(&directory), (11..=20).collect::<Vec<u64>>());
    assert_eq!(read(&directory).damage, []);
    assert_eq!((removed(&directory).segments, removed(&directory).rows), (1, 10));
}

#[test]
fn a_directory_moved_away_keeps_what_it_had_and_recording_goes_on_at_the_path() {
    let scene = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (scene.path().join("capture"), scene.path().join("yesterday"));
    let mut writer = writer(&directory);
    write(&mut writer, &batch(0));
    fs::rename(&directory, &elsewhere).unwrap();
    write(&mut writer, &batch(1));
    writer.close(Ledger::default(), SECOND_NS).unwrap();

    assert_eq!(ids(&elsewhere), (1..=10).collect::<Vec<u64>>());
    assert_eq!(ids(&directory), (11..=20).collect::<Vec<u64>>());
    let torn = read(&elsewhere).damage.iter().any(|damage| matches!(damage, Damage::NotClosed { .. }));
    assert!(!torn, "its segment was sealed, {:?}", read(&elsewhere).damage);
}

#[test]
fn a_lock_that_is_taken_away_is_taken_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = writer(directory.path());
    write(&mut first, &batch(0));
    fs::remove_file(directory.path().join("lock")).unwrap();
    write(&mut first, &batch(1));
    let second = CaptureWriter::create(directory.path(), options());
    assert!(matches!(second, Err(CaptureError::Locked { .. })));
    first.close(Ledger::default(), SECOND_NS).unwrap();
    assert_eq!(ids(directory.path()), (1..=20).collect::<Vec<u64>>());
}

#[test]
fn another_capture_at_the_path_is_not_touched() {
    let scene = tempfile::tempdir().unwrap();
    let directory = scene.path().join("capture");
    let mut first = writer(&directory);
    write(&mut first, &batch(0));
    fs::rename(&directory, scene.path().join("yesterday")).unwrap();
    let mut other = CaptureWriter::create(&directory, WriterOptions { started_ns: 7, ..options() }).unwrap();
    write(&mut other, &batch(3));
    other.close(Ledger::default(), SECOND_NS).unwrap();

    first.push(kingtide_common::exchange::Record::Exchange(Box::new(upload(11))), Instant::now()).unwrap();
    let refused = first.flush(Instant::now()).unwrap_err();
    assert!(matches!(refused.error, CaptureError::Replaced { .. }), "{}", refused.error);
    assert_eq!(refused.records.len(), 1);
    assert_eq!(ids(&directory), (31..=40).collect::<Vec<u64>>());
}

#[test]
fn a_segment_that_cannot_be_begun_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    let in_the_way = directory.path().join("exchanges-000001.idx");
    fs::create_dir(&in_the_way).unwrap();
    let push = |writer: &mut CaptureWriter| {
        writer
            .push(kingtide_common::exchange::Record::Exchange(Box::new(upload(1))), Instant::now())
            .unwrap();
        writer.flush(Instant::now())
    };
    assert_eq!(push(&mut writer).unwrap_err().records.len(), 1);
    assert!(!directory.path().join("exchanges-000001.arrows").exists());
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(push(&mut writer).unwrap(), 1);
    writer.close(Ledger::default(), SECOND_NS).unwrap();
    assert_eq!((ids(directory.path()), read(directory.path()).damage), (vec![1], vec![]));
}

#[test]
fn every_sync_policy_leaves_the_same_capture() {
    for sync in [SyncPolicy::None, SyncPolicy::Seal, SyncPolicy::Flush] {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path()).with_upkeep(Upkeep { sync, ..Upkeep::default() });
        write(&mut writer, &batch(0));
        writer.probe().unwrap();
        writer.close(Ledger::default(), SECOND_NS).unwrap();
        assert_eq!((ids(directory.path()).len(), read(directory.path()).damage), (10, vec![]), "{sync:?}");
    }
}
