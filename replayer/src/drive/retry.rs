//! Which failures are tried again live, and after how long: the policy of the captured clients' code, as the
//! user knows it. Pure; [`super::lane`] acts on it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::measure::ErrorClass;

/// A back-off grows no longer than this.
const BACKOFF_MAX: Duration = Duration::from_mins(2);

/// See the module. The default tries nothing again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Further tries of one request, at most.
    pub times_max: u32,
    pub on: Vec<Cause>,
    /// Longest wait before the first further try; doubles with each.
    pub backoff: Duration,
    /// A longer `Retry-After` is cut to this.
    pub retry_after_max: Duration,
}

/// A failure that is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Status(u16),
    /// Any of 500 to 599.
    ServerError,
    /// No connection.
    Connect,
    /// It broke off.
    Reset,
    Timeout,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            times_max: 0,
            on: vec![Cause::Status(429), Cause::Status(503), Cause::Connect],
            backoff: Duration::from_secs(1),
            retry_after_max: Duration::from_mins(1),
        }
    }
}

impl Retry {
    /// Whether an exchange that ended so is tried again, as long as tries are left.
    pub(super) fn wants(&self, ended: Result<u16, ErrorClass>) -> bool {
        self.times_max > 0 && self.on.iter().any(|cause| cause.is(ended))
    }

    /// How long to wait before further try `number`, from 0: what the target asks for, else exponential
    /// back-off with full jitter, `random` in 0 to 1.
    /// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
    pub(super) fn pause(&self, number: u32, retry_after: Option<Duration>, random: f64) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << number.min(30)).min(BACKOFF_MAX);
        retry_after.map_or(doubled.mul_f64(random), |wished| wished.min(self.retry_after_max))
    }
}

impl Cause {
    fn is(self, ended: Result<u16, ErrorClass>) -> bool {
        match (self, ended) {
            (Self::Status(status), Ok(answered)) => status == answered,
            (Self::ServerError, Ok(answered)) => (500..600).contains(&answered),
            (Self::Connect, Err(class)) => matches!(
                class,
                ErrorClass::ConnectRefused | ErrorClass::ConnectTimeout | ErrorClass::ConnectFailed
            ),
            (Self::Reset, Err(class)) => {
                matches!(class, ErrorClass::Reset | ErrorClass::ClosedEarly | ErrorClass::StreamRefused)
            }
            (Self::Timeout, Err(class)) => class == ErrorClass::Timeout,
            _ => false,
        }
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "5xx" => Ok(Self::ServerError),
            "connect" => Ok(Self::Connect),
            "reset" => Ok(Self::Reset),
            "timeout" => Ok(Self::Timeout),
            number => match number.parse() {
                Ok(status @ 400..600) => Ok(Self::Status(status)),
                _ => Err(format!(
                    "`{text}` is nothing to try again on: write a status from 400 to 599, 5xx, connect, reset or timeout"
                )),
            },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::ServerError => f.write_str("5xx"),
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

/// The value of a `Retry-After` header: seconds or a date. RFC 9110, section 10.2.3.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    // A date that has passed means at once.
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn causes_are_read_as_they_are_written() {
        for text in ["429", "5xx", "connect", "reset", "timeout"] {
            assert_eq!(text.parse::<Cause>().unwrap().to_string(), text);
        }
        for text in ["200", "600", "4xx", "", "refused"] {
            let refused = text.parse::<Cause>().unwrap_err();
            assert!(refused.contains("write a status"), "{refused}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_tried_again() {
        let retry = |on: &str| Retry {
            times_max: 1,
            on: on.split(',').map(|cause| cause.parse().unwrap()).collect(),
            ..Retry::default()
        };
        let cases = [
            ("429", Ok(429), true),
            ("429", Ok(503), false),
            ("5xx", Ok(599), true),
            ("5xx", Ok(429), false),
            ("connect", Err(ErrorClass::ConnectRefused), true),
            ("connect", Err(ErrorClass::Reset), false),
            ("reset", Err(ErrorClass::ClosedEarly), true),
            ("timeout", Err(ErrorClass::Timeout), true),
            ("timeout,reset,connect,5xx", Err(ErrorClass::LocalExhausted), false),
        ];
        for (on, ended, expected) in cases {
            assert_eq!(retry(on).wants(ended), expected, "{on}: {ended:?}");
        }
        assert!(!Retry::default().wants(Ok(429)), "off");
    }

    #[test]
    fn pauses_double_with_full_jitter_and_the_targets_wish_goes_first() {
        let retry = Retry { backoff: S, retry_after_max: 10 * S, ..Retry::default() };
        let cases = [
            ("the whole of the first", 0, None, 1.0, S),
            ("none of it", 0, None, 0.0, Duration::ZERO),
            ("half of the third", 2, None, 0.5, 2 * S),
            ("never longer than two minutes", u32::MAX, None, 1.0, BACKOFF_MAX),
            ("as the target wishes", 2, Some(3 * S), 0.5, 3 * S),
            ("but not for an hour", 0, Some(3_600 * S), 0.5, 10 * S),
        ];
        for (case, number, wished, random, expected) in cases {
            assert_eq!(retry.pause(number, wished, random), expected, "{case}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 1994-11-06T08:49:37Z
        let now = SystemTime::UNIX_EPOCH + 784_111_777 * S;
        let cases = [
            ("1", Some(S)),
            (" 120 ", Some(120 * S)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10 * S)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(Duration::ZERO)),
            ("soon", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(retry_after(text, now), expected, "{text}");
        }
    }
}
