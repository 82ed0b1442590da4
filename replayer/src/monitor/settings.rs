//! What a `[[monitor]]` table says (an example of each kind: `configs/monitors.toml`).
//!
//! Secrets come from variables ([`secret`]) and are in no message: [`Address`] does not show them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kingtide_common::config::{self, ConfigError};
use kingtide_common::units::Span;
use serde::Deserialize;
use url::Url;

use super::json::Pointer;
use super::prometheus::Selector;
use crate::configs::secret::{self, is_secret_key};

pub const INTERVAL: Duration = Duration::from_secs(5);
/// A query that runs longer is slow.
pub const SLOW_QUERY: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_hours(1);

/// One monitor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Settings {
    /// What its metrics begin with.
    pub name: String,
    pub interval: Duration,
    pub what: What,
}

/// What it looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Postgres { url: Address, slow_query: Duration },
    Host,
    Process(Which),
    Prometheus { url: Address, metrics: Vec<Sample> },
    Json { url: Address, metrics: Vec<Value> },
}

/// Whose numbers are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All of that name: of the kernel's (its first 15 characters), of the program's file, or of the script it runs.
    Named(String),
    Pid(i32),
    PidFile(PathBuf),
}

/// A URL whose password is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(Url);

/// A metric of a Prometheus endpoint: the sum of the samples that are selected.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub metric: String,
    pub selector: Selector,
    /// What it grows by in a second, of a counter.
    pub is_rate: bool,
}

/// A number in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub metric: String,
    pub pointer: Pointer,
}

/// A file of monitors alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    monitor: Vec<Settings>,
}

/// Every key of every kind; which go together is [`Settings`]' to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: Kind,
    name: Option<String>,
    interval: Option<Span>,
    url: Option<Address>,
    slow_query: Option<Span>,
    process: Option<String>,
    pid: Option<i32>,
    pid_file: Option<PathBuf>,
    #[serde(default)]
    metrics: Vec<Metric>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Postgres,
    Host,
    Process,
    Prometheus,
    Json,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    #[serde(rename = "metric")]
    name: String,
    selector: Option<Selector>,
    pointer: Option<Pointer>,
    #[serde(default)]
    rate: bool,
}

/// Reads a file of `[[monitor]]` tables; `${NAME}` in it stands for a variable's value.
pub fn read(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Settings>, ConfigError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ConfigError::Unreadable { path: name.clone(), source })?;
    let mut fill = |key: &str, text: &str| secret::filled(key, text, &variable);
    let File { monitor } = config::parse_filled(&name, &text, &mut fill)?;
    check_names(&monitor).map_err(|why| config::wrong(&name, &text, "monitor.name", &why))?;
    Ok(monitor)
}

/// Two monitors of one name would write the same metrics.
pub fn check_names(monitors: &[Settings]) -> Result<(), String> {
    let twice =
        |(index, one): &(usize, &Settings)| monitors[..*index].iter().any(|other| other.name == one.name);
    match monitors.iter().enumerate().find(twice) {
        Some((_, one)) => Err(format!("two monitors are named `{}`; give each a name of its own", one.name)),
        None => Ok(()),
    }
}

impl Settings {
    pub fn new(name: &str, what: What) -> Self {
        Self { name: name.to_owned(), interval: INTERVAL, what }
    }

    /// The longest that one look may take, so that a target that hangs shows as a gap.
    pub(super) fn look_max(&self) -> Duration {
        self.interval.clamp(Duration::from_secs(1), INTERVAL)
    }
}

impl TryFrom<Table> for Settings {
    type Error = String;

    fn try_from(mut table: Table) -> Result<Self, String> {
        let kind = table.kind;
        let name = table.name.take().unwrap_or_else(|| kind.to_string());
        let interval = table.interval.take().map_or(INTERVAL, |interval| interval.0);
        check_name(&name)?;
        check_interval(interval)?;
        let what = match kind {
            Kind::Postgres => What::Postgres {
                url: table.url(&["postgres", "postgresql"], "postgres://USER@HOST/DATABASE")?,
                slow_query: table.slow_query.take().map_or(SLOW_QUERY, |slow| slow.0),
            },
            Kind::Host => What::Host,
            Kind::Process => What::Process(table.which()?),
            Kind::Prometheus => What::Prometheus {
                url: table.url(&["http", "https"], "http://HOST:PORT/metrics")?,
                metrics: table.metrics("selector = \"NAME{label='value'}\"", Metric::sample)?,
            },
            Kind::Json => What::Json {
                url: table.url(&["http", "https"], "http://HOST:PORT/health")?,
                metrics: table.metrics("pointer = \"/pool/size\"", Metric::value)?,
            },
        };
        table.check_nothing_is_left()?;
        Ok(Self { name, interval, what })
    }
}

/// What `latest`, thresholds and spreadsheets find a metric by.
fn check_name(name: &str) -> Result<(), String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if !name.is_empty() && name.chars().all(is_name) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name for a monitor; letters, digits, `_` and `-` are, as in `postgres-replica`"
    ))
}

pub fn check_interval(interval: Duration) -> Result<(), String> {
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(());
    }
    Err(format!("an interval of {} is not possible; give 200ms to 1h, 5s is usual", Span(interval)))
}

impl Table {
    fn url(&mut self, schemes: &[&str], example: &str) -> Result<Address, String> {
        let kind = self.kind;
        let url = self.url.take().ok_or_else(|| format!("a {kind} monitor needs a url: \"{example}\""))?;
        url.with_scheme(schemes, example)
    }

    fn which(&mut self) -> Result<Which, String> {
        match (self.process.take(), self.pid.take(), self.pid_file.take()) {
            (Some(name), None, None) if !name.is_empty() => Ok(Which::Named(name)),
            (None, Some(pid), None) if pid > 0 => Ok(Which::Pid(pid)),
            (None, None, Some(file)) => Ok(Which::PidFile(file)),
            _ => Err("a process monitor needs one of process = \"nginx\", pid = 4711 or pid_file = \"/run/app.pid\""
                .to_owned()),
        }
    }

    fn metrics<T>(&mut self, example: &str, of: impl Fn(Metric) -> Option<T>) -> Result<Vec<T>, String> {
        let metrics = std::mem::take(&mut self.metrics);
        let wrong =
            || format!("a {} monitor needs metrics = [{{ metric = \"pool_size\", {example} }}]", self.kind);
        let metrics: Option<Vec<T>> = metrics.into_iter().map(of).collect();
        metrics.filter(|metrics| !metrics.is_empty()).ok_or_else(wrong)
    }

    fn check_nothing_is_left(&self) -> Result<(), String> {
        let left = [
            ("url", self.url.is_some()),
            ("slow_query", self.slow_query.is_some()),
            ("process", self.process.is_some()),
            ("pid", self.pid.is_some()),
            ("pid_file", self.pid_file.is_some()),
            ("metrics", !self.metrics.is_empty()),
        ];
        match left.iter().find(|(_, is_left)| *is_left) {
            Some((key, _)) => Err(format!("`{key}` says nothing to a {} monitor; remove it", self.kind)),
            None => Ok(()),
        }
    }
}

impl Metric {
    fn sample(self) -> Option<Sample> {
        let Self { name: metric, selector, pointer: None, rate: is_rate } = self else { return None };
        Some(Sample { metric, selector: selector?, is_rate })
    }

    fn value(self) -> Option<Value> {
        let Self { name: metric, selector: None, pointer, rate: false } = self else { return None };
        Some(Value { metric, pointer: pointer? })
    }
}

impl Address {
    pub fn url(&self) -> &Url {
        &self.0
    }

    fn with_scheme(self, schemes: &[&str], example: &str) -> Result<Self, String> {
        if schemes.contains(&self.0.scheme()) {
            return Ok(self);
        }
        Err(format!("`{self}` has the scheme `{}`; write {example}", self.0.scheme()))
    }

    /// Of a PostgreSQL database.
    pub fn postgres(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())?
            .with_scheme(&["postgres", "postgresql"], "postgres://USER@HOST/DATABASE")
    }

    /// Of something that answers HTTP.
    pub fn http(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())?.with_scheme(&["http", "https"], "http://HOST:PORT/PATH")
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    /// The text itself may be a secret: it is not shown.
    fn try_from(text: String) -> Result<Self, String> {
        Url::parse(&text).map(Self).map_err(|error| format!("this is no URL: {error}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() {
            // Fails only where there can be no password.
            let _ = shown.set_password(Some("…"));
        }
        let query: Vec<(String, String)> = shown.query_pairs().into_owned().collect();
        if query.iter().any(|(key, _)| is_secret_key(key)) {
            let query = query.iter().map(|(key, value)| (key, if is_secret_key(key) { "…" } else { value }));
            shown.query_pairs_mut().clear().extend_pairs(query);
        }
        f.write_str(shown.as_str().replace("%E2%80%A6", "…").as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Host => "host",
            Self::Process => "process",
            Self::Prometheus => "prometheus",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests;
