//! Hours in which load is allowed: `Mon-Fri 18:00-06:00 +01:00`.
//!
//! The offset always stands there, as the machine that sends may be anywhere; summer time is not known, so that a window which
//! must follow it has two lines, or is narrow enough for both. A window over midnight belongs to the day on which it begins.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTES_OF_DAY: u16 = 24 * 60;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Window {
    /// From Monday.
    days: [bool; 7],
    from_minute: u16,
    to_minute: u16,
    offset: UtcOffset,
    /// As it was written.
    text: String,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no window of hours ({why}): write days, hours and the offset, as in \"Mon-Fri 18:00-06:00 +01:00\", \
     \"Sat,Sun 00:00-24:00 UTC\" or \"daily 20:00-23:30 UTC\""
)]
pub struct WindowError {
    text: String,
    why: &'static str,
}

impl Window {
    pub fn holds(&self, at: OffsetDateTime) -> bool {
        let at = at.to_offset(self.offset);
        let today = usize::from(at.weekday().number_days_from_monday());
        let minute = u16::from(at.hour()) * 60 + u16::from(at.minute());
        if self.from_minute < self.to_minute {
            return self.days[today] && (self.from_minute..self.to_minute).contains(&minute);
        }
        let yesterday = (today + 6) % 7;
        (self.days[today] && minute >= self.from_minute) || (self.days[yesterday] && minute < self.to_minute)
    }

    /// `Mon 10:12 +01:00`, on its clock.
    pub fn tell(&self, at: OffsetDateTime) -> String {
        let at = at.to_offset(self.offset);
        let day = DAYS[usize::from(at.weekday().number_days_from_monday())];
        let (hours, minutes, _) = self.offset.as_hms();
        let sign = if self.offset.is_negative() { '-' } else { '+' };
        format!(
            "{day} {:02}:{:02} {sign}{:02}:{:02}",
            at.hour(),
            at.minute(),
            hours.unsigned_abs(),
            minutes.unsigned_abs()
        )
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let wrong = |why| WindowError { text: text.to_owned(), why };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [days_word, hours, offset_word] = words[..] else { return Err(wrong("it has not three parts")) };
        let days = days(days_word).ok_or_else(|| wrong("its days are none"))?;
        let (from, to) = hours.split_once('-').ok_or_else(|| wrong("its hours have no end"))?;
        let hour = |text| minute(text).ok_or_else(|| wrong("an hour is none"));
        let (from_minute, to_minute) = (hour(from)?, hour(to)?);
        if from_minute == to_minute || from_minute == MINUTES_OF_DAY {
            return Err(wrong("it has no length; the whole day is 00:00-24:00"));
        }
        let offset = offset(offset_word).ok_or_else(|| wrong("its offset is none"))?;
        Ok(Self { days, from_minute, to_minute, offset, text: words.join(" ") })
    }
}

impl TryFrom<String> for Window {
    type Error = WindowError;

    fn try_from(text: String) -> Result<Self, WindowError> {
        text.parse()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `daily`, `Mon`, `Mon-Fri`, `Sat,Sun`, `Fri-Mon`.
fn days(text: &str) -> Option<[bool; 7]> {
    if text.eq_ignore_ascii_case("daily") {
        return Some([true; 7]);
    }
    let day = |text: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Some(days)
}

/// Of the day; 24:00 is its end.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (two_digits(hour)?, two_digits(minute)?);
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= MINUTES_OF_DAY).then_some(of_day)
}

fn offset(text: &str) -> Option<UtcOffset> {
    if text == "UTC" || text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let minutes = i32::from(minute(rest)?);
    UtcOffset::from_whole_seconds(sign * minutes * 60).ok()
}

fn two_digits(text: &str) -> Option<u16> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn windows_hold_on_their_own_clock() {
        // 2026-11-30 is a Monday.
        let cases = [
            ("Mon-Fri 09:00-17:00 UTC", datetime!(2026-11-30 09:00 UTC), true),
            ("Mon-Fri 09:00-17:00 UTC", datetime!(2026-11-30 17:00 UTC), false),
            ("Mon-Fri 09:00-17:00 UTC", datetime!(2026-11-29 12:00 UTC), false),
            ("Mon-Fri 09:00-17:00 +01:00", datetime!(2026-11-30 08:00 UTC), true),
            ("Mon-Fri 09:00-17:00 +01:00", datetime!(2026-11-30 16:30 UTC), false),
            ("Mon 00:00-24:00 -08:00", datetime!(2026-11-30 07:59 UTC), false),
            ("Mon 00:00-24:00 -08:00", datetime!(2026-12-01 07:59 UTC), true),
            // Over midnight: Monday's night ends on Tuesday.
            ("Mon 22:00-06:00 UTC", datetime!(2026-11-30 23:00 UTC), true),
            ("Mon 22:00-06:00 UTC", datetime!(2026-12-01 05:59 UTC), true),
            ("Mon 22:00-06:00 UTC", datetime!(2026-11-30 05:59 UTC), false),
            ("Fri-Mon 12:00-13:00 UTC", datetime!(2026-11-29 12:30 UTC), true),
            ("Fri-Mon 12:00-13:00 UTC", datetime!(2026-12-01 12:30 UTC), false),
            ("Sat,Sun 12:00-13:00 UTC", datetime!(2026-11-28 12:30 UTC), true),
            ("daily 12:00-13:00 UTC", datetime!(2026-12-02 12:30 UTC), true),
        ];
        for (text, at, holds) in cases {
            assert_eq!(text.parse::<Window>().unwrap().holds(at), holds, "{text} at {at}");
        }
    }

    #[test]
    fn an_instant_is_told_on_the_window_s_clock() {
        let window: Window = "daily 12:00-13:00 -03:30".parse().unwrap();
        assert_eq!(window.tell(datetime!(2026-11-30 02:05 UTC)), "Sun 22:35 -03:30");
    }

    #[test]
    fn what_is_no_window_is_refused_with_examples() {
        for (text, why) in [
            ("Mon-Fri 09:00-17:00", "three parts"),
            ("Mo-Fri 09:00-17:00 UTC", "days"),
            ("Mon 9:00-17:00 UTC", "an hour"),
            ("Mon 09:00-25:00 UTC", "an hour"),
            ("Mon 09:60-17:00 UTC", "an hour"),
            ("Mon 09:00 UTC", "no end"),
            ("Mon 09:00-09:00 UTC", "no length"),
            ("Mon 24:00-09:00 UTC", "no length"),
            ("Mon 09:00-17:00 CET", "offset"),
            ("Mon 09:00-17:00 +1", "offset"),
        ] {
            let refused = text.parse::<Window>().unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains("daily"), "{text}: {refused}");
        }
    }
}
