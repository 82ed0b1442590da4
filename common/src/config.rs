//! Reading a user's TOML file: a mistake is answered with the place, the reason and the remedy.
//!
//! serde tells what is wrong, serde_path_to_error and the TOML spans where, and unknown keys get the
//! nearest known one as a suggestion. Configuration structs use `deny_unknown_fields`.

mod filled;

use std::fs;
use std::ops::Range;
use std::path::Path;

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::de::DeserializeOwned;
pub use toml::{Spanned, Value};

pub use self::filled::{Fill, parse_filled};

/// What a [`Spanned`] value adds to the path of a key within it.
const SPANNED: &str = ".$__serde_spanned_private_value";

/// A configuration file that cannot be used. Shown through miette, with the lines concerned.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    #[error("{path} cannot be read")]
    #[diagnostic(help("give the path of an existing TOML file"))]
    Unreadable { path: String, source: std::io::Error },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Wrong(Box<WrongConfig>),
}

/// What is wrong in a file, and where.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct WrongConfig {
    message: String,
    #[source_code]
    text: NamedSource<String>,
    #[label("here")]
    at: Option<SourceSpan>,
    #[help]
    help: Option<String>,
}

impl ConfigError {
    /// `proxy.toml:12: …`: for a log, which has no room for the lines concerned.
    pub fn in_one_line(&self) -> String {
        match self {
            Self::Unreadable { source, .. } => format!("{self}: {source}"),
            Self::Wrong(wrong) => wrong.in_one_line(),
        }
    }
}

impl WrongConfig {
    fn in_one_line(&self) -> String {
        let before = self.at.and_then(|at| self.text.inner().get(..at.offset()));
        let line = before.map_or_else(String::new, |before| format!(":{}", before.matches('\n').count() + 1));
        let help = self.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
        format!("{}{line}: {}{help}", self.text.name(), self.message)
    }
}

/// Reads and checks the form of a file; what its values mean is the caller's to check with [`wrong`].
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<(T, String), ConfigError> {
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: name.clone(), source })?;
    let value = parse(&name, &text)?;
    Ok((value, text))
}

/// Like [`load`], from a text that is already there.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, ConfigError> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| at_span(name, text, &error, ""))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string().replace(SPANNED, "");
        at_span(name, text, error.inner(), &key)
    })
}

/// A value that has the right form and makes no sense: `key` is its dotted path.
pub fn wrong(name: &str, text: &str, key: &str, message: &str) -> ConfigError {
    let (text, at) = (source(name, text), span_of_key(text, key));
    ConfigError::Wrong(Box::new(WrongConfig { message: format!("{key}: {message}"), text, at, help: None }))
}

/// The same where the place is known, as a [`Spanned`] value knows it: its byte range in the text.
pub fn wrong_at(name: &str, text: &str, at: Range<usize>, message: String) -> ConfigError {
    let (text, at) = (source(name, text), Some(SourceSpan::from(at)));
    ConfigError::Wrong(Box::new(WrongConfig { message, text, at, help: None }))
}

fn at_span(name: &str, text: &str, error: &toml::de::Error, key: &str) -> ConfigError {
    let message = error.message().to_owned();
    let help = suggestion(&message);
    let prefix = if key.is_empty() || key == "." { String::new() } else { format!("{key}: ") };
    let at = error.span().map(SourceSpan::from);
    let message = format!("{prefix}{message}");
    ConfigError::Wrong(Box::new(WrongConfig { message, text: source(name, text), at, help }))
}

fn source(name: &str, text: &str) -> NamedSource<String> {
    NamedSource::new(name, text.to_owned()).with_language("toml")
}

/// The line whose key is the last segment of the dotted path; good enough to point at.
fn span_of_key(text: &str, key: &str) -> Option<SourceSpan> {
    let last = key.rsplit('.').next()?;
    let starts = text.match_indices(last).map(|(start, _)| start);
    let mut keys = starts.filter(|start| text[start + last.len()..].trim_start().starts_with('='));
    keys.next().map(|start| (start, last.len()).into())
}

/// "did you mean" for serde's "unknown field `x`, expected one of `a`, `b`".
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown field").then(|| quoted.next())??;
    let known: Vec<&str> = quoted.collect();
    let nearest = known.iter().min_by_key(|key| distance(key, unknown))?;
    let close = distance(nearest, unknown) <= unknown.len().div_ceil(2);
    Some(if close {
        format!("did you mean `{nearest}`?")
    } else {
        format!("known keys: {}", known.join(", "))
    })
}

/// Levenshtein distance (single-character insertions, deletions, substitutions).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::units::Span;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        listen: String,
        #[allow(dead_code, reason = "only its errors are looked at")]
        timeouts: Timeouts,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its errors are looked at")]
    struct Timeouts {
        connect: Span,
    }

    fn shown(text: &str) -> String {
        let error = parse::<Config>("proxy.toml", text).unwrap_err();
        let handler = miette::NarratableReportHandler::new();
        let mut shown = String::new();
        handler.render_report(&mut shown, &error).unwrap();
        shown
    }

    #[test]
    fn a_good_file_is_read() {
        let config: Config = parse("proxy.toml", "listen = \":80\"\ntimeouts.connect = \"5s\"").unwrap();
        assert_eq!(config.listen, ":80");
    }

    #[test]
    fn an_unknown_key_gets_its_line_and_the_nearest_known_one() {
        let shown = shown("lisen = \":80\"\n[timeouts]\nconnect = 5\n");
        assert!(shown.contains("did you mean `listen`?"), "{shown}");
        assert!(shown.contains("line 1"), "{shown}");
    }

    #[test]
    fn a_wrong_value_names_its_key_and_what_would_do() {
        let shown = shown("listen = \":80\"\n[timeouts]\nconnect = \"5 parsecs\"\n");
        assert!(shown.contains("timeouts.connect"), "{shown}");
        assert!(shown.contains("write 500ms, 30s, 5m or 1h"), "{shown}");
        assert!(shown.contains("line 3"), "{shown}");
    }

    #[test]
    fn a_value_that_knows_its_place_is_named_by_its_key_alone() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only its errors are looked at")]
        struct Places {
            places: Vec<Spanned<Timeouts>>,
        }
        let text = "places = [{ connect = \"1s\" }, { connect = \"soon\" }]";
        let error = parse::<Places>("a.toml", text).unwrap_err().in_one_line();
        assert!(error.starts_with("a.toml:1: places[1].connect: `soon`"), "{error}");
        let wrong = wrong_at("a.toml", "\n\nx = 1", 2..3, "x: why".to_owned());
        assert_eq!(wrong.in_one_line(), "a.toml:3: x: why");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Config>(Path::new("no-such.toml")).unwrap_err();
        assert_eq!(error.to_string(), "no-such.toml cannot be read");
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("same", "same")), (3, 3, 0));
    }
}
