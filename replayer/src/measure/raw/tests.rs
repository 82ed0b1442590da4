//! The file of samples as its readers find it.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

use super::super::recorder::tests::{answered, failed};
use super::*;
use crate::measure::ErrorClass;

const PLENTY: u64 = 1 << 30;

fn labels() -> Vec<String> {
    vec!["POST /upload, whole".to_owned()]
}

fn lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A file with so many samples, each given to the writer before the next is made.
fn written(samples: usize, bytes_max: u64) -> (tempfile::TempDir, PathBuf, SampleCounts) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samples.csv.gz");
    let mut file = SampleFile::create(&path, bytes_max, labels()).unwrap();
    (0..samples).for_each(|step| file.add(&Sample { step, ..answered(200, false) }));
    let counts = file.finish();
    (directory, path, counts)
}

#[test]
fn a_line_has_the_instants_the_outcome_and_the_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samples.csv.gz");
    let writer = SampleWriter::create(&path, PLENTY, labels()).unwrap();
    let mut batch = writer.sink().batch();
    batch.add(answered(503, true));
    batch.add(Sample { sent_ns: None, ..failed(ErrorClass::NotSent) });
    drop(batch);
    let counts = writer.finish();
    assert_eq!((counts.written, counts.caution()), (2, None));
    insta::assert_snapshot!(lines(&path).join("\n"), @r#"
    route,clone,step,intended_ns,ready_ns,dependency_ns,connect_ns,sent_ns,resent_ns,body_done_ns,first_byte_ns,ended_ns,status,failed,error,error_stage,body_bytes,sent_bytes,received_bytes,held_bytes
    "POST /upload, whole",7,2,10000000,12000000,2000000,,13000000,,20000000,50000000,60000000,503,true,,,1000,1300,250,
    "POST /upload, whole",7,2,10000000,12000000,2000000,,,,,50000000,60000000,,true,not_sent,wait,1000,1300,250,
    "#);
}

#[test]
fn what_is_read_is_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("samples.csv.gz");
    let mut file = SampleFile::create(&path, PLENTY, labels()).unwrap();
    // How many files a body had is in no column.
    let plain = |sample: Sample| Sample {
        upload: crate::measure::Upload { files: 0, file_bytes: 0, ..sample.upload },
        ..sample
    };
    let samples = [
        Sample { connect_ns: Some(7), held_bytes: Some(3), ..answered(200, false) },
        Sample { resent_ns: Some(14_000_000), ..answered(503, true) },
        Sample { sent_ns: None, ..failed(ErrorClass::NotSent) },
    ]
    .map(plain);
    for sample in &samples {
        file.add(sample);
    }
    assert_eq!(file.finish().written, 3);
    let mut found = Vec::new();
    read::each(&path, |label, sample| found.push((label.to_owned(), sample))).unwrap();
    assert_eq!(found, samples.map(|sample| ("POST /upload, whole".to_owned(), sample)));
}

#[test]
fn the_file_stops_at_its_bound_and_counts_the_rest() {
    let (_directory, path, whole) = written(5_000, PLENTY);
    assert_eq!((whole.written, lines(&path).len()), (5_000, 5_001));
    let bytes_max = fs::metadata(&path).unwrap().len() / 2;
    let (_directory, path, bounded) = written(5_000, bytes_max);
    assert!(fs::metadata(&path).unwrap().len() <= bytes_max);
    assert!(bounded.written > 0 && bounded.dropped_bound > 0, "{bounded:?}");
    assert_eq!(bounded.written + bounded.dropped_bound, 5_000);
    assert_eq!(lines(&path).len() as u64, bounded.written + 1);
    assert!(bounded.caution().unwrap().contains("--samples-max"));
}

#[test]
fn a_disk_that_refuses_ends_no_run() {
    let mut file = SampleFile::create(Path::new("/dev/full"), PLENTY, labels()).unwrap();
    (0..3_000).for_each(|_| file.add(&answered(200, false)));
    let counts = file.finish();
    assert_eq!((counts.written, counts.dropped_disk), (0, 3_000));
    let caution = counts.caution().unwrap();
    assert!(caution.contains("No space left"), "{caution}");
}

#[test]
fn a_writer_that_is_behind_holds_up_nobody() {
    let (sender, receiver) = sync_channel(1);
    let sink = SampleSink { sender, dropped: Arc::default() };
    let mut batch = sink.batch();
    (0..3 * BATCH_SAMPLES).for_each(|_| batch.add(answered(200, false)));
    drop(batch);
    assert_eq!(sink.dropped.load(Relaxed), 2 * BATCH_SAMPLES as u64);
    assert!(matches!(receiver.recv(), Ok(Message::Batch(kept)) if kept.len() == BATCH_SAMPLES));
}
