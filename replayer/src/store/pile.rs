//! Bytes that are written once, one stretch after the other, and read at any place: in memory while they are few, else
//! in a temporary file.
//!
//! The file has no name from the beginning, so that nothing is left behind however the program ends.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// As many bytes stay in memory, if nobody says otherwise.
const MEMORY_BYTES_MAX: u64 = 48 << 20;
/// What is handed on at a time, about.
const BLOCK_BYTES: usize = 1 << 20;
/// Where large files that may go at any time belong: `/tmp` is often memory.
const DIRECTORY: &str = "/var/tmp";

/// See the module.
#[derive(Debug)]
pub(super) struct Pile {
    /// What is written, in blocks by their first byte; empty once it is in the file.
    blocks: Vec<(u64, Box<[u8]>)>,
    /// The block that is being filled.
    tail: Vec<u8>,
    /// Bytes before the tail.
    settled: u64,
    file: Option<File>,
    memory_bytes_max: u64,
}

/// Where a stretch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    from: u64,
    bytes: u32,
}

impl Default for Pile {
    fn default() -> Self {
        Self::keeping(MEMORY_BYTES_MAX)
    }
}

impl Pile {
    /// With as many bytes in memory.
    pub(super) fn keeping(memory_bytes_max: u64) -> Self {
        Self { blocks: Vec::new(), tail: Vec::new(), settled: 0, file: None, memory_bytes_max }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let from = self.settled + self.tail.len() as u64;
        self.tail.extend_from_slice(bytes);
        if self.tail.len() >= BLOCK_BYTES {
            self.settle()?;
        }
        let bytes = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok(Extent { from, bytes })
    }

    /// Hands the last block on: from now on everything can be read.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let bytes = self.tail.len() as u64;
        match &self.file {
            Some(file) => {
                file.write_all_at(&self.tail, self.settled)?;
                self.tail.clear();
            }
            None => self.blocks.push((self.settled, std::mem::take(&mut self.tail).into_boxed_slice())),
        }
        self.settled += bytes;
        if self.file.is_none() && self.settled > self.memory_bytes_max { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = tempfile::tempfile_in(directory())?;
        for (from, block) in self.blocks.drain(..) {
            file.write_all_at(&block, from)?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// What was pushed and settled.
    pub(super) fn read(&self, extent: Extent) -> io::Result<Cow<'_, [u8]>> {
        let Extent { from, bytes } = extent;
        if let Some(file) = &self.file {
            let mut read = vec![0; bytes as usize];
            file.read_exact_at(&mut read, from)?;
            return Ok(read.into());
        }
        let place = self.blocks.partition_point(|(first, _)| *first <= from).checked_sub(1);
        let within = place.and_then(|place| {
            let (first, block) = &self.blocks[place];
            let from = usize::try_from(from - first).ok()?;
            block.get(from..from + bytes as usize)
        });
        within.map(Cow::from).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    #[cfg(test)]
    pub(super) fn is_in_file(&self) -> bool {
        self.file.is_some()
    }
}

/// Where the file is made: what `TMPDIR` says, else a place for large files.
pub(super) fn directory() -> PathBuf {
    let is_there = Path::new(DIRECTORY).is_dir() && std::env::var_os("TMPDIR").is_none();
    if is_there { DIRECTORY.into() } else { std::env::temp_dir() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_stay_in_memory_and_many_go_into_a_file() {
        let text = |number: usize| vec![u8::try_from(number % 251).unwrap(); number % 700];
        for (memory_bytes_max, is_in_file) in [(64 << 20, false), (0, true), (2 << 20, true)] {
            let mut pile = Pile::keeping(memory_bytes_max);
            let extents: Vec<Extent> = (0..10_000).map(|number| pile.push(&text(number)).unwrap()).collect();
            pile.settle().unwrap();
            assert_eq!(pile.is_in_file(), is_in_file, "{memory_bytes_max}");
            for (number, extent) in extents.into_iter().enumerate().rev() {
                assert_eq!(*pile.read(extent).unwrap(), text(number), "{number}");
            }
        }
    }

    #[test]
    fn what_is_not_there_cannot_be_read() {
        let mut pile = Pile::default();
        let unsettled = pile.push(b"abc").unwrap();
        assert!(pile.read(unsettled).is_err());
        pile.settle().unwrap();
        assert_eq!(*pile.read(unsettled).unwrap(), *b"abc");
        assert!(pile.read(Extent { from: 1, bytes: 3 }).is_err());
    }
}
