//! A `.env` file: variables beside those of the process, which go before them.
//!
//! A line is `NAME=value`, with `export` before it or not; values in quotes keep their blanks, `#` begins a comment. Nothing is
//! expanded. A message names file and line, never a value.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub const FILE: &str = ".env";

/// The variables of a file; their values are not printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DotEnv(BTreeMap<String, String>);

#[derive(Debug, thiserror::Error)]
pub enum DotEnvError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}:{line}: write NAME=value, or NAME='value with blanks or #'", path.display())]
    NoVariable { path: PathBuf, line: usize },
}

impl DotEnv {
    /// Of the directory; none when it has no such file.
    pub fn in_directory(directory: &Path) -> Result<Self, DotEnvError> {
        let path = directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|line| DotEnvError::NoVariable { path, line }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(DotEnvError::Unreadable { path, source }),
        }
    }

    /// Of the process, or of the file.
    pub fn of(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| self.get(name).map(str::to_owned))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The number of the first wrong line is the error.
    fn parse(text: &str) -> Result<Self, usize> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines.map(|(number, line)| variable(line).ok_or(number)).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim().strip_prefix("export ").unwrap_or(name).trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(())?;
    Some((name.to_owned(), value_of(value.trim())?))
}

/// `None` where a quote is not closed, or something follows it.
fn value_of(text: &str) -> Option<String> {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (value, after) = text[1..].split_once(quote)?;
            let after = after.trim();
            (after.is_empty() || after.starts_with('#')).then(|| value.to_owned())
        }
        _ => Some(text.split(" #").next().unwrap_or_default().trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables() {
        let text = "# comment\n\nA=1\n export B = two words # said\nC='# no comment' # one\nD=\"a'b\"\nE=\nF=a=b#c\n";
        let env = DotEnv::parse(text).unwrap();
        let expected =
            [("A", "1"), ("B", "two words"), ("C", "# no comment"), ("D", "a'b"), ("E", ""), ("F", "a=b#c")];
        for (name, value) in expected {
            assert_eq!(env.get(name), Some(value), "{name}");
        }
        assert_eq!(env.get("G"), None);
        assert!(!format!("{env:?}").contains("two"), "{env:?}");
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        for (text, line) in [("A=1\nB", 2), ("A='x", 1), ("A=\"x\" y", 1), ("\n\nA B=1", 3), ("=x", 1)] {
            assert_eq!(DotEnv::parse(text), Err(line), "{text}");
        }
    }

    #[test]
    fn a_directory_without_the_file_has_no_variables() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(DotEnv::in_directory(directory.path()).unwrap(), DotEnv::default());
        std::fs::write(directory.path().join(FILE), "hunter2").unwrap();
        let refused = DotEnv::in_directory(directory.path()).unwrap_err().to_string();
        assert!(refused.contains(".env:1:") && !refused.contains("hunter2"), "{refused}");
    }
}
