//! The flags of `kingtide monitor` as settings, each monitor with a name of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, anyhow};

use super::MonitorArgs;
use crate::monitor::json::Pointer;
use crate::monitor::prometheus::Selector;
use crate::monitor::settings::{Address, Sample, Settings, Value, What, Which};

/// `URL=SELECTOR`
#[derive(Debug, Clone)]
pub(super) struct BySelector {
    url: Address,
    selector: Selector,
}

/// `URL#/POINTER`
#[derive(Debug, Clone)]
pub(super) struct AtPointer {
    url: Address,
    pointer: Pointer,
}

impl FromStr for BySelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Both a URL's query and a selector's labels have equals signs.
        let braces = text.find('{').unwrap_or(text.len());
        let equals = text[..braces].rfind('=');
        let equals = equals.ok_or("write http://HOST:PORT/metrics=NAME or …=NAME{label=\"value\"}")?;
        let selector = text[equals + 1..].parse::<Selector>().map_err(|error| error.to_string())?;
        Ok(Self { url: Address::http(&text[..equals])?, selector })
    }
}

impl FromStr for AtPointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, pointer) = text
            .split_once('#')
            .ok_or("write http://HOST:PORT/health#/KEY/KEY, a JSON pointer after the #")?;
        let pointer = pointer.parse::<Pointer>().map_err(|error| error.to_string())?;
        Ok(Self { url: Address::http(url)?, pointer })
    }
}

/// Every monitor that the flags name.
pub(super) fn of(args: &MonitorArgs) -> anyhow::Result<Vec<Settings>> {
    let mut named = Named::default();
    for url in &args.postgres {
        named.add("postgres", What::Postgres { url: postgres(url)?, slow_query: args.slow_query.0 });
    }
    if args.host {
        named.add("host", What::Host);
    }
    for process in &args.process {
        let which = which(process);
        named.add(&name_of(&which), What::Process(which));
    }
    for (url, metrics) in grouped(args.prometheus.iter().map(|one| (&one.url, sample(&one.selector)))) {
        named.add("prometheus", What::Prometheus { url, metrics });
    }
    for (url, metrics) in grouped(args.health.iter().map(|one| (&one.url, value(&one.pointer)))) {
        named.add("health", What::Json { url, metrics });
    }
    Ok(named.settings)
}

/// `postgres`, `postgres-2`.
#[derive(Default)]
struct Named {
    settings: Vec<Settings>,
    counts: HashMap<String, u32>,
}

impl Named {
    fn add(&mut self, name: &str, what: What) {
        let count = self.counts.entry(name.to_owned()).or_default();
        *count += 1;
        let name = if *count > 1 { format!("{name}-{count}") } else { name.to_owned() };
        self.settings.push(Settings::new(&name, what));
    }
}

/// A URL on the command line is for all to see who may list processes; one in a variable is not.
fn postgres(text: &str) -> anyhow::Result<Address> {
    let url = match text.strip_prefix("env:") {
        None => text.to_owned(),
        Some(name) => {
            std::env::var(name).with_context(|| format!("--postgres {text}: the variable is not set"))?
        }
    };
    Address::postgres(&url).map_err(|why| anyhow!("--postgres: {why}"))
}

fn which(text: &str) -> Which {
    match text.parse::<i32>() {
        Ok(pid) if pid > 0 => Which::Pid(pid),
        _ if text.starts_with('/') => Which::PidFile(PathBuf::from(text)),
        _ => Which::Named(text.to_owned()),
    }
}

/// The process's own name, as far as a metric can have it.
fn name_of(which: &Which) -> String {
    let name = match which {
        Which::Named(name) => name.clone(),
        Which::Pid(pid) => format!("process-{pid}"),
        Which::PidFile(file) => {
            file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
        }
    };
    let name = name.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'), "_");
    if name.is_empty() { "process".to_owned() } else { name }
}

/// One monitor asks an endpoint once for all of its metrics.
fn grouped<'a, T>(all: impl Iterator<Item = (&'a Address, T)>) -> Vec<(Address, Vec<T>)> {
    let mut groups: Vec<(Address, Vec<T>)> = Vec::new();
    for (url, metric) in all {
        match groups.iter_mut().find(|(known, _)| known == url) {
            Some((_, metrics)) => metrics.push(metric),
            None => groups.push((url.clone(), vec![metric])),
        }
    }
    groups
}

fn sample(selector: &Selector) -> Sample {
    Sample { metric: selector.to_string(), selector: selector.clone(), is_rate: false }
}

fn value(pointer: &Pointer) -> Value {
    Value { metric: pointer.as_name(), pointer: pointer.clone() }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: MonitorArgs,
    }

    fn parsed(words: &[&str]) -> Result<Vec<Settings>, String> {
        let matches = Line::command().try_get_matches_from(std::iter::once(&"monitor").chain(words));
        let line = Line::from_arg_matches(&matches.map_err(|error| error.to_string())?).unwrap();
        line.args.settings().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn every_flag_is_a_monitor_with_a_name() {
        let words = [
            "--postgres=postgres://a/b",
            "--postgres=postgres://c/d",
            "--host",
            "--process=nginx",
            "--process=4711",
            "--process=/run/app.pid",
            "--prometheus=http://h/metrics?a=b=up{job=\"x\"}",
            "--prometheus=http://h/metrics?a=b=down",
            "--health=http://h/health#/pool/size",
            "--interval=1s",
        ];
        let settings = parsed(&words).unwrap();
        let names: Vec<&str> = settings.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["postgres", "postgres-2", "host", "nginx", "process-4711", "app", "prometheus", "health"]
        );
        assert!(settings.iter().all(|one| one.interval.as_secs() == 1));
        let What::Prometheus { url, metrics } = &settings[6].what else { panic!("{settings:?}") };
        assert_eq!((url.to_string().as_str(), metrics.len()), ("http://h/metrics?a=b", 2));
        assert_eq!(metrics[0].metric, "up{job=\"x\"}");
    }

    #[test]
    fn what_is_none_is_refused() {
        for (word, part) in [
            ("--postgres=mysql://a/b", "has the scheme `mysql`"),
            ("--postgres=env:NO_SUCH_VARIABLE", "the variable is not set"),
            ("--prometheus=http://h/metrics", "write http://HOST:PORT/metrics=NAME"),
            ("--prometheus=ftp://h/m=a", "has the scheme `ftp`"),
            ("--health=http://h/health", "a JSON pointer after the #"),
            ("--health=http://h/health#pool", "`pool` is no JSON pointer"),
        ] {
            let refused = parsed(&[word]).unwrap_err();
            assert!(refused.contains(part), "{word}: {refused}");
        }
        assert!(parsed(&["--host", "--interval=1ms"]).unwrap_err().contains("--interval"));
    }
}
