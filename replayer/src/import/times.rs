//! Times as foreign files write them, as nanoseconds UTC or as microseconds. Nothing here fails but with `None`.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// `24/Nov/2026:18:46:58 +0100`, Nginx's `$time_local`.
const NGINX: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);
/// ISO 8601 with an offset without a colon, as some programs write it.
const BASIC_OFFSET: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]][offset_hour sign:mandatory][offset_minute]"
);
const NO_OFFSET: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond]]]");

/// ISO 8601; a time without a zone is taken for UTC.
pub(super) fn iso8601_ns(text: &str) -> Option<i64> {
    let text = text.trim();
    let zoned = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, BASIC_OFFSET));
    let time =
        zoned.or_else(|_| PrimitiveDateTime::parse(text, NO_OFFSET).map(PrimitiveDateTime::assume_utc));
    i64::try_from(time.ok()?.unix_timestamp_nanos()).ok()
}

/// `$time_local`.
pub(super) fn nginx_ns(text: &str) -> Option<i64> {
    i64::try_from(OffsetDateTime::parse(text.trim(), NGINX).ok()?.unix_timestamp_nanos()).ok()
}

/// Seconds with up to nine decimals, exactly: `1795464475.258`.
pub(super) fn seconds_ns(text: &str) -> Option<i64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Milliseconds as a number; negative ones (HAR: does not apply) and what is no number are `None`.
pub(super) fn ms_us(ms: f64) -> Option<u64> {
    const YEAR_US: f64 = 366.0 * 86_400e6;
    let us = (ms * 1000.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within a year, not negative"
    )]
    (0.0..=YEAR_US).contains(&us).then_some(us as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_programs_write_them() {
        let noon = Some(1_795_521_600_250_000_000);
        for text in [
            "2026-11-24T12:00:00.250Z",
            "2026-11-24T13:00:00.25+01:00",
            "2026-11-24T13:00:00.250+0100",
            "2026-11-24T12:00:00.250",
        ] {
            assert_eq!(iso8601_ns(text), noon, "{text}");
        }
        assert_eq!(nginx_ns("24/Nov/2026:13:00:00 +0100"), Some(1_795_521_600_000_000_000));
        assert_eq!(seconds_ns("1795521600.25"), noon);
        for wrong in ["", "yesterday", "24/Nov/2026", "-1", "1.2.3", "99999999999999999999"] {
            assert_eq!(
                (iso8601_ns(wrong), nginx_ns(wrong), seconds_ns(wrong)),
                (None, None, None),
                "{wrong}"
            );
        }
    }

    #[test]
    fn durations_that_do_not_apply_are_none() {
        assert_eq!(
            [0.0, 1.5, -1.0, f64::NAN, f64::INFINITY].map(ms_us),
            [Some(0), Some(1500), None, None, None]
        );
    }
}
