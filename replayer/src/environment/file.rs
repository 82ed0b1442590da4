//! The file of an environment as it is written, and what cannot be meant.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use kingtide_common::config::{ConfigError, Spanned, Value, parse, parse_filled, wrong, wrong_at};
use serde::{Deserialize, Deserializer, de};
use url::Url;

use super::{AccountSource, Environment};
use crate::capacity::slo::Slo;
use crate::configs::dot_env::DotEnv;
use crate::configs::{self, secret};
use crate::guard::{Guard, Kind, Rules};
use crate::identities::TemplateText;
use crate::monitor::settings::{self, Settings};

/// Texts in which braces are placeholders, so that those of a filled-in value are doubled.
const TEMPLATES: &str = "identities.columns.";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: Spanned<String>,
    kind: Kind,
    #[serde(default)]
    tls: Tls,
    identities: Option<Accounts>,
    #[serde(default, deserialize_with = "from_text")]
    slo: Option<Slo>,
    thresholds: Option<PathBuf>,
    #[serde(default)]
    monitor: Vec<Settings>,
    #[serde(default)]
    guard: Rules,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accounts {
    file: Option<PathBuf>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default = "one")]
    from: u64,
}

fn one() -> u64 {
    1
}

/// Values that are texts with a grammar of their own.
fn from_text<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}

/// Reads a file; its environment has no variables of its own yet.
pub(super) fn read(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Environment, ConfigError> {
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: name.clone(), source })?;
    let mut fill =
        |key: &str, text: &str| secret::filled(key, text, |name| Some(value(key, variable(name)?)));
    let file: File = parse_filled(&name, &text, &mut fill)?;
    let url = origin(file.url.get_ref()).ok_or_else(|| {
        let why = "url: is no origin: write https://staging.example.com or http://127.0.0.1:8000, without a path or user";
        wrong_at(&name, &text, file.url.span(), why.to_owned())
    })?;
    file.into_environment(path, &url).map_err(|(key, why)| wrong(&name, &text, key, &why))
}

/// What stands for a variable.
fn value(key: &str, value: String) -> String {
    if key.starts_with(TEMPLATES) { value.replace('{', "{{").replace('}', "}}") } else { value }
}

/// By its `kind` and `url` alone: whatever else in it lacks a variable, it is production.
pub(super) fn is_production_of(path: &Path, host: &str) -> bool {
    let text = fs::read_to_string(path).ok();
    let value = text.and_then(|text| parse::<Value>(&path.display().to_string(), &text).ok());
    let said = |key: &str| value.as_ref()?.get(key)?.as_str();
    let variables = DotEnv::in_directory(path.parent().unwrap_or(Path::new(""))).unwrap_or_default();
    let variable = |name: &str| variables.of(name);
    let filled =
        said("url").and_then(|url| secret::filled("url", url, variable).ok().map(|filled| (url, filled)));
    let url = filled.and_then(|(url, filled)| Url::parse(filled.as_deref().unwrap_or(url)).ok());
    said("kind") == Some("production") && url.is_some_and(|url| url.host_str() == Some(host))
}

fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_bare.then_some(url)
}

impl File {
    fn into_environment(self, path: &Path, url: &Url) -> Result<Environment, (&'static str, String)> {
        let beside = |file: PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        settings::check_names(&self.monitor).map_err(|why| ("monitor", why))?;
        let rules = self.guard.completed(self.kind, &authority).map_err(|lack| {
            let why = format!(
                "a production environment says what may be sent to it at most: write {} under [guard]",
                lack.example
            );
            (lack.key, why)
        })?;
        let rules = Rules { kill_file: rules.kill_file.map(beside), ..rules };
        Ok(Environment {
            name: configs::name_of(path),
            path: path.to_owned(),
            url: self.url.into_inner(),
            kind: self.kind,
            ca: self.tls.ca.map(beside),
            accounts: self.identities.map_or_else(AccountSource::default, |accounts| accounts.source(beside)),
            slo: self.slo,
            thresholds: self.thresholds.map(beside),
            monitors: self.monitor,
            guard: Guard { kind: Some(self.kind), rules, file: Some(path.to_owned()) },
            variables: DotEnv::default(),
        })
    }
}

impl Accounts {
    fn source(self, beside: impl Fn(PathBuf) -> PathBuf) -> AccountSource {
        let template = |(column, text): (String, String)| TemplateText::from(format!("{column}={text}"));
        AccountSource {
            file: self.file.map(beside),
            templates: self.columns.into_iter().map(template).collect(),
            counter_from: self.from,
        }
    }
}
