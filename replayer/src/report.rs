//! What runs say together: `{"capture": …, "runs": […]}` for scripts, one offline HTML page and one
//! terminal table for people.
//!
//! Everything here renders; nothing measures. The verdict of a run is the run's own ([`RunReport`]).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::inspect::Summary;
use crate::measure::run::RunReport;
use crate::monitor::timeline::Timeline;

mod achieved;
pub mod capacity;
pub mod csv;
pub mod folder;
pub mod format;
pub mod gates;
pub mod html;
pub mod scenario;
pub mod table;
pub mod terminal;
pub mod words;

/// The file that a run leaves in its directory.
pub const RUN_FILE: &str = "run.json";
/// The file that the runs of several seeds leave beside their directories.
pub const SEEDS_FILE: &str = "seeds.json";
/// The file that monitors leave beside a run's: their timeline.
pub const MONITORS_FILE: &str = "monitors.json";
/// The file that a capacity search leaves in its directory.
pub const CAPACITY_FILE: &str = "capacity.json";
/// The file of raw samples in the directory of a run.
pub const SAMPLES_FILE: &str = "samples.csv.gz";

/// A capture, if one was given, and the runs of it, in the order given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub capture: Option<Summary>,
    pub runs: Vec<RunReport>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("{}: no run here: give the directory that `kingtide replay --out` wrote, or its {RUN_FILE}", path.display())]
    NoRun { path: PathBuf },
    #[error("{}: several runs: give those that you want to see, {}/seed-*", path.display(), path.display())]
    SeveralRuns { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{}: not a run of this version of kingtide: at `{key}`: {reason}; replay again, or use the version that wrote it",
        path.display()
    )]
    Foreign { path: PathBuf, key: String, reason: String },
    #[error("cannot write {}: {source}; give a file in a directory that exists and may be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Page(#[from] askama::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Report {
    /// The contract for scripts (schema: `replayer/schemas/report.json`).
    pub fn to_json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Reads the report of one run, given its directory or its file.
pub fn read_run(path: &Path) -> Result<RunReport, ReportError> {
    let file = if path.is_dir() { path.join(RUN_FILE) } else { path.to_owned() };
    let text = fs::read_to_string(&file).map_err(|source| unreadable(path, source))?;
    parsed(file, &text)
}

/// What monitors saw beside a run, given its directory or its file; nothing where none looked.
pub fn read_timeline(run: &Path) -> Result<Timeline, ReportError> {
    let path = if run.is_dir() { run.join(MONITORS_FILE) } else { run.with_file_name(MONITORS_FILE) };
    match fs::read_to_string(&path) {
        Ok(text) => parsed(path, &text),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(Timeline::default()),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}

fn parsed<T: DeserializeOwned>(path: PathBuf, text: &str) -> Result<T, ReportError> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| ReportError::Foreign {
        path,
        key: error.path().to_string(),
        reason: error.inner().to_string(),
    })
}

fn unreadable(path: &Path, source: std::io::Error) -> ReportError {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound if path.join(SEEDS_FILE).is_file() => ReportError::SeveralRuns { path },
        std::io::ErrorKind::NotFound => ReportError::NoRun { path },
        _ => ReportError::Read { path, source },
    }
}

/// Writes a file whole or not at all: beside its place first and to the disk, then by rename.
pub fn write_whole(path: &Path, text: &str) -> Result<(), ReportError> {
    let beside = beside(path);
    let write = |mut file: fs::File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let placed = fs::File::create(&beside).and_then(write).and_then(|()| fs::rename(&beside, path));
    placed.inspect_err(|_| drop(fs::remove_file(&beside))).map_err(|source| unwritable(path, source))
}

/// Finds out early what [`write_whole`] would fail of; leaves nothing behind.
pub fn can_write(path: &Path) -> Result<(), ReportError> {
    let beside = beside(path);
    let tried = fs::File::create(&beside).and_then(|_| fs::remove_file(&beside));
    tried.map_err(|source| unwritable(path, source))
}

fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    beside.into()
}

fn unwritable(path: &Path, source: std::io::Error) -> ReportError {
    ReportError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
pub(crate) mod tests;
