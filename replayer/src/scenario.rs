//! Scenarios: named loads with what the target is to hold under them, from TOML files
//! (every key: `configs/scenarios/normal.toml`).
//!
//! `file` reads and checks one, [`shape`] says how many users or how much of a capture there is at any instant and so who comes
//! and goes when, `criterion` what is asked, and [`judge`] whether it was met. Pure: what makes requests of it is a plan
//! ([`crate::plan::staying`], [`crate::plan::trial`]), which the drive plays like any other.

pub mod criterion;
mod file;
pub mod judge;
pub mod overrides;
mod read;
pub mod report;
pub mod shape;

use std::path::{Path, PathBuf};

use kingtide_common::config::ConfigError;

use crate::guard::abort::AbortRules;
use crate::model::Changes;
use criterion::Criteria;
use shape::Shape;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its file's, without the extension.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    pub source: Option<Source>,
    pub load: Load,
    /// What differs from the model.
    pub changes: Changes,
    /// Requests a second that are expected of it.
    pub expect_per_s: Option<f64>,
    pub criteria: Criteria,
    /// When the run is ended.
    pub stop: AbortRules,
}

/// Whose sessions are played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Model(PathBuf),
    Capture(PathBuf),
}

/// How much there is of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// Users of a model.
    Users(Shape),
    /// Of a capture's mean rate.
    Multiples(Shape),
    /// The capture so many times, as long as it is.
    Whole(f64),
}

impl Scenario {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        read::read(path)
    }
}

impl Load {
    /// How many at once at most: users, or times the capture.
    pub fn peak(&self) -> f64 {
        match self {
            Self::Users(shape) | Self::Multiples(shape) => shape.peak(),
            Self::Whole(multiple) => *multiple,
        }
    }

    pub fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Users(shape) | Self::Multiples(shape) => Some(shape),
            Self::Whole(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
