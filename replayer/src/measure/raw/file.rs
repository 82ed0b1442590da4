//! The file of samples: CSV in gzip members, each appended whole or not at all.
//!
//! So its bound is exact, and whatever becomes of the run or the disk, it reads to its last whole member.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use csv::{IntoInnerError, WriterBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::SampleCounts;
use super::row::Row;
use crate::measure::Sample;

/// Samples that are compressed together: about 150 KB of text.
const MEMBER_SAMPLES: u64 = 1_024;

/// See the module.
#[derive(Debug)]
pub(super) struct SampleFile {
    file: File,
    bytes: u64,
    bytes_max: u64,
    labels: Vec<String>,
    /// The member that is being filled.
    lines: csv::Writer<Vec<u8>>,
    samples: u64,
    is_full: bool,
    counts: SampleCounts,
}

impl SampleFile {
    pub(super) fn create(path: &Path, bytes_max: u64, labels: Vec<String>) -> io::Result<Self> {
        let counts = SampleCounts { file: path.display().to_string(), ..SampleCounts::default() };
        // The first member begins with the line of column names.
        let lines = WriterBuilder::new().from_writer(Vec::new());
        let file = File::create(path)?;
        Ok(Self { file, bytes: 0, bytes_max, labels, lines, samples: 0, is_full: false, counts })
    }

    pub(super) fn add(&mut self, sample: &Sample) {
        let row = Row::of(sample, &self.labels[sample.route]);
        self.lines.serialize(row).expect("memory takes a row of plain columns");
        self.samples += 1;
        if self.samples >= MEMBER_SAMPLES {
            self.end_member();
        }
    }

    pub(super) fn finish(mut self) -> SampleCounts {
        self.end_member();
        self.counts
    }

    fn end_member(&mut self) {
        let next = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        let lines = std::mem::replace(&mut self.lines, next);
        let samples = std::mem::take(&mut self.samples);
        match lines.into_inner().map_err(IntoInnerError::into_error).and_then(|text| self.append(&text)) {
            Ok(true) => self.counts.written += samples,
            Ok(false) => self.counts.dropped_bound += samples,
            Err(error) => {
                self.counts.disk_error.get_or_insert_with(|| error.to_string());
                self.counts.dropped_disk += samples;
            }
        }
    }

    /// False when there is no room for it, and then for nothing that follows.
    fn append(&mut self, text: &[u8]) -> io::Result<bool> {
        if self.is_full {
            return Ok(false);
        }
        let member = compressed(text)?;
        self.is_full = self.bytes + member.len() as u64 > self.bytes_max;
        if self.is_full {
            return Ok(false);
        }
        self.file.write_all(&member).inspect_err(|_| self.cut_torn_member())?;
        self.bytes += member.len() as u64;
        Ok(true)
    }

    fn cut_torn_member(&self) {
        // A disk that refuses this too leaves a torn end, and the report says how many samples came before it.
        let _ = self.file.set_len(self.bytes);
    }
}

fn compressed(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}
