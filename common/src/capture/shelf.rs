//! The segments that a directory holds when a writer begins: what the retention counts, and where the
//! numbers go on.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::Manifest;
use super::index;
use super::pack;
use super::retention::Kept;
use super::segment::{file_name, file_number, index_path, remove};

/// Segments of former starts, oldest first; those that were not sealed too. What was to be removed and is
/// still there, because a crash came in between, goes now; so does a segment that was being packed.
pub(super) fn kept_in(directory: &Path, manifest: &Manifest) -> Vec<Kept> {
    pack::remove_unfinished(directory);
    let mut kept = Vec::new();
    for number in numbers(directory) {
        if number <= manifest.removed.last_number {
            remove(&directory.join(file_name(number)));
        } else {
            kept.push(kept_of(directory, number, manifest));
        }
    }
    kept
}

/// Behind every number that was ever given: the order of numbers is the order of time.
pub(super) fn first_free_number(directory: &Path, manifest: &Manifest) -> u32 {
    let named = manifest.segments.iter().filter_map(|segment| file_number(&segment.name));
    let given = numbers(directory).into_iter().chain(named).chain([manifest.removed.last_number]);
    given.max().unwrap_or(0).saturating_add(1)
}

fn numbers(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| file_number(&name)).collect();
    numbers.sort_unstable();
    numbers
}

fn kept_of(directory: &Path, number: u32, manifest: &Manifest) -> Kept {
    let name = file_name(number);
    let path = directory.join(&name);
    let index = fs::read(index_path(&path)).unwrap_or_default();
    let bytes = fs::metadata(&path).map_or(0, |file| file.len()) + index.len() as u64;
    let sealed = manifest.segments.iter().find(|segment| segment.name == name);
    let (rows, last_ns) = match sealed {
        Some(segment) => (segment.rows, segment.last_ns),
        None => told_by(&index).unwrap_or_else(|| (0, modified_ns(&path))),
    };
    Kept { number, bytes, rows, last_ns }
}

/// Rows and last start by the index of a segment that was not sealed.
fn told_by(index: &[u8]) -> Option<(u64, i64)> {
    let entries = index::all(index);
    let last_ns = entries.iter().map(|entry| entry.last_ns).max()?;
    Some((entries.iter().map(|entry| u64::from(entry.rows)).sum(), last_ns))
}

fn modified_ns(path: &Path) -> i64 {
    let modified = fs::metadata(path).and_then(|file| file.modified()).ok();
    let since_epoch = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
