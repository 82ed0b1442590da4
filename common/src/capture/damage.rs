//! What of a capture could not be read, as data and as sentences for people.

use std::fmt;

use serde::{Serialize, Serializer};

use super::FORMAT_VERSION;

/// A part of a capture that could not be read, or whose end is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    NoManifest,
    MissingSegment {
        segment: String,
    },
    /// A writer began, left no open segment, and did not close: what it had not flushed is lost.
    StartNotClosed {
        started_ns: i64,
    },
    /// The file begins with no schema of ours.
    NotASegment {
        segment: String,
    },
    /// The writer did not close the segment: killed, crashed, or still writing.
    NotClosed {
        segment: String,
        rows: u64,
        last_done_ns: Option<i64>,
    },
    /// The schema is not what was written; the batches were read with this program's own.
    BadSchema {
        segment: String,
    },
    /// Written by a newer program; nothing of it was read.
    TooNew {
        segment: String,
        found: u32,
    },
    /// A batch was begun and is not whole.
    TornTail {
        segment: String,
        offset: u64,
        bytes: u64,
    },
    /// The bytes of a batch are not those that were written.
    BadChecksum {
        segment: String,
        offset: u64,
        rows: u32,
    },
    /// The bytes are as written (or have no checksum) and still make no batch.
    Unreadable {
        segment: String,
        offset: u64,
        reason: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManifest => {
                f.write_str("manifest.json is missing: the ledger is lost, the exchanges are not")
            }
            Self::MissingSegment { segment } => write!(f, "{segment}: named in the manifest and not there"),
            Self::StartNotClosed { started_ns } => {
                let at = utc(*started_ns);
                write!(
                    f,
                    "torn tail: the writer that started at {at} did not close the capture (killed, crashed or still writing) and left no exchange that was not sealed"
                )
            }
            Self::NotASegment { segment } => {
                write!(f, "{segment}: does not begin like a segment; nothing of it was read")
            }
            Self::BadSchema { segment } => {
                write!(
                    f,
                    "{segment}: its schema is damaged; the batches were read with the schema of this version"
                )
            }
            Self::TooNew { segment, found } => {
                write!(
                    f,
                    "{segment}: format version {found}, this program reads up to {FORMAT_VERSION}; use a newer kingtide"
                )
            }
            Self::NotClosed { segment, rows, last_done_ns } => {
                write!(
                    f,
                    "{segment}: torn tail: the writer did not close it (killed, crashed or still writing); {rows} exchanges read"
                )?;
                last_done_ns.map_or(Ok(()), |ns| write!(f, ", the last one done at {}", utc(ns)))
            }
            Self::TornTail { segment, offset, bytes } => {
                write!(
                    f,
                    "{segment}: torn tail: {bytes} bytes from offset {offset} are no whole batch and were left out"
                )
            }
            Self::BadChecksum { segment, offset, rows } => {
                write!(
                    f,
                    "{segment}: {rows} rows at offset {offset} are damaged (checksum) and were left out"
                )
            }
            Self::Unreadable { segment, offset, reason } => {
                write!(f, "{segment}: a batch at offset {offset} cannot be read ({reason}) and was left out")
            }
        }
    }
}

fn utc(ns: i64) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let instant = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).ok();
    instant.and_then(|instant| instant.format(&format).ok()).unwrap_or_else(|| format!("{ns} ns"))
}

/// As its sentence: reports show it to people.
impl Serialize for Damage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
