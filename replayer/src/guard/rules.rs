//! `[guard]` of an environment's file.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kingtide_common::units::{ByteSize, Multiple, Span};
use serde::Deserialize;

use super::Kind;
use super::abort::AbortRules;
use super::hours::Window;
use crate::drive::Marking;

/// Production is stopped by these where its file says nothing.
const ABORT: &str = "errors>10%,p95>20s";
const SMOKE_WITHIN: Span = Span(Duration::from_hours(1));

/// What may be sent, when and where to, and what ends it. What is `None` is not asked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Empty: the environment's own host alone.
    pub targets: Vec<HostPattern>,
    pub multiple_max: Option<Multiple>,
    pub users_max: Option<u64>,
    pub bytes_max: Option<ByteSize>,
    pub duration_max: Option<Span>,
    pub hours: Option<Vec<Window>>,
    pub smoke_within: Option<Span>,
    pub abort: Option<AbortRules>,
    pub kill_file: Option<PathBuf>,
    pub synthetic: Option<Marking>,
}

/// `staging.example.com`, with a port, or `*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPattern(String);

/// What a kind's guard must say and does not: the key and an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete {
    pub key: &'static str,
    pub example: &'static str,
}

impl Rules {
    /// With the defaults of its kind; `authority` is the environment's own.
    pub fn completed(mut self, kind: Kind, authority: &str) -> Result<Self, Incomplete> {
        if self.targets.is_empty() {
            self.targets.push(HostPattern(authority.to_owned()));
        }
        self.synthetic.get_or_insert_default();
        if kind == Kind::Production {
            self.check_caps()?;
            self.smoke_within.get_or_insert(SMOKE_WITHIN);
            self.abort.get_or_insert_with(|| ABORT.parse().expect("the rules are constant"));
        }
        Ok(self)
    }

    /// What is too much for production nobody else can know.
    fn check_caps(&self) -> Result<(), Incomplete> {
        let caps = [
            (self.multiple_max.is_some(), "multiple_max", "multiple_max = 2"),
            (self.users_max.is_some(), "users_max", "users_max = 20"),
            (self.bytes_max.is_some(), "bytes_max", "bytes_max = \"2GB\""),
            (self.duration_max.is_some(), "duration_max", "duration_max = \"10m\""),
        ];
        let missing = caps.into_iter().find(|(is_there, ..)| !is_there);
        missing.map_or(Ok(()), |(_, key, example)| Err(Incomplete { key, example }))
    }
}

impl HostPattern {
    pub fn fits(&self, host: &str, authority: &str) -> bool {
        let pattern = self.0.to_ascii_lowercase();
        let (host, authority) = (host.to_ascii_lowercase(), authority.to_ascii_lowercase());
        match pattern.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => pattern == host || pattern == authority,
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("*.").unwrap_or(text);
        if rest.is_empty() || rest.contains(['/', '*', '@', ' ']) {
            return Err(format!("`{text}` is no host; write staging.example.com or *.example.com"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_fit_by_name_by_port_or_below_a_domain() {
        let fits = |pattern: &str, host: &str, port: &str| {
            pattern.parse::<HostPattern>().unwrap().fits(host, &format!("{host}{port}"))
        };
        for (pattern, host, port) in [
            ("a.example", "a.example", ""),
            ("a.example", "a.example", ":8443"),
            ("A.example:8443", "a.Example", ":8443"),
            ("*.example", "a.example", ""),
            ("*.example", "b.a.example", ":1"),
        ] {
            assert!(fits(pattern, host, port), "{pattern} {host}{port}");
        }
        for (pattern, host, port) in [
            ("a.example", "b.example", ""),
            ("a.example:8443", "a.example", ":8444"),
            ("a.example:8443", "a.example", ""),
            ("*.example", "example", ""),
            ("*.example", "badexample", ""),
            ("a.example", "a.example.evil", ""),
        ] {
            assert!(!fits(pattern, host, port), "{pattern} {host}{port}");
        }
        for wrong in ["", "*", "*.", "https://a.example", "a*.example"] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn production_says_its_caps_and_is_given_the_rest() {
        let caps = Rules {
            multiple_max: Some(Multiple::new(2.0).unwrap()),
            users_max: Some(20),
            bytes_max: Some(ByteSize(1)),
            duration_max: Some(Span(Duration::from_mins(1))),
            ..Rules::default()
        };
        let complete = caps.clone().completed(Kind::Production, "a.example").unwrap();
        assert_eq!(complete.smoke_within, Some(SMOKE_WITHIN));
        assert_eq!(complete.abort.unwrap().to_string(), ABORT);
        assert!(complete.targets[0].fits("a.example", "a.example"));
        let without = [
            ("multiple_max", Rules { multiple_max: None, ..caps.clone() }),
            ("users_max", Rules { users_max: None, ..caps.clone() }),
            ("bytes_max", Rules { bytes_max: None, ..caps.clone() }),
            ("duration_max", Rules { duration_max: None, ..caps }),
        ];
        for (key, rules) in without {
            assert_eq!(rules.clone().completed(Kind::Production, "a").unwrap_err().key, key);
            assert!(rules.completed(Kind::Staging, "a").is_ok());
        }
    }
}
