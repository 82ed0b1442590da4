//! The file that a name means.

use anyhow::{Context as _, anyhow};

use crate::configs;
use crate::report::format::{counted, multiple, seconds};
use crate::scenario::{Load, Scenario};

const KIND: &str = "scenarios";

/// `normal`, or a path.
pub(super) fn found(name: &str) -> anyhow::Result<Scenario> {
    let path = configs::find(name, &configs::directories(KIND)).context("scenario")?;
    Scenario::read(&path).map_err(|error| anyhow!("{}", error.in_one_line()))
}

/// All that there are, by name, with what is wrong with those that cannot be read.
pub(super) fn all() -> Vec<(String, Result<Scenario, String>)> {
    let files = configs::all(&configs::directories(KIND));
    let read = |(name, path): (String, std::path::PathBuf)| {
        (name, Scenario::read(&path).map_err(|error| error.in_one_line()))
    };
    files.into_iter().map(read).collect()
}

/// `20 users, 300 s`
pub(super) fn extent(load: &Load) -> (String, String) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // users are whole
    let level = match load {
        Load::Users(shape) => counted(shape.peak() as u64, "user"),
        Load::Multiples(_) | Load::Whole(_) => multiple(load.peak()),
    };
    let time = load
        .shape()
        .map_or_else(|| "as the capture".to_owned(), |shape| seconds(Some(shape.duration().as_secs_f64())));
    (level, time)
}
