//! The students: users of the service who draw their load themselves, so that they can judge the replayer.
//!
//! `plan → drive → tally → report`. The plan is a pure function of a seed; each planned student then runs as one task with
//! one kept-alive connection of its own and reports every request to the tally.

pub(crate) mod body;
mod client;
mod drive;
mod plan;
mod report;
mod tally;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use plan::{Cue, PlanConfig, PlannedStudent, PlannedUpload, Uplink, plan};
pub use report::{LatencyMs, Outcome, Report, Route, RouteReport, UploadReport};

/// Everything one visit of the students needs.
#[derive(Debug, Clone)]
pub struct StudentsConfig {
    /// `http://HOST:PORT`, the service or a proxy before it.
    pub target: Url,
    /// Who comes when and does what.
    pub plan: PlanConfig,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// How long students may go on after the plan's duration before they count as failed.
    pub grace: Duration,
    /// Where the JSON report goes.
    pub json: Option<PathBuf>,
}

/// Why there was no visit, or no report of it.
#[derive(Debug, thiserror::Error)]
pub enum StudentsError {
    /// The target is not something these students can reach.
    #[error("--target {0}: expected http://HOST:PORT")]
    Target(Url),
    /// The report cannot be written.
    #[error("--json {path}: {source}")]
    Json { path: PathBuf, source: std::io::Error },
    /// stdout is closed.
    #[error("the report cannot be printed: {0}")]
    Print(#[from] std::io::Error),
}

/// Plans, drives until done, Ctrl-C or the end of the grace time, and reports.
pub async fn run(config: &StudentsConfig) -> Result<Report, StudentsError> {
    let planned = plan(&config.plan);
    let report = drive::visit(config, &planned).await?;
    if let Some(path) = &config.json {
        let refused = |source| StudentsError::Json { path: path.clone(), source };
        let json = serde_json::to_vec_pretty(&report).map_err(std::io::Error::from).map_err(refused)?;
        fs::write(path, json).map_err(refused)?;
    }
    write!(std::io::stdout().lock(), "{report}")?;
    Ok(report)
}
