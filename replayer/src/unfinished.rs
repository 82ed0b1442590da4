//! What is being made and is not whole yet: it is taken away when the program is told to end.
//!
//! Who makes it may be waiting for input, so the end comes from another thread. Invariant: whoever makes, renames or
//! removes by a path that is named here has the [`Turn`] meanwhile. Who ends the program keeps it, so that nothing
//! is made anew behind its back and no two renames are torn apart.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tries to remove a directory in which somebody makes a file meanwhile.
const TRIES: usize = 100;

static PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The right to change files by their paths.
#[derive(Debug)]
pub struct Turn(MutexGuard<'static, BTreeSet<PathBuf>>);

/// Waits for it.
pub fn turn() -> Turn {
    Turn(PATHS.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Turn {
    /// This is not whole from now on.
    pub(crate) fn begin(&mut self, path: &Path) {
        self.0.insert(path.to_owned());
    }

    /// It is whole, or gone.
    pub(crate) fn end(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Removes all that is not whole.
    pub(crate) fn take_away(&mut self) {
        for path in std::mem::take(&mut *self.0) {
            remove(&path);
        }
    }
}

/// A thread that packs a segment has no turn; it makes files, but no directory.
fn remove(path: &Path) {
    let gone = || {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
    };
    let _ = (0..TRIES).any(|_| gone());
}
