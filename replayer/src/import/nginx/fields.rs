//! What a line says, by Nginx's names of variables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::times::seconds_ns;

/// Variables of one line; those that Nginx wrote as `-` or empty are not there.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: BTreeMap<String, String>,
    /// Names that the format has, with or without a value.
    names_upstream: bool,
}

impl Fields {
    /// A JSON object whose keys are names of variables; other keys are passed over.
    pub(super) fn of_json(line: &str) -> Result<Self, &'static str> {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else {
            return Err("it is no JSON object");
        };
        let mut fields = Self::default();
        for (name, value) in object {
            match value {
                Value::String(text) => fields.insert(&name, &text),
                Value::Number(number) => fields.insert(&name, &number.to_string()),
                _ => {}
            }
        }
        Ok(fields)
    }

    pub(super) fn insert(&mut self, name: &str, value: &str) {
        self.names_upstream |= name.starts_with("upstream_");
        let value = value.trim();
        if !value.is_empty() && value != "-" {
            self.values.insert(name.to_owned(), value.to_owned());
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Seconds as microseconds; times of several upstreams (`0.1, 0.2 : -`) are added up.
    pub(super) fn seconds_us(&self, name: &str) -> Option<u64> {
        let times = self.text(name)?.split([',', ' ', ':']).filter_map(seconds_ns);
        let us = times.map(|ns| ns.unsigned_abs() / 1000);
        us.reduce(u64::saturating_add)
    }

    /// The log would tell if an upstream had been asked.
    pub(super) fn tells_upstreams(&self) -> bool {
        self.names_upstream
    }

    /// Variables whose names begin so, and the rest of their names.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = self.values.iter();
        values.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}
