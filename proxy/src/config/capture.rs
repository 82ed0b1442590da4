//! `[capture]`: what is recorded, with which bounds, and what is kept.

use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use kingtide_common::redact::Privacy;
use kingtide_common::units::{ByteSize, Span};
use serde::{Deserialize, Serialize};

use super::{Share, SyncWhen};

#[derive(Debug, Clone, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Capture {
    #[garde(skip)]
    pub(crate) enabled: bool,
    #[garde(skip)]
    pub(crate) directory: PathBuf,
    #[garde(skip)]
    pub(crate) privacy: Privacy,
    /// The built-in rules when missing.
    #[garde(skip)]
    pub(crate) redaction: Option<PathBuf>,
    #[garde(skip)]
    pub(crate) exclude: Vec<String>,
    /// The share of users that is recorded.
    #[garde(skip)]
    pub(crate) sample: Share,
    /// 0 = no bound.
    #[garde(skip)]
    pub(crate) exchanges_per_s_max: u32,
    #[garde(range(min = 1, max = 1 << 20))]
    pub(crate) queue_slots: usize,
    #[garde(skip)]
    pub(crate) memory: ByteSize,
    #[garde(custom(at_most_16m))]
    pub(crate) body_limit: ByteSize,
    #[garde(skip)]
    pub(crate) file_hash: FileHash,
    #[garde(skip)]
    pub(crate) segment_size: ByteSize,
    #[garde(skip)]
    pub(crate) segment_age: Span,
    /// 0 = all.
    #[garde(skip)]
    pub(crate) retain_size: ByteSize,
    /// 0 = for ever.
    #[garde(skip)]
    pub(crate) retain_age: Span,
    #[garde(skip)]
    pub(crate) sync: SyncWhen,
}

/// How much of an uploaded file goes into its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileHash {
    /// Its size and first 4 KiB: enough to tell recordings apart.
    #[default]
    Head,
    /// All of it, at about 0.4 ms of CPU per MB.
    Full,
}

impl FileHash {
    pub(crate) fn bytes_max(self) -> u64 {
        match self {
            Self::Head => 4 << 10,
            Self::Full => u64::MAX,
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: "capture".into(),
            privacy: Privacy::Default,
            redaction: None,
            exclude: Vec::new(),
            sample: Share::ALL,
            exchanges_per_s_max: 0,
            queue_slots: 16_384,
            memory: ByteSize(64 << 20),
            body_limit: ByteSize(64 << 10),
            file_hash: FileHash::Head,
            segment_size: ByteSize(256 << 20),
            segment_age: Span(Duration::from_mins(5)),
            retain_size: ByteSize(0),
            retain_age: Span(Duration::ZERO),
            sync: SyncWhen::Seal,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
fn at_most_16m(size: &ByteSize, _: &()) -> garde::Result {
    let fits = (1..=16 << 20).contains(&size.0);
    if fits { Ok(()) } else { Err(garde::Error::new("must be between 1 byte and 16m")) }
}
