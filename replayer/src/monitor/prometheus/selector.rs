//! Which samples are meant: `http_requests_total{code=~"5..",path!="/health"}`, as Prometheus selects them.

use std::fmt;
use std::str::FromStr;

use regex::Regex;
use serde::Deserialize;

use super::text::{Sample, name, quoted};

/// See the module.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Selector {
    text: String,
    name: String,
    matchers: Vec<Matcher>,
}

#[derive(Debug, Clone)]
struct Matcher {
    label: String,
    is_equal: bool,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Text(String),
    Regex(Regex),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("`{0}` is no selector; write NAME or NAME{{label=\"value\"}}, with =, !=, =~ or !~")]
    Form(String),
    #[error("in the selector `{text}`: {why}")]
    Regex { text: String, why: String },
}

impl Selector {
    /// The metric's name without its labels.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn selects(&self, sample: &Sample<'_>) -> bool {
        self.name == sample.name && self.matchers.iter().all(|matcher| matcher.fits(sample))
    }
}

impl Matcher {
    fn fits(&self, sample: &Sample<'_>) -> bool {
        let value = sample.label(&self.label);
        let is_it = match &self.wanted {
            Wanted::Text(text) => value == text,
            Wanted::Regex(regex) => regex.is_match(value),
        };
        is_it == self.is_equal
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let wrong = || SelectorError::Form(text.to_owned());
        let (name, rest) = name(text.trim()).ok_or_else(wrong)?;
        let matchers = match rest.trim() {
            "" => Vec::new(),
            braced => {
                let inner =
                    braced.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(wrong)?;
                matchers(inner, text)?
            }
        };
        Ok(Self { text: text.trim().to_owned(), name: name.to_owned(), matchers })
    }
}

fn matchers(mut inner: &str, text: &str) -> Result<Vec<Matcher>, SelectorError> {
    let mut matchers = Vec::new();
    inner = inner.trim();
    while !inner.is_empty() {
        let (matcher, rest) = matcher(inner, text)?;
        matchers.push(matcher);
        let rest = rest.trim_start();
        inner = match rest.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err(SelectorError::Form(text.to_owned())),
        };
    }
    Ok(matchers)
}

fn matcher<'a>(inner: &'a str, text: &str) -> Result<(Matcher, &'a str), SelectorError> {
    let wrong = || SelectorError::Form(text.to_owned());
    let (label, rest) = name(inner).ok_or_else(wrong)?;
    let rest = rest.trim_start();
    let operators = [("=~", true, true), ("!~", false, true), ("!=", false, false), ("=", true, false)];
    let found = operators.into_iter().find(|(operator, ..)| rest.starts_with(operator));
    let (operator, is_equal, is_regex) = found.ok_or_else(wrong)?;
    let rest = rest[operator.len()..].trim_start();
    // Single quotes spare escapes in shells and TOML.
    let (value, rest) = quoted(rest, '"').or_else(|| quoted(rest, '\'')).ok_or_else(wrong)?;
    let wanted = if is_regex { Wanted::Regex(anchored(&value, text)?) } else { Wanted::Text(value) };
    Ok((Matcher { label: label.to_owned(), is_equal, wanted }, rest))
}

/// A regular expression fits the whole value.
fn anchored(value: &str, text: &str) -> Result<Regex, SelectorError> {
    let failed = |error: regex::Error| SelectorError::Regex { text: text.to_owned(), why: error.to_string() };
    Regex::new(&format!("^(?:{value})$")).map_err(failed)
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        let text = |matcher: &Self| match &matcher.wanted {
            Wanted::Text(text) => (false, text.clone()),
            Wanted::Regex(regex) => (true, regex.as_str().to_owned()),
        };
        self.label == other.label && self.is_equal == other.is_equal && text(self) == text(other)
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_select_as_in_prometheus() {
        let sample = Sample {
            name: "requests",
            labels: vec![("code", "503".to_owned()), ("path", "/a".to_owned())],
            value: 1.0,
        };
        for (selector, fits) in [
            ("requests", true),
            ("request", false),
            ("requests{}", true),
            ("requests{code=\"503\"}", true),
            ("requests{code='503', path=\"/a\",}", true),
            ("requests{code=\"50\"}", false),
            ("requests{code=~\"5..\"}", true),
            ("requests{code=~\"5\"}", false),
            ("requests{code!~\"4..\",path!=\"/b\"}", true),
            ("requests{host=\"\"}", true),
            ("requests { code != \"503\" }", false),
        ] {
            assert_eq!(selector.parse::<Selector>().unwrap().selects(&sample), fits, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in
            ["", "5a", "a{", "a{b}", "a{b=c}", "a{b=\"c\"", "a{b=\"c\" d=\"e\"}", "a b", "a{b=~\"(\"}"]
        {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
