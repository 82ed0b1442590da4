//! `manifest.json`: what a capture says of itself.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CaptureError;
use super::retention::Kept;
use super::segment::{file_number, sync_names};
use crate::ledger::Ledger;

const FILE_NAME: &str = "manifest.json";

/// What a capture says of itself. Unknown keys are ignored, so later versions may add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    /// Each start of a writer on this directory; connections and fingerprints do not carry over.
    pub starts: Vec<Start>,
    /// Sealed segments, in order.
    pub segments: Vec<SegmentEntry>,
    /// What is no longer there.
    #[serde(default, skip_serializing_if = "Removed::is_nothing")]
    pub removed: Removed,
}

/// Segments that were recorded and are gone: taken away by the retention, or with their directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub segments: u64,
    /// Gaps included.
    pub rows: u64,
    pub bytes: u64,
    /// Every segment up to this number is gone, or is to be: readers pass it over.
    pub last_number: u32,
    /// Nanoseconds UTC of the last start of an exchange in them.
    pub last_ns: i64,
}

impl Removed {
    pub fn is_nothing(&self) -> bool {
        self.segments == 0
    }

    pub(super) fn add(&mut self, segment: &Kept) {
        self.segments += 1;
        self.rows += segment.rows;
        self.bytes += segment.bytes;
        self.last_number = self.last_number.max(segment.number);
        self.last_ns = self.last_ns.max(segment.last_ns);
    }

    /// Whether the segment of this name is among them.
    pub(super) fn holds(&self, name: &str) -> bool {
        file_number(name).is_some_and(|number| number <= self.last_number)
    }
}

/// One run of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Name and version of the program that wrote.
    pub program: String,
    /// Nanoseconds UTC.
    pub started_ns: i64,
    /// When it was closed; `null` while writing and after a crash.
    pub closed_ns: Option<i64>,
    /// BLAKE3 of the configuration file, so that two captures can be told apart.
    pub config_digest: String,
    /// `default` or `strict`.
    pub privacy: String,
    /// As of the last flush.
    pub ledger: Ledger,
    /// What was done to it since it was recorded, in order; empty for a recording.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
}

/// A capture was made from another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Name and version of the program.
    pub program: String,
    /// Nanoseconds UTC.
    pub at_ns: i64,
    /// Name of the capture it was made from, and the BLAKE3 digest of its segments; empty where they must not
    /// be known.
    pub source: String,
    pub source_digest: String,
    /// What was left out or changed, as sentences.
    pub changes: Vec<String>,
    /// What of the source could not be read, as sentences.
    pub damage: Vec<String>,
}

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    pub name: String,
    /// Which start wrote it, from 1.
    pub start: u32,
    pub rows: u64,
    pub bytes: u64,
    /// Nanoseconds UTC of the first and last start of an exchange in it.
    pub first_ns: i64,
    pub last_ns: i64,
}

impl Manifest {
    pub(super) fn new() -> Self {
        Self {
            format_version: super::FORMAT_VERSION,
            starts: Vec::new(),
            segments: Vec::new(),
            removed: Removed::default(),
        }
    }

    /// `None` when there is no manifest.
    pub(super) fn load(directory: &Path) -> Result<Option<Self>, CaptureError> {
        let path = path(directory);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CaptureError::io(path)(error)),
        };
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|source| CaptureError::BadManifest { path, source })?;
        if manifest.format_version > super::FORMAT_VERSION {
            return Err(CaptureError::TooNew { path: directory.into(), found: manifest.format_version });
        }
        Ok(Some(manifest))
    }

    /// Replaces the file in one step; with `durable` the bytes are on the disk when this returns.
    pub(super) fn store(&self, directory: &Path, durable: bool) -> Result<(), CaptureError> {
        let temporary = directory.join("manifest.json.tmp");
        let text = serde_json::to_vec_pretty(self).expect("plain data always serialises");
        write(&temporary, &text, durable).map_err(CaptureError::io(&temporary))?;
        fs::rename(&temporary, path(directory)).map_err(CaptureError::io(path(directory)))?;
        if durable { sync_names(directory) } else { Ok(()) }
    }

    /// The sums over all starts.
    pub fn ledger(&self) -> Ledger {
        self.starts.iter().map(|start| start.ledger).fold(Ledger::default(), |sum, next| sum + next)
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE_NAME)
}

fn write(path: &Path, text: &[u8], durable: bool) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(text)?;
    if durable { file.sync_all() } else { Ok(()) }
}
