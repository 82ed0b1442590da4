//! Values of `[capture]` that say how much is recorded and how safely it is kept.

use std::fmt;
use std::str::FromStr;

use kingtide_common::capture::SyncPolicy;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A part of a whole: `"10%"` or `0.1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl Share {
    pub(crate) const ALL: Self = Self(1.0);

    fn new(value: f64) -> Result<Self, String> {
        let why = || format!("`{value}` is no share: write \"10%\" or 0.1, between 0 and 100%");
        (0.0..=1.0).contains(&value).then_some(Self(value)).ok_or_else(why)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("`{text}` is no share: write \"10%\" or 0.1");
        match text.trim().strip_suffix('%') {
            Some(percent) => Self::new(percent.trim().parse::<f64>().map_err(wrong)? / 100.0),
            None => Self::new(text.trim().parse().map_err(wrong)?),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (self.0 * 1e6).round() / 1e4)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(f64),
        }
        let share = match Written::deserialize(deserializer)? {
            Written::Text(text) => text.parse(),
            Written::Number(value) => Self::new(value),
        };
        share.map_err(de::Error::custom)
    }
}

/// When the capture is made to reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SyncWhen {
    None,
    #[default]
    Seal,
    Flush,
}

impl From<SyncWhen> for SyncPolicy {
    fn from(when: SyncWhen) -> Self {
        match when {
            SyncWhen::None => Self::None,
            SyncWhen::Seal => Self::Seal,
            SyncWhen::Flush => Self::Flush,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_in_percent_or_as_a_number() {
        #[derive(Deserialize)]
        struct Wrapped {
            share: Share,
        }
        let read = |text: &str| toml::from_str::<Wrapped>(&format!("share = {text}")).map(|read| read.share);
        assert_eq!(read("\"10%\"").unwrap(), Share(0.1));
        assert_eq!(read("0.1").unwrap(), Share(0.1));
        assert_eq!(read("\"0.1\"").unwrap(), Share(0.1));
        assert_eq!(read("1").unwrap(), Share::ALL);
        assert_eq!((Share(0.1).to_string(), Share::ALL.to_string()), ("10%".into(), "100%".into()));
        for wrong in ["\"110%\"", "-0.1", "\"ten\""] {
            assert!(read(wrong).unwrap_err().to_string().contains("10%"), "{wrong}");
        }
    }
}
