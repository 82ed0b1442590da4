//! A capture whose segment and index are foreign bytes: it reads up to the damage and says so, never panics.
//!
//! Input: segment, index, and in the last two bytes the index's length (little-endian).

#![no_main]

use std::fs;
use std::path::Path;

use kingtide_common::capture::Capture;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("a directory for the capture");
}

// The reader catches what Arrow panics about; libFuzzer's own hook would end the run before. A panic that nobody
// catches still ends it.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    let Some((rest, length)) = bytes.split_last_chunk::<2>() else { return };
    let at = rest.len().saturating_sub(usize::from(u16::from_le_bytes(*length)));
    let (segment, index) = rest.split_at(at);
    DIRECTORY.with(|directory| read(directory.path(), segment, index));
});

fn read(directory: &Path, segment: &[u8], index: &[u8]) {
    fs::write(directory.join("exchanges-000001.arrows"), segment).expect("write the segment");
    fs::write(directory.join("exchanges-000001.idx"), index).expect("write the index");
    let capture = Capture::open(directory).expect("a directory with a segment is a capture");
    let reading = capture.read().expect("damage is no error");
    // Without a manifest something is always amiss.
    assert!(!reading.damage.is_empty());
}
