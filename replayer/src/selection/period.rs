//! A stretch of time: from an instant to another, each an RFC 3339 time or an offset from the beginning.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use kingtide_common::units::Span;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant as a user writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// Nanoseconds UTC.
    At(i64),
    /// Nanoseconds after the first request of the capture.
    After(i64),
}

/// A text that is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no instant: write a time as 2026-11-24T08:00:00Z, or an offset from the first request as +90s, +10m or +1h"
)]
pub struct InstantError(String);

impl Instant {
    fn ns(self, first_ns: i64) -> i64 {
        match self {
            Self::At(ns) => ns,
            Self::After(ns) => first_ns.saturating_add(ns),
        }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(ns) => write!(f, "+{}ms", ns / 1_000_000),
            Self::At(ns) => {
                let time = OffsetDateTime::from_unix_timestamp_nanos((*ns).into()).map_err(|_| fmt::Error)?;
                f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
            }
        }
    }
}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, InstantError> {
        let refused = || InstantError(text.to_owned());
        if let Some(offset) = text.strip_prefix('+') {
            let span: Span = offset.parse().map_err(|_| refused())?;
            return i64::try_from(span.0.as_nanos()).map(Self::After).map_err(|_| refused());
        }
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refused())?;
        i64::try_from(time.unix_timestamp_nanos()).map(Self::At).map_err(|_| refused())
    }
}

/// From an instant (it included) to another (it not).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    pub from: Option<Instant>,
    pub to: Option<Instant>,
}

impl Period {
    pub fn is_always(self) -> bool {
        self == Self::default()
    }

    /// In nanoseconds UTC, for a capture whose first request began at `first_ns`.
    pub fn range(self, first_ns: i64) -> Range<i64> {
        let from = self.from.map_or(i64::MIN, |from| from.ns(first_ns));
        from..self.to.map_or(i64::MAX, |to| to.ns(first_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_times_or_offsets() {
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(Instant::At(1_500_000_000)));
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Instant::At(0)));
        assert_eq!("+10m".parse(), Ok(Instant::After(600_000_000_000)));
        assert_eq!("+250ms".parse(), Ok(Instant::After(250_000_000)));
        for text in ["", "10m", "+", "+x", "yesterday", "2026-11-24", "-10m"] {
            let error = text.parse::<Instant>().unwrap_err().to_string();
            assert!(error.contains("+10m"), "{error}");
        }
    }

    #[test]
    fn a_period_without_ends_is_always() {
        assert_eq!(Period::default().range(7), i64::MIN..i64::MAX);
        let period = Period { from: Some(Instant::After(5)), to: Some(Instant::At(100)) };
        assert_eq!(period.range(7), 12..100);
    }
}
