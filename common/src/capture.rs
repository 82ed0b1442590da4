//! The capture on disk, version 1: a directory that survives crashes and that other tools can read.
//!
//! ```text
//! manifest.json               version, times, privacy, ledger, sealed segments
//! exchanges-000001.arrows     Arrow IPC stream: schema, then one self-contained batch per flush
//! exchanges-000001.idx        40 bytes per batch: where it stands, its rows, times and CRC-32C
//! lock                        held by the writer
//! ```
//!
//! Why not a stock Arrow writer alone: Arrow has no checksum, and a dictionary sent once makes every
//! later batch depend on it. Here each batch carries its own dictionaries, so that any batch can be read
//! alone, skipped when damaged, and found by the index. Invariants:
//!
//! - A segment is never reopened for writing: each start of the proxy begins a new one. A sealed one of many small
//!   batches is written again in large ones and takes its own place at once.
//! - The index entry of a batch, with its checksum, is written before the batch: a tear is an entry whose
//!   bytes are short or wrong.
//! - A lost or short index is rebuilt by scanning the segment; a lost manifest costs the ledger only.
//! - Segments are taken away oldest first (retention), and the manifest says so before they go.
//! - A damaged or torn part never fails a read: it becomes a [`Damage`] and the rest is read.

mod attempts;
mod batch;
mod columns;
mod damage;
mod decode;
mod encode;
mod fan;
mod frame;
mod index;
mod layout;
mod load;
mod manifest;
mod pack;
mod place;
mod reader;
mod retention;
mod segment;
mod shelf;
mod writer;

pub use batch::{Batch, Projection};
pub use columns::KIND_GAP;
pub use damage::Damage;
pub use decode::body;
pub use encode::batch as to_batch;
pub use manifest::{Edit, Manifest, Removed, SegmentEntry, Start};
pub use reader::{Capture, Reading};
pub use retention::Retention;
pub use segment::SyncPolicy;
pub use writer::{CaptureWriter, Dropped, Rotation, Upkeep, WriterOptions};

use std::path::PathBuf;

/// Version of the format; a reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;

/// Why a capture cannot be opened or written at all. Damage inside one is no error, see [`Damage`].
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error("{path} is not a capture: it holds neither manifest.json nor exchanges-*.arrows")]
    NotACapture { path: PathBuf },
    #[error(
        "{path} is a capture of format version {found}; this program reads up to {FORMAT_VERSION}. Use a newer kingtide"
    )]
    TooNew { path: PathBuf, found: u32 },
    #[error("{path} is being written by another process; stop it or choose another capture directory")]
    Locked { path: PathBuf },
    #[error(
        "{path} holds another capture now, which this one may not touch; move it away, or choose another capture directory"
    )]
    Replaced { path: PathBuf },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} cannot be read as a manifest: {source}. Move it away to read the segments without it")]
    BadManifest { path: PathBuf, source: serde_json::Error },
    #[error("a batch cannot be encoded: {0}")]
    Encode(#[from] arrow_schema::ArrowError),
}

impl CaptureError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
