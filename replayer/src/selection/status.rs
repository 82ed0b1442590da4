//! Statuses as users write them: `404`, `5xx`, `400-499`, `none`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A set of statuses; `None` stands for exchanges that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Option<RangeInclusive<u16>>);

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no status: write 404, 5xx, 400-499 or none (no answer)")]
pub struct StatusError(String);

impl Statuses {
    pub fn contains(&self, status: Option<u16>) -> bool {
        match (&self.0, status) {
            (Some(range), Some(status)) => range.contains(&status),
            (None, None) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("none"),
            Some(range) if range.start() == range.end() => write!(f, "{}", range.start()),
            Some(range) => write!(f, "{}-{}", range.start(), range.end()),
        }
    }
}

impl FromStr for Statuses {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        if text == "none" {
            return Ok(Self(None));
        }
        let range = class(text).or_else(|| range(text)).or_else(|| status(text).map(|one| one..=one));
        range.map(|range| Self(Some(range))).ok_or_else(|| StatusError(text.to_owned()))
    }
}

fn class(text: &str) -> Option<RangeInclusive<u16>> {
    let first: u16 = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX"))?.parse().ok()?;
    (1..=9).contains(&first).then(|| first * 100..=first * 100 + 99)
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (status(from)?, status(to)?);
    (from <= to).then_some(from..=to)
}

fn status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| (100..=999).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_people_write_them() {
        let holds = |text: &str, status| text.parse::<Statuses>().unwrap().contains(status);
        assert!(holds("5xx", Some(503)) && !holds("5xx", Some(499)) && !holds("5xx", None));
        assert!(holds("404", Some(404)) && !holds("404", Some(405)));
        assert!(holds("400-404", Some(400)) && holds("400-404", Some(404)) && !holds("400-404", Some(405)));
        assert!(holds("none", None) && !holds("none", Some(200)));
    }

    #[test]
    fn what_names_no_status_is_refused_with_examples() {
        for text in ["", "ok", "0xx", "5x", "99", "1000", "404-400", "-", "200-"] {
            let error = text.parse::<Statuses>().unwrap_err().to_string();
            assert!(error.contains("write 404, 5xx"), "{error}");
        }
    }
}
