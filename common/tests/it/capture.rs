use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kingtide_common::capture::{Capture, CaptureError, CaptureWriter, Damage, Projection, Rotation};
use kingtide_common::exchange::{Attempt, Exchange, Record};
use kingtide_common::ledger::Ledger;
use proptest::prelude::*;

use crate::scene::{SECOND_NS, crash_after, gap, options, read, upload, write, writer};

fn uploads(count: u64) -> Vec<Exchange> {
    (1..=count).map(upload).collect()
}

fn segment(directory: &Path) -> PathBuf {
    directory.join("exchanges-000001.arrows")
}

#[test]
fn every_field_survives_the_round_trip() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    let mut exchanges = uploads(2000);
    exchanges.push(Exchange { id: 2001, ..Exchange::default() });
    write(&mut writer, &exchanges);
    writer.push(Record::Gap(gap(5)), Instant::now()).unwrap();
    writer.flush(Instant::now()).unwrap();
    writer
        .close(Ledger { accepted: 2006, recorded: 2001, shed_queue: 5, ..Ledger::default() }, SECOND_NS)
        .unwrap();

    let reading = read(directory.path());
    assert_eq!(reading.damage, []);
    assert_eq!(reading.exchanges, exchanges);
    assert_eq!(reading.gaps, [gap(5)]);
    let capture = Capture::open(directory.path()).unwrap();
    assert_eq!(capture.manifest().unwrap().ledger().shed_queue, 5);
}

#[test]
fn a_crash_leaves_all_flushed_batches_and_says_that_the_tail_is_torn() {
    let directory = tempfile::tempdir().unwrap();
    let exchanges = uploads(30);
    crash_after(directory.path(), &exchanges, 10);

    let reading = read(directory.path());
    assert_eq!(reading.exchanges, exchanges);
    let last_done_ns = exchanges.iter().map(Exchange::done_ns).max();
    let segment = "exchanges-000001.arrows".to_owned();
    assert_eq!(reading.damage, [Damage::NotClosed { segment, rows: 30, last_done_ns }]);
    assert!(reading.damage[0].to_string().contains("torn tail"), "{}", reading.damage[0]);
}

#[test]
fn a_crash_before_the_first_flush_is_said_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = writer(directory.path());
    writer.push(Record::Exchange(Box::new(upload(1))), Instant::now()).unwrap();
    drop(writer);

    let reading = read(directory.path());
    assert_eq!(reading.exchanges, []);
    assert_eq!(reading.damage, [Damage::StartNotClosed { started_ns: 0 }]);
}

#[test]
fn a_lost_index_or_manifest_costs_no_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let exchanges = uploads(30);
    crash_after(directory.path(), &exchanges, 10);
    fs::remove_file(directory.path().join("exchanges-000001.idx")).unwrap();
    fs::remove_file(directory.path().join("manifest.json")).unwrap();

    let reading = read(directory.path());
    assert_eq!(reading.exchanges, exchanges);
    assert!(reading.damage.contains(&Damage::NoManifest));
}

#[test]
fn a_flipped_byte_costs_its_batch_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    crash_after(directory.path(), &uploads(30), 10);
    let path = segment(directory.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();

    let reading = read(directory.path());
    let ids: Vec<u64> = reading.exchanges.iter().map(|exchange| exchange.id).collect();
    assert_eq!(ids, (1..=10).chain(21..=30).collect::<Vec<u64>>());
    assert!(matches!(reading.damage[0], Damage::BadChecksum { rows: 10, .. }), "{:?}", reading.damage);
}

#[test]
fn a_visit_of_some_columns_meets_the_same_rows_and_the_same_damage() {
    let directory = tempfile::tempdir().unwrap();
    crash_after(directory.path(), &uploads(30), 4);
    let path = segment(directory.path());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.truncate(bytes.len() - 1);
    fs::write(&path, bytes).unwrap();

    let whole = read(directory.path());
    let (mut targets, mut names) = (0, Vec::new());
    let capture = Capture::open(directory.path()).unwrap();
    let damage = capture.for_each_batch(Projection::Only(&["target", "no_such_column"]), |batch| {
        let fields = batch.columns().schema_ref().fields().iter();
        names = fields.map(|field| field.name().clone()).collect();
        targets += batch.columns().num_rows();
        Ok::<_, CaptureError>(())
    });
    assert_eq!(names, ["kind", "started", "done_us", "target"]);
    assert_eq!((targets, damage.unwrap()), (whole.exchanges.len(), whole.damage));
}

#[test]
fn a_visitor_that_fails_ends_the_visit_with_its_own_error() {
    #[derive(Debug, PartialEq)]
    struct Full;
    impl From<CaptureError> for Full {
        fn from(error: CaptureError) -> Self {
            panic!("the capture is whole: {error}")
        }
    }
    let directory = tempfile::tempdir().unwrap();
    crash_after(directory.path(), &uploads(30), 4);
    let mut visited = 0;
    let stopped = Capture::open(directory.path()).unwrap().for_each_record(|_| {
        visited += 1;
        if visited == 9 { Err(Full) } else { Ok(()) }
    });
    assert_eq!((stopped, visited), (Err(Full), 9));
}

#[test]
fn each_start_writes_its_own_segments_and_ids_stay_unique() {
    let directory = tempfile::tempdir().unwrap();
    crash_after(directory.path(), &uploads(3), 10);
    crash_after(directory.path(), &uploads(3), 10);

    let exchanges = read(directory.path()).exchanges;
    let mut ids: Vec<u64> = exchanges.iter().map(|exchange| exchange.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 6, "{ids:?}");
    assert_eq!(Capture::open(directory.path()).unwrap().manifest().unwrap().starts.len(), 2);
}

#[test]
fn segments_rotate_by_size_and_are_entered_in_the_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let rotation = Rotation { bytes: 1, age: Duration::from_hours(1) };
    let mut writer = CaptureWriter::create(
        directory.path(),
        kingtide_common::capture::WriterOptions { rotation, ..options() },
    )
    .unwrap();
    write(&mut writer, &uploads(10));
    write(&mut writer, &uploads(10));
    writer.close(Ledger::default(), SECOND_NS).unwrap();

    let capture = Capture::open(directory.path()).unwrap();
    let rows: Vec<u64> = capture.manifest().unwrap().segments.iter().map(|segment| segment.rows).collect();
    assert_eq!(rows, [10, 10]);
    assert_eq!(capture.read().unwrap().damage, []);
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let directory = tempfile::tempdir().unwrap();
    let first = writer(directory.path());
    let second = CaptureWriter::create(directory.path(), options());
    assert!(matches!(second, Err(CaptureError::Locked { .. })));
    drop(first);
    writer(directory.path());
}

#[test]
fn what_is_no_capture_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let error = Capture::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("is not a capture"), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(writer(directory.path()));
    let path = directory.path().join("manifest.json");
    let newer = fs::read_to_string(&path).unwrap().replace("\"format_version\": 1", "\"format_version\": 2");
    fs::write(&path, newer).unwrap();
    assert!(matches!(Capture::open(directory.path()), Err(CaptureError::TooNew { found: 2, .. })));
}

fn texts(count: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z_]{0,12}", 0..count)
}

prop_compose! {
    fn attempt()(
        peer in "[0-9.:]{0,21}", connect_us: Option<u64>, head_us: Option<u64>, reused: bool, status: u16,
    ) -> Attempt {
        Attempt { peer, connect_us, head_us, reused, status }
    }
}

prop_compose! {
    fn judged_by_limits()(
        end in prop::option::of("[-A-Za-z]{2}"),
        refused_by in prop::option::of("[a-z_]{1,12}"),
        would_refuse in texts(4),
        attempts in prop::collection::vec(attempt(), 0..4),
        accept_queue_ms: Option<u32>,
    ) -> Exchange {
        Exchange { end, refused_by, would_refuse, attempts, accept_queue_ms, ..Exchange::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_the_limits_said_survives_the_round_trip(
        exchanges in prop::collection::vec(judged_by_limits(), 1..20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        crash_after(directory.path(), &exchanges, 7);
        prop_assert_eq!(read(directory.path()).exchanges, exchanges);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Cut anywhere, flipped anywhere, with or without its index: whole batches before the damage are
    /// read, no row is invented, nothing panics.
    #[test]
    fn any_cut_or_flip_reads_up_to_the_damage(cut in 0.0..1.0_f64, flip in 0.0..1.0_f64, with_index: bool) {
        let directory = tempfile::tempdir().unwrap();
        let exchanges = uploads(20);
        crash_after(directory.path(), &exchanges, 5);
        let path = segment(directory.path());
        let mut bytes = fs::read(&path).unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a small length
        let at = |share: f64, length: usize| (share * length as f64) as usize;
        bytes.truncate(at(cut, bytes.len()));
        if !bytes.is_empty() {
            let flipped = at(flip, bytes.len());
            bytes[flipped] ^= 0x10;
        }
        fs::write(&path, bytes).unwrap();
        if !with_index {
            fs::remove_file(directory.path().join("exchanges-000001.idx")).unwrap();
        }

        let reading = read(directory.path());
        prop_assert!(!reading.damage.is_empty());
        if with_index {
            prop_assert!(reading.exchanges.iter().all(|exchange| exchanges.contains(exchange)));
        }
        prop_assert!(reading.exchanges.len() <= exchanges.len());
    }
}
