//! The header that tells a target's owner that a request is nobody's: `X-Kingtide-Synthetic: 1`.

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::sessions::is_drives;

const NAME: HeaderName = HeaderName::from_static("x-kingtide-synthetic");
const VALUE: HeaderValue = HeaderValue::from_static("1");
const OFF: &str = "off";

/// Whether requests say that they are synthetic, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Marking {
    Off,
    Header(HeaderName, HeaderValue),
}

impl Default for Marking {
    fn default() -> Self {
        Self::Header(NAME, VALUE)
    }
}

impl Marking {
    /// In place of a captured header of the same name.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if let Self::Header(name, value) = self {
            headers.insert(name, value.clone());
        }
    }
}

impl FromStr for Marking {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == OFF {
            return Ok(Self::Off);
        }
        let (name, value) = text.split_once(':').map_or((text, "1"), |(name, value)| (name, value.trim()));
        let wrong = || {
            format!(
                "`{text}` marks nothing; write a header (X-Kingtide-Synthetic, or with a value X-Load: a) or off"
            )
        };
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        let is_free = name.as_str().starts_with("x-") && !is_drives(name.as_str());
        if is_free { Ok(Self::Header(name, value)) } else { Err(wrong() + "; its name begins with X-") }
    }
}

impl TryFrom<String> for Marking {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Marking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(OFF),
            Self::Header(name, value) => write!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markings_are_headers_or_off() {
        for (text, shown) in [
            ("off", "off"),
            ("X-Kingtide-Synthetic", "x-kingtide-synthetic: 1"),
            ("X-Load: test 7", "x-load: test 7"),
        ] {
            assert_eq!(text.parse::<Marking>().unwrap().to_string(), shown);
        }
        assert_eq!(Marking::default().to_string(), "x-kingtide-synthetic: 1");
        for wrong in [
            "",
            "no",
            "Host",
            "Authorization: x",
            "X-Forwarded-For: x",
            "X-Request-Id",
            "X-a b",
            "X-a: b\u{1}",
        ] {
            assert!(wrong.parse::<Marking>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_marked_head_has_it_once() {
        let mut headers = HeaderMap::new();
        headers.append(NAME, HeaderValue::from_static("captured"));
        Marking::Off.mark(&mut headers);
        assert_eq!(headers[NAME], "captured");
        Marking::default().mark(&mut headers);
        assert_eq!(headers.get_all(NAME).iter().collect::<Vec<_>>(), ["1"]);
    }
}
