//! Environments: what is loaded, with which accounts, against what level, under which guard; from a TOML file that all
//! share (every key: `configs/environments/staging.toml`).
//!
//! Secrets are never in the file: `${VARIABLE}` is filled from the process's environment or from a `.env` beside the file
//! ([`configs`]), and nothing that was filled in is printed.

mod file;

use std::path::{Path, PathBuf};

use kingtide_common::config::ConfigError;

use crate::capacity::slo::Slo;
use crate::configs::dot_env::{DotEnv, DotEnvError};
use crate::configs::{self, NotFound};
use crate::guard::Guard;
pub use crate::guard::Kind;
use crate::identities::TemplateText;
use crate::monitor::settings::Settings;

/// The directory of environments among configurations.
const CONFIGS: &str = "environments";

/// See the module. Paths are as they must be opened.
#[derive(Debug, Clone)]
pub struct Environment {
    pub name: String,
    pub path: PathBuf,
    /// An origin.
    pub url: String,
    pub kind: Kind,
    /// PEM file of a private CA.
    pub ca: Option<PathBuf>,
    pub accounts: AccountSource,
    pub slo: Option<Slo>,
    pub thresholds: Option<PathBuf>,
    pub monitors: Vec<Settings>,
    pub guard: Guard,
    variables: DotEnv,
}

/// Where accounts come from, as the flags of a replay say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountSource {
    pub file: Option<PathBuf>,
    pub templates: Vec<TemplateText>,
    /// First number of the templates' counter.
    pub counter_from: u64,
}

/// Why there is no such environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error("--env {0}")]
    NotFound(#[from] NotFound),
    #[error("{}", .0.in_one_line())]
    Wrong(#[from] ConfigError),
    #[error(transparent)]
    DotEnv(#[from] DotEnvError),
}

impl Environment {
    /// By its name, or the path of its file.
    pub fn find(name: &str) -> Result<Self, EnvironmentError> {
        Self::read(&configs::find(name, &configs::directories(CONFIGS))?)
    }

    /// All that have a name.
    pub fn all() -> Vec<(String, PathBuf)> {
        configs::all(&configs::directories(CONFIGS)).into_iter().collect()
    }

    /// The file that calls this host production, if one does. A file that cannot be read calls it nothing.
    pub fn production_file(host: &str) -> Option<PathBuf> {
        let mut paths = Self::all().into_iter().map(|(_, path)| path);
        paths.find(|path| file::is_production_of(path, host))
    }

    pub fn read(path: &Path) -> Result<Self, EnvironmentError> {
        Self::read_with(path, |name| std::env::var(name).ok())
    }

    /// `process` goes before the file `.env`.
    fn read_with(path: &Path, process: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = DotEnv::in_directory(path.parent().unwrap_or(Path::new("")))?;
        let variable = |name: &str| process(name).or_else(|| variables.get(name).map(str::to_owned));
        let read = file::read(path, &variable)?;
        Ok(Self { variables, ..read })
    }

    /// Of the process, or of the file `.env`.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.variables.of(name)
    }
}

impl AccountSource {
    /// The names of the columns that have templates.
    pub fn columns(&self) -> Vec<&str> {
        self.templates.iter().filter_map(TemplateText::column).collect()
    }
}

#[cfg(test)]
mod tests;
