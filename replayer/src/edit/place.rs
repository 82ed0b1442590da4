//! Where a result is made: beside its place, which it takes when it is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::EditError;

/// A directory under way. Dropped before [`Place::commit`] it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Place {
    beside: PathBuf,
    out: PathBuf,
}

/// What a writer leaves behind for its lock alone.
const LOCK: &str = "lock";

impl Place {
    /// Refuses a place that is taken.
    pub(super) fn take(out: &Path) -> Result<Self, EditError> {
        if fs::symlink_metadata(out).is_ok() {
            return Err(EditError::Exists(out.to_owned()));
        }
        let failed = |source| EditError::Place { path: out.to_owned(), source };
        let absolute = std::path::absolute(out).map_err(failed)?;
        let name = absolute.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let beside = format!(".{}.part-{}", name.to_string_lossy(), std::process::id());
        let beside = absolute.with_file_name(beside);
        fs::create_dir_all(&beside).map_err(failed)?;
        Ok(Self { beside, out: absolute })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.beside
    }

    pub(super) fn commit(self) -> Result<(), EditError> {
        let _ = fs::remove_file(self.beside.join(LOCK));
        // Renaming onto an empty directory would succeed; whoever made it meanwhile wants it.
        if fs::symlink_metadata(&self.out).is_ok() {
            return Err(EditError::Exists(self.out.clone()));
        }
        let placed = fs::rename(&self.beside, &self.out);
        placed.map_err(|source| EditError::Place { path: self.out.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a commit there is no such directory any more.
        let _ = fs::remove_dir_all(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_result_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let given_up = Place::take(&out).unwrap();
        fs::write(given_up.directory().join("half"), "x").unwrap();
        drop(given_up);
        assert!(names(directory.path()).is_empty());
        let whole = Place::take(&out).unwrap();
        fs::write(whole.directory().join("all"), "x").unwrap();
        fs::write(whole.directory().join(LOCK), "").unwrap();
        whole.commit().unwrap();
        assert_eq!((names(directory.path()), names(&out)), (vec!["out".to_owned()], vec!["all".to_owned()]));
    }

    #[test]
    fn a_place_that_is_taken_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = Place::take(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
    }
}
