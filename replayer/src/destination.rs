//! Where a capture is made: beside its final place, so that nothing half-written is ever found there.
//!
//! The directory beside is locked by who makes it. One that nobody has locked was left by a program that was killed;
//! the next that makes the same capture takes it away. An interrupt takes its own away ([`crate::unfinished`]).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use crate::unfinished;

/// Why a capture cannot be made at a place.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    #[error("{} is there already; give another --out, a directory that is not there", .0.display())]
    Taken(PathBuf),
    #[error("{} is there already and not empty; give another --out, or --force to replace the capture", .0.display())]
    Occupied(PathBuf),
    #[error("{} holds no capture, so --force does not replace it; give another --out", .0.display())]
    NoCapture(PathBuf),
    #[error("{} names no directory that could be made", .0.display())]
    NoName(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// What may be at the place before, and is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Nothing,
    EmptyDirectory,
    Capture,
}

/// What a writer leaves behind for its lock alone.
const LOCK: &str = "lock";

/// A directory that takes its final name when it is complete, and is gone when it is not.
#[derive(Debug)]
pub struct Destination {
    place: PathBuf,
    beside: PathBuf,
    /// Keeps the directory beside locked, where its file system can.
    _lock: Option<File>,
    allowed: Allowed,
    is_kept: bool,
}

impl Destination {
    /// Checks the place and makes the directory beside it.
    pub fn prepare(place: &Path, allowed: Allowed) -> Result<Self, DestinationError> {
        check(place, allowed)?;
        let name = place.file_name().ok_or_else(|| DestinationError::NoName(place.into()))?;
        let parent = parent(place);
        fs::create_dir_all(parent).map_err(failed(parent))?;
        let begins = format!(".{}.part-", name.to_string_lossy());
        let mut turn = unfinished::turn();
        take_away_abandoned(parent, &begins)?;
        let beside = parent.join(format!("{begins}{}", std::process::id()));
        let lock = make_locked(&beside).map_err(failed(&beside))?;
        turn.begin(&beside);
        Ok(Self { place: place.into(), beside, _lock: lock, allowed, is_kept: false })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.beside
    }

    /// It is complete: gives it its name. What somebody else made there meanwhile stays theirs.
    pub fn keep(mut self) -> Result<(), DestinationError> {
        let mut turn = unfinished::turn();
        check(&self.place, self.allowed)?;
        let _ = fs::remove_file(self.beside.join(LOCK));
        let replaced = put(&self.beside, &self.place).map_err(failed(&self.place))?;
        self.is_kept = true;
        turn.end(&self.beside);
        if let Some(former) = replaced {
            fs::remove_dir_all(&former).map_err(failed(&former))?;
        }
        let parent = parent(&self.place);
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed(parent))
    }
}

/// Gives a directory its name; returns where what had it before is now. At no time is neither there: whoever is
/// killed in between leaves a whole capture, and the other where the next one finds and removes it.
fn put(beside: &Path, place: &Path) -> io::Result<Option<PathBuf>> {
    match renameat_with(CWD, beside, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Some(beside.into())),
        Err(Errno::NOENT) => fs::rename(beside, place).map(|()| None),
        // Not every file system exchanges.
        Err(Errno::INVAL | Errno::NOSYS) => replace(beside, place),
        Err(error) => Err(error.into()),
    }
}

fn replace(beside: &Path, place: &Path) -> io::Result<Option<PathBuf>> {
    let former = beside.with_extension("former");
    fs::rename(place, &former)?;
    if let Err(error) = fs::rename(beside, place) {
        // The former capture goes back to where it was.
        let _ = fs::rename(&former, place);
        return Err(error);
    }
    Ok(Some(former))
}

/// Makes a directory and locks it. Between the two it looks abandoned, and may be taken away.
fn make_locked(directory: &Path) -> io::Result<Option<File>> {
    loop {
        fs::create_dir(directory)?;
        match lock(directory) {
            Ok(None) => {}
            Ok(held) => return Ok(held),
            // Where directories cannot be locked, nobody takes any away.
            Err(_) => return Ok(None),
        }
    }
}

/// `None` when somebody else has locked the directory, or it is not there any more.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let found = |error: io::Error| (error.kind() == io::ErrorKind::NotFound).then_some(()).ok_or(error);
    let held = match File::open(directory) {
        Ok(held) => held,
        Err(error) => return found(error).map(|()| None),
    };
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let (inside, named) = (held.metadata()?, fs::metadata(directory));
    let is_named = named.is_ok_and(|named| (named.dev(), named.ino()) == (inside.dev(), inside.ino()));
    Ok(is_named.then_some(held))
}

/// Removes what programs left that were killed while they made the same capture.
fn take_away_abandoned(parent: &Path, begins: &str) -> Result<(), DestinationError> {
    for entry in fs::read_dir(parent).map_err(failed(parent))? {
        let entry = entry.map_err(failed(parent))?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(begins));
        let is_ours = process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit()));
        let path = entry.path();
        if !is_ours || !path.is_dir() {
            continue;
        }
        if let Ok(Some(_held)) = lock(&path) {
            fs::remove_dir_all(&path).map_err(failed(&path))?;
            eprintln!("warning: {} was left half-made by a program that was killed; removed", path.display());
        }
    }
    Ok(())
}

impl Drop for Destination {
    fn drop(&mut self) {
        if !self.is_kept {
            let mut turn = unfinished::turn();
            // What led here is told; what is left over is only disk space.
            let _ = fs::remove_dir_all(&self.beside);
            turn.end(&self.beside);
        }
    }
}

/// Refuses a place where something is that may not be there.
pub fn check(place: &Path, allowed: Allowed) -> Result<(), DestinationError> {
    if fs::symlink_metadata(place).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    if allowed == Allowed::Nothing {
        return Err(DestinationError::Taken(place.into()));
    }
    let is_empty = fs::read_dir(place).map_err(failed(place))?.next().is_none();
    match allowed {
        _ if is_empty => Ok(()),
        Allowed::Capture if place.join("manifest.json").is_file() => Ok(()),
        Allowed::Capture => Err(DestinationError::NoCapture(place.into())),
        Allowed::Nothing | Allowed::EmptyDirectory => Err(DestinationError::Occupied(place.into())),
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
        let destination =
            Destination::prepare(&directory.path().join("new/capture"), Allowed::EmptyDirectory).unwrap();
        fs::write(destination.path().join("half"), "x").unwrap();
        drop(destination);
        assert_eq!(names(&directory.path().join("new")), Vec::<String>::new());
    }

    #[test]
    fn only_a_capture_is_replaced_and_only_by_force() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("capture");
        let write = |allowed| {
            let destination = Destination::prepare(&place, allowed)?;
            fs::write(destination.path().join("manifest.json"), "{}").unwrap();
            destination.keep()
        };
        fs::create_dir(&place).unwrap();
        write(Allowed::EmptyDirectory).expect("an empty directory is as good as none");
        assert!(matches!(write(Allowed::EmptyDirectory), Err(DestinationError::Occupied(_))));
        write(Allowed::Capture).unwrap();
        fs::remove_file(place.join("manifest.json")).unwrap();
        fs::write(place.join("letter.txt"), "dear").unwrap();
        assert!(matches!(write(Allowed::Capture), Err(DestinationError::NoCapture(_))));
        assert_eq!(names(directory.path()), ["capture"]);
    }

    #[test]
    fn where_directories_cannot_be_exchanged_one_is_replaced_or_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (beside, place) = (directory.path().join(".out.part-1"), directory.path().join("out"));
        fs::create_dir(&place).unwrap();
        fs::write(place.join("old"), "").unwrap();
        replace(&beside, &place).unwrap_err();
        assert_eq!((names(directory.path()), names(&place)), (vec!["out".into()], vec!["old".into()]));
        fs::create_dir(&beside).unwrap();
        let former = replace(&beside, &place).unwrap().expect("something was there");
        assert_eq!((names(&place), names(&former)), (vec![], vec!["old".to_owned()]));
    }

    #[test]
    fn a_place_where_nothing_may_be_is_refused_before_and_after() {
        let directory = tempfile::tempdir().unwrap();
        let error = Destination::prepare(directory.path(), Allowed::Nothing).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        let place = directory.path().join("out");
        let destination = Destination::prepare(&place, Allowed::Nothing).unwrap();
        fs::write(destination.path().join(LOCK), "").unwrap();
        fs::create_dir(&place).unwrap();
        assert!(matches!(destination.keep(), Err(DestinationError::Taken(_))));
        assert_eq!(names(directory.path()), ["out"], "and nothing is left behind");
        fs::remove_dir(&place).unwrap();
        let destination = Destination::prepare(&place, Allowed::Nothing).unwrap();
        fs::write(destination.path().join(LOCK), "").unwrap();
        destination.keep().unwrap();
        assert_eq!(names(&place), Vec::<String>::new(), "the lock is the writer's alone");
    }
}
