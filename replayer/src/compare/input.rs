//! The two results as they lie on disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::runs::Run;
use super::samples::Samples;
use super::{Kind, SideReport, capacities, seeds};
use crate::measure::run::RunReport;
use crate::report::format::multiple;
use crate::report::words::{spoken, verdict_name};
use crate::report::{CAPACITY_FILE, RUN_FILE, SAMPLES_FILE, SEEDS_FILE};

/// One of the two, and where it came from.
#[derive(Debug, Clone)]
pub struct Input {
    path: PathBuf,
    pub(super) result: Result,
}

#[derive(Debug, Clone)]
pub(super) enum Result {
    Run(Box<Run>),
    Seeds(seeds::Seeds),
    Capacity(capacities::Found),
}

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(
        "{}: no result here: give a directory that `kingtide replay --out` or `kingtide capacity --out` wrote, or the \
         {RUN_FILE}, {SEEDS_FILE} or {CAPACITY_FILE} in it",
        path.display()
    )]
    Nothing { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{}: not a result of this version of kingtide: at `{key}`: {reason}; make it again, or use the version that wrote it",
        path.display()
    )]
    Foreign { path: PathBuf, key: String, reason: String },
    #[error("{}: no samples of kingtide: {reason}; move the file away to compare without intervals", path.display())]
    Samples { path: PathBuf, reason: String },
}

/// What tells the files apart, whatever they are called.
#[derive(Debug, Deserialize)]
struct Marks {
    trials: Option<serde::de::IgnoredAny>,
    merged: Option<serde::de::IgnoredAny>,
    searches: Option<serde::de::IgnoredAny>,
}

/// A result, given its directory or its file.
pub fn read(path: &Path) -> std::result::Result<Input, InputError> {
    let file = file_of(path)?;
    let text = fs::read_to_string(&file).map_err(|source| InputError::Read { path: file.clone(), source })?;
    let marks: Marks = parsed(&file, &text)?;
    let result = match marks {
        Marks { trials: Some(_), .. } => Result::Capacity(parsed(&file, &text)?),
        Marks { searches: Some(_), .. } => {
            let several: capacities::Several = parsed(&file, &text)?;
            let nothing = || InputError::Nothing { path: path.to_owned() };
            Result::Capacity(several.together().ok_or_else(nothing)?)
        }
        Marks { merged: Some(_), .. } => Result::Seeds(parsed(&file, &text)?),
        Marks { .. } => Result::Run(Box::new(run_of(&file, parsed(&file, &text)?)?)),
    };
    Ok(Input { path: path.to_owned(), result })
}

fn file_of(path: &Path) -> std::result::Result<PathBuf, InputError> {
    let names = [RUN_FILE, SEEDS_FILE, CAPACITY_FILE].map(|name| path.join(name));
    let within = path.is_dir().then(|| names.into_iter().find(|file| file.is_file())).flatten();
    let file = within.or_else(|| path.is_file().then(|| path.to_owned()));
    file.ok_or_else(|| InputError::Nothing { path: path.to_owned() })
}

fn parsed<T: DeserializeOwned>(file: &Path, text: &str) -> std::result::Result<T, InputError> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| InputError::Foreign {
        path: file.to_owned(),
        key: error.path().to_string(),
        reason: error.inner().to_string(),
    })
}

/// A run with the samples beside it, or where the run says that they were written.
pub fn run_of(file: &Path, report: RunReport) -> std::result::Result<Run, InputError> {
    let written = report.samples.as_ref().map(|samples| PathBuf::from(&samples.file));
    let beside = file.with_file_name(SAMPLES_FILE);
    let path = written.is_some().then_some(beside).into_iter().chain(written).find(|path| path.is_file());
    let samples = path.map(|path| {
        Samples::read(&path).map_err(|error| InputError::Samples { path, reason: error.to_string() })
    });
    Ok(Run { report, samples: samples.transpose()? })
}

impl Result {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Run(_) => Kind::Runs,
            Self::Seeds(_) => Kind::Seeds,
            Self::Capacity(_) => Kind::Capacities,
        }
    }
}

impl Input {
    #[cfg(test)]
    pub(super) fn new(path: PathBuf, result: Result) -> Self {
        Self { path, result }
    }

    pub(super) fn report(&self) -> SideReport {
        let path = self.path.display().to_string();
        match &self.result {
            Result::Run(run) => {
                let run = &run.report;
                SideReport {
                    path,
                    capture: run.capture.clone(),
                    target: run.target.clone(),
                    started: run.started.clone(),
                    setting: format!("{} {}, seed {}", multiple(run.multiple), run.mode, run.seed),
                    verdict: verdict_name(run.verdict).to_uppercase(),
                }
            }
            Result::Seeds(seeds) => SideReport {
                path,
                capture: seeds.capture.clone(),
                target: seeds.target.clone(),
                started: seeds.started(),
                setting: format!(
                    "{} {}, {} seeds that count",
                    multiple(seeds.multiple),
                    seeds.mode,
                    seeds.numbers().len()
                ),
                verdict: verdict_name(seeds.verdict).to_uppercase(),
            },
            Result::Capacity(found) => SideReport {
                path,
                capture: found.capture.clone(),
                target: found.target.clone(),
                started: found.started.clone(),
                setting: found.slo.clone(),
                verdict: spoken(&found.verdict_name()).to_uppercase(),
            },
        }
    }
}
