//! The file of samples read again, for what compares runs.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use csv::StringRecord;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use crate::measure::sample::Traffic;
use crate::measure::{ClientStage, ErrorClass, Failure, Outcome, Sample, Upload};

/// What `row.rs` writes.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    route: &'a str,
    clone: usize,
    step: usize,
    intended_ns: u64,
    ready_ns: u64,
    dependency_ns: u64,
    connect_ns: Option<u64>,
    sent_ns: Option<u64>,
    resent_ns: Option<u64>,
    body_done_ns: Option<u64>,
    first_byte_ns: Option<u64>,
    ended_ns: u64,
    status: Option<u16>,
    failed: bool,
    error: Option<ErrorClass>,
    error_stage: Option<ClientStage>,
    body_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    held_bytes: Option<u64>,
}

/// Gives each sample, with the label of its route, to `visit`. The samples' own numbers of routes are all 0, and how many
/// files a body had stands in no column.
pub fn each(path: &Path, mut visit: impl FnMut(&str, Sample)) -> csv::Result<()> {
    let file = BufReader::new(File::open(path)?);
    let mut lines = csv::Reader::from_reader(MultiGzDecoder::new(file));
    let columns = lines.headers()?.clone();
    let mut record = StringRecord::new();
    while lines.read_record(&mut record)? {
        let line: Line<'_> = record.deserialize(Some(&columns))?;
        visit(line.route, line.sample());
    }
    Ok(())
}

impl Line<'_> {
    fn sample(&self) -> Sample {
        Sample {
            route: 0,
            clone: self.clone,
            step: self.step,
            intended_ns: self.intended_ns,
            ready_ns: self.ready_ns,
            dependency_ns: self.dependency_ns,
            connect_ns: self.connect_ns,
            sent_ns: self.sent_ns,
            resent_ns: self.resent_ns,
            body_done_ns: self.body_done_ns,
            first_byte_ns: self.first_byte_ns,
            ended_ns: self.ended_ns,
            upload: Upload { body_bytes: self.body_bytes, ..Upload::default() },
            traffic: Traffic { sent_bytes: self.sent_bytes, received_bytes: self.received_bytes },
            held_bytes: self.held_bytes,
            outcome: self.outcome(),
        }
    }

    /// An answer has a status, a failure a class.
    fn outcome(&self) -> Outcome {
        match self.error {
            Some(class) => Outcome::Failed(Failure { class, stage: self.error_stage }),
            None => Outcome::Answered { status: self.status.unwrap_or_default(), worse: self.failed },
        }
    }
}
