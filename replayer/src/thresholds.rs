//! Thresholds: what a run is graded by, and what is worth an alarm while it lasts (every key: `configs/thresholds.toml`).
//!
//! A [`grade`] is about the whole run, each figure with its interval: it is never given on noise. A [`breach`] is about a
//! time: a metric was above a level from then to then; [`critical`] is about now, and ends a run. Pure but for the reading of the file.

pub mod breach;
pub mod critical;
pub mod grade;

use std::path::Path;

use kingtide_common::config::{self, ConfigError, Spanned};
use kingtide_common::units::Span;
use serde::Deserialize;

pub use breach::{Breach, Severity};
pub use grade::{Grade, Level};

/// As shipped.
const DEFAULTS: &str = include_str!("../../configs/thresholds.toml");

/// See the module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    #[serde(default, rename = "grade")]
    grades: Vec<Spanned<GradeRule>>,
    #[serde(default, rename = "watch")]
    watches: Vec<Spanned<WatchRule>>,
}

/// A figure of the whole run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GradeRule {
    metric: String,
    good: f64,
    poor: f64,
}

/// A metric while the run lasts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchRule {
    metric: String,
    /// The mean over so long before each look.
    window: Option<Span>,
    warning: f64,
    critical: f64,
}

impl Thresholds {
    /// Reads a user's file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let (thresholds, text) = config::load::<Self>(path)?;
        thresholds.checked(&path.display().to_string(), &text)
    }

    fn of_text(name: &str, text: &str) -> Result<Self, ConfigError> {
        config::parse::<Self>(name, text)?.checked(name, text)
    }

    fn checked(self, name: &str, text: &str) -> Result<Self, ConfigError> {
        let unknown =
            self.grades.iter().find_map(|rule| Some((rule.span(), grade::unknown(rule.get_ref())?)));
        let backwards =
            self.watches.iter().find_map(|rule| Some((rule.span(), breach::backwards(rule.get_ref())?)));
        match unknown.or(backwards) {
            Some((at, why)) => Err(config::wrong_at(name, text, at, why)),
            None => Ok(self),
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::of_text("configs/thresholds.toml", DEFAULTS)
            .expect("the file that is shipped is right: a test reads it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_read() {
        let Thresholds { grades, watches } = Thresholds::default();
        assert_eq!((grades.len(), watches.len()), (6, 10));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        let cases = [
            ("[[grade]]\nmetric = \"p95\"\ngood = 1\npoor = 2", "t.toml:1: no figure `p95`"),
            ("[[grade]]\nmetric = \"latency_ms_p95\"\ngod = 1", "did you mean `good`?"),
            ("[[grade]]\nmetric = \"latency_ms_p95\"\ngood = 2\npoor = 2", "good and poor are both 2"),
            ("[[watch]]\nmetric = \"a.b\"\nwarning = 3\ncritical = 2", "warning 3 is above critical 2"),
            ("[[watch]]\nmetric = \"active\"\nwarning = 1\ncritical = 2", "`active` names no monitor"),
        ];
        for (text, part) in cases {
            let refused = Thresholds::of_text("t.toml", text).unwrap_err().in_one_line();
            assert!(refused.contains(part), "{part} in {refused}");
        }
    }
}
