//! The thread that owns the log's file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::{LineCounts, WAITING_LINES_MAX};

/// A line is in the file after this time at the latest.
const INTERVAL: Duration = Duration::from_millis(200);
/// Bytes written at once.
const BLOCK_BYTES: usize = 64 << 10;
/// Lines say who did what; others on the machine need not read them.
const FILE_MODE: u32 = 0o640;

/// What the writer is asked for between two blocks.
#[derive(Debug, Default)]
pub(super) struct Signals {
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl Signals {
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    waiting: Receiver<Vec<u8>>,
    waiting_bytes: Arc<AtomicUsize>,
    counts: Arc<LineCounts>,
    block: Vec<u8>,
    /// The file ends amid a line.
    torn: bool,
    /// The disk refused last time: that is said once, not at each block.
    refused: bool,
}

impl Writer {
    pub(super) fn open(
        path: &Path,
        waiting: Receiver<Vec<u8>>,
        waiting_bytes: Arc<AtomicUsize>,
        counts: Arc<LineCounts>,
    ) -> io::Result<Self> {
        let (path, file) = (path.to_owned(), open(path)?);
        let block = Vec::with_capacity(BLOCK_BYTES);
        Ok(Self { path, file, waiting, waiting_bytes, counts, block, torn: false, refused: false })
    }

    /// Writes until it is told to stop.
    pub(super) fn run(&mut self, woken: &Receiver<()>, signals: &Signals) {
        loop {
            // Before the queue is read: what was logged before the stop is written.
            let last = signals.stop.load(Ordering::Acquire);
            self.write_waiting();
            if last {
                return;
            }
            if signals.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if woken.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Disconnected) {
                return self.write_waiting();
            }
        }
    }

    /// At most one queue's worth, so that signals are seen under load too.
    fn write_waiting(&mut self) {
        for _ in 0..WAITING_LINES_MAX {
            let Ok(line) = self.waiting.try_recv() else { break };
            self.waiting_bytes.fetch_sub(line.capacity(), Ordering::Relaxed);
            self.block.extend_from_slice(&line);
            if self.block.len() >= BLOCK_BYTES {
                self.write_block();
            }
        }
        self.write_block();
    }

    fn write_block(&mut self) {
        if self.block.is_empty() {
            return;
        }
        if self.torn && self.file.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        let (written_bytes, outcome) = write_all(&mut self.file, &self.block);
        let (written, rest) = self.block.split_at(written_bytes);
        self.counts.written.fetch_add(lines(written), Ordering::Relaxed);
        self.counts.lost.fetch_add(lines(rest), Ordering::Relaxed);
        self.torn = written.last().map_or(self.torn, |byte| *byte != b'\n');
        self.block.clear();
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: io::Result<()>) {
        let path = self.path.display();
        match outcome {
            Err(error) if !self.refused => {
                tracing::error!("access log {path}: {error}; lines are lost until it can be written again");
                self.refused = true;
            }
            Ok(()) if self.refused => {
                tracing::info!(lost = self.counts.lost(), "access log {path} can be written again");
                self.refused = false;
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// When the new file cannot be had, the old one goes on.
    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => (self.file, self.torn) = (file, false),
            Err(error) => tracing::error!("not opened anew: {error}"),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path);
    opened.map_err(|error| {
        io::Error::new(error.kind(), format!("access_log.path: {} cannot be opened: {error}", path.display()))
    })
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// As `Write::write_all`, and how far it came.
fn write_all(file: &mut impl io::Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some bytes.
    struct Small(usize);

    impl io::Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.0);
            self.0 -= fits;
            if fits == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_fills_up_tells_how_much_it_took() {
        let (written, outcome) = write_all(&mut Small(7), b"one\ntwo\nthree\n");
        assert_eq!((written, outcome.unwrap_err().kind()), (7, io::ErrorKind::StorageFull));
        assert_eq!(lines(&b"one\ntwo\nthree\n"[7..]), 2, "a line that is cut is lost");
    }
}
