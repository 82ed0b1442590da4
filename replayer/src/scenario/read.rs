//! From a file to a scenario.

use std::path::{Component, Path, PathBuf};

use kingtide_common::config::{self, ConfigError, Spanned};

use super::file::{File, Mistake};
use super::{Scenario, Source};
use crate::configs::name_of;
use crate::model::Changes;

pub(super) fn read(path: &Path) -> Result<Scenario, ConfigError> {
    let (file, text) = config::load::<File>(path)?;
    scenario(file, path).map_err(|(at, why)| config::wrong_at(&path.display().to_string(), &text, at, why))
}

fn scenario(file: File, path: &Path) -> Result<Scenario, Mistake> {
    let source = source(&file, path)?;
    let load = file.load()?;
    let is_rate = |rate: &f64| rate.is_finite() && *rate > 0.0;
    if let Some(rate) = file.expect_per_s.as_ref().filter(|rate| !is_rate(rate.get_ref())) {
        return Err((rate.span(), "a rate is above 0: write expect_per_s = 10".to_owned()));
    }
    let changes = Changes { think: file.think, sizes: file.sizes.map(Spanned::into_inner) };
    Ok(Scenario {
        name: name_of(path),
        about: file.about.into_inner(),
        source,
        load,
        changes,
        expect_per_s: file.expect_per_s.map(Spanned::into_inner),
        criteria: file.criteria,
        stop: file.stop,
    })
}

/// As a person would write it: `configs/models/students.toml`, not `configs/scenarios/../models/students.toml`.
fn joined(directory: &Path, path: &Path) -> PathBuf {
    let (mut directory, mut path) = (directory.to_owned(), path);
    while let Ok(rest) = path.strip_prefix("..")
        && matches!(directory.components().next_back(), Some(Component::Normal(_)))
        && !directory.is_symlink()
    {
        directory.pop();
        path = rest;
    }
    directory.join(path)
}

fn source(file: &File, path: &Path) -> Result<Option<Source>, Mistake> {
    let beside = |source: &Path| joined(path.parent().unwrap_or(Path::new("")), source);
    match (&file.model, &file.capture) {
        (Some(model), None) => Ok(Some(Source::Model(beside(model.get_ref())))),
        (None, Some(capture)) => Ok(Some(Source::Capture(beside(capture.get_ref())))),
        (None, None) => Ok(None),
        (Some(model), Some(_)) => Err((model.span(), "a model or a capture: leave one out".to_owned())),
    }
}
