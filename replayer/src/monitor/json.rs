//! Any endpoint that answers JSON, a health check for example: numbers by JSON pointer (RFC 6901).

use std::fmt;
use std::str::FromStr;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value as Json;

use super::http::Endpoint;
use super::look::{Blind, Look};
use super::settings::Value;

/// See the module.
#[derive(Debug)]
pub(super) struct JsonEndpoint {
    endpoint: Endpoint,
    metrics: Vec<Value>,
}

/// `/database/pool/size`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pointer(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no JSON pointer; write the keys on the way with a slash before each: /database/pool/size")]
pub struct PointerError(String);

impl JsonEndpoint {
    pub(super) fn new(endpoint: Endpoint, metrics: Vec<Value>) -> Self {
        Self { endpoint, metrics }
    }

    pub(super) fn metrics(&self) -> Vec<String> {
        self.metrics.iter().map(|metric| metric.metric.clone()).collect()
    }

    pub(super) async fn look(&mut self) -> Result<Look, Blind> {
        let answer = self.endpoint.get().await?;
        // Who is not well says so with 503, and with numbers all the same.
        if !answer.status.is_success() && answer.status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(Blind(format!("{} answered {}", self.endpoint, answer.status)));
        }
        let json = serde_json::from_slice(&answer.body);
        let json = json.map_err(|error| Blind(format!("{} answered no JSON: {error}", self.endpoint)))?;
        Ok(values(&json, &self.metrics))
    }
}

fn values(json: &Json, metrics: &[Value]) -> Look {
    let mut look = Look::default();
    for metric in metrics {
        let found = json.pointer(&metric.pointer.0);
        let value = found.and_then(number);
        if value.is_none() {
            let what = if found.is_some() { "is no number" } else { "is not in the answer" };
            look.note(format!("`{}` (of {}) {what}", metric.pointer, metric.metric));
        }
        look.value(metric.metric.as_str(), value);
    }
    look
}

/// Yes is 1, no is 0; of a list its length.
fn number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::Bool(is_so) => Some(f64::from(u8::from(*is_so))),
        Json::Array(list) => Some(list.len() as f64),
        Json::Null | Json::String(_) | Json::Object(_) => None,
    }
}

impl Pointer {
    /// What a metric is called that nobody has named: `database_pool_size`.
    pub fn as_name(&self) -> String {
        self.0.trim_start_matches('/').replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    }
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.starts_with('/') && text.len() > 1 {
            Ok(Self(text.to_owned()))
        } else {
            Err(PointerError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        text.parse()
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_and_what_is_none_is_said() {
        let json =
            serde_json::json!({"pool": {"size": 20, "out": [1, 2], "ok": true}, "name": "a", "a/b": 1.5});
        let metric = |pointer: &str| Value { metric: "m".to_owned(), pointer: pointer.parse().unwrap() };
        let pointers = ["/pool/size", "/pool/out", "/pool/ok", "/a~1b", "/pool/out/1", "/name", "/gone"];
        let look = values(&json, &pointers.map(metric));
        let found: Vec<Option<f64>> = look.values.into_iter().map(|(_, value)| value).collect();
        assert_eq!(found, [Some(20.0), Some(2.0), Some(1.0), Some(1.5), Some(2.0), None, None]);
        assert_eq!(look.notes, ["`/name` (of m) is no number", "`/gone` (of m) is not in the answer"]);
    }

    #[test]
    fn a_pointer_begins_with_a_slash_and_gives_a_name() {
        assert!("pool".parse::<Pointer>().is_err() && "/".parse::<Pointer>().is_err());
        assert_eq!("/db/pool-size/0".parse::<Pointer>().unwrap().as_name(), "db_pool_size_0");
    }
}
