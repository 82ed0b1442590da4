//! Request buffering: an upload in memory up to a bound, then in a file without a name.
//!
//! A file without a name needs no cleaning up: it is gone with the process, however that ends. Its bytes on
//! disk are bounded over all uploads. The disk is written and read on a thread for blocking work: one that
//! stalls holds up this upload only.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::metrics::{Gauge, Metrics};

/// Bytes handed to the disk at once: what an upload that comes slowly holds in memory.
const WRITE_BYTES: usize = 32 << 10;
/// Bytes read back at once.
const READ_BYTES: usize = 256 << 10;

/// Where spooled uploads go, shared by all.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    bytes_max: u64,
    metrics: Arc<Metrics>,
}

/// An upload cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("all spooled uploads together would pass `spool_size`")]
    Full,
    #[error("the spool's disk: {0}")]
    Disk(#[from] io::Error),
}

/// Bytes on disk, given back when dropped.
#[derive(Debug)]
struct Held {
    spool: Arc<Spool>,
    bytes: u64,
}

/// One upload while it is received, then while it is sent.
#[derive(Debug)]
pub(crate) struct Upload {
    spool: Arc<Spool>,
    memory_max: usize,
    memory: BytesMut,
    file: Option<(Arc<File>, Held)>,
    bytes: u64,
}

/// Reads an upload from its beginning. Each reader has a position of its own: the read of an attempt that was
/// given up may still be running when the next attempt begins.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Option<Arc<File>>,
    memory: Bytes,
    at: u64,
    /// Where the file ends.
    end: u64,
}

impl Spool {
    /// What is on disk is counted in the gauge `spool_bytes`.
    pub(crate) fn new(directory: PathBuf, bytes_max: u64, metrics: Arc<Metrics>) -> Self {
        Self { directory, bytes_max, metrics }
    }

    fn bytes(&self) -> &Gauge {
        &self.metrics.gauges.spool_bytes
    }

    pub(crate) fn upload(self: &Arc<Self>, memory_max: usize) -> Upload {
        let (spool, memory) = (Arc::clone(self), BytesMut::new());
        Upload { spool, memory_max, memory, file: None, bytes: 0 }
    }

    fn reserve(self: &Arc<Self>, held: &mut Held, bytes: u64) -> Result<(), SpoolError> {
        self.bytes().add(bytes);
        held.bytes += bytes;
        if self.bytes().get() > self.bytes_max { Err(SpoolError::Full) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.spool.bytes().sub(self.bytes);
    }
}

impl Upload {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), SpoolError> {
        self.memory.extend_from_slice(piece);
        self.bytes += piece.len() as u64;
        let bound = if self.file.is_some() { WRITE_BYTES } else { self.memory_max };
        if self.memory.len() > bound { self.write_out().await } else { Ok(()) }
    }

    async fn write_out(&mut self) -> Result<(), SpoolError> {
        let block = self.memory.split().freeze();
        let (file, mut held) = match self.file.take() {
            Some((file, held)) => (Some(file), held),
            None => (None, Held { spool: Arc::clone(&self.spool), bytes: 0 }),
        };
        self.spool.reserve(&mut held, block.len() as u64)?;
        let spool = Arc::clone(&self.spool);
        let written = blocking(move || {
            let file = file.map_or_else(|| tempfile::tempfile_in(&spool.directory).map(Arc::new), Ok)?;
            (&*file).write_all(&block)?;
            Ok(file)
        });
        self.file = Some((written.await?, held));
        Ok(())
    }

    /// From the beginning; what is in the file first.
    pub(crate) fn reader(&self) -> Reader {
        let (file, end) = match &self.file {
            Some((file, held)) => (Some(Arc::clone(file)), held.bytes),
            None => (None, 0),
        };
        Reader { file, memory: Bytes::copy_from_slice(&self.memory), at: 0, end }
    }
}

impl Reader {
    /// The next piece; `None` after the last.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let (at, left) = (self.at, self.end - self.at);
        let count = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        if let Some(file) = self.file.clone().filter(|_| count > 0) {
            let read = move || {
                let mut block = vec![0; count];
                file.read_exact_at(&mut block, at).map(|()| block)
            };
            let block = blocking(read).await?;
            self.at += count as u64;
            return Ok(Some(block.into()));
        }
        let memory = std::mem::take(&mut self.memory);
        Ok(Some(memory).filter(|memory| !memory.is_empty()))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept(spool: &Arc<Spool>, memory_max: usize, bytes: usize) -> Result<Vec<u8>, SpoolError> {
        let mut upload = spool.upload(memory_max);
        for piece in vec![7; bytes].chunks(50_000) {
            upload.push(piece).await?;
        }
        let (mut reader, mut back) = (upload.reader(), Vec::new());
        while let Some(piece) = reader.next().await? {
            back.extend_from_slice(&piece);
        }
        Ok(back)
    }

    #[tokio::test]
    async fn an_upload_comes_back_as_it_was_from_memory_and_from_disk() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::new(directory.path().into(), 10 << 20, Arc::default()));
        for (memory_max, bytes) in [(100_000, 60_000), (16 << 10, 60_000), (16 << 10, 2_000_000), (16, 0)] {
            assert_eq!(kept(&spool, memory_max, bytes).await.unwrap(), vec![7; bytes]);
        }
        assert_eq!(spool.bytes().get(), 0, "given back");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "files without names");
    }

    #[tokio::test]
    async fn the_disk_of_all_uploads_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::new(directory.path().into(), 1 << 20, Arc::default()));
        let refused = kept(&spool, 16 << 10, 3 << 20).await;
        assert!(matches!(refused, Err(SpoolError::Full)));
        assert_eq!(spool.bytes().get(), 0, "given back");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_an_error_of_this_upload() {
        let spool = Arc::new(Spool::new("no-such-directory".into(), 1 << 20, Arc::default()));
        assert!(matches!(kept(&spool, 10, 100).await, Err(SpoolError::Disk(_))));
    }

    /// As when a peer resets while the upload is being sent to it.
    #[tokio::test]
    async fn two_readers_do_not_move_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::new(directory.path().into(), 10 << 20, Arc::default()));
        let mut upload = spool.upload(10);
        upload.push(&vec![1; 400_000]).await.unwrap();
        upload.push(&vec![2; 400_000]).await.unwrap();
        let (mut given_up, mut other, mut back) = (upload.reader(), upload.reader(), Vec::new());
        while let Some(piece) = other.next().await.unwrap() {
            given_up.next().await.unwrap();
            back.extend_from_slice(&piece);
        }
        assert!(back == [vec![1; 400_000], vec![2; 400_000]].concat());
    }

    #[tokio::test]
    async fn an_upload_can_be_read_twice() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::new(directory.path().into(), 10 << 20, Arc::default()));
        let mut upload = spool.upload(10);
        upload.push(&vec![1; 700_000]).await.unwrap();
        upload.push(&[2; 5]).await.unwrap();
        for _ in 0..2 {
            let (mut reader, mut bytes) = (upload.reader(), 0);
            while let Some(piece) = reader.next().await.unwrap() {
                bytes += piece.len();
            }
            assert_eq!(bytes, 700_005);
        }
    }
}
