//! The bytes of all files of a capture, as `strings` shows them: what a manifest says, what somebody put beside it, and
//! what stands uncompressed in a segment.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use kingtide_common::capture::CaptureError;

use super::places::{Kind, Place};

/// Runs of printable characters shorter than this are chance in compressed data.
const RUN_BYTES_MIN: usize = 20;
/// A longer run is looked at in pieces, which overlap by a part.
const RUN_BYTES_MAX: usize = 64 << 10;
const OVERLAP_BYTES: usize = 4 << 10;
/// Directories within directories.
const DEPTH_MAX: usize = 8;

pub(super) fn each(directory: &Path, visit: &mut dyn FnMut(&Place, &str)) -> Result<(), CaptureError> {
    within(directory, "", DEPTH_MAX, visit)
        .map_err(|source| CaptureError::Io { path: directory.into(), source })
}

fn within(
    directory: &Path,
    prefix: &str,
    depth: usize,
    visit: &mut dyn FnMut(&Place, &str),
) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        let place = Place { side: None, kind: Kind::File, name: name.clone() };
        visit(&place, &name);
        if kind.is_dir() && depth > 0 {
            within(&entry.path(), &format!("{name}/"), depth - 1, visit)?;
        } else if kind.is_file() {
            runs(&mut File::open(entry.path())?, &mut |text| visit(&place, text))?;
        }
    }
    Ok(())
}

/// Runs of printable characters; line ends belong to them.
fn runs(file: &mut impl Read, visit: &mut dyn FnMut(&str)) -> io::Result<()> {
    let (mut piece, mut run) = (vec![0; 64 << 10], Vec::with_capacity(RUN_BYTES_MAX));
    loop {
        let length = file.read(&mut piece)?;
        for &byte in &piece[..length] {
            if byte.is_ascii_graphic()
                || byte >= 0x80 && run.len() > RUN_BYTES_MIN
                || byte.is_ascii_whitespace()
            {
                run.push(byte);
            } else {
                end(&mut run, 0, visit);
            }
            if run.len() >= RUN_BYTES_MAX {
                end(&mut run, OVERLAP_BYTES, visit);
            }
        }
        if length == 0 {
            end(&mut run, 0, visit);
            return Ok(());
        }
    }
}

/// Shows a run and keeps its last bytes for the next.
fn end(run: &mut Vec<u8>, kept_bytes: usize, visit: &mut dyn FnMut(&str)) {
    if run.len() >= RUN_BYTES_MIN {
        visit(&String::from_utf8_lossy(run));
    }
    run.drain(..run.len().saturating_sub(kept_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        runs(&mut &bytes[..], &mut |text| found.push(text.to_owned())).unwrap();
        found
    }

    #[test]
    fn runs_are_found_between_other_bytes() {
        assert_eq!(found(b"\x01a text of some length\x02short\x03"), ["a text of some length"]);
    }

    #[test]
    fn a_secret_across_two_pieces_is_in_one_of_them() {
        let mut text = "x".repeat(RUN_BYTES_MAX - 5);
        text.push_str(" anna@school.example ");
        text.push_str(&"y".repeat(100));
        assert!(found(text.as_bytes()).iter().any(|run| run.contains("anna@school.example")));
    }
}
