//! Timestamps that a client writes into its requests: recognised, and written anew in the same form.
//!
//! Recognised are ISO 8601 (`2026-11-24T18:35:07.120Z`, with an offset, without a zone, with a space for the `T`)
//! and Unix time in seconds, milliseconds or microseconds, also with a fraction. Whether a value is made fresh is
//! decided in [`super::bind`]: here nothing is guessed, only read.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeFormat {
    /// Unix time in these units per second (1, 1,000 or 1,000,000), with as many digits after the point.
    Epoch {
        per_second: u32,
        digits: u8,
    },
    Iso {
        separator: char,
        digits: u8,
        zone: Zone,
    },
    /// `2026-11-24`, UTC.
    Date,
}

/// How an ISO timestamp ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Nothing; taken as UTC.
    None,
    /// `Z`
    Utc,
    /// `+01:00`, minutes.
    Offset(i16),
}

const MICROS: i64 = 1_000_000;
/// `2026-11-24T18:35:07`
const SECONDS_BYTES: usize = 19;
const DIGITS_MAX: usize = 9;

/// Format and instant (microseconds since 1970, UTC) of a text that is a timestamp.
pub(super) fn parse(text: &str) -> Option<(TimeFormat, i64)> {
    epoch(text).or_else(|| iso(text)).or_else(|| date(text))
}

impl TimeFormat {
    /// By the names that rules use; `None` for another name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let epoch = |per_second| Self::Epoch { per_second, digits: 0 };
        match name {
            "epoch_s" => Some(epoch(1)),
            "epoch_ms" => Some(epoch(1000)),
            "epoch_us" => Some(epoch(1_000_000)),
            "iso" => Some(Self::Iso { separator: 'T', digits: 3, zone: Zone::Utc }),
            "date" => Some(Self::Date),
            _ => None,
        }
    }

    pub(super) fn is_date(self) -> bool {
        self == Self::Date
    }

    /// Writes an instant, microseconds since 1970, UTC. Instants that no calendar has become that of 1970.
    pub(crate) fn write(self, utc_us: i64) -> String {
        match self {
            Self::Epoch { per_second, digits } => {
                let units = utc_us.div_euclid(MICROS / i64::from(per_second));
                let rest = utc_us.rem_euclid(MICROS / i64::from(per_second)) * i64::from(per_second);
                format!("{units}{}", fraction(rest, digits))
            }
            Self::Iso { separator, digits, zone } => iso_text(utc_us, separator, digits, zone),
            Self::Date => at(utc_us, UtcOffset::UTC).date().to_string(),
        }
    }
}

fn epoch(text: &str) -> Option<(TimeFormat, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) || fraction.len() > DIGITS_MAX || text.ends_with('.') {
        return None;
    }
    let per_second = match whole.len() {
        10 => 1,
        13 => 1000,
        16 => 1_000_000,
        _ => return None,
    };
    let unit_us = MICROS / i64::from(per_second);
    let utc_us = whole.parse::<i64>().ok()? * unit_us + micros(fraction) * unit_us / MICROS;
    Some((TimeFormat::Epoch { per_second, digits: u8::try_from(fraction.len()).ok()? }, utc_us))
}

fn iso(text: &str) -> Option<(TimeFormat, i64)> {
    if !text.is_ascii() || text.len() < SECONDS_BYTES {
        return None;
    }
    let (seconds, rest) = text.split_at(SECONDS_BYTES);
    let separator = char::from(seconds.as_bytes()[10]);
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let is_form = (separator == 'T' || separator == ' ')
        && fraction.len() <= DIGITS_MAX
        && (fraction.is_empty() != rest.starts_with('.'));
    let (zone, offset_minutes) = is_form.then(|| zone_of(zone)).flatten()?;
    let whole = format!("{}T{}Z", &seconds[..10], &seconds[11..]);
    let local_us = OffsetDateTime::parse(&whole, &Rfc3339).ok()?.unix_timestamp().checked_mul(MICROS)?;
    let utc_us = local_us + micros(fraction) - i64::from(offset_minutes) * 60 * MICROS;
    Some((TimeFormat::Iso { separator, digits: u8::try_from(fraction.len()).ok()?, zone }, utc_us))
}

fn zone_of(text: &str) -> Option<(Zone, i16)> {
    match text.as_bytes() {
        [] => Some((Zone::None, 0)),
        [b'Z'] => Some((Zone::Utc, 0)),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = text[1..3].parse::<i16>().ok()? * 60 + text[4..6].parse::<i16>().ok()?;
            let minutes = if *sign == b'-' { -minutes } else { minutes };
            (minutes.abs() < 24 * 60).then_some((Zone::Offset(minutes), minutes))
        }
        _ => None,
    }
}

fn date(text: &str) -> Option<(TimeFormat, i64)> {
    let is_form = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
    let midnight = is_form.then(|| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).ok());
    Some((TimeFormat::Date, midnight??.unix_timestamp().checked_mul(MICROS)?))
}

/// Microseconds of the digits after a point.
fn micros(fraction: &str) -> i64 {
    let six = fraction.bytes().map(|byte| i64::from(byte - b'0')).chain(std::iter::repeat(0)).take(6);
    six.fold(0, |all, digit| all * 10 + digit)
}

/// `.120` of 120,000 µs at three digits.
fn fraction(micros: i64, digits: u8) -> String {
    if digits == 0 {
        return String::new();
    }
    let all = format!("{micros:06}000");
    format!(".{}", &all[..usize::from(digits).min(all.len())])
}

fn at(utc_us: i64, offset: UtcOffset) -> OffsetDateTime {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(utc_us) * 1000);
    utc.ok().and_then(|utc| utc.checked_to_offset(offset)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn iso_text(utc_us: i64, separator: char, digits: u8, zone: Zone) -> String {
    let (minutes, end) = match zone {
        Zone::None => (0, String::new()),
        Zone::Utc => (0, "Z".to_owned()),
        Zone::Offset(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            (minutes, format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
        }
    };
    let offset = UtcOffset::from_whole_seconds(i32::from(minutes) * 60).unwrap_or(UtcOffset::UTC);
    let local = at(utc_us, offset);
    let (date, time) = (local.date(), local.time());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let part = fraction(utc_us.rem_euclid(MICROS), digits);
    format!("{date}{separator}{hour:02}:{minute:02}:{second:02}{part}{end}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-24T18:35:07.123456Z
    const UTC_US: i64 = 1_795_545_307_123_456;

    #[test]
    fn timestamps_are_read_and_written_in_their_own_form() {
        let texts = [
            ("1795545307", 0),
            ("1795545307.123456", 123_456),
            ("1795545307.12", 120_000),
            ("1795545307123", 123_000),
            ("1795545307123456", 123_456),
            ("2026-11-24T18:35:07Z", 0),
            ("2026-11-24T18:35:07.123Z", 123_000),
            ("2026-11-24T19:35:07.123456+01:00", 123_456),
            ("2026-11-24T14:05:07-04:30", 0),
            ("2026-11-24 18:35:07", 0),
        ];
        for (text, micros) in texts {
            let (format, utc_us) = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(utc_us, UTC_US - 123_456 + micros, "{text}");
            assert_eq!(format.write(UTC_US), text);
        }
        let (format, midnight_us) = parse("2026-11-24").unwrap();
        assert_eq!((format.write(UTC_US).as_str(), midnight_us % (24 * 3600 * MICROS)), ("2026-11-24", 0));
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for text in [
            "",
            "179554530",
            "1795545307.",
            "2026-11-24T18:35",
            "2026-13-24T18:35:07Z",
            "2026-11-24T18:35:07.Z",
            "2026-11-24T18:35:07+1:00",
            "2026-11-24X18:35:07Z",
            "12345678901234",
            "99-99-9999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[0-9TZ:. +-]{0,34}|.{0,40}") {
            if let Some((format, utc_us)) = parse(&text) {
                let _ = format.write(utc_us);
            }
        }
    }
}
