//! How much of the uploads was still on its way when their last byte was handed to the socket.
//!
//! The stage `send` ends with that handing over; what the target's kernel had not acknowledged by then is time
//! of `wait` that belongs to `send`. The drive keeps it small (`drive::connection`), asks the kernel what is
//! left (`drive::diag`), and here it is counted.

use serde::{Deserialize, Serialize};

use super::gates::share;
use super::sample::Sample;

/// Requests up to this size are not asked about: their bytes leave at once, in the ten segments of the first
/// congestion window (RFC 6928).
pub(crate) const FIRST_WINDOW_BYTES: u64 = 14_600;
/// More than this share of an upload is worth counting.
const NOTABLE_SHARE: f64 = 0.1;
/// More than this share of the uploads is worth a caution.
const CAUTION_SHARE: f64 = 0.1;

/// Of all uploads that the kernel was asked about, but for those of `unknown`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCounts {
    pub uploads: u64,
    /// Those of which more than a tenth was not acknowledged.
    pub over_tenth: u64,
    /// Not acknowledged, all in all and at most of one.
    pub bytes: u64,
    pub bytes_max: u64,
    /// Uploads that went out and of which nobody can tell: on HTTP/2 the kernel holds what is of all streams together.
    #[serde(default)]
    pub unknown: u64,
}

impl HeldCounts {
    pub(super) fn add(&mut self, sample: &Sample) {
        let Some(held_bytes) = sample.held_bytes else {
            let is_large = sample.upload.body_bytes > FIRST_WINDOW_BYTES;
            self.unknown += u64::from(is_large && sample.body_done_ns.is_some());
            return;
        };
        self.uploads += 1;
        self.over_tenth += u64::from(share(held_bytes, sample.upload.body_bytes) > NOTABLE_SHARE);
        self.bytes += held_bytes;
        self.bytes_max = self.bytes_max.max(held_bytes);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.uploads += other.uploads;
        self.over_tenth += other.over_tenth;
        self.bytes += other.bytes;
        self.bytes_max = self.bytes_max.max(other.bytes_max);
        self.unknown += other.unknown;
    }

    /// What a reader of the stages must know, as a sentence.
    pub(super) fn caution(self) -> Option<String> {
        let share = share(self.over_tenth, self.uploads);
        (share > CAUTION_SHARE).then(|| {
            format!(
                "of {:.0} % of the uploads more than a tenth was still on its way when the last byte was handed \
                 to the kernel: their `send` is too short, and their `wait` too long, by what that took",
                share * 100.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::tests::answered;
    use super::*;
    use crate::measure::Upload;

    fn upload(held_bytes: Option<u64>) -> Sample {
        let upload = Upload { body_bytes: 100_000, ..Upload::default() };
        Sample { upload, held_bytes, ..answered(200, false) }
    }

    #[test]
    fn only_uploads_of_which_much_is_held_are_worth_a_caution() {
        let mut counts = HeldCounts::default();
        for held_bytes in [None, Some(0), Some(10_000)] {
            counts.add(&upload(held_bytes));
        }
        assert_eq!(counts, HeldCounts { uploads: 2, bytes: 10_000, bytes_max: 10_000, unknown: 1, ..counts });
        assert_eq!(counts.caution(), None);
        counts.add(&upload(Some(10_001)));
        let caution = counts.caution().unwrap();
        assert!(caution.contains("33 % of the uploads"), "{caution}");
    }
}
