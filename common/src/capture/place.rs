//! The directory of a capture as its writer holds it: locked, and looked after.
//!
//! A directory can be moved away or deleted under its writer, who would go on writing into files that nobody
//! finds. The lock file tells: while the path leads to the very file that is locked, it is still ours.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::CaptureError;

/// What a disk must take before it is trusted again: the largest batch, roughly.
const PROBE_BYTES: usize = 1 << 20;

/// A directory, locked.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    lock: File,
}

impl Place {
    /// Locks the directory, which is made when missing.
    pub(super) fn take(directory: &Path) -> Result<Self, CaptureError> {
        Self::take_by(directory, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits until nobody else holds it; who waited first gets it first.
    pub(super) fn await_turn(directory: &Path) -> Result<Self, CaptureError> {
        loop {
            let place = Self::take_by(directory, FlockOperation::LockExclusive)?;
            // It may have been moved away meanwhile.
            if place.is_ours() {
                return Ok(place);
            }
        }
    }

    fn take_by(directory: &Path, how: FlockOperation) -> Result<Self, CaptureError> {
        fs::create_dir_all(directory).map_err(CaptureError::io(directory))?;
        let path = lock_path(directory);
        let lock = File::create(&path).map_err(CaptureError::io(&path))?;
        match flock(&lock, how) {
            Ok(()) => Ok(Self { directory: directory.into(), lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(CaptureError::Locked { path: directory.into() }),
            Err(errno) => Err(CaptureError::io(&path)(errno.into())),
        }
    }

    /// The path still leads to the directory that is locked.
    pub(super) fn is_ours(&self) -> bool {
        let same = || -> io::Result<bool> {
            let (found, held) = (fs::metadata(lock_path(&self.directory))?, self.lock.metadata()?);
            Ok((found.dev(), found.ino()) == (held.dev(), held.ino()))
        };
        same().unwrap_or(false)
    }

    /// Whether the disk takes as much as a batch needs. A file system that is nearly full takes small files
    /// and no batch.
    pub(super) fn probe(&self) -> Result<(), CaptureError> {
        let path = self.directory.join("probe.tmp");
        let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0x5A; PROBE_BYTES]));
        let removed = fs::remove_file(&path);
        written.and(removed).map_err(CaptureError::io(path))
    }
}

fn lock_path(directory: &Path) -> PathBuf {
    directory.join("lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_moved_or_removed_is_no_longer_ours() {
        let scene = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (scene.path().join("capture"), scene.path().join("old"));
        let place = Place::take(&path).unwrap();
        assert!(place.is_ours());
        place.probe().unwrap();
        fs::rename(&path, &elsewhere).unwrap();
        assert!(!place.is_ours());
        let again = Place::take(&path).unwrap();
        assert!(again.is_ours() && !place.is_ours());
        fs::remove_dir_all(&path).unwrap();
        assert!(!again.is_ours());
        assert!(again.probe().is_err());
    }
}
