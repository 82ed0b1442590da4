//! Units that a user types or reads, as types that cannot be swapped.
//!
//! Sizes are bytes. Written as in Nginx, with `k`, `m` and `g`, they are powers of 1,024 (`client_max_body_size 1m`
//! is 1,048,576 bytes); written as they are printed, with `KB`, `MB` and `GB`, powers of 1,000.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes; written `200k`, `1m`, `2g`, `200KB`, `2MB` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// How many times the captured user population: `2`, `2x`, `0.5×`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Multiple(f64);

/// The start of a random sequence; the same seed gives the same plan on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// A duration in configuration: `500ms`, `30s`, `5m`, `1h`, or a plain number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

/// Why a text is not the unit it should be, with an example of what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct UnitError {
    text: String,
    wanted: &'static str,
}

const WANTED_SIZE: &str = "a size: write bytes (1048576), 200k, 1m, 2g (of 1,024), or 200KB, 2MB (of 1,000)";
const WANTED_MULTIPLE: &str = "a multiple between 0.1 and 1000: write 2, 2x or 0.5x";
const WANTED_SPAN: &str = "a duration: write 500ms, 30s, 5m or 1h";

impl Multiple {
    pub const SMALLEST: f64 = 0.1;
    pub const LARGEST: f64 = 1000.0;

    /// Refuses what no plan can be made for: outside 0.1 to 1000, or not a number.
    pub fn new(value: f64) -> Result<Self, UnitError> {
        let inside = (Self::SMALLEST..=Self::LARGEST).contains(&value);
        inside.then_some(Self(value)).ok_or_else(|| refuse(&value.to_string(), WANTED_MULTIPLE))
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Multiple {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let number = text.trim().trim_end_matches(['x', 'X', '×']);
        let value: f64 = number.parse().map_err(|_| refuse(text, WANTED_MULTIPLE))?;
        Self::new(value).map_err(|_| refuse(text, WANTED_MULTIPLE))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split_unit(text);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(refuse(text, WANTED_SIZE)),
        };
        let count: u64 = number.parse().map_err(|_| refuse(text, WANTED_SIZE))?;
        count.checked_mul(factor).map(Self).ok_or_else(|| refuse(text, WANTED_SIZE))
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split_unit(text);
        let unit_s = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(refuse(text, WANTED_SPAN)),
        };
        let count: f64 = number.parse().map_err(|_| refuse(text, WANTED_SPAN))?;
        Duration::try_from_secs_f64(count * unit_s).map(Self).map_err(|_| refuse(text, WANTED_SPAN))
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn refuse(text: &str, wanted: &'static str) -> UnitError {
    UnitError { text: text.to_owned(), wanted }
}

impl fmt::Display for Multiple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×", self.0)
    }
}

impl fmt::Display for ByteSize {
    /// Decimal units, two significant places: `1.05 MB`. For people; machines get plain bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} B", self.0),
            1_000..1_000_000 => write!(f, "{:.1} KB", bytes / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.2} MB", bytes / 1e6),
            _ => write!(f, "{:.2} GB", bytes / 1e9),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A TOML value that may be a plain number or a text with a unit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum NumberOrText {
    Whole(u64),
    Fraction(f64),
    Text(String),
}

impl NumberOrText {
    /// As it stands in the file, without quotes.
    pub fn into_text(self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

macro_rules! text_serde {
    ($name:ident, $wanted:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = NumberOrText::deserialize(deserializer)
                    .map_err(|_| de::Error::custom(format!("expected {}", $wanted)))?;
                value.into_text().parse().map_err(de::Error::custom)
            }
        }
    };
}

text_serde!(ByteSize, WANTED_SIZE);
text_serde!(Span, WANTED_SPAN);
text_serde!(Multiple, WANTED_MULTIPLE);

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Multiple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_nginx_or_are_decimal() {
        let sizes = [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("1k", 1024),
            ("1K", 1024),
            ("1m", 1_048_576),
            ("2g", 2_147_483_648),
            ("50KB", 50_000),
            ("2 MB", 2_000_000),
            ("1gb", 1_000_000_000),
        ];
        for (text, bytes) in sizes {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for text in ["", "m", "1.5m", "1t", "-1", "99999999999g", "1kib"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn multiples_may_be_fractions_but_have_bounds() {
        for (text, value) in [("2", 2.0), ("2x", 2.0), ("0.5×", 0.5), ("1000X", 1000.0)] {
            assert!((text.parse::<Multiple>().unwrap().get() - value).abs() < f64::EPSILON, "{text}");
        }
        for text in ["0", "0.09", "1001", "NaN", "inf", "-2", "two"] {
            assert!(text.parse::<Multiple>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_name_their_unit() {
        let spans = [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("1.5", 1_500)];
        for (text, ms) in spans {
            assert_eq!(text.parse::<Span>().unwrap().0.as_millis(), ms, "{text}");
        }
        assert!("5 parsecs".parse::<Span>().is_err());
    }
}
