//! Where a capture is made: beside its final place, so that nothing half-written is ever found there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why a capture cannot be made at a place.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    #[error("{} is there already and not empty; give another --out, or --force to replace the capture", .0.display())]
    Occupied(PathBuf),
    #[error("{} holds no capture, so --force does not replace it; give another --out", .0.display())]
    NoCapture(PathBuf),
    #[error("{} names no directory that could be made", .0.display())]
    NoName(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A directory that takes its final name when it is complete, and is gone when it is not.
#[derive(Debug)]
pub struct Destination {
    place: PathBuf,
    beside: PathBuf,
    is_kept: bool,
}

impl Destination {
    /// Checks the place and makes the directory beside it. A capture that is there is replaced with `force`
    /// only.
    pub fn prepare(place: &Path, force: bool) -> Result<Self, DestinationError> {
        check(place, force)?;
        let name = place.file_name().ok_or_else(|| DestinationError::NoName(place.into()))?;
        let parent = parent(place);
        fs::create_dir_all(parent).map_err(failed(parent))?;
        let beside = parent.join(format!(".{}.import-{}", name.to_string_lossy(), std::process::id()));
        fs::create_dir(&beside).map_err(failed(&beside))?;
        Ok(Self { place: place.into(), beside, is_kept: false })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.beside
    }

    /// It is complete: gives it its name.
    pub fn keep(mut self) -> Result<(), DestinationError> {
        let former = self.beside.with_extension("former");
        let replaced = match fs::rename(&self.place, &former) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(failed(&self.place)(error)),
        };
        if let Err(error) = fs::rename(&self.beside, &self.place) {
            // The former capture goes back to where it was.
            let _ = fs::rename(&former, &self.place);
            return Err(failed(&self.place)(error));
        }
        self.is_kept = true;
        if replaced {
            fs::remove_dir_all(&former).map_err(failed(&former))?;
        }
        let parent = parent(&self.place);
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if !self.is_kept {
            // What led here is told; what is left over is only disk space.
            let _ = fs::remove_dir_all(&self.beside);
        }
    }
}

fn check(place: &Path, force: bool) -> Result<(), DestinationError> {
    let mut entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(place)(error)),
    };
    match (entries.next().is_some(), force) {
        (false, _) => Ok(()),
        (true, false) => Err(DestinationError::Occupied(place.into())),
        (true, true) if place.join("manifest.json").is_file() => Ok(()),
        (true, true) => Err(DestinationError::NoCapture(place.into())),
    }
}

fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> DestinationError {
    let path = path.to_path_buf();
    move |source| DestinationError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_not_kept_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let destination = Destination::prepare(&directory.path().join("new/capture"), false).unwrap();
        fs::write(destination.path().join("half"), "x").unwrap();
        drop(destination);
        assert_eq!(names(&directory.path().join("new")), Vec::<String>::new());
    }

    #[test]
    fn only_a_capture_is_replaced_and_only_by_force() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("capture");
        let write = |force| {
            let destination = Destination::prepare(&place, force)?;
            fs::write(destination.path().join("manifest.json"), "{}").unwrap();
            destination.keep()
        };
        fs::create_dir(&place).unwrap();
        write(false).expect("an empty directory is as good as none");
        assert!(matches!(write(false), Err(DestinationError::Occupied(_))));
        write(true).unwrap();
        fs::remove_file(place.join("manifest.json")).unwrap();
        fs::write(place.join("letter.txt"), "dear").unwrap();
        assert!(matches!(write(true), Err(DestinationError::NoCapture(_))));
        assert_eq!(names(directory.path()), ["capture"]);
    }
}
