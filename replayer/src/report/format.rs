//! How numbers are written for people: in the terminal and in the HTML page alike.
//!
//! What is not known is `–`, never 0. Times choose their unit (`812 ms`, `4.2 s`), counts have narrow
//! no-break spaces between thousands, sizes are decimal.

use kingtide_common::units::ByteSize;

/// What stands where nothing was measured.
pub const UNKNOWN: &str = "–";
const THOUSANDS_GAP: char = '\u{202f}';

/// A duration given in milliseconds.
pub fn ms(value: Option<f64>) -> String {
    value.filter(|ms| ms.is_finite()).map_or_else(|| UNKNOWN.to_owned(), known_ms)
}

fn known_ms(ms: f64) -> String {
    match ms {
        _ if ms <= 0.0 => "0 ms".to_owned(),
        _ if ms < 0.9995 => format!("{:.0} µs", (ms * 1e3).max(1.0)),
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ if ms < 59_950.0 => format!("{:.1} s", ms / 1e3),
        _ => minutes(ms / 1e3),
    }
}

/// A duration given in seconds.
pub fn seconds(value: Option<f64>) -> String {
    ms(value.map(|s| s * 1e3))
}

fn minutes(total_s: f64) -> String {
    let whole_min = ((total_s.round()) / 60.0).floor();
    let rest_s = total_s.round() - whole_min * 60.0;
    match whole_min {
        _ if whole_min >= 60.0 => format!("{:.0} h {:.0} min", (whole_min / 60.0).floor(), whole_min % 60.0),
        _ => format!("{whole_min:.0} min {rest_s:.0} s"),
    }
}

/// A count, with gaps between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len());
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(THOUSANDS_GAP);
        }
        grouped.push(digit);
    }
    grouped
}

/// A count with its noun: `1 request`, `2 requests`.
pub fn counted(value: u64, noun: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(value))
}

/// A size in bytes.
pub fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), |bytes| ByteSize(bytes).to_string())
}

/// A share of 0 to 1 as percent. A share that is not 0 never reads as 0, one that is not 1 never as 100 %.
pub fn share(value: f64) -> String {
    let percent = value * 100.0;
    match percent {
        _ if !percent.is_finite() => UNKNOWN.to_owned(),
        _ if percent == 0.0 || percent >= 100.0 => format!("{percent:.0} %"),
        _ if percent < 0.1 => "< 0.1 %".to_owned(),
        _ if percent > 99.9 => "> 99.9 %".to_owned(),
        _ if !(10.0..=99.0).contains(&percent) => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// A plain number with about three digits: dispersions, gate values.
pub fn number(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        None => UNKNOWN.to_owned(),
        Some(value) if value.fract() == 0.0 && value.abs() < 1e15 => whole(value),
        Some(value) if value.abs() >= 100.0 => whole(value.round()),
        Some(value) if value.abs() >= 10.0 => trimmed(&format!("{value:.1}")),
        Some(value) if value.abs() >= 0.1 => trimmed(&format!("{value:.2}")),
        Some(value) => trimmed(&format!("{value:.4}")),
    }
}

fn trimmed(decimal: &str) -> String {
    decimal.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and below 1e15 by the callers"
)]
fn whole(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{}", count(value.abs() as u64))
}

/// A multiple of the captured population: `5×`, `0.5×`.
pub fn multiple(value: f64) -> String {
    format!("{value}×")
}

/// Something per second.
pub fn rate(count: u64, duration_s: f64) -> String {
    if duration_s > 0.0 {
        format!("{}/s", number(Some(count as f64 / duration_s)))
    } else {
        UNKNOWN.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_choose_their_unit() {
        let times = [
            (0.0, "0 ms"),
            (0.0004, "1 µs"),
            (0.42, "420 µs"),
            (0.9996, "1.0 ms"),
            (4.24, "4.2 ms"),
            (9.96, "10 ms"),
            (812.4, "812 ms"),
            (999.6, "1.0 s"),
            (4_210.0, "4.2 s"),
            (59_949.0, "59.9 s"),
            (59_960.0, "1 min 0 s"),
            (125_000.0, "2 min 5 s"),
            (3_599_700.0, "1 h 0 min"),
        ];
        for (value, text) in times {
            assert_eq!(ms(Some(value)), text, "{value}");
        }
    }

    #[test]
    fn unknown_is_a_dash_and_never_zero() {
        assert_eq!([ms(None), ms(Some(f64::NAN)), size(None), number(None)], [UNKNOWN; 4]);
        assert_eq!([share(f64::NAN), rate(3, 0.0)], [UNKNOWN; 2]);
    }

    #[test]
    fn counts_have_gaps_between_thousands() {
        let counts =
            [(0, "0"), (999, "999"), (1_000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")];
        for (value, text) in counts {
            assert_eq!(count(value), text);
        }
        assert_eq!(counted(1, "request"), "1 request");
        assert_eq!(counted(0, "request"), "0 requests");
    }

    #[test]
    fn shares_never_round_a_problem_away() {
        let shares = [(0.0, "0 %"), (0.0001, "< 0.1 %"), (0.004, "0.4 %"), (0.42, "42 %"), (1.0, "100 %")];
        for (value, text) in shares {
            assert_eq!(share(value), text);
        }
        assert_eq!([share(0.9999), share(0.996)], ["> 99.9 %", "99.6 %"]);
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        let numbers = [
            (1.0, "1"),
            (1.2345, "1.23"),
            (15.52, "15.5"),
            (4.1, "4.1"),
            (0.0123, "0.0123"),
            (-1234.5, "−1\u{202f}235"),
        ];
        for (value, text) in numbers {
            assert_eq!(number(Some(value)), text);
        }
    }
}
