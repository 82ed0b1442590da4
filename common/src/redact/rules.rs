//! Which names and texts are secret or personal (configs/redaction.toml).
//!
//! A user's file replaces the lists it names and adds to the others; what it does not name keeps its built-in
//! value, so that a file from before a rule was added does not lack that rule.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::names::{Names, Verdict, normal};
use super::patterns::{Check, Patterns};
use crate::config::{self, ConfigError};

const BUILT_IN: &str = include_str!("../../../configs/redaction.toml");
const BUILT_IN_NAME: &str = "configs/redaction.toml";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "the keys of the file")]
struct File {
    secret_headers: Option<Vec<String>>,
    secret_header_endings: Option<Vec<String>>,
    personal_headers: Option<Vec<String>>,
    plain_headers: Option<Vec<String>>,
    hash_headers: Option<Vec<String>>,
    auth_schemes: Option<Vec<String>>,
    secret_words: Option<Vec<String>>,
    secret_endings: Option<Vec<String>>,
    secret_names: Option<Vec<String>>,
    secret_last_words: Option<Vec<String>>,
    plain_names: Option<Vec<String>>,
    personal_names: Option<Vec<String>>,
    personal_endings: Option<Vec<String>>,
    personal_objects: Option<Vec<String>>,
    secret_paths: Option<Vec<String>>,
    patterns: Option<Vec<String>>,
    checked_patterns: Option<Vec<CheckedPattern>>,
    random_chars_min: Option<usize>,
    file_extensions: Option<Vec<String>>,
    add: Option<Box<File>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckedPattern {
    check: Check,
    pattern: String,
}

/// What a header is to the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderVerdict {
    /// The whole value is hidden.
    Hidden,
    /// Kept even where every text value is hidden.
    Plain,
    /// Random text in it is a hash.
    Hash,
    Other,
}

/// The rules, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    /// Lower case.
    hidden_headers: HashSet<String>,
    header_endings: Vec<String>,
    plain_headers: HashSet<String>,
    hash_headers: HashSet<String>,
    auth_schemes: HashSet<String>,
    secret_paths: HashSet<String>,
    file_extensions: HashSet<String>,
    names: Names,
    pub(super) patterns: Patterns,
    pub(super) random_chars_min: usize,
}

impl Rules {
    pub fn built_in() -> Self {
        let file = built_in();
        Self::from_file(BUILT_IN_NAME, BUILT_IN, file).expect("the shipped rules are tested")
    }

    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (file, text) = config::load(path)?;
        Self::from_file(&path.display().to_string(), &text, file)
    }

    fn from_file(name: &str, text: &str, mut file: File) -> Result<Self, ConfigError> {
        let add = file.add.take().map_or_else(File::default, |add| *add);
        if add.add.is_some() {
            return Err(config::wrong(name, text, "add.add", "`[add]` has no `add` of its own"));
        }
        if add.random_chars_min.is_some() {
            let message = "a number cannot be added; write it above `[add]`";
            return Err(config::wrong(name, text, "random_chars_min", message));
        }
        let built_in = built_in();
        let joined = |pick: fn(&File) -> &Option<Vec<String>>| list(pick, &file, &built_in, &add);
        let lower = |names: Vec<String>| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let normalised = |pick| -> Vec<String> { joined(pick).iter().map(|name| normal(name)).collect() };
        let hidden = [joined(|file| &file.secret_headers), joined(|file| &file.personal_headers)].concat();
        let names = Names {
            words: normalised(|file| &file.secret_words),
            endings: normalised(|file| &file.secret_endings),
            whole: normalised(|file| &file.secret_names).into_iter().collect(),
            last_words: normalised(|file| &file.secret_last_words).into_iter().collect(),
            plain: normalised(|file| &file.plain_names).into_iter().collect(),
            personal: normalised(|file| &file.personal_names).into_iter().collect(),
            personal_endings: normalised(|file| &file.personal_endings),
            personal_objects: normalised(|file| &file.personal_objects).into_iter().collect(),
        };
        let unchecked = joined(|file| &file.patterns).into_iter().map(|pattern| (pattern, Check::None));
        let checked = list(|file| &file.checked_patterns, &file, &built_in, &add);
        let checked = checked.into_iter().map(|checked| (checked.pattern, checked.check));
        let patterns = Patterns::new(&unchecked.chain(checked).collect::<Vec<_>>())
            .map_err(|error| config::wrong(name, text, "patterns", &error.to_string()))?;
        Ok(Self {
            hidden_headers: lower(hidden),
            header_endings: normalised(|file| &file.secret_header_endings),
            plain_headers: lower(joined(|file| &file.plain_headers)),
            hash_headers: lower(joined(|file| &file.hash_headers)),
            auth_schemes: lower(joined(|file| &file.auth_schemes)),
            secret_paths: normalised(|file| &file.secret_paths).into_iter().collect(),
            file_extensions: lower(joined(|file| &file.file_extensions)),
            random_chars_min: file.random_chars_min.or(built_in.random_chars_min).unwrap_or(usize::MAX),
            names,
            patterns,
        })
    }

    /// The verdict on a header's name, in any case.
    pub fn header(&self, name: &str) -> HeaderVerdict {
        let lower = name.to_ascii_lowercase();
        if self.plain_headers.contains(&lower) {
            HeaderVerdict::Plain
        } else if self.hidden_headers.contains(&lower) || self.hides_header_name(&lower) {
            HeaderVerdict::Hidden
        } else if self.hash_headers.contains(&lower) {
            HeaderVerdict::Hash
        } else {
            HeaderVerdict::Other
        }
    }

    fn hides_header_name(&self, lower: &str) -> bool {
        let name = lower.strip_prefix("x-").unwrap_or(lower);
        let whole = normal(name);
        self.header_endings.iter().any(|ending| whole.ends_with(ending.as_str()))
            || self.names.field(name).is_hidden()
    }

    /// The verdict on the name of a field.
    pub fn field(&self, name: &str) -> Verdict {
        self.names.field(name)
    }

    /// A field whose value, and all below it, is a secret.
    pub fn is_secret(&self, field: &str) -> bool {
        self.names.hides_all(field)
    }

    /// A word before a credential, in any case.
    pub(super) fn is_auth_scheme(&self, word: &str) -> bool {
        self.auth_schemes.contains(&word.to_ascii_lowercase())
    }

    /// What follows this segment of a path is a secret.
    pub fn is_secret_path(&self, segment: &str) -> bool {
        self.secret_paths.contains(&normal(segment))
    }

    /// The ending of a file name that tells its type and nothing else.
    pub(crate) fn is_file_extension(&self, extension: &str) -> bool {
        self.file_extensions.contains(&extension.to_ascii_lowercase())
    }
}

fn built_in() -> File {
    config::parse(BUILT_IN_NAME, BUILT_IN).expect("the shipped rules are tested")
}

/// The file's own list or the built-in one, and what is added to it.
fn list<T: Clone>(pick: fn(&File) -> &Option<Vec<T>>, file: &File, built_in: &File, add: &File) -> Vec<T> {
    let own = pick(file).as_ref().or(pick(built_in).as_ref());
    own.into_iter().chain(pick(add).as_ref()).flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<Rules, String> {
        let file = config::parse("mine.toml", text).map_err(|error| error.in_one_line())?;
        Rules::from_file("mine.toml", text, file).map_err(|error| error.in_one_line())
    }

    #[test]
    fn headers_follow_the_rules_of_fields_too() {
        let rules = Rules::built_in();
        for hidden in [
            "x-api-key",
            "X-Vault-Token",
            "X-Client-Secret",
            "X-Auth",
            "PRIVATE-TOKEN",
            "Ocp-Apim-Subscription-Key",
            "X-User-Email",
            "X-Username",
            "X-Hub-Signature",
            "Cookie2",
        ] {
            assert_eq!(rules.header(hidden), HeaderVerdict::Hidden, "{hidden}");
        }
        for kept in ["Accept", "X-Requested-With", "X-Class", "Sec-Fetch-Site", "ETag", "X-Frame-Options"] {
            assert_ne!(rules.header(kept), HeaderVerdict::Hidden, "{kept}");
        }
        assert_eq!(rules.header("Access-Control-Allow-Credentials"), HeaderVerdict::Plain);
    }

    #[test]
    fn a_file_replaces_what_it_names_and_adds_to_the_rest() {
        let rules = rules("secret_names = [\"plate\"]\n[add]\nsecret_words = [\"geheim\"]\n").unwrap();
        assert!(rules.is_secret("plate") && rules.is_secret("mein_geheimnis"));
        assert!(rules.is_secret("password"), "what is not named stays");
        assert!(!rules.is_secret("state"), "the list that is named is replaced");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (text, expected) in [
            ("patterns = ['(a']", "unclosed group"),
            ("[add]\npatterns = ['(a']", "unclosed group"),
            ("secret_wrods = []", "did you mean `secret_words`?"),
            ("[add]\nrandom_chars_min = 3", "cannot be added"),
            ("[add.add]\n", "no `add` of its own"),
            ("checked_patterns = [{ check = \"crc\", pattern = 'x' }]", "luhn"),
        ] {
            let error = rules(text).unwrap_err();
            assert!(error.contains("mine.toml") && error.contains(expected), "{text}: {error}");
        }
    }
}
