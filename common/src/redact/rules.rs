//! Which names and texts are secret or personal (configs/redaction.toml).

use std::collections::HashSet;
use std::path::Path;

use crate::config::{self, ConfigError};
use regex::Regex;
use serde::Deserialize;

const BUILT_IN: &str = include_str!("../../../configs/redaction.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    secret_headers: Vec<String>,
    personal_headers: Vec<String>,
    plain_headers: Vec<String>,
    secret_words: Vec<String>,
    secret_endings: Vec<String>,
    secret_names: Vec<String>,
    personal_names: Vec<String>,
    patterns: Vec<String>,
}

/// The rules, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    /// Lower case.
    headers: HashSet<String>,
    plain_headers: HashSet<String>,
    words: Vec<String>,
    endings: Vec<String>,
    names: HashSet<String>,
    personal_names: HashSet<String>,
    /// All patterns in one: a text is gone through once.
    pub(super) pattern: Regex,
}

impl Rules {
    pub fn built_in() -> Self {
        let file = config::parse("configs/redaction.toml", BUILT_IN).expect("the shipped rules are tested");
        Self::from_file("configs/redaction.toml", BUILT_IN, &file).expect("the shipped rules are tested")
    }

    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (file, text) = config::load(path)?;
        Self::from_file(&path.display().to_string(), &text, &file)
    }

    fn from_file(name: &str, text: &str, file: &File) -> Result<Self, ConfigError> {
        let headers = file.secret_headers.iter().chain(&file.personal_headers);
        Ok(Self {
            headers: headers.map(|name| name.to_ascii_lowercase()).collect(),
            plain_headers: file.plain_headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            words: normalised(&file.secret_words).collect(),
            endings: normalised(&file.secret_endings).collect(),
            names: normalised(&file.secret_names).collect(),
            personal_names: normalised(&file.personal_names).collect(),
            pattern: joined(&file.patterns)
                .map_err(|error| config::wrong(name, text, "patterns", &error.to_string()))?,
        })
    }

    /// `name` is in lower case.
    pub(super) fn hides_header(&self, name: &str) -> bool {
        self.headers.contains(name)
    }

    /// Kept even where every text value is hidden; `name` is in lower case.
    pub(super) fn is_plain_header(&self, name: &str) -> bool {
        self.plain_headers.contains(name)
    }

    /// A field whose value, and all below it, is a secret.
    pub fn is_secret(&self, field: &str) -> bool {
        let field = normal(field);
        self.names.contains(&field)
            || self.words.iter().any(|word| field.contains(word))
            || self.endings.iter().any(|ending| field.ends_with(ending))
    }

    pub(super) fn is_personal(&self, field: &str) -> bool {
        self.personal_names.contains(&normal(field))
    }
}

/// One expression for all; each is tried alone first, so that an error speaks of the one that is wrong.
fn joined(patterns: &[String]) -> Result<Regex, regex::Error> {
    patterns.iter().try_for_each(|pattern| Regex::new(pattern).map(drop))?;
    let alternatives: Vec<String> = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect();
    // No pattern at all matches nowhere.
    let whole = if alternatives.is_empty() { "[^\\s\\S]".to_owned() } else { alternatives.join("|") };
    Regex::new(&whole)
}

fn normalised(names: &[String]) -> impl Iterator<Item = String> {
    names.iter().map(|name| normal(name))
}

/// Without case, `_` and `-`.
fn normal(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_however_they_are_written() {
        let rules = Rules::built_in();
        for secret in [
            "password",
            "newPassword",
            "access_token",
            "refreshToken",
            "csrf-token",
            "API_KEY",
            "client_secret",
            "sid",
        ] {
            assert!(rules.is_secret(secret), "{secret}");
        }
        for kept in ["token_type", "expires_in", "activity_id", "id", "status", "pinned", "inside"] {
            assert!(!rules.is_secret(kept), "{kept}");
        }
        assert!(
            rules.is_personal("E-Mail") && rules.is_personal("first_name") && !rules.is_personal("title")
        );
        assert!(rules.hides_header("x-api-key") && !rules.hides_header("accept"));
    }

    #[test]
    fn no_patterns_match_nothing() {
        assert!(!joined(&[]).unwrap().is_match("anna@school.example \n"));
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let text = BUILT_IN.replace("'(AKIA", "'((AKIA");
        let file = config::parse("mine.toml", &text).unwrap();
        let error = Rules::from_file("mine.toml", &text, &file).unwrap_err().to_string();
        assert!(error.contains("patterns") && error.contains("unclosed group"), "{error}");
    }
}
